// Each node alone: what its path serves, and whether service discovery lists it.
#include <algorithm>

#include "bao_exporter/node_book.h"

namespace bao_exporter {

namespace {

std::shared_ptr<const ServedText> own_text(const std::shared_ptr<const NodePart>& part) {
  Rope rope;
  for (const std::string_view slice : part->own_text()) rope.append(slice);
  rope.own(part);
  return std::make_shared<const ServedText>(std::move(rope));
}

NodeView view_of(const NodeState& node, Profile profile) {
  NodeView view;
  view.name = node.name;
  view.labels.assign(node.registry_labels.begin(), node.registry_labels.end());
  view.role = node.role;
  view.reason = node.reason;
  const bool withheld = profile == Profile::kActive && node.role != Role::kActive;
  if (node.served && !withheld) view.text = own_text(node.latest.part);
  return view;
}

}  // namespace

std::vector<NodeView> NodeBook::views() const {
  std::vector<bool> has_active(clusters_.size());
  for (const NodeState& node : nodes_) {
    if (node.role == Role::kActive) has_active[node.cluster] = true;
  }
  // Where nobody is active, who was last: between two leaders a target must not come and go.
  const auto is_discovered = [&](std::size_t i) {
    const NodeState& node = nodes_[i];
    const ClusterState& cluster = clusters_[node.cluster];
    if (cluster.profile != Profile::kActive) return true;
    if (has_active[node.cluster]) return node.role == Role::kActive;
    return cluster.last_active.value_or(i) == i;
  };
  std::vector<NodeView> views;
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    views.push_back(view_of(nodes_[i], clusters_[nodes_[i].cluster].profile));
    views.back().discovered = is_discovered(i);
  }
  return views;
}

}  // namespace bao_exporter
