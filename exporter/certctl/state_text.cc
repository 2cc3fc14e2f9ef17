#include "certctl/state_text.h"

#include "bao_exporter/format.h"

namespace bao_exporter::certctl {

void StateText::gauge(std::string_view name, std::string_view help) {
  name_ = name;
  std::string escaped;
  append_escaped_help(escaped, help);
  append_family_header(text_, name, /*has_help=*/true, escaped, MetricType::kGauge);
}

void StateText::sample(const Labels& labels, double value) {
  text_ += name_;
  char separator = '{';
  for (const auto& [name, label] : labels) {
    text_ += separator;
    text_ += name;
    text_ += "=\"";
    append_escaped_label_value(text_, label);
    text_ += '"';
    separator = ',';
  }
  if (!labels.empty()) text_ += '}';
  text_ += ' ';
  append_value(text_, value);
  text_ += '\n';
}

}  // namespace bao_exporter::certctl
