#include "held_folders.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <utility>

namespace bao_exporter {

namespace {

constexpr int kFolder = O_PATH | O_DIRECTORY | O_CLOEXEC;
constexpr const char* kData = "..data";
constexpr std::string_view kThroughData = "..data/";

std::string folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::string link_at(int folder, const std::string& name) {
  std::array<char, PATH_MAX> target{};
  const ssize_t size = ::readlinkat(folder, name.c_str(), target.data(), target.size());
  return size <= 0 ? std::string() : std::string(target.data(), static_cast<std::size_t>(size));
}

bool same(const Descriptor& a, const Descriptor& b) {
  if (a.get() < 0 || b.get() < 0) return a.get() < 0 && b.get() < 0;
  struct stat one {
  }, other{};
  if (::fstat(a.get(), &one) != 0 || ::fstat(b.get(), &other) != 0) return false;
  return one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

}  // namespace

HeldFolders::Held HeldFolders::open(std::string path) {
  Held held{std::move(path), Descriptor(), Descriptor()};
  held.folder = Descriptor(::open(held.path.c_str(), kFolder));
  if (held.folder.get() >= 0) {
    held.data = Descriptor(::openat(held.folder.get(), kData, kFolder));
  }
  return held;
}

FilePlace HeldFolders::place_of(const std::string& path) {
  const std::string folder = folder_of(path);
  auto found = std::find_if(held_.begin(), held_.end(),
                            [&](const Held& held) { return held.path == folder; });
  if (found == held_.end()) found = held_.insert(held_.end(), open(folder));
  if (found->folder.get() < 0) return {AT_FDCWD, path};
  const std::string name = path.substr(path.rfind('/') + 1);
  if (found->data.get() < 0) return {found->folder.get(), name};
  const std::string target = link_at(found->folder.get(), name);
  if (!target.starts_with(kThroughData)) return {found->folder.get(), name};
  return {found->data.get(), target.substr(kThroughData.size())};
}

bool HeldFolders::unmoved() const {
  return std::all_of(held_.begin(), held_.end(), [](const Held& held) {
    const Held now = open(held.path);
    return same(now.folder, held.folder) && same(now.data, held.data);
  });
}

}  // namespace bao_exporter
