#include "bao_exporter/node_book.h"

#include <algorithm>
#include <cmath>

#include "bao_exporter/log.h"
#include "bao_exporter/own_text.h"

namespace bao_exporter {

namespace {

const prometheus::Histogram::BucketBoundaries kPollSeconds = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                                              0.5,   1,    2.5,   5,    10};

double seconds_between(TimePoint from, TimePoint to) {
  return std::chrono::duration<double>(to - from).count();
}

std::string_view scrape_profile(Profile profile) {
  return profile == Profile::kActive ? "active" : "all_nodes";
}

LabelList identity_labels(const ClusterConfig& cluster, const NodeConfig& node) {
  Url url;
  BAO_CHECK(parse_url(node.metrics_url.empty() ? node.api_url : node.metrics_url, url));
  return {{"cluster", cluster.cluster},
          {"node_name", node.name},
          {"instance", url.authority()},
          {"scrape_profile", std::string(scrape_profile(cluster.profile))},
          {"pod", node.pod},
          {"kubernetes_namespace", cluster.kubernetes_namespace}};
}

prometheus::Labels for_registry(const LabelList& labels) {
  prometheus::Labels out;
  for (const auto& [name, value] : labels) {
    if (!value.empty()) out.emplace(name, value);
  }
  return out;
}

prometheus::Labels with(prometheus::Labels labels, std::string_view name, std::string_view value) {
  labels.emplace(std::string(name), std::string(value));
  return labels;
}

}  // namespace

std::string node_identity(const ClusterConfig& cluster, const NodeConfig& node) {
  const LabelList labels = identity_labels(cluster, node);
  return render_identity({labels.begin(), labels.end()});
}

NodeBook::NodeBook(const Config& config, std::uint64_t hash_seed) : poll_(config.poll) {
  const LimitsConfig& limits = config.limits;
  options_.limits = {limits.samples_max, limits.series_per_family_max, limits.line_bytes_max,
                     limits.labels_per_sample_max};
  options_.hash_seed = hash_seed;
  options_.role_on_samples = config.output.role_label == RoleLabel::kSamples;
  options_.leader_only_from_active = config.output.leader_only_from_active;
  const auto counter = [&](const char* name, const char* help) {
    return &prometheus::BuildCounter().Name(name).Help(help).Register(registry_);
  };
  polls_ = counter("bao_node_polls_total", "Polls of the node, by what they became.");
  role_changes_ =
      counter("bao_node_role_changes_total", "Changes of the node's role as published.");
  dropped_ = counter("bao_node_samples_dropped_total",
                     "Samples that the node sent and that are not served, by cause.");
  failovers_ = counter("bao_cluster_failovers_total",
                       "Times that another node than the last active one became active.");
  durations_ = &prometheus::BuildHistogram()
                    .Name("bao_node_poll_duration_seconds")
                    .Help("Time of one poll: all requests to the node, from first to last byte.")
                    .Register(registry_);
  for (std::size_t i = 0; i < config.clusters.size(); ++i) add_cluster(config.clusters[i], i);
}

void NodeBook::add_cluster(const ClusterConfig& cluster, std::size_t index) {
  ClusterState state;
  state.name = cluster.cluster;
  state.expected_nodes =
      cluster.expected_nodes > 0 ? cluster.expected_nodes : static_cast<int>(cluster.nodes.size());
  state.failovers = &failovers_->Add({{"cluster", cluster.cluster}});
  clusters_.push_back(std::move(state));
  for (const NodeConfig& config : cluster.nodes) {
    NodeState node;
    node.cluster = index;
    node.name = cluster.cluster + "/" + config.name;
    node.identity = node_identity(cluster, config);
    node.registry_labels = for_registry(identity_labels(cluster, config));
    node.role_changes = &role_changes_->Add(node.registry_labels);
    node.poll_duration = &durations_->Add(node.registry_labels, kPollSeconds);
    for (std::size_t cause = 0; cause < kDropCauseCount; ++cause) {
      node.dropped[cause] = &dropped_->Add(
          with(node.registry_labels, "cause", drop_cause_name(static_cast<DropCause>(cause))));
    }
    nodes_.push_back(std::move(node));
  }
}

bool NodeBook::note_poll(PollResult result) {
  NodeState& node = nodes_[result.target];
  OutcomeOptions options = options_;
  options.identity = node.identity;
  options.second_look = result.second_look && node.contradicted;
  Outcome outcome = judge_poll(std::move(result.answers), options);
  node.contradicted = outcome.ask_again;
  if (outcome.ask_again) return true;
  count_poll(node, result, outcome.reason);
  if (outcome.reason != node.latest.reason || !node.polled) {
    (outcome.reason == ErrorCode::kOk ? log::info : log::warn)(
        "poll", {{"node", node.name},
                 {"reason", std::string(reason_name(outcome.reason))},
                 {"role", std::string(role_name(outcome.role))},
                 {"detail", outcome.detail}});
  }
  if (outcome.reason == ErrorCode::kOk) node.last_success = unix_seconds(result.ended_wall);
  if (outcome.health && outcome.health->server_time > 0) {
    node.clock_offset = static_cast<double>(outcome.health->server_time) -
                        std::floor(unix_seconds(result.ended_wall));
  }
  node.latest = std::move(outcome);
  node.polled = true;
  node.claim_looked_twice = result.second_look && node.claim_questioned;
  node.claim_questioned = false;
  node.started = result.started;
  return false;
}

