// What is logged while this lives, in a file instead of on standard error. For one thread.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "bao_exporter/check.h"
#include "bao_exporter/log.h"
#include "folder.h"

namespace bao_exporter::test {

class CaughtLog {
 public:
  explicit CaughtLog(LogLevel level = LogLevel::kInfo) : before_(::dup(2)) {
    const int fd = ::open(file_.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_APPEND, 0600);
    BAO_CHECK(before_ >= 0 && fd >= 0);
    BAO_CHECK(::dup2(fd, 2) == 2);
    ::close(fd);
    log::init(level, LogFormat::kLogfmt);
  }
  ~CaughtLog() {
    log::init(LogLevel::kError, LogFormat::kLogfmt);  // as quiet.h
    ::dup2(before_, 2);
    ::close(before_);
  }
  CaughtLog(const CaughtLog&) = delete;
  CaughtLog& operator=(const CaughtLog&) = delete;

  // Lines so far that hold these words.
  [[nodiscard]] std::vector<std::string> lines(std::string_view with) const {
    std::ifstream in(file_);
    std::vector<std::string> found;
    for (std::string line; std::getline(in, line);) {
      if (line.find(with) != std::string::npos) found.push_back(line);
    }
    return found;
  }
  [[nodiscard]] std::size_t count(std::string_view with) const { return lines(with).size(); }

 private:
  Folder folder_;
  std::string file_ = folder_.path("log");
  int before_;
};

}  // namespace bao_exporter::test
