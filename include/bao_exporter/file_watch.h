// Notices that files have changed, by looking at them: a plain rewrite, a rename over the old one,
// a symbolic link that points elsewhere (Kubernetes swaps `..data`). Works on every file system.
//
// Threads: one; FileSight any.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace bao_exporter {

// What a path leads to, through any links; all zero when nothing can be seen there.
struct FileSight {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::int64_t bytes = 0;
  std::int64_t modified_ns = 0;
  std::int64_t changed_ns = 0;  // since 1970, by the file system's clock

  [[nodiscard]] static FileSight of(const std::string& file);
  friend bool operator==(const FileSight&, const FileSight&) = default;
};

class FileWatch {
 public:
  // Before files are read anew: as they look now they will have been read, so that a change while
  // they are read is seen afterwards.
  void hold();

  // From now on these files, as they were at hold(), else as they are now.
  void watch(const std::vector<std::string>& files);

  // True once for each change, when the files have stayed as they are since the last look: a file
  // that is being written is not read half.
  [[nodiscard]] bool changed();

  [[nodiscard]] std::vector<std::string> files() const;

 private:
  using Sights = std::map<std::string, FileSight>;

  Sights known_;
  Sights last_;
  Sights held_;
};

}  // namespace bao_exporter
