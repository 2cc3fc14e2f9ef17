// What is published of each node: whose body it is, who is active, what that changes. The book's
// part that looks at all nodes of a cluster together.
#include <algorithm>
#include <cmath>

#include "bao_exporter/log.h"
#include "bao_exporter/node_book.h"
#include "series_guard.h"

namespace bao_exporter {

namespace {

// Does it tell which server it is of?
bool shows_itself(const BodyFacts& facts) {
  return !facts.peer_id.empty() || facts.process_start.has_value();
}

bool shows_the_same(const BodyFacts& a, const BodyFacts& b) {
  if (!a.peer_id.empty() && !b.peer_id.empty()) return a.peer_id == b.peer_id;
  return a.process_start && b.process_start &&
         std::abs(*a.process_start - *b.process_start) <= kStartSlack;
}

IdentityEvidence evidence_of(const NodeState& node, const Outcome& outcome) {
  IdentityEvidence evidence;
  evidence.known = node.known;
  evidence.may_move = node.may_move && outcome.role == Role::kActive;
  if (outcome.health) evidence.cluster_id = outcome.health->cluster_id;
  if (outcome.reason != ErrorCode::kOk) return evidence;  // a refused body proves nothing
  const BodyFacts& facts = outcome.facts;
  evidence.has_body = shows_itself(facts);
  evidence.peer_id = facts.peer_id;
  evidence.process_print = facts.process_print;
  if (facts.process_start) {
    evidence.process_start = *facts.process_start - node.clock_offset.value_or(0);
  }
  evidence.role_from_health = outcome.role_source == RoleSource::kHealth;
  evidence.seen_as_two = node.seen_as_two;
  evidence.polls_as_this = node.polls_as_shown;
  return evidence;
}

IdentityEvidence nothing_from(const NodeState& node) {
  IdentityEvidence evidence;
  evidence.known = node.known;
  return evidence;
}

}  // namespace

// Why what a node said is not published as it stands.
struct NodeBook::Refusal {
  ErrorCode reason = ErrorCode::kOk;
  std::string detail;
  bool role_stays = false;
};

// The members of a cluster, and what their last polls showed.
struct NodeBook::Members {
  std::vector<std::size_t> nodes;
  std::vector<std::string> names;
  std::vector<IdentityEvidence> evidence;
};

NodeBook::Members NodeBook::members_of(std::size_t cluster, TimePoint now) const {
  Members members;
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    const NodeState& node = nodes_[i];
    if (node.cluster != cluster) continue;
    members.nodes.push_back(i);
    members.names.push_back(node.name);
    const bool counts = node.polled && !overdue(node, now);
    members.evidence.push_back(counts ? evidence_of(node, node.latest) : nothing_from(node));
  }
  return members;
}

// Would this outcome be an accusation that was not made yet?
bool NodeBook::is_suspect(std::size_t node, const Outcome& outcome, TimePoint now) const {
  const std::size_t cluster = nodes_[node].cluster;
  Members members = members_of(cluster, now);
  const auto at = std::find(members.nodes.begin(), members.nodes.end(), node);
  const auto place = static_cast<std::size_t>(at - members.nodes.begin());
  members.evidence[place] = evidence_of(nodes_[node], outcome);
  members.evidence[place].seen_as_two = false;  // that was the poll before
  const std::string cluster_id =
      cluster_id_of(members.evidence, clusters_[cluster].openbao_cluster_id);
  const auto verdicts = judge_identities(members.evidence, members.names, cluster_id);
  const ErrorCode reason = verdicts[place].reason;
  return reason != ErrorCode::kOk && reason != nodes_[node].reason;
}

void NodeBook::note_identity(NodeState& node, const Outcome& outcome, bool looked_again) {
  const std::optional<BodyFacts> suspected_as = std::exchange(node.suspected_as, std::nullopt);
  node.seen_as_two = false;
  const BodyFacts& shown = outcome.facts;
  if (outcome.reason != ErrorCode::kOk || !shows_itself(shown)) return;
  node.seen_as_two = looked_again && suspected_as && !shows_the_same(*suspected_as, shown);
  node.polls_as_shown = shows_the_same(node.shown, shown) ? node.polls_as_shown + 1 : 1;
  node.shown = shown;
}

