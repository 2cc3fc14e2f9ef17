// Text format 0.0.4 as OpenMetrics 1.0: names and values of samples stay as they are, byte for
// byte; what changes is what is said of their families.
//
// A counter X_total is family X of type counter; a family that OpenMetrics would refuse as the type
// that it has (a counter without _total, a summary of negative numbers, two families that claim one
// name) becomes one family of type unknown for each of its samples' names. Families without samples
// and timestamps are left out. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "bao_exporter/result.h"

namespace bao_exporter {

// `text` and `hash_seed` as for parse(), and its errors.
[[nodiscard]] Result<std::string> open_metrics(std::string_view text, std::uint64_t hash_seed);

}  // namespace bao_exporter
