// What can only be said of a cluster as a whole.
#include <algorithm>
#include <map>

#include "doctor/checks.h"

namespace bao_exporter::doctor {

namespace {

void check_active(const ClusterEvidence& cluster, Findings& out) {
  std::vector<std::string> active;
  std::size_t answering = 0;
  for (const NodeEvidence& node : cluster.nodes) {
    if (node.state.role == Role::kActive) active.push_back(node.name);
    if (node.state.role != Role::kUnreachable && node.state.role != Role::kUnknown) ++answering;
  }
  if (active.size() == 1) return out.ok("active", active.front() + " is the active node");
  if (active.empty()) {
    return out.fail("active",
                    "no node is active; " + std::to_string(answering) + " of " +
                        std::to_string(cluster.nodes.size()) + " answer",
                    "unseal and start nodes until more than half of the cluster is up; during a "
                    "failover wait some seconds; is the active node listed here?");
  }
  out.fail("active", list_words(active) + " all say that they are active, twice",
           "compare sys/leader of each: cut off or hanging ones must be stopped; two clusters "
           "need two [[openbao]] entries");
}

void check_count(const ClusterEvidence& cluster, Findings& out) {
  const std::size_t listed = cluster.nodes.size();
  const std::string words = std::to_string(listed) + (listed == 1 ? " node" : " nodes") + " listed";
  if (static_cast<std::size_t>(cluster.expected_nodes) == listed) return out.ok("nodes", words);
  out.warn("nodes", words + ", " + std::to_string(cluster.expected_nodes) + " expected",
           "list every node of the cluster, or correct expected_nodes");
}

std::string grouped_words(const std::map<std::string, std::vector<std::string>>& groups) {
  std::string words;
  for (const auto& [what, nodes] : groups) {
    words += (words.empty() ? "" : "; ") + what + " on " + list_words(nodes);
  }
  return words;
}

void check_versions(const ClusterEvidence& cluster, Findings& out) {
  std::map<std::string, std::vector<std::string>> nodes_of;
  for (const NodeEvidence& node : cluster.nodes) {
    const auto& health = node.state.latest.health;
    if (health && !health->version.empty()) nodes_of[health->version].push_back(node.name);
  }
  if (nodes_of.empty()) return;
  if (nodes_of.size() == 1) return out.ok("versions", "all of them run " + nodes_of.begin()->first);
  out.warn("versions", grouped_words(nodes_of),
           "finish the upgrade: nodes of one version have the same families and types");
}

// The prefix before core_active or core_unsealed; empty when the body has neither.
std::string prefix_of(const NodePart& part) {
  std::string other;
  for (const FamilyPart& family : part.families()) {
    for (const std::string_view tail : {"_core_active", "_core_unsealed"}) {
      if (!family.name.ends_with(tail)) continue;
      const std::string_view prefix = family.name.substr(0, family.name.size() - tail.size());
      if (prefix == "vault" || prefix == "openbao") return std::string(prefix);
      if (other.empty()) other = prefix;
    }
  }
  return other;
}

void check_names(const ClusterEvidence& cluster, Findings& out) {
  std::map<std::string, std::vector<std::string>> known;
  std::map<std::string, std::vector<std::string>> foreign;
  for (const NodeEvidence& node : cluster.nodes) {
    if (node.state.latest.part == nullptr) continue;
    const std::string prefix = prefix_of(*node.state.latest.part);
    if (prefix.empty()) continue;
    auto& where = prefix == "vault" || prefix == "openbao" ? known : foreign;
    where[prefix + "_"].push_back(node.name);
  }
  if (!foreign.empty()) {
    return out.warn("names", "names of metrics begin with " + grouped_words(foreign),
                    "set disable_hostname = true in the telemetry stanza (or metrics_prefix to "
                    "vault or openbao): rules and dashboards look for vault_ or openbao_");
  }
  if (known.size() > 1) {
    return out.warn("names", "names of metrics begin with " + grouped_words(known),
                    "set the same metrics_prefix on all nodes");
  }
  if (!known.empty()) out.ok("names", "names of metrics begin with " + known.begin()->first);
}

}  // namespace

std::vector<Finding> check_cluster(const ClusterEvidence& cluster) {
  Findings out;
  check_active(cluster, out);
  check_count(cluster, out);
  check_versions(cluster, out);
  check_names(cluster, out);
  return out.take();
}

}  // namespace bao_exporter::doctor
