#include "bao_exporter/secret_file.h"

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <string>
#include <thread>
#include <utility>

#include "catch.h"
#include "support/folder.h"

namespace bao_exporter {

namespace {

namespace fs = std::filesystem;
using test::Folder;
using Found = SecretFile::Found;

const std::string kFirst = "s.first-token-first-token";
const std::string kSecond = "s.another-token-another-token";

std::string secret_of(const SecretFile& file) {
  return file.secret() == nullptr ? "" : std::string(file.secret()->reveal());
}

// By a file beside it that is renamed over it.
void replace(const Folder& folder, const std::string& name, const std::string& content) {
  const std::string beside = folder.write(name + ".new", content);
  BAO_CHECK(std::rename(beside.c_str(), folder.path(name).c_str()) == 0);
}

// As the kubelet does it: name -> ..data/name, ..data -> a folder that is made anew each time.
class Mount {
 public:
  Mount(const Folder& folder, const std::string& content) : folder_(folder) {
    swap(content);
    fs::create_symlink("..data/token", path());
  }
  [[nodiscard]] std::string path() const { return folder_.path("token"); }
  void swap(const std::string& content) {
    const std::string before = std::exchange(now_, "..at_" + std::to_string(++swaps_));
    fs::create_directory(folder_.path(now_));
    (void)folder_.write(now_ + "/token", content);
    fs::create_symlink(now_, folder_.path("..data_tmp"));
    fs::rename(folder_.path("..data_tmp"), folder_.path("..data"));
    if (!before.empty()) fs::remove_all(folder_.path(before));
  }

