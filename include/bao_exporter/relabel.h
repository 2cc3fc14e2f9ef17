// Relabel rules: Prometheus' metric_relabel_configs, applied to the samples of upstreams.
//
// Source: Prometheus' model/relabel (compared with it by tests/reference/go_relabel). Where we are
// stricter, and why:
//   - names are those of the text format 0.0.4, also of what a template makes;
//   - a fixed label (identity, __name__, le, quantile) can be read, and neither changed nor
//   removed;
//   - a reserved name can be removed, and not made.
// What a rule does against this by its configuration is a problem of the configuration. What only
// shows when it runs (a template, labelmap) leaves the labels as they are, and is counted.
//
// Pure: no I/O, no clock, no log; regular expressions come in by MatcherMaker. Threads: a Relabel
// is immutable and may be shared; a RelabelRun belongs to one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bao_exporter/result.h"

namespace bao_exporter {

// A regular expression that has to match the whole text. Immutable, may be shared.
class Matcher {
 public:
  Matcher() = default;
  Matcher(const Matcher&) = delete;
  Matcher& operator=(const Matcher&) = delete;
  virtual ~Matcher();

  [[nodiscard]] virtual bool match(std::string_view text) const = 0;
  // As match(). `groups` gets the text and then what each pair of brackets took: views into `text`,
  // empty where it took nothing.
  [[nodiscard]] virtual bool match(std::string_view text,
                                   std::vector<std::string_view>& groups) const = 0;
  // The number of the group with that name, or -1.
  [[nodiscard]] virtual int group_of(std::string_view name) const = 0;
};

// Error: kConfig, detail says what is wrong with the expression.
using MatcherMaker =
    std::function<Result<std::shared_ptr<const Matcher>>(const std::string& expression)>;

enum class RelabelAction : std::uint8_t {
  kReplace,
  kKeep,
  kDrop,
  kLabelDrop,
  kLabelKeep,
  kLabelMap,
  kHashMod,
  kLowercase,
  kUppercase,
  kKeepEqual,
  kDropEqual,
};

// One rule as it is configured; the defaults are Prometheus'.
struct RelabelRule {
  RelabelAction action = RelabelAction::kReplace;
  std::vector<std::string> source_labels;
  std::string separator = ";";
  std::string regex = "(.*)";
  std::uint64_t modulus = 0;
  std::string target_label;
  std::string replacement = "$1";
  friend bool operator==(const RelabelRule&, const RelabelRule&) = default;
};

// What becomes of samples that the rules make equal: see RelabelledFamily.
enum class OnDuplicate : std::uint8_t { kSum, kDrop };

// Names that are not the rules' own.
struct RelabelBounds {
  std::vector<std::string> fixed;     // neither changed nor removed
  std::vector<std::string> reserved;  // not made
  std::string reserved_prefix;        // no name with it is made; empty: none
};

// What is wrong with a rule: the key as in the configuration, and what to do.
struct RelabelProblem {
  std::string key;
  std::string text;
};

class LabelSet;
struct CompiledRule;

class Relabel {
 public:
  // Lists longer than this are refused, so that labelmap upon labelmap ends somewhere.
  static constexpr std::size_t kRulesMax = 100;
  // A value or a set of labels that rules make longer than this stays as it was.
  static constexpr std::size_t kValueBytesMax = std::size_t{64} << 10;
  static constexpr std::size_t kLabelsMax = 1'000;

  // nullopt: the rule can be used.
  [[nodiscard]] static std::optional<RelabelProblem> problem_of(const RelabelRule& rule,
                                                                const RelabelBounds& bounds,
                                                                const MatcherMaker& make);

  // Every rule must be without problem.
  Relabel(const std::vector<RelabelRule>& rules, RelabelBounds bounds, OnDuplicate on_duplicate,
          const MatcherMaker& make);
  Relabel(const Relabel&) = delete;
  Relabel& operator=(const Relabel&) = delete;
  ~Relabel();

  [[nodiscard]] OnDuplicate on_duplicate() const { return on_duplicate_; }
  [[nodiscard]] bool is_fixed(std::string_view name) const;
  // The result may depend on the order in which labels are visited: LabelSet::sort() is needed.
  [[nodiscard]] bool needs_order() const { return needs_order_; }

 private:
  friend class RelabelRun;
  [[nodiscard]] bool may_make(std::string_view name) const;

  std::vector<CompiledRule> rules_;
  RelabelBounds bounds_;
  OnDuplicate on_duplicate_;
  bool needs_order_ = false;
};

// Applies the rules to one label set after the other, and remembers what it learned of names.
class RelabelRun {
 public:
  // `rules` must outlive it. `seed` differs from process to process.
  RelabelRun(const Relabel& rules, std::uint64_t seed);
  ~RelabelRun();

  // False: the sample is dropped. Then `labels` are as they were before the rule that dropped it.
  [[nodiscard]] bool apply(LabelSet& labels);

  // How often a rule wanted what it may not do, in all.
  [[nodiscard]] std::uint64_t refused() const { return refused_; }

 private:
  struct NameVerdict;
  [[nodiscard]] bool run(std::size_t rule, LabelSet& labels);
  [[nodiscard]] std::string_view source_of(const CompiledRule& rule, const LabelSet& labels);
  const NameVerdict& verdict_on(std::size_t rule, std::string_view name);
  void replace(const CompiledRule& rule, std::string_view source, LabelSet& labels);
  void set(LabelSet& labels, std::string_view name, std::string_view value);
  void map_names(std::size_t rule, LabelSet& labels);
  void drop_names(std::size_t rule, LabelSet& labels);

  const Relabel& rules_;
  std::uint64_t seed_;
  std::uint64_t refused_ = 0;
  std::vector<NameVerdict> verdicts_;
  std::vector<std::string_view> groups_;
  std::string source_;
  std::string target_;
  std::string value_;
};

// The rules of `output.relabel_preset = "safe"`: without labels that name secrets, people or
// clients, or that have a value for each of many things.
[[nodiscard]] std::vector<RelabelRule> safe_relabel_rules();

}  // namespace bao_exporter
