#include "bao_exporter/service_discovery.h"

#include <nlohmann/json.hpp>

#include "config_url.h"

namespace bao_exporter {

namespace {

using Json = nlohmann::ordered_json;

Json target_group(const Advertised& advertised, const std::string& path) {
  Json group;
  group["targets"] = Json::array({advertised.address});
  group["labels"] = {{"__metrics_path__", path}, {"__scheme__", advertised.scheme}};
  return group;
}

// Never throws: what is not UTF-8 is replaced.
std::string text_of(const Json& groups) {
  return groups.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

Advertised advertised_by(const ListenerConfig& config, const std::vector<std::string>& bound) {
  Advertised advertised;
  advertised.scheme = config.plain_http() ? "http" : "https";
  advertised.address = config.advertised_address;
  ListenAddress first;
  if (!advertised.address.empty() || bound.empty()) return advertised;
  if (!parse_listen_address(bound.front(), first)) return advertised;
  if (first.port != 0 && !is_wildcard_host(first.host)) advertised.address = bound.front();
  return advertised;
}

std::string discover_nodes(const std::vector<NodeView>& nodes, bool overdue,
                           const Advertised& advertised) {
  Json groups = Json::array();
  for (const NodeView& node : nodes) {
    if (!node.discovered) continue;
    Json group = target_group(advertised, "/metrics/nodes/" + node.name);
    Json& labels = group["labels"];
    for (const auto& [name, value] : node.labels) labels[name] = value;
    labels["__meta_bao_node_role"] = role_name(overdue ? Role::kUnknown : node.role);
    groups.push_back(std::move(group));
  }
  return text_of(groups);
}

std::string discover_certctls(const std::vector<ServedCertctl>& certctls,
                              const Advertised& advertised) {
  Json groups = Json::array();
  for (const ServedCertctl& certctl : certctls) {
    Json group = target_group(advertised, "/metrics/certctl/" + certctl.name);
    for (const auto& [name, value] : certctl.labels) group["labels"][name] = value;
    groups.push_back(std::move(group));
  }
  return text_of(groups);
}

std::string discover_exporter(const Advertised& advertised) {
  return text_of(Json::array({target_group(advertised, "/metrics/exporter")}));
}

}  // namespace bao_exporter