 private:
  const Folder& folder_;
  std::string now_;
  int swaps_ = 0;
};

// What a look finds that comes after the one that sees the change.
Found second_look(SecretFile& file) {
  CHECK(file.look() == Found::kSame);
  return file.look();
}

constexpr int kTimes = 3'900;  // no secret is longer than 4096

// The length tells the only character: parts of two of them are no such secret.
std::string numbered(int number) {
  const auto size = static_cast<std::size_t>(100 + number);
  return std::string(size, static_cast<char>('a' + size % 26));
}

bool is_torn(const std::string& secret) {
  return secret.size() < 100 || secret != numbered(static_cast<int>(secret.size()) - 100);
}

// Replaces the secret `times` times in a thread while it is read here.
template <typename Replace>
void read_while(SecretFile& file, int times, Replace replace_by) {
  REQUIRE(file.read() == Found::kNew);
  std::jthread writer([&](const std::stop_token& stop) {
    for (int i = 1; i <= times && !stop.stop_requested(); ++i) replace_by(numbered(i));
  });
  int torn = 0, bad = 0, looks = 0;
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (secret_of(file) != numbered(times) && std::chrono::steady_clock::now() < limit) {
    const Found found = ++looks % 2 == 0 ? file.read() : file.look_at_once();
    bad += found == Found::kBad ? 1 : 0;
    torn += is_torn(secret_of(file)) ? 1 : 0;
  }
  CHECK(torn == 0);
  CHECK(bad == 0);
  CHECK(secret_of(file) == numbered(times));
  CHECK(file.generation() > 1);
  CHECK_FALSE(file.problem().has_value());
}

}  // namespace

TEST_CASE("a secret file is read once it is asked for, and not before") {
  const Folder folder;
  SecretFile file(folder.write("token", kFirst), {});
  CHECK(file.secret() == nullptr);
  CHECK(file.generation() == 0);
  CHECK(file.read() == Found::kNew);
  CHECK(secret_of(file) == kFirst);
  CHECK(file.generation() == 1);
  CHECK(file.read() == Found::kSame);
  CHECK(file.look() == Found::kSame);
  CHECK(file.look() == Found::kSame);
  CHECK(file.look_at_once() == Found::kSame);
  CHECK(file.generation() == 1);
}

TEST_CASE("another secret in the file is found in the second look at it, or at once") {
  const Folder folder;
  SecretFile file(folder.write("token", kFirst), {});
  REQUIRE(file.read() == Found::kNew);
  replace(folder, "token", kSecond);
  CHECK(second_look(file) == Found::kNew);
  CHECK(secret_of(file) == kSecond);
  CHECK(file.generation() == 2);
  (void)folder.write("token", kFirst);  // into the same file
  CHECK(file.look_at_once() == Found::kNew);
  CHECK(secret_of(file) == kFirst);
  CHECK(file.generation() == 3);
}

TEST_CASE("the same secret in a new file is nothing new") {
  const Folder folder;
  SecretFile file(folder.write("token", kFirst), {});
  REQUIRE(file.read() == Found::kNew);
  const auto before = file.secret();
  replace(folder, "token", kFirst + "\n");
  CHECK(second_look(file) == Found::kSame);
  (void)folder.write("token", kFirst);
  CHECK(file.look_at_once() == Found::kSame);
  CHECK(file.generation() == 1);
  CHECK(file.secret() == before);
}

TEST_CASE("a file that is being written is not read half") {
  const Folder folder;
  SecretFile file(folder.write("token", kFirst), {});
  REQUIRE(file.read() == Found::kNew);
  for (std::size_t size = 0; size < 5; ++size) {
    (void)folder.write("token", kSecond.substr(0, size));
    CHECK(file.look() == Found::kSame);
  }
  (void)folder.write("token", kSecond);
  CHECK(second_look(file) == Found::kNew);
  CHECK(secret_of(file) == kSecond);
}

TEST_CASE("two secrets of one size, one right after the other, are both found") {
  const Folder folder;
  SecretFile file(folder.write("token", std::string(24, 'a')), {});
  REQUIRE(file.read() == Found::kNew);
  // In the same file and, mostly, in the same tick of the file system's clock.
  for (const char c : std::string("bcdefghijklm")) {
    (void)folder.write("token", std::string(24, c));
    CHECK(file.look_at_once() == Found::kNew);
    CHECK(secret_of(file) == std::string(24, c));
  }
}

TEST_CASE("a file that is missing for a moment is not missed, one that stays away is told once") {
  const Folder folder;
  SecretFile file(folder.write("token", kFirst), {});
  REQUIRE(file.read() == Found::kNew);
  fs::rename(file.path(), folder.path("away"));
  CHECK(file.look() == Found::kSame);
  fs::rename(folder.path("away"), file.path());
  CHECK(second_look(file) == Found::kSame);
  fs::remove(file.path());
  CHECK(file.look_at_once() == Found::kSame);
  CHECK(file.look() == Found::kBad);
  REQUIRE(file.problem().has_value());
  CHECK(file.problem()->code == ErrorCode::kTokenUnreadable);
  CHECK(file.problem()->detail.find(file.path()) == 0);
  for (int i = 0; i < 3; ++i) CHECK(file.look() == Found::kSame);
  CHECK(file.look_at_once() == Found::kSame);
  CHECK(file.read() == Found::kBad);  // who asks is told again
  CHECK(secret_of(file) == kFirst);
  CHECK(file.generation() == 1);
}

TEST_CASE("what cannot be used leaves the secret in use, is told once, and can be mended") {
  const Folder folder;
  SecretFile file(folder.write("token", kFirst), {});
  REQUIRE(file.read() == Found::kNew);
  (void)folder.write("token", kSecond, 0644);
  CHECK(second_look(file) == Found::kBad);
  for (int i = 0; i < 3; ++i) CHECK(file.look() == Found::kSame);
  CHECK(secret_of(file) == kFirst);
  (void)folder.write("token", "two\nlines");
  CHECK(second_look(file) == Found::kBad);
  CHECK(file.problem()->detail.find("more than one line") != std::string::npos);
  (void)folder.write("token", kFirst);
  CHECK(second_look(file) == Found::kSame);  // the one that is in use is good again
  CHECK_FALSE(file.problem().has_value());
  (void)folder.write("token", kSecond);
  CHECK(second_look(file) == Found::kNew);
  CHECK(file.generation() == 2);
}

TEST_CASE("only mended rights are a change too") {
  const Folder folder;
  SecretFile file(folder.write("token", kFirst, 0640), {});
  CHECK(file.read() == Found::kBad);
  (void)folder.write("token", kFirst, 0600);
  CHECK(second_look(file) == Found::kNew);
  SecretFile of_a_group(folder.write("group", kFirst, 0640), {/*allow_group_read=*/true});
  CHECK(of_a_group.read() == Found::kNew);
}

TEST_CASE("a file that is not there at first is found when it comes, and told once before") {
  const Folder folder;
  SecretFile file(folder.path("token"), {});
  CHECK(second_look(file) == Found::kBad);
  CHECK(file.look() == Found::kSame);
  (void)folder.write("token", kFirst);
  CHECK(second_look(file) == Found::kNew);
  CHECK(file.generation() == 1);
}

TEST_CASE("a swap of Kubernetes' ..data is seen through the link") {
  const Folder folder;
  Mount mount(folder, kFirst);
  SecretFile file(mount.path(), {});
  REQUIRE(file.read() == Found::kNew);
  mount.swap(kSecond);
  CHECK(second_look(file) == Found::kNew);
  CHECK(secret_of(file) == kSecond);
  mount.swap(kSecond);
  CHECK(second_look(file) == Found::kSame);
  mount.swap(kFirst);
  CHECK(file.look_at_once() == Found::kNew);
}

TEST_CASE("thousands of renames while it is read: never a torn secret, never a bad one") {
  const Folder folder;
  SecretFile file(folder.write("token", numbered(0)), {});
  read_while(file, kTimes, [&](const std::string& secret) { replace(folder, "token", secret); });
}

TEST_CASE("thousands of swaps of ..data while it is read: never a torn secret, never a bad one") {
  const Folder folder;
  Mount mount(folder, numbered(0));
  SecretFile file(mount.path(), {});
  read_while(file, kTimes, [&](const std::string& secret) { mount.swap(secret); });
}

}  // namespace bao_exporter
