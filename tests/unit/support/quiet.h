// Only errors are logged, so that a passing test prints nothing.
#pragma once

#include "bao_exporter/log.h"

namespace bao_exporter::test {

inline const bool kQuiet = [] {
  log::init(LogLevel::kError, LogFormat::kLogfmt);
  return true;
}();

}  // namespace bao_exporter::test
