// The table [listener]: where the port is, who is let in, and with what it shows itself.
#pragma once

#include "bao_exporter/config.h"
#include "config_reader.h"

namespace bao_exporter {

// `all_demo`: every cluster has the profile demo.
void read_listener(TableReader& table, ListenerConfig& listener, bool all_demo);

}  // namespace bao_exporter
