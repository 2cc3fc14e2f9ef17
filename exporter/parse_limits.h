// The limits of the configuration, as the parser takes them.
#pragma once

#include "bao_exporter/config.h"
#include "bao_exporter/exposition.h"

namespace bao_exporter {

[[nodiscard]] inline ParseLimits parse_limits(const LimitsConfig& limits) {
  return {limits.samples_max, limits.series_per_family_max, limits.line_bytes_max,
          limits.labels_per_sample_max};
}

}  // namespace bao_exporter
