#include "bao_exporter/identity.h"

#include <algorithm>
#include <cmath>
#include <map>

namespace bao_exporter {

namespace {

// sys/health tells whole seconds, and so do we of the difference.
constexpr double kClockSlack = 2;

bool is_foreign(const NodeEvidence& node, const std::string& cluster_id) {
  return !node.cluster_id.empty() && !cluster_id.empty() && node.cluster_id != cluster_id;
}

// Is what `a` showed what `b` is, by its last body or by what it is known as?
bool same_server(const NodeEvidence& a, const NodeEvidence& b) {
  if (!a.has_body) return false;
  if (!a.peer_id.empty()) {
    if (!b.peer_id.empty()) return a.peer_id == b.peer_id;
    return !b.has_body && a.peer_id == b.known.peer_id;
  }
  return !a.process_print.empty() && a.process_print == b.process_print;
}

// The one of them whose body it is.
bool first_owns(const NodeEvidence& first, const NodeEvidence& second) {
  const std::string& shown = first.peer_id.empty() ? second.peer_id : first.peer_id;
  const auto is_known = [&](const NodeEvidence& node) {
    if (!shown.empty()) return node.known.peer_id == shown;
    return node.process_start && node.known.process_start &&
           std::abs(*node.process_start - *node.known.process_start) <= kStartSlack;
  };
  if (const bool known = is_known(first); known != is_known(second)) return known;
  if (first.role_from_health != second.role_from_health) return first.role_from_health;
  return true;  // The first in the order of the configuration.
}

bool is_other_than_known(const NodeEvidence& node) {
  if (!node.has_body || !node.known.known()) return false;
  if (!node.peer_id.empty() && !node.known.peer_id.empty()) {
    return node.peer_id != node.known.peer_id;
  }
  // A process that is older than the one before it was there all the time, elsewhere.
  return node.peer_id.empty() && node.process_start && node.known.process_start &&
         *node.process_start < *node.known.process_start - kStartSlack;
}

bool is_replaced(const NodeEvidence& node) {
  const bool younger =
      node.process_start && *node.process_start > node.known.last_seen - kClockSlack;
  return younger || node.polls_as_this >= kPollsToBelieve;
}

IdentityVerdict accuse_duplicate(const NodeEvidence& node, const std::string& of) {
  const std::string shown = node.peer_id.empty() ? "process" : "peer_id " + node.peer_id;
  const bool known = !node.known.peer_id.empty() && node.known.peer_id != node.peer_id;
  return {known ? ErrorCode::kIdentityMismatch : ErrorCode::kDuplicateNode,
          shown + " is that of " + of + ": both addresses lead to one server"};
}

IdentityVerdict accuse_change(const NodeEvidence& node) {
  std::string words = "the process is older than the one seen before";
  if (!node.peer_id.empty()) {
    words = "peer_id " + node.peer_id + ", known as " + node.known.peer_id;
  }
  return {ErrorCode::kIdentityChanged, words + ": does a load balancer answer here?"};
}

}  // namespace

std::string cluster_id_of(const std::vector<NodeEvidence>& nodes, const std::string& known) {
  std::map<std::string, int> votes;
  for (const NodeEvidence& node : nodes) {
    if (!node.cluster_id.empty()) ++votes[node.cluster_id];
  }
  std::string best;
  for (const NodeEvidence& node : nodes) {
    if (node.cluster_id.empty()) continue;
    const int mine = votes[node.cluster_id];
    const bool more = best.empty() || mine > votes[best];
    if (more || (mine == votes[best] && node.cluster_id == known)) best = node.cluster_id;
  }
  return best.empty() ? known : best;
}

std::vector<IdentityVerdict> judge_identities(const std::vector<NodeEvidence>& nodes,
                                              const std::vector<std::string>& names,
                                              const std::string& cluster_id) {
  std::vector<IdentityVerdict> verdicts(nodes.size());
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    const NodeEvidence& node = nodes[i];
    if (is_foreign(node, cluster_id)) {
      verdicts[i] = {ErrorCode::kIdentityMismatch, "it belongs to another OpenBao cluster, " +
                                                       node.cluster_id + " instead of " +
                                                       cluster_id};
      continue;
    }
    for (std::size_t j = 0; j < nodes.size(); ++j) {
      if (i == j || !same_server(node, nodes[j])) continue;
      const bool mine = i < j ? first_owns(node, nodes[j]) : !first_owns(nodes[j], node);
      if (mine) continue;
      verdicts[i] = accuse_duplicate(node, names[j]);
      break;
    }
    if (verdicts[i].reason != ErrorCode::kOk || node.may_move) continue;
    if (node.seen_as_two) {
      verdicts[i] = {ErrorCode::kIdentityChanged,
                     "two servers answered within one poll: does a load balancer answer here?"};
    } else if (is_other_than_known(node) && !is_replaced(node)) {
      verdicts[i] = accuse_change(node);
    }
  }
  return verdicts;
}

}  // namespace bao_exporter
