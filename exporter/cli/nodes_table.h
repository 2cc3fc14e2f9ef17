// What `nodes` reads and prints: samples of the exporter's own answer, and aligned columns.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "bao_exporter/exposition.h"

namespace bao_exporter::cli {

// Empty: it has none of that name.
[[nodiscard]] std::string label_of(const Exposition& exposition, const Sample& sample,
                                   std::string_view name);

// The first line is the head.
using Table = std::vector<std::vector<std::string>>;
void print(const Table& table);

}  // namespace bao_exporter::cli
