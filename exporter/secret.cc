#include "bao_exporter/secret.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "bao_exporter/check.h"
#include "descriptor.h"

namespace bao_exporter {

// What may be in the file.
struct Secret::Limits {
  std::size_t bytes_max = kBytesMax;
  bool many_lines = false;
};

// `name` in the folder; `path` is what it is called.
struct Secret::Place {
  int folder;
  const std::string& name;
  const std::string& path;
};

namespace {

constexpr std::string_view kBearerPrefix = "Authorization: Bearer ";

Error unreadable(const std::string& path, const std::string& why) {
  return Error{ErrorCode::kTokenUnreadable, path + ": " + why};
}

std::string system_words(const char* what, int error) {
  return std::string(what) + ": " + std::strerror(error);
}

// Empty when the file may be used as a secret, else why not and what to do.
std::string attribute_problem(const struct stat& st, const SecretFileRules& rules) {
  if (!S_ISREG(st.st_mode)) return "is not a regular file";
  if (st.st_uid != 0 && st.st_uid != ::geteuid()) {
    return "is owned by another user; it must be owned by root or by the user that runs "
           "bao-exporter";
  }
  if ((st.st_mode & S_IRWXO) != 0) return "is accessible to others; run: chmod o-rwx on it";
  if ((st.st_mode & (S_IWGRP | S_IXGRP)) != 0) return "is writable by its group; run: chmod g-wx";
  if ((st.st_mode & S_IRGRP) != 0 && !rules.allow_group_read) {
    return "is readable by its group; run: chmod g-r on it, or set allow_group_read = true";
  }
  return {};
}

std::string size_problem(off_t size, std::size_t bytes_max) {
  if (size == 0) return "is empty";
  if (size <= static_cast<off_t>(bytes_max)) return {};
  return "is larger than " + std::to_string(bytes_max) +
         " bytes; it must hold the secret and nothing else";
}

// Empty when the text is usable. Never quotes the text.
std::string content_problem(std::string_view text, bool many_lines) {
  if (text.empty()) return "holds no secret";
  for (const char c : text) {
    if (many_lines && (c == '\n' || c == ' ' || c == '#' || c == '\t')) continue;
    if (c == '\n') return "has more than one line; it must hold one secret";
    if (c == '\r') return "has Windows line ends (carriage return); save it with line feeds only";
    const auto byte = static_cast<unsigned char>(c);
    if (byte <= 0x20 || byte >= 0x7f) {
      return "has a space, a control character or a byte that is not ASCII in it";
    }
  }
  return {};
}

// Reads until `capacity` bytes or the end; -1 with errno on failure.
ssize_t read_all(int fd, char* to, std::size_t capacity) {
  std::size_t got = 0;
  while (got < capacity) {
    const ssize_t n = ::read(fd, to + got, capacity - got);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -1;
    if (n == 0) break;
    got += static_cast<std::size_t>(n);
  }
  return static_cast<ssize_t>(got);
}

std::size_t whole_pages(std::size_t bytes) {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return (bytes + page - 1) / page * page;
}

// Null with errno: no memory.
char* map_pages(std::size_t bytes) {
  void* pages = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return pages == MAP_FAILED ? nullptr : static_cast<char*>(pages);
}

}  // namespace

bool Secret::locking_works() {
  const std::size_t bytes = whole_pages(1);
  char* page = map_pages(bytes);
  if (page == nullptr) return false;
  const bool locked = ::mlock(page, bytes) == 0;
  ::munmap(page, bytes);
  return locked;
}

std::shared_ptr<Secret> Secret::with_room(std::size_t bytes) {
  const std::size_t mapped = whole_pages(kBearerPrefix.size() + bytes + 1);
  char* pages = map_pages(mapped);
  if (pages == nullptr) return nullptr;
  (void)::mlock(pages, mapped);  // A low RLIMIT_MEMLOCK must not stop the exporter.
  (void)::madvise(pages, mapped, MADV_DONTDUMP);
  std::memcpy(pages, kBearerPrefix.data(), kBearerPrefix.size());
  std::shared_ptr<Secret> secret(new Secret());
  secret->data_ = pages;
  secret->prefix_ = kBearerPrefix.size();
  secret->mapped_ = mapped;
  return secret;
}

void Secret::end_after(std::size_t bytes_of_it) {
  size_ = bytes_of_it;
  bytes()[size_] = '\0';
}

Secret::~Secret() {
  if (data_ == nullptr) return;
  ::explicit_bzero(data_, mapped_);
  ::munmap(data_, mapped_);
}

Result<std::shared_ptr<const Secret>> Secret::load(const std::string& path,
                                                   const SecretFileRules& rules) {
  return load_checked({AT_FDCWD, path, path}, rules, {});
}

Result<std::shared_ptr<const Secret>> Secret::load_lines(const std::string& path,
                                                         const SecretFileRules& rules) {
  return load_lines_at(AT_FDCWD, path, path, rules);
}

Result<std::shared_ptr<const Secret>> Secret::load_lines_at(int folder, const std::string& name,
                                                            const std::string& path,
                                                            const SecretFileRules& rules) {
  return load_checked({folder, name, path}, rules, {kLinesBytesMax, /*many_lines=*/true});
}

std::shared_ptr<const Secret> Secret::join(std::initializer_list<std::string_view> parts) {
  std::size_t size = 0;
  for (const std::string_view part : parts) size += part.size();
  BAO_CHECK(size <= kJoinedBytesMax);
  std::shared_ptr<Secret> secret = with_room(size);
  BAO_CHECK(secret != nullptr);
  char* to = secret->bytes();
  for (const std::string_view part : parts) to = std::copy(part.begin(), part.end(), to);
  secret->end_after(size);
  return secret;
}

Result<std::shared_ptr<const Secret>> Secret::load_checked(const Place& place,
                                                           const SecretFileRules& rules,
                                                           const Limits& limits) {
  // Symbolic links are followed: Kubernetes mounts a secret through `..data`.
  const std::string& path = place.path;
  const Descriptor fd(
      ::openat(place.folder, place.name.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (fd.get() < 0) return unreadable(path, system_words("cannot be opened", errno));
  struct stat st {};
  if (::fstat(fd.get(), &st) != 0) return unreadable(path, system_words("cannot be read", errno));
  std::string why = attribute_problem(st, rules);
  if (why.empty()) why = size_problem(st.st_size, limits.bytes_max);
  if (!why.empty()) return unreadable(path, why);

  // No more than it needs: what a process may lock is little.
  const std::size_t room = std::max(kBytesMax, static_cast<std::size_t>(st.st_size));
  std::shared_ptr<Secret> secret = with_room(room + 1);
  if (secret == nullptr) return unreadable(path, system_words("no memory for it", errno));
  const ssize_t got = read_all(fd.get(), secret->bytes(), room + 1);
  if (got < 0) return unreadable(path, system_words("cannot be read", errno));
  auto size = static_cast<std::size_t>(got);
  if (size > room) return unreadable(path, "has grown while it was read");
  if (size > 0 && secret->bytes()[size - 1] == '\n') --size;
  secret->end_after(size);
  why = content_problem(secret->reveal(), limits.many_lines);
  if (!why.empty()) return unreadable(path, why);
  return std::shared_ptr<const Secret>(std::move(secret));
}

}  // namespace bao_exporter
