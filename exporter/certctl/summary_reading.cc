#include "certctl/summary_reading.h"

namespace bao_exporter::certctl {

std::optional<Error> SummaryReading::take(std::string_view json) {
  auto read = read_json(json, what_);
  if (!read.ok()) return read.error();
  Fields fields(read.value(), what_ + ": the answer");
  if (fields.error()) return fields.error();
  counts_.add_all(statuses_);
  for (const auto& [key, value] : read.value().items()) {
    const std::size_t rows = fields.count(key.c_str());
    if (fields.error()) return fields.error();
    add(key, rows);
  }
  if (auto error = check()) return error;
  done_ = true;
  return std::nullopt;
}

void SummaryReading::add(const std::string& key, std::size_t rows) {
  count(normalised(label_text(key), statuses_), rows);
}

}  // namespace bao_exporter::certctl
