// What polls tell of the tokens. The book's part that looks at who took which one.
#include <algorithm>

#include "bao_exporter/node_book.h"

namespace bao_exporter {

namespace {

// Another token may change these at once.
bool wants_a_token(ErrorCode reason) {
  switch (reason) {
    case ErrorCode::kStandbyRejected:
    case ErrorCode::kTokenRejected:
    case ErrorCode::kForbidden:
    case ErrorCode::kTokenUnreadable:
    case ErrorCode::kTokenExcess:
    case ErrorCode::kLoginFailed:
      return true;
    default:
      return false;
  }
}

// A standby rejects a token also while it does not know it yet.
bool is_believed(const NodeState& node) {
  return node.token_rejected != 0 &&
         (node.role == Role::kActive || node.token_rejections >= kRejectionsToBelieve);
}

}  // namespace

void NodeBook::note_token(NodeState& node, const PollResult& result, ErrorCode reason) {
  node.token_taken = reason == ErrorCode::kOk ? result.token_taken : 0;
  const bool same = result.token_rejected != 0 && result.token_rejected == node.token_rejected;
  node.token_rejected = result.token_rejected;
  if (!same) node.token_rejections = 0;
  if (node.token_rejected != 0 && !result.second_look) ++node.token_rejections;
}

std::vector<TokenNews> NodeBook::token_news() const {
  std::vector<TokenNews> news(clusters_.size());
  std::vector<std::size_t> places(clusters_.size());
  for (std::size_t i = 0; i < clusters_.size(); ++i) news[i].cluster = clusters_[i].name;
  for (const NodeState& node : nodes_) {
    TokenNews& mine = news[node.cluster];
    const std::size_t place = places[node.cluster]++;
    if (node.role == Role::kActive) mine.active_node = place;
    if (node.token_taken != 0) {
      mine.in_use = mine.in_use == 0 ? node.token_taken : std::min(mine.in_use, node.token_taken);
    }
    if (is_believed(node)) mine.rejected = std::max(mine.rejected, node.token_rejected);
  }
  return news;
}

bool NodeBook::lacks_token(std::size_t node) const {
  return wants_a_token(nodes_[node].reason) || wants_a_token(nodes_[node].latest.reason);
}

std::vector<std::size_t> NodeBook::without_token(const std::string& cluster) const {
  std::vector<std::size_t> nodes;
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    if (cluster_of(i) == cluster && lacks_token(i)) nodes.push_back(i);
  }
  return nodes;
}

}  // namespace bao_exporter
