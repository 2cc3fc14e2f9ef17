#include "bao_exporter/file_watch.h"

#include <sys/stat.h>

namespace bao_exporter {

namespace {

std::int64_t nanoseconds(const timespec& time) {
  return static_cast<std::int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

}  // namespace

FileSight FileSight::of(const std::string& file) {
  struct stat st {};
  if (::stat(file.c_str(), &st) != 0) return {};
  return {st.st_dev, st.st_ino, st.st_size, nanoseconds(st.st_mtim), nanoseconds(st.st_ctim)};
}

void FileWatch::hold() {
  for (const auto& [file, sight] : known_) held_[file] = FileSight::of(file);
}

void FileWatch::watch(const std::vector<std::string>& files) {
  known_.clear();
  for (const std::string& file : files) {
    const auto held = held_.find(file);
    known_[file] = held != held_.end() ? held->second : FileSight::of(file);
  }
  held_.clear();
  last_ = known_;
}

std::vector<std::string> FileWatch::files() const {
  std::vector<std::string> files;
  for (const auto& [file, sight] : known_) files.push_back(file);
  return files;
}

bool FileWatch::changed() {
  Sights now;
  for (const auto& [file, sight] : known_) now[file] = FileSight::of(file);
  const bool settled = now == last_;
  last_ = now;
  if (!settled || now == known_) return false;
  known_ = std::move(now);
  return true;
}

}  // namespace bao_exporter
