#include "bao_exporter/node_book.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "bao_exporter/log.h"
#include "bao_exporter/own_text.h"
#include "parse_limits.h"

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

NodeBook::NodeBook(const Config& config, std::uint64_t hash_seed) {
  options_.hash_seed = hash_seed;
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
  set_options(config);
  for (std::size_t i = 0; i < config.clusters.size(); ++i) add_cluster(config.clusters[i], i);
}

void NodeBook::set_options(const Config& config) {
  poll_ = config.poll;
  options_.limits = parse_limits(config.limits);
  options_.role_on_samples = config.output.role_label == RoleLabel::kSamples;
  options_.leader_only_from_active = config.output.leader_only_from_active;
  options_.relabel = config.relabel;
  series_max_ = config.limits.series_max;
}

void NodeBook::replace(const Config& config) {
  const std::vector<ClusterState> old_clusters = std::exchange(clusters_, {});
  std::map<std::string, NodeState> kept;
  std::map<std::string, std::string> last_active;  // cluster -> node
  for (const ClusterState& cluster : old_clusters) {
    if (cluster.last_active) last_active[cluster.name] = nodes_[*cluster.last_active].name;
  }
  for (NodeState& node : nodes_) kept.emplace(node.name, std::move(node));
  nodes_.clear();
  if (options_.relabel != config.relabel) advice_.note_new_rules();
  set_options(config);
  for (std::size_t i = 0; i < config.clusters.size(); ++i) add_cluster(config.clusters[i], i);
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    NodeState& node = nodes_[i];
    if (const auto old = kept.find(node.name);
        old != kept.end() && old->second.identity == node.identity) {
      const std::size_t cluster = node.cluster;
      const bool may_move = node.may_move;
      node = std::move(old->second);  // its counters are the same: equal labels, equal counter
      node.cluster = cluster;
      node.may_move = may_move;
      kept.erase(old);
    }
    ClusterState& cluster = clusters_[node.cluster];
    if (last_active[cluster.name] == node.name) cluster.last_active = i;
  }
  for (const ClusterState& old : old_clusters) keep_terms(old);
  for (const auto& [name, node] : kept) remove_counters(node);
  for (const ClusterState& old : old_clusters) {
    const bool stays = std::any_of(clusters_.begin(), clusters_.end(), [&](const auto& cluster) {
      return cluster.failovers == old.failovers;
    });
    if (!stays) failovers_->Remove(old.failovers);
  }
}

// What is known of a cluster that stays.
void NodeBook::keep_terms(const ClusterState& old) {
  for (ClusterState& cluster : clusters_) {
    if (cluster.name != old.name) continue;
    cluster.openbao_cluster_id = old.openbao_cluster_id;
    if (!cluster.last_active) continue;
    cluster.last_term = old.last_term;
    cluster.last_active_peer = old.last_active_peer;
  }
}

void NodeBook::add_cluster(const ClusterConfig& cluster, std::size_t index) {
  ClusterState state;
  state.name = cluster.cluster;
  state.profile = cluster.profile;
  state.nodes = cluster.nodes.size();
  state.expected_nodes =
      cluster.expected_nodes > 0 ? cluster.expected_nodes : static_cast<int>(cluster.nodes.size());
  state.failovers = &failovers_->Add({{"cluster", cluster.cluster}});
  clusters_.push_back(std::move(state));
  for (const NodeConfig& config : cluster.nodes) {
    NodeState node = new_node(cluster, config);
    node.cluster = index;
    node.may_move = cluster.profile == Profile::kActive && cluster.nodes.size() == 1;
    nodes_.push_back(std::move(node));
  }
}

NodeState NodeBook::new_node(const ClusterConfig& cluster, const NodeConfig& config) {
  NodeState node;
  node.name = cluster.cluster + "/" + config.name;
  node.identity = node_identity(cluster, config);
  node.parts = std::make_shared<PartBuilder>();
  node.registry_labels = for_registry(identity_labels(cluster, config));
  node.role_changes = &role_changes_->Add(node.registry_labels);
  node.poll_duration = &durations_->Add(node.registry_labels, kPollSeconds);
  for (std::size_t cause = 0; cause < kDropCauseCount; ++cause) {
    node.dropped[cause] = &dropped_->Add(
        with(node.registry_labels, "cause", drop_cause_name(static_cast<DropCause>(cause))));
  }
  return node;
}

