// The book on every node: its last poll, its role and reason as published, its counters.
//
// Threads: the build thread only (counters live in prometheus-cpp's registry).
#pragma once

#include <prometheus/counter.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bao_exporter/arbiter.h"
#include "bao_exporter/config.h"
#include "bao_exporter/identity.h"
#include "bao_exporter/merge.h"
#include "bao_exporter/node_advice.h"
#include "bao_exporter/outcome.h"
#include "bao_exporter/poller.h"
#include "bao_exporter/snapshot.h"

namespace bao_exporter {

// A token that standbys reject for so many polls in a row is rejected: they say the same while they
// do not know it yet.
inline constexpr int kRejectionsToBelieve = 3;

struct NodeState {
  // What it is.
  std::size_t cluster = 0;
  std::string name;
  std::string identity;  // rendered labels N: cluster, node_name, instance, scrape_profile, ...

  // Its last poll.
  std::shared_ptr<PartBuilder> parts;  // who makes its parts; copies of this state have the same
  Outcome latest;
  bool polled = false;
  bool contradicted = false;        // asked again because health and body contradicted each other
  bool claim_questioned = false;    // asked again because another node claims to be active, too
  bool claim_looked_twice = false;  // this claim to be active stayed when it was questioned
  bool counted_poll = true;         // in bao_node_polls_total, by what was published of it
  bool advised = false;             // its body was looked at for what is worth telling
  bool may_move = false;            // a single active address
  bool seen_as_two = false;         // asked again, another server answered
  std::optional<BodyFacts> suspected_as;  // asked again because it showed itself as this
  TimePoint started;
  double ended = 0;                    // seconds since 1970
  std::optional<double> clock_offset;  // seconds

  // Whose body its polls gave.
  KnownIdentity known;     // as it was last served
  BodyFacts shown;         // in its last poll with a body
  int polls_as_shown = 0;  // polls in a row that showed the same
  int rejections = 0;      // polls in a row that became standby_rejected

  // Its token.
  std::uint64_t token_taken = 0;     // generation that its last poll got samples with; 0: none
  std::uint64_t token_rejected = 0;  // newest generation that its last poll rejected; 0: none
  int token_rejections = 0;          // polls in a row that rejected that one

  // What is published of it.
  std::string detail;  // for the reason; empty when it is ok
  Role role = Role::kUnknown;
  Role decided_from = Role::kUnknown;  // what its last poll said when that was decided
  ErrorCode reason = ErrorCode::kNotPolled;
  bool stayed_active = false;    // as published before, too
  bool served = false;           // its samples are in the snapshot
  bool claim_confirmed = false;  // reported beside another active node: see arbiter.h
  std::optional<double> role_since;
  std::optional<double> last_success;
  // Its samples are good, and left out because all nodes together have too many.
  [[nodiscard]] bool over_limit() const {
    return reason == ErrorCode::kLimitSamples && latest.part != nullptr;
  }
  const NodePart* counted = nullptr;  // the part whose dropped samples were counted

  prometheus::Labels registry_labels;  // labels N
  prometheus::Counter* role_changes = nullptr;
  prometheus::Histogram* poll_duration = nullptr;
  std::array<prometheus::Counter*, kDropCauseCount> dropped{};
  std::array<prometheus::Counter*, kErrorCodeCount> polls{};  // null: not counted yet
};

struct ClusterState {
  std::string name;
  Profile profile = Profile::kAllNodes;
  std::size_t nodes = 0;  // listed
  int expected_nodes = 0;
  std::optional<std::size_t> last_active;  // index of the node
  std::optional<std::int64_t> last_term;   // its active_time, as far as it was told
  std::string last_active_peer;
  std::string openbao_cluster_id;
  prometheus::Counter* failovers = nullptr;
};

class NodeBook {
 public:
  NodeBook(const Config& config, std::uint64_t hash_seed);

  // From now on these clusters and nodes. What is known of a node that keeps its cluster, its name
  // and its identity labels stays, counters included; the series of the others end.
  void replace(const Config& config);

  // Judges a poll and notes it. True when the node has to be asked again before anything is said
  // about it (nothing was noted then).
  [[nodiscard]] bool note_poll(PollResult result);

