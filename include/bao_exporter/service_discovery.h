// Service discovery for Prometheus (http_sd): the targets that this port has, as JSON. Pure.
#pragma once

#include <string>
#include <vector>

#include "bao_exporter/config.h"
#include "bao_exporter/snapshot.h"

namespace bao_exporter {

// How Prometheus reaches this port.
struct Advertised {
  std::string scheme;   // "https"; "http" in a demo without TLS
  std::string address;  // "host:port"; empty: not known, it has to be configured
};

// `bound`: the addresses that the port listens on, with their real ports.
[[nodiscard]] Advertised advertised_by(const ListenerConfig& config,
                                       const std::vector<std::string>& bound);

// A target group for each node that service discovery lists. `overdue`: their roles are not known.
[[nodiscard]] std::string discover_nodes(const std::vector<NodeView>& nodes, bool overdue,
                                         const Advertised& advertised);

// A target group for each certctl server.
[[nodiscard]] std::string discover_certctls(const std::vector<ServedCertctl>& certctls,
                                            const Advertised& advertised);

// One target group: the exporter's own metrics.
[[nodiscard]] std::string discover_exporter(const Advertised& advertised);

}  // namespace bao_exporter
