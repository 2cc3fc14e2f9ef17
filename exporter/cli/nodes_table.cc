#include "cli/nodes_table.h"

#include <algorithm>
#include <iomanip>
#include <iostream>
#include <sstream>

#include "bao_exporter/format.h"

namespace bao_exporter::cli {

std::string label_of(const Exposition& exposition, const Sample& sample, std::string_view name) {
  for (const Label& label : exposition.labels_of(sample)) {
    if (label.name == name) return unescape_label_value(label.value);
  }
  return {};
}

void print(const Table& table) {
  std::vector<std::size_t> widths(table[0].size());
  for (const auto& line : table) {
    for (std::size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], line[i].size());
  }
  for (const auto& line : table) {
    std::ostringstream out;
    for (std::size_t i = 0; i < line.size(); ++i) {
      out << std::left << std::setw(static_cast<int>(widths[i]) + 2) << line[i];
    }
    std::string text = out.str();
    text.erase(text.find_last_not_of(' ') + 1);
    std::cout << text << '\n';
  }
}

}  // namespace bao_exporter::cli
