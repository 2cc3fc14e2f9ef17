// Our own families as text: counters and histograms from prometheus-cpp's registry, gauges from
// state; all written by our formatter (prometheus-cpp's own does not escape HELP and rounds
// values).
#pragma once

#include <prometheus/metric_family.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bao_exporter/format.h"

namespace bao_exporter {

using LabelList = std::vector<std::pair<std::string, std::string>>;

class OwnText {
 public:
  void family(std::string_view name, std::string_view help, MetricType type);
  // A sample of the family written last; `labels` as given by render_identity().
  void sample(std::string_view labels, double value);
  void append(const std::vector<prometheus::MetricFamily>& families);

  [[nodiscard]] std::string take() { return std::move(text_); }

 private:
  void line(std::string_view suffix, std::string_view labels, double value);
  void append_metric(const prometheus::ClientMetric& metric, prometheus::MetricType type);

  std::string text_;
  std::string name_;
};

// The first label list, then the second, escaped: a="1",b="2". Empty values are left out.
[[nodiscard]] std::string join_labels(std::string_view rendered, std::string_view name,
                                      std::string_view value);

}  // namespace bao_exporter
