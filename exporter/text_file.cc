#include "text_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "descriptor.h"

namespace bao_exporter {

namespace {

constexpr std::size_t kBytesFirst = std::size_t{16} << 10;
constexpr std::size_t kBytesMax = std::size_t{1} << 20;

std::string system_words(const char* what) {
  return std::string(what) + ": " + std::strerror(errno);
}

std::string kind_problem(int fd) {
  struct stat st {};
  if (::fstat(fd, &st) != 0) return system_words("cannot be read");
  if (S_ISDIR(st.st_mode)) return "is a folder; name a file in it";
  return S_ISREG(st.st_mode) ? "" : "is not a regular file";
}

// Up to kBytesMax + 1 bytes. What is read is kept for long, so it takes no more room than it needs.
std::string read_all(int fd, std::string& out) {
  std::size_t size = 0;
  while (size <= kBytesMax) {
    if (size == out.size()) out.resize(std::clamp(2 * size, kBytesFirst, kBytesMax + 1));
    const ssize_t got = ::read(fd, out.data() + size, out.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return system_words("cannot be read");
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  out.resize(size);
  out.shrink_to_fit();
  return size > kBytesMax ? "is larger than 1 MiB" : "";
}

}  // namespace

Result<std::string> read_text_file(const std::string& path) {
  return read_text_file_at(AT_FDCWD, path);
}

Result<std::string> read_text_file_at(int folder, const std::string& name) {
  // Not to hang on a pipe: O_NONBLOCK.
  const Descriptor fd(::openat(folder, name.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (fd.get() < 0) return Error{ErrorCode::kIo, system_words("cannot be opened")};
  std::string text;
  std::string problem = kind_problem(fd.get());
  if (problem.empty()) problem = read_all(fd.get(), text);
  if (!problem.empty()) return Error{ErrorCode::kIo, std::move(problem)};
  return text;
}

}  // namespace bao_exporter
