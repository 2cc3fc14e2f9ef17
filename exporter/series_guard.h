// Whose samples are left out so that all nodes together keep to limits.series_max. A node is
// refused whole: half of its samples would be wrong sums and silent alerts.
//
// Rule (docs/adr/0012-series-max.md): the largest go first, so that a node that explodes hits
// itself and not the small ones; one that was refused last time counts a quarter larger, so that
// two of like size do not take turns; and who fits into what is left at the end stays after all,
// the smallest first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "bao_exporter/node_part.h"

namespace bao_exporter {

struct SeriesClaim {
  std::uint64_t samples = 0;  // 0: nothing would be served
  bool was_refused = false;   // by this rule, at the last publication
};

// Indices of those that are refused, ascending.
[[nodiscard]] std::vector<std::size_t> beyond_series_max(const std::vector<SeriesClaim>& claims,
                                                         std::uint64_t series_max);

// For the log: what there is too much of.
[[nodiscard]] std::string over_limit_detail(const NodePart& part, std::uint64_t series_max);

}  // namespace bao_exporter