std::vector<std::size_t> NodeBook::decide(TimePoint now, WallTime wall) {
  std::vector<std::size_t> ask_again;
  std::vector<Refusal> refusals(nodes_.size());
  for (std::size_t cluster = 0; cluster < clusters_.size(); ++cluster) {
    judge_cluster(cluster, now, refusals, ask_again);
  }
  limit_series(refusals);
  for (std::size_t i = 0; i < nodes_.size(); ++i) settle(nodes_[i], refusals[i], wall);
  for (std::size_t cluster = 0; cluster < clusters_.size(); ++cluster) {
    note_failover(cluster);
    note_versions(cluster);
  }
  return ask_again;
}

void NodeBook::judge_cluster(std::size_t cluster, TimePoint now, std::vector<Refusal>& refusals,
                             std::vector<std::size_t>& ask_again) {
  const Members members = members_of(cluster, now);
  ClusterState& state = clusters_[cluster];
  state.openbao_cluster_id = cluster_id_of(members.evidence, state.openbao_cluster_id);
  const auto identities =
      judge_identities(members.evidence, members.names, state.openbao_cluster_id);
  std::vector<ActiveClaim> claims;
  bool token_rejected = false;
  for (std::size_t i = 0; i < members.nodes.size(); ++i) {
    const NodeState& node = nodes_[members.nodes[i]];
    const bool believed = !overdue(node, now) && identities[i].reason == ErrorCode::kOk;
    claims.push_back({node.latest.claims_active && believed, node.latest.active_time, node.started,
                      node.claim_looked_twice || node.claim_confirmed});
    token_rejected = token_rejected || (believed && node.latest.role == Role::kActive &&
                                        node.latest.reason == ErrorCode::kTokenRejected);
  }
  const std::vector<Verdict> verdicts = arbitrate(claims);
  const bool disputed = std::count_if(claims.begin(), claims.end(), [](const ActiveClaim& claim) {
                          return claim.claims_active;
                        }) > 1;
  const bool several = std::any_of(verdicts.begin(), verdicts.end(),
                                   [](const Verdict& verdict) { return verdict.confirmed; });
  for (std::size_t i = 0; i < members.nodes.size(); ++i) {
    NodeState& node = nodes_[members.nodes[i]];
    Refusal refusal = own_refusal(node, token_rejected, now);
    if (verdicts[i].withheld) refusal = {ErrorCode::kSuperseded, "a newer term is active", false};
    if (identities[i].reason != ErrorCode::kOk) {
      refusal = {identities[i].reason, identities[i].detail, false};
    }
    refusals[members.nodes[i]] = std::move(refusal);
    // Of two that are confirmed either may be the newer one at the next publication.
    node.claim_confirmed = several && claims[i].claims_active && !verdicts[i].withheld;
    // What stayed when it was questioned last time says nothing about the next who questions it.
    if (!disputed) node.claim_looked_twice = false;
    if (!verdicts[i].ask_again) continue;
    node.claim_questioned = true;
    ask_again.push_back(members.nodes[i]);
  }
}

// What is held against a node whatever the others say.
NodeBook::Refusal NodeBook::own_refusal(const NodeState& node, bool token_rejected,
                                        TimePoint now) const {
  if (overdue(node, now)) return {ErrorCode::kOverdue, "its last poll is too long ago", false};
  if (node.latest.reason == ErrorCode::kStandbyRejected &&
      (token_rejected || node.rejections >= kRejectionsToBelieve)) {
    return {ErrorCode::kTokenRejected,
            token_rejected ? "the active node rejects the token, too"
                           : "the standby rejects the token, round after round",
            true};
  }
  return {};
}

// All nodes together: who is refused so that the rest fits is series_guard.h's to say.
void NodeBook::limit_series(std::vector<Refusal>& refusals) const {
  std::vector<SeriesClaim> claims(nodes_.size());
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    const NodeState& node = nodes_[i];
    const bool would_be_served = refusals[i].reason == ErrorCode::kOk && node.latest.part &&
                                 node.latest.reason == ErrorCode::kOk;
    if (would_be_served) claims[i] = {node.latest.part->samples(), node.over_limit()};
  }
  for (const std::size_t i : beyond_series_max(claims, series_max_)) {
    refusals[i] = {ErrorCode::kLimitSamples, over_limit_detail(*nodes_[i].latest.part, series_max_),
                   true};
  }
}

bool NodeBook::overdue(const NodeState& node, TimePoint now) const {
  return node.polled && now > node.started + poll_.interval + poll_.stale_after;
}