void NodeBook::count_poll(NodeState& node, const PollResult& result, ErrorCode reason) {
  polls_->Add(with(node.registry_labels, "reason", reason_name(reason))).Increment();
  const double seconds = seconds_between(result.started, result.ended);
  node.poll_duration->Observe(seconds);
  log::debug("poll ended", {{"node", node.name},
                            {"reason", std::string(reason_name(reason))},
                            {"seconds", std::to_string(seconds)},
                            {"second_look", result.second_look ? "true" : "false"}});
}

std::vector<std::size_t> NodeBook::decide(TimePoint now, WallTime wall) {
  std::vector<std::size_t> ask_again;
  for (std::size_t cluster = 0; cluster < clusters_.size(); ++cluster) {
    std::vector<std::size_t> members;
    std::vector<ActiveClaim> claims;
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      const NodeState& node = nodes_[i];
      if (node.cluster != cluster) continue;
      members.push_back(i);
      claims.push_back({node.latest.claims_active && !overdue(node, now), node.latest.active_time,
                        node.started, node.claim_looked_twice || node.claim_confirmed});
    }
    const std::vector<Verdict> verdicts = arbitrate(claims);
    for (std::size_t i = 0; i < members.size(); ++i) {
      settle(nodes_[members[i]], verdicts[i], now, wall);
      if (!verdicts[i].ask_again) continue;
      nodes_[members[i]].claim_questioned = true;
      ask_again.push_back(members[i]);
    }
    note_failover(cluster);
  }
  return ask_again;
}

bool NodeBook::overdue(const NodeState& node, TimePoint now) const {
  return node.polled && now > node.started + poll_.interval + poll_.stale_after;
}

void NodeBook::settle(NodeState& node, const Verdict& verdict, TimePoint now, WallTime wall) {
  Role role = node.latest.role;
  ErrorCode reason = node.latest.reason;
  if (overdue(node, now)) {
    role = Role::kUnknown;
    reason = ErrorCode::kOverdue;
  } else if (verdict.withheld) {
    role = Role::kUnknown;
    reason = ErrorCode::kSuperseded;
  }
  node.claim_confirmed = verdict.confirmed;
  node.served = node.latest.part != nullptr && reason == ErrorCode::kOk;
  if (role != node.role || !node.role_since) {
    log::info("role", {{"node", node.name},
                       {"from", std::string(role_name(node.role))},
                       {"to", std::string(role_name(role))}});
    if (node.role_since) node.role_changes->Increment();
    node.role_since = unix_seconds(wall);
  }
  node.role = role;
  node.reason = reason;
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
  if (state.last_active && *state.last_active != *active) {
    state.failovers->Increment();
    log::warn("failover", {{"cluster", state.name},
                           {"from", nodes_[*state.last_active].name},
                           {"to", nodes_[*active].name}});
  }
  state.last_active = active;
}

bool NodeBook::role_would_change(std::size_t node) const {
  return nodes_[node].latest.role != nodes_[node].role;
}

std::vector<MergeSource> NodeBook::sources(std::vector<std::size_t>& nodes) const {
  std::vector<MergeSource> sources;
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    if (!nodes_[i].served) continue;
    nodes.push_back(i);
    sources.push_back({static_cast<std::uint32_t>(i), nodes_[i].latest.part});
  }
  return sources;
}

void NodeBook::count_dropped(const std::vector<std::size_t>& nodes, const Merged& merged) {
  const auto add = [](NodeState& node, DropCause cause, std::uint64_t samples) {
    node.dropped[static_cast<std::size_t>(cause)]->Increment(static_cast<double>(samples));
  };
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    NodeState& node = nodes_[nodes[i]];
    if (node.counted == node.latest.part.get()) continue;
    for (std::size_t cause = 0; cause < kDropCauseCount; ++cause) {
      add(node, static_cast<DropCause>(cause), node.latest.part->dropped()[cause]);
    }
    add(node, DropCause::kTypeConflict, merged.type_conflicts[i]);
  }
  for (NodeState& node : nodes_) {
    const NodePart* part = node.latest.part.get();
    if (part != nullptr && part != node.counted && node.reason == ErrorCode::kSuperseded) {
      add(node, DropCause::kSuperseded, part->samples());
    }
    node.counted = part;
  }
}

std::vector<PollTarget> poll_targets(const Config& config) {
  std::vector<PollTarget> targets;
  for (const ClusterConfig& cluster : config.clusters) {
    for (const NodeConfig& node : cluster.nodes) {
      PollTarget target;
      target.log_name = cluster.cluster + "/" + node.name;
      target.has_api = !node.api_url.empty();
      if (target.has_api) BAO_CHECK(parse_url(node.api_url, target.api));
      if (node.metrics_url.empty()) {
        target.metrics = target.api;
        target.metrics.path = "/v1/sys/metrics";
      } else {
        BAO_CHECK(parse_url(node.metrics_url, target.metrics));
      }
      target.server_name = node.server_name.empty() ? cluster.server_name : node.server_name;
      targets.push_back(std::move(target));
    }
  }
  return targets;
}

}  // namespace bao_exporter
