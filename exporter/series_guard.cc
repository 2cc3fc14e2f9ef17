#include "series_guard.h"

#include <algorithm>
#include <numeric>

namespace bao_exporter {

std::vector<std::size_t> beyond_series_max(const std::vector<SeriesClaim>& claims,
                                           std::uint64_t series_max) {
  std::uint64_t total = std::accumulate(
      claims.begin(), claims.end(), std::uint64_t{0},
      [](std::uint64_t sum, const SeriesClaim& claim) { return sum + claim.samples; });
  if (total <= series_max) return {};
  const auto weight = [&](std::size_t i) {
    return claims[i].samples * (claims[i].was_refused ? 5 : 4);
  };
  std::vector<std::size_t> refused(claims.size());
  std::iota(refused.begin(), refused.end(), std::size_t{0});
  // Of equal ones the last of the configuration goes first.
  std::sort(refused.begin(), refused.end(), [&](std::size_t a, std::size_t b) {
    return weight(a) != weight(b) ? weight(a) > weight(b) : a > b;
  });
  std::size_t count = 0;
  while (total > series_max) total -= claims[refused[count++]].samples;
  refused.resize(count);
  std::stable_sort(refused.begin(), refused.end(), [&](std::size_t a, std::size_t b) {
    return claims[a].samples < claims[b].samples;
  });
  std::erase_if(refused, [&](std::size_t i) {
    const bool fits = total + claims[i].samples <= series_max;
    if (fits) total += claims[i].samples;
    return fits;
  });
  std::sort(refused.begin(), refused.end());
  return refused;
}

std::string over_limit_detail(const NodePart& part, std::uint64_t series_max) {
  std::string detail = "all nodes together have more than limits.series_max (" +
                       std::to_string(series_max) + ") series, and this one has " +
                       std::to_string(part.samples());
  const auto& families = part.families();
  const auto largest = std::max_element(
      families.begin(), families.end(),
      [](const FamilyPart& a, const FamilyPart& b) { return a.samples < b.samples; });
  if (largest == families.end()) return detail;
  return detail + ", most of them (" + std::to_string(largest->samples) + ") in " +
         std::string(largest->name);
}

}  // namespace bao_exporter
