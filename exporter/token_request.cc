#include "token_request.h"

#include <utility>

#include "bao_exporter/check.h"

namespace bao_exporter {

namespace {

constexpr std::size_t kAnswerBytesMax = std::size_t{64} << 10;

}  // namespace

std::vector<AskedNode> asked_nodes(const ClusterConfig& cluster,
                                   const std::shared_ptr<const TlsTrust>& trust) {
  std::vector<AskedNode> nodes;
  for (std::size_t place = 0; place < cluster.nodes.size(); ++place) {
    const NodeConfig& node = cluster.nodes[place];
    if (node.api_url.empty()) continue;
    AskedNode asked{place, {}, node.server_name, trust};
    BAO_CHECK(parse_url(node.api_url, asked.api));
    if (asked.server_name.empty()) asked.server_name = cluster.server_name;
    nodes.push_back(std::move(asked));
  }
  return nodes;
}

Request to_request(TokenRequest what, const AskedNode& node, TimePoint deadline) {
  Request request;
  request.url = node.api;
  request.url.path = std::move(what.path);
  request.server_name = node.server_name;
  request.trust = node.trust;
  request.bearer = std::move(what.bearer);
  request.json_body = std::move(what.json_body);
  request.secret_body = std::move(what.secret_body);
  request.secret_answer = true;
  request.deadline = deadline;
  request.body_bytes_max = kAnswerBytesMax;
  return request;
}

}  // namespace bao_exporter