void NodeBook::settle(NodeState& node, const Refusal& refusal, WallTime wall) {
  const bool refused = refusal.reason != ErrorCode::kOk;
  const Role role = refused && !refusal.role_stays ? Role::kUnknown : node.latest.role;
  const ErrorCode reason = refused ? refusal.reason : node.latest.reason;
  if (refused && reason != node.reason) {
    log::warn("refused", {{"node", node.name},
                          {"reason", std::string(reason_name(reason))},
                          {"detail", refusal.detail}});
  }
  if (role != node.role) {
    log::info("role", {{"node", node.name},
                       {"from", std::string(role_name(node.role))},
                       {"to", std::string(role_name(role))}});
    if (node.role_since) node.role_changes->Increment();
  }
  if (role != node.role || !node.role_since) node.role_since = unix_seconds(wall);
  node.stayed_active = role == Role::kActive && node.role == Role::kActive;
  node.role = role;
  node.reason = reason;
  node.detail = refused ? refusal.detail : node.latest.detail;
  node.decided_from = node.latest.role;
  node.served = node.latest.part != nullptr && reason == ErrorCode::kOk;
  if (node.served) {
    note_served(node);
  } else {
    advice_.note_gap(node.name);
  }
  if (!node.counted_poll && reason != ErrorCode::kOverdue) count_poll(node, reason);
}

void NodeBook::note_served(NodeState& node) {
  if (!std::exchange(node.advised, true)) advice_.note_body(node.name, node.latest, poll_.interval);
  const BodyFacts& facts = node.latest.facts;
  if (!shows_itself(facts)) return;
  if (!facts.peer_id.empty() && !node.known.peer_id.empty() &&
      facts.peer_id != node.known.peer_id) {
    log::warn("replaced", {{"node", node.name},
                           {"from", node.known.peer_id},
                           {"to", facts.peer_id},
                           {"detail", node.may_move ? "the active address leads to another server"
                                                    : "another server is this node now"}});
  }
  if (!facts.peer_id.empty()) node.known.peer_id = facts.peer_id;
  node.known.process_start.reset();
  if (facts.process_start) {
    node.known.process_start = *facts.process_start - node.clock_offset.value_or(0);
  }
  node.known.last_seen = node.ended;
}

void NodeBook::note_failover(std::size_t cluster) {
  std::optional<std::size_t> active;
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    if (nodes_[i].cluster != cluster || nodes_[i].role != Role::kActive) continue;
    if (active) return;  // Two: nobody has taken over yet.
    active = i;
  }
  if (!active) return;
  ClusterState& state = clusters_[cluster];
  NodeState& node = nodes_[*active];
  if (state.last_active == active) {
    note_new_term(state, node);
  } else if (state.last_active) {
    count_failover(state, nodes_[*state.last_active], node);
  }
  if (state.last_active != active || node.latest.active_time) {
    state.last_term = node.latest.active_time;
  }
  if (!node.latest.facts.peer_id.empty()) state.last_active_peer = node.latest.facts.peer_id;
  state.last_active = active;
}

// The node that was active last is active again, or still: only its term tells them apart.
void NodeBook::note_new_term(ClusterState& cluster, NodeState& active) {
  const auto term = active.latest.active_time;
  if (!term || !cluster.last_term || *term == *cluster.last_term) return;
  const std::string& peer = active.latest.facts.peer_id;
  const bool moved = active.may_move && !peer.empty() && !cluster.last_active_peer.empty() &&
                     peer != cluster.last_active_peer;
  if (cluster.nodes < 2 && !moved) return;  // there is nobody who could have taken over
  constexpr double kGoneAndBack = 2;
  if (active.stayed_active) active.role_changes->Increment(kGoneAndBack);
  count_failover(cluster, active, active);
}

void NodeBook::count_failover(ClusterState& cluster, const NodeState& from, const NodeState& to) {
  cluster.failovers->Increment();
  log::warn("failover", {{"cluster", cluster.name}, {"from", from.name}, {"to", to.name}});
}

void NodeBook::note_versions(std::size_t cluster) {
  std::set<std::string> versions;
  for (const NodeState& node : nodes_) {
    if (node.cluster != cluster || !node.latest.health) continue;
    if (!node.latest.health->version.empty()) versions.insert(node.latest.health->version);
  }
  advice_.note_versions(clusters_[cluster].name, versions);
}

}  // namespace bao_exporter
