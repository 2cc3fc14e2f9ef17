// Letters in the other case, one character for one, as Unicode's simple mappings have it (version
// 15.0: what Go's strings.ToLower and ToUpper do, and so Prometheus).
#pragma once

#include <string>
#include <string_view>

namespace bao_exporter {

// `text` must be UTF-8.
[[nodiscard]] std::string to_lower(std::string_view text);
[[nodiscard]] std::string to_upper(std::string_view text);

}  // namespace bao_exporter
