// Regular expressions of relabel rules by RE2: time linear in the text, whatever the expression.
#pragma once

#include <memory>
#include <string>

#include "bao_exporter/relabel.h"

namespace bao_exporter {

// A MatcherMaker. The expression has to match the whole text, `.` takes line ends too (as in
// Prometheus); a byte at a time (\C), which Prometheus does not know, is refused.
[[nodiscard]] Result<std::shared_ptr<const Matcher>> make_re2_matcher(
    const std::string& expression);

}  // namespace bao_exporter
