// The table [openbao.auth]: where the token of a cluster comes from.
#pragma once

#include "bao_exporter/config.h"
#include "config_reader.h"

namespace bao_exporter {

void read_auth(TableReader& table, AuthConfig& auth);

// What a method asks of the rest of the cluster's table, which was read before: nodes to log in at,
// a client certificate.
void check_auth(TableReader& cluster_table, const ClusterConfig& cluster);

}  // namespace bao_exporter
