// What OpenMetrics 1.0 asks of the samples of a family beyond what text format 0.0.4 does.
#pragma once

#include <string_view>

#include "bao_exporter/exposition.h"

namespace bao_exporter {

// True when the family may be served as the type that it has. Names are the caller's matter.
[[nodiscard]] bool is_open_metrics_legal(const Exposition& exposition, const Family& family);

inline constexpr std::string_view kCounterSuffix = "_total";

}  // namespace bao_exporter
