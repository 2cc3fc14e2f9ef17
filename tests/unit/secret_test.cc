#include "bao_exporter/secret.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <type_traits>
#include <vector>

#include "catch.h"
#include "support/folder.h"

namespace bao_exporter {

namespace {

using test::Folder;

static_assert(!std::is_copy_constructible_v<Secret> && !std::is_copy_assignable_v<Secret>);
static_assert(!std::is_move_constructible_v<Secret> && !std::is_move_assignable_v<Secret>);
static_assert(!std::is_default_constructible_v<Secret>);
static_assert(!std::is_convertible_v<Secret, std::string>);

const std::string kMark = "s.Hvs0SecretMark";

// Why the file is refused; empty: it is taken.
std::string refusal(const std::string& path, bool allow_group_read = false) {
  const auto secret = Secret::load(path, {allow_group_read});
  if (secret.ok()) return "";
  CHECK(secret.error().code == ErrorCode::kTokenUnreadable);
  CHECK(secret.error().detail.find(path + ": ") == 0);
  CHECK(secret.error().detail.find(kMark) == std::string::npos);
  return secret.error().detail.substr(path.size() + 2);
}

bool has(const std::string& text, std::string_view words) {
  return text.find(words) != std::string::npos;
}

// The VmFlags of the mapping that holds `address`, as /proc/self/smaps tells.
std::string flags_of(const void* address) {
  std::ifstream smaps("/proc/self/smaps");
  const auto wanted = reinterpret_cast<std::uintptr_t>(address);  // NOLINT: an address as number
  bool inside = false;
  for (std::string line; std::getline(smaps, line);) {
    std::uintptr_t from = 0, to = 0;
    char dash = 0;
    std::istringstream head(line);
    if (head >> std::hex >> from >> dash >> to && dash == '-')
      inside = from <= wanted && wanted < to;
    if (inside && line.rfind("VmFlags:", 0) == 0) return line + " ";
  }
  return "";
}

[[maybe_unused]] bool may_lock() {
  rlimit limit{};
  return ::geteuid() == 0 ||
         (::getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur >= 256 << 10);
}

}  // namespace

TEST_CASE("a secret file that only we can read is taken as it is") {
  const Folder folder;
  for (const mode_t mode : {0600, 0400, 0700}) {
    const auto secret = Secret::load(folder.write("t", kMark, mode), {});
    REQUIRE(secret.ok());
    CHECK(secret.value()->reveal() == kMark);
    CHECK(std::string(secret.value()->reveal_bearer_header()) == "Authorization: Bearer " + kMark);
  }
}

TEST_CASE("one newline at the end is stripped, once") {
  const Folder folder;
  const auto secret = Secret::load(folder.write("t", kMark + "\n"), {});
  REQUIRE(secret.ok());
  CHECK(secret.value()->reveal() == kMark);
  CHECK(std::string(secret.value()->reveal_bearer_header()) == "Authorization: Bearer " + kMark);
  CHECK(has(refusal(folder.write("t", kMark + "\n\n")), "more than one line"));
  CHECK(has(refusal(folder.write("t", "\n" + kMark)), "more than one line"));
}

TEST_CASE("a file that others can touch is refused, with the remedy") {
  const Folder folder;
  for (const mode_t mode : {0604, 0602, 0601, 0644, 0606, 0666, 0777}) {
    INFO(std::oct << mode);
    CHECK(has(refusal(folder.write("t", kMark, mode), true), "chmod o-rwx"));
  }
}

TEST_CASE("a file that its group can read is taken only where that is allowed") {
  const Folder folder;
  for (const mode_t mode : {0640, 0440}) {
    CHECK(has(refusal(folder.write("t", kMark, mode)), "chmod g-r"));
    CHECK(has(refusal(folder.write("t", kMark, mode)), "allow_group_read"));
    CHECK(refusal(folder.write("t", kMark, mode), true).empty());
  }
}

TEST_CASE("a file that its group can write is refused even where reading is allowed") {
  const Folder folder;
  for (const mode_t mode : {0660, 0620, 0610, 0670}) {
    INFO(std::oct << mode);
    CHECK(has(refusal(folder.write("t", kMark, mode), true), "writable by its group"));
  }
}

TEST_CASE("a file of another user is refused (as root only: nobody else can give a file away)") {
  if (::geteuid() != 0) {
    WARN("NOT TESTED: run as root to test files of other users");
    return;
  }
  const Folder folder;
  const std::string file = folder.write("t", kMark);
  REQUIRE(::chown(file.c_str(), 65'534, 0) == 0);
  CHECK(has(refusal(file), "owned by another user"));
}

TEST_CASE("a file of root is taken by another user who can read it (as root only)") {
  if (::geteuid() != 0) {
    WARN("NOT TESTED: run as root to test files of root");
    return;
  }
  const Folder folder;
  // Readable by the group nogroup, owned by root: what a fsGroup mount looks like.
  const std::string file = folder.write("t", kMark, 0640);
  REQUIRE(::chown(file.c_str(), 0, 65'534) == 0);
  CHECK(refusal(file, true).empty());
}

TEST_CASE("a secret has 1 to 4096 bytes") {
  const Folder folder;
  CHECK(refusal(folder.write("t", "x")).empty());
  CHECK(refusal(folder.write("t", std::string(4096, 'x'))).empty());
  CHECK(has(refusal(folder.write("t", "")), "empty"));
  CHECK(has(refusal(folder.write("t", "\n")), "holds no secret"));
  CHECK(has(refusal(folder.write("t", std::string(4097, 'x'))), "larger than 4096"));
  CHECK(has(refusal(folder.write("t", std::string(1 << 20, 'x'))), "larger than 4096"));
}

TEST_CASE("a secret of the greatest size keeps its last byte and its end") {
  const Folder folder;
  const std::string text = std::string(4095, 'x') + "y";
  const auto secret = Secret::load(folder.write("t", text), {});
  REQUIRE(secret.ok());
  CHECK(secret.value()->reveal() == text);
  CHECK(std::string(secret.value()->reveal_bearer_header()) == "Authorization: Bearer " + text);
}

TEST_CASE("white space, control characters and bytes that are not ASCII are refused") {
  const Folder folder;
  CHECK(has(refusal(folder.write("t", kMark + "\r\n")), "Windows line ends"));
  CHECK(has(refusal(folder.write("t", kMark + "\n" + kMark)), "more than one line"));
  for (const std::string& bad :
       std::vector<std::string>{kMark + " ", " " + kMark, "a b", "a\tb", "a\vb",
                                "a\x01"
                                "b",
                                "a\x1b[0mb",
                                "a\x7f"
                                "b",
                                std::string("\xEF\xBB\xBF") + kMark, std::string("a\xc3\xa4"),
                                std::string("a\0b", 3), std::string(1, '\0')}) {
    INFO("[" << bad << "]");
    CHECK(has(refusal(folder.write("t", bad)), "a space, a control character"));
  }
}

TEST_CASE("load_lines takes several lines, and still no control characters") {
  const Folder folder;
  const std::string text = "# the list\nname:abcdefghijklmnopqrstuvwxyz\n\n\tother:xyz\n";
  const auto lines = Secret::load_lines(folder.write("t", text), {});
  REQUIRE(lines.ok());
  CHECK(lines.value()->reveal() == text.substr(0, text.size() - 1));
  CHECK_FALSE(Secret::load_lines(folder.write("t", "a\r\nb\r\n"), {}).ok());
  CHECK_FALSE(Secret::load_lines(folder.write("t", std::string("a\0b", 3)), {}).ok());
  CHECK_FALSE(Secret::load_lines(folder.write("t", "a\x1b[0m"), {}).ok());
}

TEST_CASE("a secret of many lines has 1 to 65536 bytes: a private key can be larger than a token") {
  const Folder folder;
  const auto refused = [&](std::size_t size) {
    const auto lines = Secret::load_lines(folder.write("t", std::string(size, 'x')), {});
    if (lines.ok()) CHECK(lines.value()->reveal() == std::string(size, 'x'));
    return lines.ok() ? std::string() : lines.error().detail;
  };
  for (const std::size_t size : {1, 4073, 4074, 4096, 4097, 8192, 65'513, 65'514, 65'536}) {
    INFO(size);
    CHECK(refused(size).empty());
  }
  CHECK(has(refused(65'537), "larger than 65536 bytes"));
  CHECK(has(refused(1 << 20), "larger than 65536 bytes"));
}

TEST_CASE("joined parts stand one after the other, with the header before them and an end") {
  const auto joined = Secret::join({R"({"role_id":")", kMark, "", R"("})"});
  CHECK(joined->reveal() == R"({"role_id":")" + kMark + R"("})");
  CHECK(joined->reveal().data()[joined->reveal().size()] == '\0');
  const auto token = Secret::join({kMark});
  CHECK(std::string(token->reveal_bearer_header()) == "Authorization: Bearer " + kMark);
  CHECK(Secret::join({})->reveal().empty());
  const std::string half(Secret::kJoinedBytesMax / 2, 'x');
  CHECK(Secret::join({half, half})->reveal() == half + half);
}

TEST_CASE("what is not a regular file is refused without waiting for it") {
  const Folder folder;
  CHECK(has(refusal(folder.path("missing")), "cannot be opened: No such file"));
  REQUIRE(::mkdir(folder.path("dir").c_str(), 0700) == 0);
  CHECK(has(refusal(folder.path("dir")), "not a regular file"));
  // Nobody writes into it: a reader that waits would wait for ever.
  REQUIRE(::mkfifo(folder.path("fifo").c_str(), 0600) == 0);
  CHECK(has(refusal(folder.path("fifo")), "not a regular file"));
  CHECK(has(refusal("/dev/null"), "not a regular file"));
  CHECK(has(refusal(folder.write("t", kMark) + "/below"), "cannot be opened"));
}

TEST_CASE("a symbolic link is followed, and what it points to is judged") {
  const Folder folder;
  const std::string good = folder.write("good", kMark);
  const std::string open = folder.write("open", kMark, 0644);
  std::filesystem::create_symlink(good, folder.path("link"));
  std::filesystem::create_symlink(folder.path("link"), folder.path("link2"));
  std::filesystem::create_symlink(open, folder.path("to-open"));
  std::filesystem::create_symlink("/nowhere/at/all", folder.path("to-nothing"));
  std::filesystem::create_symlink(folder.path("loop"), folder.path("loop"));
  CHECK(refusal(folder.path("link")).empty());
  CHECK(refusal(folder.path("link2")).empty());
  CHECK(has(refusal(folder.path("to-open")), "chmod o-rwx"));
  CHECK(has(refusal(folder.path("to-nothing")), "cannot be opened"));
  CHECK(has(refusal(folder.path("loop")), "cannot be opened"));
}

TEST_CASE("the pages of a secret are locked and left out of core dumps") {
  const Folder folder;
  const auto loaded = Secret::load(folder.write("t", kMark), {});
  const auto lines = Secret::load_lines(folder.write("l", std::string(10'000, 'x')), {});
  REQUIRE(loaded.ok());
  REQUIRE(lines.ok());
  const auto joined = Secret::join({kMark, kMark});
  for (const std::shared_ptr<const Secret>& secret : {loaded.value(), lines.value(), joined}) {
    const std::string flags = flags_of(secret->reveal().data());
    REQUIRE_FALSE(flags.empty());
    INFO(flags);
    CHECK(has(flags, " dd "));
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    if (may_lock()) CHECK(has(flags, " lo "));
#endif
  }
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  WARN("NOT TESTED: sanitizers make mlock() do nothing");
#else
  if (!may_lock()) WARN("NOT TESTED: RLIMIT_MEMLOCK is too low to lock pages here");
#endif
}

TEST_CASE("whether pages can be locked is told, and a secret is used also when they cannot") {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  WARN("NOT TESTED: sanitizers make mlock() do nothing");
#else
  if (may_lock()) CHECK(Secret::locking_works());
  // In a child: the limit and the rights are those of the whole process.
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    const rlimit none{0, 0};
    const bool limited = ::setrlimit(RLIMIT_MEMLOCK, &none) == 0 &&
                         (::geteuid() != 0 || ::setresuid(65'534, 65'534, 65'534) == 0);
    const bool works = Secret::locking_works();
    const bool usable = Secret::join({"still", "-here"})->reveal() == "still-here";
    ::_exit(!limited ? 3 : works ? 2 : usable ? 0 : 1);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
#endif
}

TEST_CASE("a secret stays whole while its file changes, and loads do not share pages") {
  const Folder folder;
  const auto first = Secret::load(folder.write("t", kMark), {});
  const auto second = Secret::load(folder.write("t", "another-secret"), {});
  REQUIRE(first.ok());
  REQUIRE(second.ok());
  CHECK(first.value()->reveal() == kMark);
  CHECK(second.value()->reveal() == "another-secret");
}

TEST_CASE("refused and dropped secrets leave no descriptor and no mapping behind") {
  const Folder folder;
  const std::string good = folder.write("good", kMark);
  const std::string bad = folder.write("bad", kMark + " x");
  const auto open_files = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"),
                         std::filesystem::directory_iterator());
  };
  const auto locked_pages = [] {
    std::ifstream maps("/proc/self/smaps");
    std::size_t count = 0;
    for (std::string line; std::getline(maps, line);) {
      if (line.rfind("VmFlags:", 0) == 0 && has(line + " ", " dd ")) ++count;
    }
    return count;
  };
  const auto files = open_files();
  const auto pages = locked_pages();
  for (int i = 0; i < 100; ++i) {
    (void)Secret::load(good, {});
    (void)Secret::load(bad, {});
  }
  CHECK(open_files() == files);
  CHECK(locked_pages() == pages);
}

}  // namespace bao_exporter
