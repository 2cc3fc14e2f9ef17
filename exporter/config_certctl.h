// The table [[certctl]]: a certctl server, its key, and what is read of it.
#pragma once

#include "bao_exporter/config.h"
#include "config_parts.h"

namespace bao_exporter {

// The clusters were read before: no certctl server has the name of one.
void read_certctl(TableReader& table, CertctlConfig& certctl, FirstSeen& names,
                  const FirstSeen& clusters);

}  // namespace bao_exporter
