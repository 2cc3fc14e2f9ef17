// The sub-commands. Each prints to standard output, its troubles to standard error, and gives the
// exit code: 0 good, 1 failed while running, 2 configuration or usage.
#pragma once

#include "bao_exporter/config.h"
#include "bao_exporter/daemon.h"

namespace bao_exporter::cli {

inline constexpr int kGood = 0;
inline constexpr int kFailed = 1;
inline constexpr int kUsage = 2;

// The token is in our memory: no core dump, no debugger of the same user.
void harden_process();

// Prints every problem, one a line; kUsage when there is one.
[[nodiscard]] int report(const ConfigOutcome& outcome);

// `nodes`: one line for each node and certctl server, as the running exporter of this configuration
// tells it.
[[nodiscard]] int nodes(const Config& config);

// `healthcheck`: asks the running exporter whether it is ready, or only whether it lives, and says
// what is wrong; within 5 s. The files that the configuration names are not looked at, but for its
// own token and authority. `outcome` is read_config's.
[[nodiscard]] int healthcheck(const ConfigOutcome& outcome, bool live);

// `hash-token`: the line of a token file for the token on standard input, or for a new one, which
// is printed too. `name` may be empty.
[[nodiscard]] int hash_token(const std::string& name, bool make_one);

// `doctor`: polls everything once, prints a line for each node and check, as text or as JSON;
// kFailed when a check failed. `outcome` has no problems.
[[nodiscard]] int doctor(const Config& config, bool json);

// `reference`: the keys, the reasons or the remedies that this binary knows.
[[nodiscard]] int reference(const std::string& what);

// `policy`: the smallest policy for the exporter's token, with the commands that set it up as
// comments. The files that the configuration names need not be there. `outcome` is read_config's.
[[nodiscard]] int policy(const ConfigOutcome& outcome, bool no_default_policy);

// The exporter itself, until SIGTERM or SIGINT. `outcome` has no problems.
[[nodiscard]] int serve(ConfigOutcome outcome, const ConfigLoader& loader);

}  // namespace bao_exporter::cli
