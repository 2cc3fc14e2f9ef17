// A body as OpenBao sends it, made from seeds: go-metrics' families (HELP is the name; summaries
// with three quantiles, mostly NaN, gauges, counters, some histograms) with OpenBao's labels.
#pragma once

#include <cstdint>
#include <string>

namespace reference {

struct BodyShape {
  std::size_t samples = 1'500;  // before churn; at least 12 for each family
  std::size_t families = 150;
  std::uint64_t seed = 42;       // of names, labels and how many series each family has
  std::uint64_t value_seed = 1;  // another one is the next poll of the same node
  double churn = 0;              // the share of samples that are left out, which ones by value_seed
};

[[nodiscard]] std::string openbao_body(const BodyShape& shape);

}  // namespace reference
