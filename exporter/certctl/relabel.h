// How certctl's samples become ours. Pure.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "bao_exporter/config.h"
#include "bao_exporter/node_part.h"

namespace bao_exporter {

// certctl (the configured name) and instance (host:port): on every sample of that server.
[[nodiscard]] std::vector<std::pair<std::string, std::string>> certctl_labels(
    const CertctlConfig& server);
[[nodiscard]] std::string certctl_identity(const CertctlConfig& server);  // the same, rendered

// For what certctl sends itself: nothing under our names, in own_text() neither. Whoever renders
// with a plan sets its hash_seed.
[[nodiscard]] RelabelPlan certctl_relabel_plan(std::string identity);

// For the families that we make of its state.
[[nodiscard]] RelabelPlan certctl_state_plan(std::string identity);

}  // namespace bao_exporter
