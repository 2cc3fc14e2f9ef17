// What a token may do, as sys/capabilities-self of an OpenBao node tells. Pure.
//
// Source: measured on OpenBao 2.7.2. A token that only reads metrics has read (and list) on
// sys/metrics and "deny" on everything else; a root token has "root" everywhere.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "bao_exporter/answer.h"

namespace bao_exporter {

inline constexpr std::string_view kCapabilitiesPath = "/v1/sys/capabilities-self";

// The question: sys/metrics, and paths on which a token for metrics may do nothing.
[[nodiscard]] std::string capabilities_question();

// By path, as asked for.
using Capabilities = std::map<std::string, std::vector<std::string>>;

// Errors: kForbidden (the token may not ask: it lacks the policy "default"), kTokenRejected,
// kSealed, kProtocol, and what a failed answer says.
[[nodiscard]] Result<Capabilities> read_capabilities(const Answer& answer);

struct CapabilityVerdict {
  bool root = false;
  bool reads_metrics = false;
  // What it may do beyond reading metrics: "sys/mounts: create, read", in the order of the paths.
  std::vector<std::string> excess;
  std::size_t excess_capabilities = 0;  // how many these are
};
[[nodiscard]] CapabilityVerdict judge_capabilities(const Capabilities& capabilities);

}  // namespace bao_exporter
