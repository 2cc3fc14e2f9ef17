// Who can be asked about a cluster's tokens, and what goes out to them.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "bao_exporter/config.h"
#include "bao_exporter/login.h"
#include "bao_exporter/time.h"
#include "bao_exporter/transport.h"

namespace bao_exporter {

struct AskedNode {
  std::size_t place = 0;  // in the cluster's list
  Url api;
  std::string server_name;
  std::shared_ptr<const TlsTrust> trust = nullptr;
};

// Those with an api_url.
[[nodiscard]] std::vector<AskedNode> asked_nodes(const ClusterConfig& cluster,
                                                 const std::shared_ptr<const TlsTrust>& trust);

// As if a secret were in the answer. Its channel is the sender's matter.
[[nodiscard]] Request to_request(TokenRequest what, const AskedNode& node, TimePoint deadline);

}  // namespace bao_exporter
