// Files that belong together, read without tearing: the folder of each is opened once, and all of
// its files through that descriptor. Where Kubernetes mounts files, what `..data` leads to is
// opened once: a new set of files becomes visible by a swap of that link.
//
// Threads: one.
#pragma once

#include <string>
#include <vector>

#include "descriptor.h"

namespace bao_exporter {

// For openat().
struct FilePlace {
  int folder;
  std::string name;
};

class HeldFolders {
 public:
  // Good as long as this object. A folder that cannot be opened: the path itself, so that who opens
  // it is told why.
  [[nodiscard]] FilePlace place_of(const std::string& path);

  // Whether the folders and links of all places still lead to what was opened.
  [[nodiscard]] bool unmoved() const;

 private:
  struct Held {
    std::string path;
    Descriptor folder;
    Descriptor data;  // none: the folder has no `..data`
  };
  [[nodiscard]] static Held open(std::string path);

  std::vector<Held> held_;
};

}  // namespace bao_exporter
