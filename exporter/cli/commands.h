// The sub-commands. Each prints to standard output, its troubles to standard error, and gives the
// exit code: 0 good, 1 failed while running, 2 configuration or usage.
#pragma once

#include "bao_exporter/config.h"
#include "bao_exporter/daemon.h"

namespace bao_exporter::cli {

inline constexpr int kGood = 0;
inline constexpr int kFailed = 1;
inline constexpr int kUsage = 2;

// Prints every problem, one a line; kUsage when there is one.
[[nodiscard]] int report(const ConfigOutcome& outcome);

// `nodes`: one line for each node, as the running exporter of this configuration tells it.
[[nodiscard]] int nodes(const Config& config);

// `reference`: the keys or the reasons that this binary knows.
[[nodiscard]] int reference(const std::string& what);

// The exporter itself, until SIGTERM or SIGINT. `outcome` has no problems.
[[nodiscard]] int serve(ConfigOutcome outcome, const ConfigLoader& loader);

}  // namespace bao_exporter::cli
