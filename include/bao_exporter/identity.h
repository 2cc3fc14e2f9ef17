// Whose body is it? Decides, over all nodes of one cluster, whether what a node showed is its own.
// Pure.
//
// Source: raft_storage_stats_* carries the raft id of the process that answers, and nothing else
// (measured on OpenBao 2.7.2), so one id under two nodes means that one of their addresses leads to
// the other: a load balancer, a forwarding standby, the same server listed twice. Without raft the
// start of the process and its last garbage collection identify a copy.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "bao_exporter/outcome.h"

namespace bao_exporter {

// What a node was served as.
struct KnownIdentity {
  std::string peer_id;
  std::optional<double> process_start;  // seconds since 1970, by our clock
  double last_seen = 0;                 // seconds since 1970: when a body of that identity ended

  [[nodiscard]] bool known() const { return last_seen > 0; }
};

struct IdentityEvidence {
  // What its last poll showed. Empty: nothing, or the poll is overdue.
  std::string cluster_id;
  std::string peer_id;
  std::string process_print;
  std::optional<double> process_start;  // by our clock
  bool has_body = false;
  bool role_from_health = false;
  bool seen_as_two = false;  // asked again within one poll, another server answered
  // What is known of it from before.
  KnownIdentity known;
  int polls_as_this = 0;  // polls in a row that showed what the last one did
  bool may_move = false;  // a single active address leads to whoever is active
};

struct IdentityVerdict {
  ErrorCode reason = ErrorCode::kOk;  // else kIdentityMismatch, kIdentityChanged, kDuplicateNode
  std::string detail;
};

// A changed identity that stays for so many polls is believed: the node was replaced. Not while
// another node shows the one that it is known by.
inline constexpr int kPollsToBelieve = 10;

// Seconds that a corrected clock may move the start of a process by.
inline constexpr double kStartSlack = 5;

// The OpenBao cluster that most nodes belong to; of several the one known before, else the one of
// the first node. Empty: no node tells.
[[nodiscard]] std::string cluster_id_of(const std::vector<IdentityEvidence>& nodes,
                                        const std::string& known);

// One verdict for each node, in the order given; `names` are for the words.
[[nodiscard]] std::vector<IdentityVerdict> judge_identities(
    const std::vector<IdentityEvidence>& nodes, const std::vector<std::string>& names,
    const std::string& cluster_id);

}  // namespace bao_exporter
