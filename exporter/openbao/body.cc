// What OpenBao's expositions mean: facts in them, their labels, their leader-only families.
#include <algorithm>
#include <array>

#include "bao_exporter/format.h"
#include "bao_exporter/outcome.h"

namespace bao_exporter {

namespace {

// The name after OpenBao's metrics_prefix, which is "vault" unless set to "openbao".
std::optional<std::string_view> without_prefix(std::string_view name) {
  for (const std::string_view prefix : {"vault_", "openbao_"}) {
    if (name.starts_with(prefix)) return name.substr(prefix.size());
  }
  return std::nullopt;
}

constexpr std::array<std::string_view, 6> kLeaderOnlyPrefixes = {
    "autopilot_",  "raft_leader_",     "raft_replication_", "raft_storage_follower_",
    "expire_num_", "core_mount_table_"};
constexpr std::array<std::string_view, 4> kLeaderOnlyNames = {
    "raft_peers", "raft_commitNumLogs", "expire_leases_by_expiration", "secret_kv_count"};

// A quantity that OpenBao writes as 0 or 1.
std::optional<bool> truth_of(std::string_view value) {
  if (value == "1") return true;
  if (value == "0") return false;
  return std::nullopt;
}

}  // namespace

bool is_leader_only(const Family& family) {
  const auto name = without_prefix(family.name);
  if (!name) return false;
  const auto starts = [&](std::string_view prefix) { return name->starts_with(prefix); };
  if (std::any_of(kLeaderOnlyPrefixes.begin(), kLeaderOnlyPrefixes.end(), starts)) return true;
  if (std::find(kLeaderOnlyNames.begin(), kLeaderOnlyNames.end(), *name) !=
      kLeaderOnlyNames.end()) {
    return true;
  }
  if (starts("token_count")) return true;
  return family.type == MetricType::kGauge && starts("identity_") && name->ends_with("_count");
}

BodyFacts read_body_facts(const Exposition& exposition) {
  BodyFacts facts;
  for (const Family& family : exposition.families) {
    const auto name = without_prefix(family.name);
    if (!name || family.sample_count == 0) continue;
    if (*name == "core_active") {
      for (const Sample& sample : exposition.samples_of(family)) {
        const auto truth = truth_of(sample.value);
        if (truth) facts.core_active = facts.core_active.value_or(false) || *truth;
      }
    }
    if (!facts.peer_id.empty() || !name->starts_with("raft_storage_stats_")) continue;
    for (const Label& label : exposition.labels_of(exposition.samples_of(family).front())) {
      if (label.name == "peer_id") facts.peer_id = unescape_label_value(label.value);
    }
  }
  return facts;
}

RelabelPlan openbao_relabel_plan(std::string identity, Role role, bool leader_only_from_active) {
  RelabelPlan plan;
  plan.identity = std::move(identity);
  plan.removed_label = "cluster";
  plan.renamed_labels = {{"namespace", "openbao_namespace"}};
  plan.reserved_labels = {"cluster",
                          "node_name",
                          "instance",
                          "pod",
                          "node",
                          "kubernetes_namespace",
                          "node_role",
                          "job",
                          "scrape_profile",
                          "certctl",
                          "openbao_namespace",
                          "seal_state_source"};
  plan.reserved_family_prefixes = {"bao_node_", "bao_cluster_", "bao_token_", "bao_exporter_",
                                   "certctl_state_"};
  if (leader_only_from_active && role != Role::kActive) plan.leader_only = is_leader_only;
  plan.state_label = "seal_state_source";
  plan.has_state_label = [](std::string_view family) {
    const auto name = without_prefix(family);
    return name && *name == "core_unsealed";
  };
  return plan;
}

}  // namespace bao_exporter
