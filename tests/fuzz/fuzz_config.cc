// Any bytes as a configuration: a valid one or problems, never a crash, and no problem that quotes
// more than the names it knows.
#include <cstdlib>

#include "bao_exporter/config.h"
#include "fuzz/fuzz_target.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);  // NOLINT
  const auto outcome = bao_exporter::parse_config(text, "fuzz.toml", {"/credentials", "node"});
  for (const auto& problem : outcome.problems) {
    if (problem.to_string().find('\n') != std::string::npos) std::abort();
  }
  const bool polls_nothing = outcome.config.clusters.empty() && outcome.config.certctls.empty();
  if (outcome.problems.empty() && polls_nothing) std::abort();
  return 0;
}
