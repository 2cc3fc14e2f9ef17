#include "bao_exporter/own_text.h"

#include "bao_exporter/node_part.h"

namespace bao_exporter {

namespace {

MetricType our_type(prometheus::MetricType type) {
  switch (type) {
    case prometheus::MetricType::Counter:
      return MetricType::kCounter;
    case prometheus::MetricType::Gauge:
      return MetricType::kGauge;
    case prometheus::MetricType::Summary:
      return MetricType::kSummary;
    case prometheus::MetricType::Histogram:
      return MetricType::kHistogram;
    default:
      return MetricType::kUntyped;
  }
}

std::string bound_text(double bound) {
  std::string text;
  append_value(text, bound);
  return text;
}

}  // namespace

std::string join_labels(std::string_view rendered, std::string_view name, std::string_view value) {
  std::string out(rendered);
  const std::string added = render_identity({{name, value}});
  if (!out.empty() && !added.empty()) out += ',';
  return out + added;
}

void OwnText::family(std::string_view name, std::string_view help, MetricType type) {
  name_ = name;
  std::string escaped;
  append_escaped_help(escaped, help);
  append_family_header(text_, name, true, escaped, type);
}

void OwnText::sample(std::string_view labels, double value) { line("", labels, value); }

void OwnText::line(std::string_view suffix, std::string_view labels, double value) {
  text_ += name_;
  text_ += suffix;
  if (!labels.empty()) {
    text_ += '{';
    text_ += labels;
    text_ += '}';
  }
  text_ += ' ';
  append_value(text_, value);
  text_ += '\n';
}

void OwnText::append(const std::vector<prometheus::MetricFamily>& families) {
  for (const prometheus::MetricFamily& source : families) {
    if (source.metric.empty()) continue;
    family(source.name, source.help, our_type(source.type));
    for (const prometheus::ClientMetric& metric : source.metric) append_metric(metric, source.type);
  }
}

void OwnText::append_metric(const prometheus::ClientMetric& metric, prometheus::MetricType type) {
  std::string labels;
  for (const auto& label : metric.label) labels = join_labels(labels, label.name, label.value);
  if (type == prometheus::MetricType::Counter) return line("", labels, metric.counter.value);
  if (type == prometheus::MetricType::Gauge) return line("", labels, metric.gauge.value);
  BAO_CHECK(type == prometheus::MetricType::Histogram);  // We have no other kinds.
  for (const auto& bucket : metric.histogram.bucket) {
    line("_bucket", join_labels(labels, "le", bound_text(bucket.upper_bound)),
         static_cast<double>(bucket.cumulative_count));
  }
  line("_sum", labels, metric.histogram.sample_sum);
  line("_count", labels, static_cast<double>(metric.histogram.sample_count));
}

}  // namespace bao_exporter
