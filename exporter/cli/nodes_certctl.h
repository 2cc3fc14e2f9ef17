// The certctl servers of `nodes`.
#pragma once

#include <vector>

#include "bao_exporter/config.h"
#include "bao_exporter/exposition.h"
#include "cli/nodes_table.h"

namespace bao_exporter::cli {

// A head, and a line for each server of the configuration, as the running exporter's answer has it.
[[nodiscard]] Table certctl_table(const std::vector<CertctlConfig>& servers,
                                  const Exposition& exposition);

}  // namespace bao_exporter::cli
