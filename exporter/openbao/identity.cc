#include "bao_exporter/identity.h"

#include <algorithm>
#include <cmath>
#include <map>

namespace bao_exporter {

namespace {

// sys/health tells whole seconds, and so do we of the difference.
constexpr double kClockSlack = 2;

bool is_foreign(const IdentityEvidence& node, const std::string& cluster_id) {
  return !node.cluster_id.empty() && !cluster_id.empty() && node.cluster_id != cluster_id;
}

// Is what `a` showed what `b` is, by its last body or by what it is known as?
bool same_server(const IdentityEvidence& a, const IdentityEvidence& b) {
  if (!a.has_body) return false;
  if (!a.peer_id.empty()) {
    if (!b.peer_id.empty()) return a.peer_id == b.peer_id;
    return !b.has_body && a.peer_id == b.known.peer_id;
  }
  return !a.process_print.empty() && a.process_print == b.process_print;
}

// How far the process that a node showed is from the one it is known by; seconds.
double strangeness(const IdentityEvidence& node) {
  if (!node.process_start || !node.known.process_start) return kStartSlack;
  return std::min(std::abs(*node.process_start - *node.known.process_start), kStartSlack);
}

// The one of them whose body it is.
bool first_owns(const IdentityEvidence& first, const IdentityEvidence& second) {
  const std::string& shown = first.peer_id.empty() ? second.peer_id : first.peer_id;
  const bool first_known = !shown.empty() && first.known.peer_id == shown;
  const bool second_known = !shown.empty() && second.known.peer_id == shown;
  if (first_known != second_known) return first_known;
  if (shown.empty() && strangeness(first) != strangeness(second)) {
    return strangeness(first) < strangeness(second);
  }
  if (first.role_from_health != second.role_from_health) return first.role_from_health;
  return true;  // The first in the order of the configuration.
}

bool is_other_than_known(const IdentityEvidence& node) {
  if (!node.has_body || !node.known.known()) return false;
  if (!node.peer_id.empty() && !node.known.peer_id.empty()) {
    return node.peer_id != node.known.peer_id;
  }
  // A process that is older than the one before it was there all the time, elsewhere.
  return node.peer_id.empty() && node.process_start && node.known.process_start &&
         *node.process_start < *node.known.process_start - kStartSlack;
}

// Is who the node was known as somebody else now? Then it was not replaced: servers changed places,
// or a balancer deals them out.
bool is_elsewhere(const std::vector<IdentityEvidence>& nodes, std::size_t node) {
  const std::string& known = nodes[node].known.peer_id;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    if (i != node && nodes[i].has_body && !known.empty() && nodes[i].peer_id == known) return true;
  }
  return false;
}

bool is_replaced(const IdentityEvidence& node) {
  const bool younger =
      node.process_start && *node.process_start > node.known.last_seen - kClockSlack;
  return younger || node.polls_as_this >= kPollsToBelieve;
}

IdentityVerdict accuse_duplicate(const IdentityEvidence& node, const std::string& of) {
  const std::string shown = node.peer_id.empty() ? "process" : "peer_id " + node.peer_id;
  const bool known = !node.known.peer_id.empty() && node.known.peer_id != node.peer_id;
  return {known ? ErrorCode::kIdentityMismatch : ErrorCode::kDuplicateNode,
          shown + " is that of " + of + ": both addresses lead to one server"};
}

IdentityVerdict accuse_change(const IdentityEvidence& node) {
  std::string words = "the process is older than the one seen before";
  if (!node.peer_id.empty()) {
    words = "peer_id " + node.peer_id + ", known as " + node.known.peer_id;
  }
  return {ErrorCode::kIdentityChanged, words + ": does a load balancer answer here?"};
}

}  // namespace

std::string cluster_id_of(const std::vector<IdentityEvidence>& nodes, const std::string& known) {
  std::map<std::string, int> votes;
  for (const IdentityEvidence& node : nodes) {
    if (!node.cluster_id.empty()) ++votes[node.cluster_id];
  }
  std::string best;
  for (const IdentityEvidence& node : nodes) {
    if (node.cluster_id.empty()) continue;
    const int mine = votes[node.cluster_id];
    const bool more = best.empty() || mine > votes[best];
    if (more || (mine == votes[best] && node.cluster_id == known)) best = node.cluster_id;
  }
  return best.empty() ? known : best;
}

std::vector<IdentityVerdict> judge_identities(const std::vector<IdentityEvidence>& nodes,
                                              const std::vector<std::string>& names,
                                              const std::string& cluster_id) {
  std::vector<IdentityVerdict> verdicts(nodes.size());
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    const IdentityEvidence& node = nodes[i];
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
    } else if (is_other_than_known(node) && (is_elsewhere(nodes, i) || !is_replaced(node))) {
      verdicts[i] = accuse_change(node);
    }
  }
  return verdicts;
}

}  // namespace bao_exporter