  // Decides what is published of each node: arbiter, overdue polls, changes of role. Gives the
  // nodes that have to be polled again at once.
  [[nodiscard]] std::vector<std::size_t> decide(TimePoint now, WallTime wall);

  // True when the last poll of the node changed the role that would be published.
  [[nodiscard]] bool role_would_change(std::size_t node) const;

  // The parts to merge, in rank order; `nodes` gets whose they are.
  [[nodiscard]] std::vector<MergeSource> sources(std::vector<std::size_t>& nodes) const;

  // Counts what a merge lost; for each part once.
  void count_dropped(const std::vector<std::size_t>& nodes, const Merged& merged);

  // bao_node_*, bao_cluster_* as text; `overdue`: as they are once the poll loop hangs.
  [[nodiscard]] std::string render(bool overdue) const;

  // What the polls of each cluster told of its tokens, as of the last decide().
  [[nodiscard]] std::vector<TokenNews> token_news() const;

  // Of which nothing was published, or will not be, for want of a good token.
  [[nodiscard]] bool lacks_token(std::size_t node) const;
  // The nodes of that cluster which do.
  [[nodiscard]] std::vector<std::size_t> without_token(const std::string& cluster) const;
  [[nodiscard]] const std::string& cluster_of(std::size_t node) const {
    return clusters_[nodes_[node].cluster].name;
  }

  // What the paths of single nodes and service discovery say of each node.
  [[nodiscard]] std::vector<NodeView> views() const;

  [[nodiscard]] std::size_t size() const { return nodes_.size(); }
  // In configuration order; until the next note_poll() or decide().
  [[nodiscard]] const NodeState& node(std::size_t index) const { return nodes_[index]; }

 private:
  void set_options(const Config& config);
  void keep_terms(const ClusterState& old);
  void add_cluster(const ClusterConfig& cluster, std::size_t index);
  [[nodiscard]] NodeState new_node(const ClusterConfig& cluster, const NodeConfig& config);
  void remove_counters(const NodeState& node);
  [[nodiscard]] bool overdue(const NodeState& node, TimePoint now) const;
  static void note_clock(NodeState& node, const Outcome& outcome, WallTime ended);
  [[nodiscard]] bool is_suspect(std::size_t node, const Outcome& outcome, TimePoint now) const;
  static void note_token(NodeState& node, const PollResult& result, ErrorCode reason);
  static void note_identity(NodeState& node, const Outcome& outcome, bool looked_again);
  struct Members;
  struct Refusal;
  [[nodiscard]] Members members_of(std::size_t cluster, TimePoint now) const;
  void judge_cluster(std::size_t cluster, TimePoint now, std::vector<Refusal>& refusals,
                     std::vector<std::size_t>& ask_again);
  void limit_series(std::vector<Refusal>& refusals) const;
  static void observe_duration(NodeState& node, const PollResult& result, ErrorCode reason);
  void count_poll(NodeState& node, ErrorCode reason);
  [[nodiscard]] Refusal own_refusal(const NodeState& node, bool token_rejected,
                                    TimePoint now) const;
  void settle(NodeState& node, const Refusal& refusal, WallTime wall);
  void note_failover(std::size_t cluster);
  static void note_new_term(ClusterState& cluster, NodeState& active);
  static void count_failover(ClusterState& cluster, const NodeState& from, const NodeState& to);
  void note_served(NodeState& node);
  void note_versions(std::size_t cluster);

  PollConfig poll_;
  OutcomeOptions options_;  // identity is filled in for each node
  std::size_t series_max_ = 0;
  std::vector<ClusterState> clusters_;
  std::vector<NodeState> nodes_;
  NodeAdvice advice_;

  prometheus::Registry registry_;
  prometheus::Family<prometheus::Counter>* polls_ = nullptr;
  prometheus::Family<prometheus::Counter>* role_changes_ = nullptr;
  prometheus::Family<prometheus::Counter>* dropped_ = nullptr;
  prometheus::Family<prometheus::Counter>* failovers_ = nullptr;
  prometheus::Family<prometheus::Histogram>* durations_ = nullptr;
};

// Rendered labels N of a node.
[[nodiscard]] std::string node_identity(const ClusterConfig& cluster, const NodeConfig& node);

// The URLs and names of every configured node, in configuration order.
[[nodiscard]] std::vector<PollTarget> poll_targets(const Config& config);

}  // namespace bao_exporter
