// bao_node_* and bao_cluster_*: the state of the book as families.
#include <algorithm>

#include "bao_exporter/node_book.h"
#include "bao_exporter/own_text.h"

namespace bao_exporter {

namespace {

constexpr std::size_t kLargestFamilies = 10;

// What is said of a node: as it was decided, or as it is once the poll loop hangs.
struct Said {
  Role role;
  ErrorCode reason;
  bool served;
};

Said said_of(const NodeState& node, bool overdue) {
  if (!overdue) return {node.role, node.reason, node.served};
  return {Role::kUnknown, ErrorCode::kOverdue, false};
}

std::string info_labels(const NodeState& node, bool overdue) {
  std::string labels = node.identity;
  const auto add = [&](std::string_view name, std::string_view value) {
    labels = join_labels(labels, name, value);
  };
  if (node.latest.health && !overdue) {
    add("version", node.latest.health->version);
    add("openbao_cluster_name", node.latest.health->cluster_name);
    add("openbao_cluster_id", node.latest.health->cluster_id);
  }
  if (!overdue) add("peer_id", node.latest.facts.peer_id);
  const bool role_told = !overdue && node.role == node.latest.role;
  add("role_source", role_source_name(role_told ? node.latest.role_source : RoleSource::kNone));
  return labels;
}

std::vector<const FamilyPart*> largest_families(const NodePart& part) {
  std::vector<const FamilyPart*> largest;
  for (const FamilyPart& family : part.families()) largest.push_back(&family);
  const auto count = std::min(kLargestFamilies, largest.size());
  std::partial_sort(largest.begin(), largest.begin() + static_cast<std::ptrdiff_t>(count),
                    largest.end(), [](const FamilyPart* a, const FamilyPart* b) {
                      return a->samples != b->samples ? a->samples > b->samples : a->name < b->name;
                    });
  largest.resize(count);
  return largest;
}

class Families {
 public:
  Families(const std::vector<ClusterState>& clusters, const std::vector<NodeState>& nodes,
           bool overdue)
      : clusters_(clusters), nodes_(nodes), overdue_(overdue) {}

  void write_clusters() {
    text_.family("bao_cluster_nodes", "Nodes of the cluster in each role.", MetricType::kGauge);
    for (std::size_t cluster = 0; cluster < clusters_.size(); ++cluster) {
      const std::string labels = render_identity({{"cluster", clusters_[cluster].name}});
      for (std::size_t role = 0; role < kRoleCount; ++role) {
        text_.sample(join_labels(labels, "node_role", role_name(static_cast<Role>(role))),
                     static_cast<double>(nodes_in_role(cluster, static_cast<Role>(role))));
      }
    }
    text_.family("bao_cluster_expected_nodes", "Nodes that the configuration expects.",
                 MetricType::kGauge);
    for (const ClusterState& cluster : clusters_) {
      text_.sample(render_identity({{"cluster", cluster.name}}), cluster.expected_nodes);
    }
  }

  void write_nodes() {
    gauge("bao_node_up",
          "1 when the last poll succeeded: what it gave is the node's own, and is served.",
          [&](const NodeState& node, auto say) {
            say(node.identity, said_of(node, overdue_).reason == ErrorCode::kOk ? 1 : 0);
          });
    gauge("bao_node_role", "1 for the role that the node has, 0 for the others.",
          [&](const NodeState& node, auto say) {
            for (std::size_t role = 0; role < kRoleCount; ++role) {
              say(join_labels(node.identity, "node_role", role_name(static_cast<Role>(role))),
                  said_of(node, overdue_).role == static_cast<Role>(role) ? 1 : 0);
            }
          });
    gauge("bao_node_info", "What the node says of itself, and what its role was read from.",
          [&](const NodeState& node, auto say) { say(info_labels(node, overdue_), 1); });
    gauge("bao_node_last_poll_reason", "What the last poll became; the runbook has each reason.",
          [&](const NodeState& node, auto say) {
            say(join_labels(node.identity, "reason", reason_name(said_of(node, overdue_).reason)),
                1);
          });
    gauge("bao_node_role_disagreement",
          "1 when health and core_active of the node contradict each other, twice.",
          [&](const NodeState& node, auto say) {
            say(node.identity, node.latest.disagreement ? 1 : 0);
          });
    write_times();
    write_sizes();
  }

  OwnText& text() { return text_; }

 private:
  template <typename Each>
  void gauge(std::string_view name, std::string_view help, Each each) {
    text_.family(name, help, MetricType::kGauge);
    for (const NodeState& node : nodes_) {
      each(node, [&](std::string_view labels, double value) { text_.sample(labels, value); });
    }
  }

  void write_times() {
    gauge("bao_node_last_success_timestamp_seconds", "When a poll of the node last succeeded.",
          [](const NodeState& node, auto say) {
            if (node.last_success) say(node.identity, *node.last_success);
          });
    gauge("bao_node_role_last_change_timestamp_seconds", "When the node's role last changed.",
          [](const NodeState& node, auto say) {
            if (node.role_since) say(node.identity, *node.role_since);
          });
    gauge("bao_node_clock_offset_seconds",
          "The node's clock minus ours, in whole seconds (what sys/health tells).",
          [](const NodeState& node, auto say) {
            if (node.clock_offset) say(node.identity, *node.clock_offset);
          });
    gauge("bao_node_tls_certificate_not_after_timestamp_seconds",
          "End of validity of the certificate that the node showed.",
          [](const NodeState& node, auto say) {
            if (node.latest.certificate_not_after) {
              say(node.identity, static_cast<double>(*node.latest.certificate_not_after));
            }
          });
  }

  void write_sizes() {
    gauge("bao_node_samples", "Samples of the node that are served.",
          [&](const NodeState& node, auto say) {
            const bool served = said_of(node, overdue_).served;
            say(node.identity, served ? static_cast<double>(node.latest.part->samples()) : 0);
          });
    gauge("bao_node_body_bytes", "Size of the body that the node's samples came from.",
          [&](const NodeState& node, auto say) {
            const bool served = said_of(node, overdue_).served;
            say(node.identity, served ? static_cast<double>(node.latest.part->body_bytes()) : 0);
          });
    gauge("bao_node_family_series", "The ten largest families of the node, in served series.",
          [&](const NodeState& node, auto say) {
            if (!said_of(node, overdue_).served) return;
            for (const FamilyPart* family : largest_families(*node.latest.part)) {
              say(join_labels(node.identity, "family", family->name), family->samples);
            }
          });
  }

  [[nodiscard]] std::ptrdiff_t nodes_in_role(std::size_t cluster, Role role) const {
    return std::count_if(nodes_.begin(), nodes_.end(), [&](const NodeState& node) {
      return node.cluster == cluster && said_of(node, overdue_).role == role;
    });
  }

  const std::vector<ClusterState>& clusters_;
  const std::vector<NodeState>& nodes_;
  bool overdue_;
  OwnText text_;
};

}  // namespace

std::string NodeBook::render(bool overdue) const {
  Families families(clusters_, nodes_, overdue);
  families.write_clusters();
  families.write_nodes();
  families.text().append(registry_.Collect());
  return families.text().take();
}

}  // namespace bao_exporter
