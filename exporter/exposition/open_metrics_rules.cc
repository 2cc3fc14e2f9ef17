#include "exposition/open_metrics_rules.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <unordered_set>
#include <vector>

#include "bao_exporter/format.h"

namespace bao_exporter {

namespace {

bool is_count(double value) {
  return value >= 0 && std::isfinite(value) && std::floor(value) == value;
}

std::string_view label_of_name(const Exposition& exposition, const Sample& sample,
                               std::string_view name) {
  for (const Label& label : exposition.labels_of(sample)) {
    if (label.name == name) return label.value;
  }
  return {};
}

// The labels but `without`, in the order of their names: the metric that a sample is of.
std::string metric_of(const Exposition& exposition, const Sample& sample,
                      std::string_view without) {
  const auto all = exposition.labels_of(sample);
  std::vector<Label> labels(all.begin(), all.end());
  std::erase_if(labels, [&](const Label& label) { return label.name == without; });
  std::sort(labels.begin(), labels.end(),
            [](const Label& a, const Label& b) { return a.name < b.name; });
  std::string key;
  for (const Label& label : labels) {
    key.append(label.name).append("=\"").append(label.value).append("\"");
  }
  return key;
}

// Goes through the samples metric by metric; true when each metric's samples stand together and
// `rule`, which begins anew with each, takes all of them.
template <typename Rule>
bool each_metric(const Exposition& exposition, const Family& family, std::string_view bare_label,
                 std::string_view bare_suffix) {
  std::unordered_set<std::string> seen;
  std::string current;
  Rule rule;
  bool begun = false;
  for (const Sample& sample : exposition.samples_of(family)) {
    const std::string_view suffix = sample.name.substr(family.name.size());
    const bool bare = suffix == bare_suffix;
    std::string metric = metric_of(exposition, sample, bare ? bare_label : "");
    if (!begun || metric != current) {
      if (begun && !rule.ends()) return false;
      if (!seen.insert(metric).second) return false;
      current = std::move(metric);
      rule = Rule();
      begun = true;
    }
    const std::string_view bound =
        bare ? label_of_name(exposition, sample, bare_label) : std::string_view();
    if (!rule.take(suffix, bound, read_value(sample.value))) return false;
  }
  return !begun || rule.ends();
}

struct SummaryRule {
  static bool take(std::string_view suffix, std::string_view quantile, double value) {
    if (suffix == "_count") return is_count(value);
    if (suffix == "_sum") return value >= 0;
    const double q = read_value(quantile);
    return q >= 0 && q <= 1 && !(value < 0);
  }
  static bool ends() { return true; }
};

class HistogramRule {
 public:
  bool take(std::string_view suffix, std::string_view le, double value) {
    if (suffix == "_bucket") return take_bucket(le, value);
    if (suffix == "_sum") {
      has_sum_ = true;
      return value >= 0;
    }
    has_count_ = true;
    count_ = value;
    return is_count(value);
  }

  [[nodiscard]] bool ends() const {
    if (bound_ != kInfinity || has_sum_ != has_count_) return false;
    return !has_count_ || (count_ == in_bucket_ && !negative_);
  }

 private:
  bool take_bucket(std::string_view le, double value) {
    const double bound = read_value(le);
    if (std::isnan(bound) || (std::isinf(bound) && le != "+Inf")) return false;
    if (has_bucket_ && bound <= bound_) return false;
    if (!is_count(value) || value < in_bucket_) return false;
    negative_ = negative_ || bound < 0;
    has_bucket_ = true;
    bound_ = bound;
    in_bucket_ = value;
    return true;
  }

  static constexpr double kInfinity = std::numeric_limits<double>::infinity();
  double bound_ = 0;  // of the last bucket, if there was one
  double in_bucket_ = 0;
  double count_ = 0;
  bool has_bucket_ = false;
  bool negative_ = false;
  bool has_sum_ = false;
  bool has_count_ = false;
};

bool is_counter(const Exposition& exposition, const Family& family) {
  if (!family.name.ends_with(kCounterSuffix) || family.name.size() == kCounterSuffix.size()) {
    return false;
  }
  const auto samples = exposition.samples_of(family);
  return std::all_of(samples.begin(), samples.end(),
                     [](const Sample& sample) { return read_value(sample.value) >= 0; });
}

}  // namespace

bool is_open_metrics_legal(const Exposition& exposition, const Family& family) {
  switch (family.type) {
    case MetricType::kUntyped:
    case MetricType::kGauge:
      return true;
    case MetricType::kCounter:
      return is_counter(exposition, family);
    case MetricType::kSummary:
      return each_metric<SummaryRule>(exposition, family, "quantile", "");
    case MetricType::kHistogram:
      return each_metric<HistogramRule>(exposition, family, "le", "_bucket");
  }
  return false;
}

}  // namespace bao_exporter
