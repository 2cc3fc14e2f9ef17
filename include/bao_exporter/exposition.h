// Prometheus text exposition format 0.0.4, read strictly and without loss.
//
// Law (tests/unit/exposition_property_test.cc):
//     parse(format(parse(text))) equals parse(text)      for every text that is accepted
//
// Source of the grammar: Prometheus' "Exposition formats" document, text format 0.0.4, read
// strictly: the lines of a family stand together, HELP and TYPE at most once and before its
// samples, names of samples fit the TYPE, no series twice, no byte that is not UTF-8, a newline at
// the end. Names may stand in quotes, as Prometheus 3 reads them: the metric's anywhere in the
// braces, labels', and after HELP and TYPE. An Exposition has what is between the quotes, with its
// escapes (\\ \" \n) as they stood; equal bytes are equal names, and {"a"} is a.
//
// Lifetime: all views point into the caller's `text`, which must outlive the Exposition.
// Threads: parse() has no state; an Exposition is immutable once it is shared.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bao_exporter/result.h"

namespace bao_exporter {

enum class MetricType : std::uint8_t { kUntyped, kCounter, kGauge, kSummary, kHistogram };

// "untyped", "counter", ...
[[nodiscard]] std::string_view metric_type_name(MetricType type) noexcept;

// The value keeps the escapes (\\ \" \n) as they stood: that form is unique, so equal bytes mean
// equal values.
struct Label {
  std::string_view name;
  std::string_view value;
  friend bool operator==(const Label&, const Label&) = default;
};

struct Sample {
  std::string_view name;       // with _sum, _count, _bucket as sent
  std::string_view value;      // byte for byte as sent
  std::string_view timestamp;  // milliseconds; empty when there is none. Never re-exposed
  std::uint32_t label_begin = 0;
  std::uint32_t label_count = 0;
};

struct Family {
  std::string_view name;
  std::string_view help;  // with its escapes (\\ \n) as sent
  MetricType type = MetricType::kUntyped;
  bool has_help = false;
  bool has_type = false;
  std::uint32_t sample_begin = 0;
  std::uint32_t sample_count = 0;  // may be 0: a family that is only announced
};

// Families in the order of the text; samples and labels are one array each.
class Exposition {
 public:
  std::vector<Family> families;
  std::vector<Sample> samples;
  std::vector<Label> labels;

  [[nodiscard]] std::span<const Sample> samples_of(const Family& f) const {
    return {samples.data() + f.sample_begin, f.sample_count};
  }
  [[nodiscard]] std::span<const Label> labels_of(const Sample& s) const {
    return {labels.data() + s.label_begin, s.label_count};
  }
};

struct ParseLimits {
  std::size_t samples_max = 50'000;
  std::size_t series_per_family_max = 10'000;
  std::size_t line_bytes_max = std::size_t{64} << 10;
  std::size_t labels_per_sample_max = 64;
};

// Takes time linear in `text` whatever it holds: `hash_seed` should differ from process to process,
// so that nobody can prepare colliding series. The seed does not change the result.
// Errors: kTruncated (no newline at the end), kMalformed, kDuplicateSeries, kLimitSamples,
// kLimitLine, kLimitLabels; detail is "line L, column C: what", columns count bytes from 1, and no
// byte of the text is quoted.
[[nodiscard]] Result<Exposition> parse(std::string_view text, const ParseLimits& limits,
                                       std::uint64_t hash_seed);

}  // namespace bao_exporter