void NodeBook::remove_counters(const NodeState& node) {
  // A node of the same labels may have taken its place under another name: then they are shared.
  const auto in_use = [&](const NodeState& other) { return other.identity == node.identity; };
  if (std::any_of(nodes_.begin(), nodes_.end(), in_use)) return;
  role_changes_->Remove(node.role_changes);
  durations_->Remove(node.poll_duration);
  for (prometheus::Counter* counter : node.dropped) dropped_->Remove(counter);
  for (prometheus::Counter* counter : node.polls) {
    if (counter != nullptr) polls_->Remove(counter);
  }
}

bool NodeBook::note_poll(PollResult result) {
  NodeState& node = nodes_[result.target];
  OutcomeOptions options = options_;
  options.identity = node.identity;
  options.active_only = clusters_[node.cluster].profile == Profile::kActive;
  // What was told of the last poll and is so again needs no third and fourth look.
  options.second_look = (result.second_look && node.contradicted) || node.latest.disagreement;
  options.parts = node.parts.get();
  options.previous = node.latest.part.get();
  options.expected_role = node.latest.role;
  options.expected_prefix = node.shown.prefix;
  Outcome outcome = judge_poll(std::move(result.answers), options);
  node.contradicted = outcome.ask_again;
  if (outcome.ask_again) return true;
  note_clock(node, outcome, result.ended_wall);
  const bool looked_again = result.second_look && node.suspected_as;
  if (!looked_again && is_suspect(result.target, outcome, result.ended)) {
    node.suspected_as = outcome.facts;
    return true;
  }
  note_identity(node, outcome, looked_again);
  if (!node.counted_poll) count_poll(node, node.latest.reason);  // never published
  node.counted_poll = false;
  observe_duration(node, result, outcome.reason);
  if (outcome.reason != node.latest.reason || !node.polled) {
    (outcome.reason == ErrorCode::kOk ? log::info : log::warn)(
        "poll", {{"node", node.name},
                 {"reason", std::string(reason_name(outcome.reason))},
                 {"role", std::string(role_name(outcome.role))},
                 {"detail", outcome.detail}});
  }
  note_token(node, result, outcome.reason);
  node.ended = unix_seconds(result.ended_wall);
  if (outcome.reason == ErrorCode::kOk) node.last_success = node.ended;
  if (outcome.reason != ErrorCode::kStandbyRejected) {
    node.rejections = 0;
  } else if (!result.second_look) {
    ++node.rejections;
  }
  const bool same_claim = node.claim_looked_twice && outcome.active_time == node.latest.active_time;
  node.claim_looked_twice =
      outcome.claims_active && (same_claim || (result.second_look && node.claim_questioned));
  node.claim_questioned = false;
  node.latest = std::move(outcome);
  node.polled = true;
  node.advised = false;
  node.started = result.started;
  return false;
}

void NodeBook::note_clock(NodeState& node, const Outcome& outcome, WallTime ended) {
  if (!outcome.health || outcome.health->server_time == 0) return;
  node.clock_offset =
      static_cast<double>(outcome.health->server_time) - std::floor(unix_seconds(ended));
}

void NodeBook::count_poll(NodeState& node, ErrorCode reason) {
  prometheus::Counter*& polls = node.polls[static_cast<std::size_t>(reason)];
  if (polls == nullptr) {
    polls = &polls_->Add(with(node.registry_labels, "reason", reason_name(reason)));
  }
  polls->Increment();
  node.counted_poll = true;
}

void NodeBook::observe_duration(NodeState& node, const PollResult& result, ErrorCode reason) {
  const double seconds = seconds_between(result.started, result.ended);
  node.poll_duration->Observe(seconds);
  log::debug("poll ended", {{"node", node.name},
                            {"reason", std::string(reason_name(reason))},
                            {"seconds", std::to_string(seconds)},
                            {"second_look", result.second_look ? "true" : "false"}});
}

bool NodeBook::role_would_change(std::size_t node) const {
  return nodes_[node].latest.role != nodes_[node].decided_from;
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
    if (part != nullptr && part != node.counted) {
      if (node.reason == ErrorCode::kSuperseded) add(node, DropCause::kSuperseded, part->samples());
      if (node.over_limit()) add(node, DropCause::kSeriesLimit, part->samples());
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
      target.active_only = cluster.profile == Profile::kActive;
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
