// The rules of the table [output]: what is done to the labels of upstream samples.
#pragma once

#include <memory>

#include "bao_exporter/config.h"
#include "config_reader.h"

namespace bao_exporter {

// output.relabel_preset, output.on_duplicate and each [[output.relabel]].
void read_relabel(TableReader& table, OutputConfig& output);

// The rules, then the preset's, of a configuration without problems; null: there are none.
[[nodiscard]] std::shared_ptr<const Relabel> ready_relabel(const OutputConfig& output);

}  // namespace bao_exporter
