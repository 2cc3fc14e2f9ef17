// One family after the rules: its lines, each series once.
//
// Samples that the rules make equal:
//   counter, gauge      are summed
//   untyped             the first stays: what it means to add them is not known
//   histogram           buckets, _sum and _count are summed; buckets only where every histogram
//                       that went in has the same ones, else they are dropped
//   summary             _sum and _count are summed, quantiles are dropped: they cannot be added
// With OnDuplicate::kDrop the first series stays whole (of histograms and summaries all its
// samples) and the others are dropped. What is dropped is counted as duplicate_after_relabel; what
// is summed is not. Values that were not summed stay byte for byte.
//
// A family that no rule touches is not rendered here. What add() makes of a sample depends on its
// name, its labels and the rules alone; what finish() writes depends on all samples of the family
// where `merged` is set, and must then be made anew whenever any of them changes.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "bao_exporter/exposition.h"
#include "bao_exporter/relabel.h"
#include "exposition/label_set.h"

namespace bao_exporter {

// For one source: its families one after the other. Not shared between threads.
class RelabelledFamily {
 public:
  struct Outcome {
    bool touched = false;  // false: nothing was written, the lines are as without rules
    bool merged = false;   // some samples became equal
    std::uint32_t samples = 0;
    std::uint64_t dropped_by_rule = 0;
    std::uint64_t duplicates = 0;
  };

  // `identity` as in RelabelPlan. Both must outlive it.
  RelabelledFamily(const Relabel& rules, std::string_view identity, std::uint64_t hash_seed);

  void begin(std::string_view name, MetricType type);
  // Name and labels as they leave the plan: none needs quotes. Labels may end with the call; name
  // and value must live on. False:
  // a rule drops the sample. Where nothing is merged, finish() writes a line for each other one, in
  // the order they came, each with its value as it was.
  bool add(std::string_view name, std::span<const Label> labels, std::string_view value);
  // Appends whole lines to `out`.
  [[nodiscard]] Outcome finish(std::string& out);

  // How often rules wanted what they may not do, in all families so far.
  [[nodiscard]] std::uint64_t refused() const { return run_.refused(); }

 private:
  // A piece of texts_.
  struct Extent {
    std::size_t from = 0;
    std::size_t size = 0;
  };
  struct Line {
    std::string_view name;
    std::string_view value;
    Extent labels;            // rendered, without identity
    Extent group;             // labels by name, without `le` and `quantile`
    Extent series;            // the group, the name, and the value of `le` or `quantile`
    Extent source;            // the labels that it came with, likewise without
    bool is_part = false;     // a bucket or a quantile
    std::uint32_t count = 1;  // samples in it; 0: it went into another one, or was dropped
    double sum = 0;           // of more than one
  };
  // Histograms or summaries that the rules gave the same labels.
  struct Group {
    std::string_view first_source;
    std::uint32_t sources = 0;
    bool same_buckets = true;
  };
  struct Hash {
    std::uint64_t seed;
    std::size_t operator()(std::string_view text) const;
  };
  using Numbers = std::unordered_map<std::string_view, std::uint32_t, Hash>;

  [[nodiscard]] bool has_parts() const {
    return type_ == MetricType::kHistogram || type_ == MetricType::kSummary;
  }
  [[nodiscard]] bool is_part(std::string_view sample) const;
  [[nodiscard]] bool is_part_label(std::string_view label) const;
  [[nodiscard]] bool may_sum(const Line& line) const;
  [[nodiscard]] std::string_view text_of(Extent extent) const {
    return std::string_view(texts_).substr(extent.from, extent.size);
  }
  void take_labels(std::string_view name, std::span<const Label> labels);
  void note_labels();
  [[nodiscard]] Extent write_key();
  [[nodiscard]] Extent write_labels();
  void write_series(Line& line);
  void merge_equal(const std::vector<std::uint32_t>& lines, Outcome& outcome);
  void merge_parts(Outcome& outcome);
  std::vector<std::uint32_t> group_lines(std::vector<Group>& groups) const;
  void drop(Line& line, Outcome& outcome);
  void write_series_text(std::string& out, const Line& line) const;
  void write_lines(std::string& out, Outcome& outcome) const;

  const Relabel& rules_;
  std::string_view identity_;
  std::uint64_t seed_;
  RelabelRun run_;
  std::vector<std::pair<std::string, std::string>> identity_labels_;
  std::string_view name_;
  MetricType type_ = MetricType::kUntyped;
  bool touched_ = false;
  std::uint64_t dropped_by_rule_ = 0;
  std::vector<Line> lines_;
  std::string texts_;
  bool adds_part_ = false;              // a bucket or a quantile is being added
  LabelSet labels_;                     // of the sample that is being added
  std::vector<LabelSet::Entry> noted_;  // of them, what is written
};

}  // namespace bao_exporter
