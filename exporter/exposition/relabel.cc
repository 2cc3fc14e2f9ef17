// Running the rules. What is wrong with one is told by relabel_problem.cc.
#include "bao_exporter/relabel.h"

#include <algorithm>
#include <array>

#include "bao_exporter/check.h"
#include "bao_exporter/hash.h"
#include "exposition/label_set.h"
#include "exposition/letter_case.h"
#include "exposition/md5.h"
#include "exposition/names.h"
#include "exposition/relabel_rule.h"

namespace bao_exporter {

namespace {

using Action = RelabelAction;

// For each rule, of a power of two: what it says of the names seen last.
constexpr std::size_t kVerdicts = 256;

bool has_matcher(Action action) {
  return action == Action::kReplace || action == Action::kKeep || action == Action::kDrop ||
         action == Action::kLabelDrop || action == Action::kLabelKeep ||
         action == Action::kLabelMap;
}

bool contains(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

CompiledRule compile(const RelabelRule& rule, const MatcherMaker& make) {
  CompiledRule out;
  out.action = rule.action;
  out.source_labels = rule.source_labels;
  out.separator = rule.separator;
  out.modulus = rule.modulus;
  out.target_label = rule.target_label;
  if (has_matcher(rule.action)) {
    auto made = make(rule.regex);
    BAO_CHECK(made.ok());
    out.matcher = std::move(made).value();
  }
  out.target = RelabelTemplate(rule.target_label, out.matcher.get());
  out.replacement = RelabelTemplate(rule.replacement, out.matcher.get());
  return out;
}

}  // namespace

Matcher::~Matcher() = default;

Relabel::Relabel(const std::vector<RelabelRule>& rules, RelabelBounds bounds,
                 OnDuplicate on_duplicate, const MatcherMaker& make)
    : bounds_(std::move(bounds)), on_duplicate_(on_duplicate) {
  for (const RelabelRule& rule : rules) {
    rules_.push_back(compile(rule, make));
    needs_order_ = needs_order_ || rule.action == Action::kLabelMap;
  }
}

Relabel::~Relabel() = default;

bool Relabel::is_fixed(std::string_view name) const { return contains(bounds_.fixed, name); }

bool Relabel::may_make(std::string_view name) const {
  if (!is_label_name(name) || is_fixed(name) || contains(bounds_.reserved, name)) return false;
  return bounds_.reserved_prefix.empty() || !name.starts_with(bounds_.reserved_prefix);
}

// What a rule that looks at names says of one: that does not depend on anything else.
struct RelabelRun::NameVerdict {
  bool known = false;
  bool matches = false;
  std::string name;
  std::string mapped;  // labelmap: the new name
};

RelabelRun::RelabelRun(const Relabel& rules, std::uint64_t seed) : rules_(rules), seed_(seed) {
  verdicts_.resize(rules.rules_.size() * kVerdicts);
}

RelabelRun::~RelabelRun() = default;

bool RelabelRun::apply(LabelSet& labels) {
  for (std::size_t rule = 0; rule < rules_.rules_.size(); ++rule) {
    if (!run(rule, labels)) return false;
  }
  return true;
}

bool RelabelRun::run(std::size_t index, LabelSet& labels) {
  const CompiledRule& rule = rules_.rules_[index];
  switch (rule.action) {
    case Action::kReplace:
      replace(rule, source_of(rule, labels), labels);
      return true;
    case Action::kKeep:
      return rule.matcher->match(source_of(rule, labels));
    case Action::kDrop:
      return !rule.matcher->match(source_of(rule, labels));
    case Action::kKeepEqual:
      return labels.get(rule.target_label) == source_of(rule, labels);
    case Action::kDropEqual:
      return labels.get(rule.target_label) != source_of(rule, labels);
    case Action::kLowercase:
      set(labels, rule.target_label, to_lower(source_of(rule, labels)));
      return true;
    case Action::kUppercase:
      set(labels, rule.target_label, to_upper(source_of(rule, labels)));
      return true;
    case Action::kHashMod:
      set(labels, rule.target_label,
          std::to_string(md5_tail(source_of(rule, labels)) % rule.modulus));
      return true;
    case Action::kLabelMap:
      map_names(index, labels);
      return true;
    case Action::kLabelDrop:
    case Action::kLabelKeep:
      drop_names(index, labels);
      return true;
  }
  return true;
}

// The view lives until the next call, or until the label changes.
std::string_view RelabelRun::source_of(const CompiledRule& rule, const LabelSet& labels) {
  if (rule.source_labels.size() == 1) return labels.get(rule.source_labels.front());
  source_.clear();
  for (std::size_t i = 0; i < rule.source_labels.size(); ++i) {
    if (i > 0) source_ += rule.separator;
    source_ += labels.get(rule.source_labels[i]);
  }
  return source_;
}

void RelabelRun::replace(const CompiledRule& rule, std::string_view source, LabelSet& labels) {
  if (!rule.matcher->match(source, groups_)) return;
  target_.clear();
  value_.clear();
  rule.target.expand(groups_, target_);
  rule.replacement.expand(groups_, value_);
  set(labels, target_, value_);
}

void RelabelRun::set(LabelSet& labels, std::string_view name, std::string_view value) {
  const std::string_view before = labels.get(name);
  const bool may = value.empty() ? !rules_.is_fixed(name) : rules_.may_make(name);
  const bool fits = value.size() <= Relabel::kValueBytesMax &&
                    (!before.empty() || labels.size() < Relabel::kLabelsMax);
  if (may && fits) {
    labels.set(name, value);  // also what it has: it is visited later then
  } else if (before != value) {
    ++refused_;
  }
}

const RelabelRun::NameVerdict& RelabelRun::verdict_on(std::size_t index, std::string_view name) {
  const std::size_t slot = hash_bytes(name, seed_) % kVerdicts;
  NameVerdict& verdict = verdicts_[index * kVerdicts + slot];
  if (verdict.known && verdict.name == name) return verdict;
  const CompiledRule& rule = rules_.rules_[index];
  verdict.known = true;
  verdict.name = name;
  verdict.mapped.clear();
  verdict.matches = rule.matcher->match(name, groups_);
  if (verdict.matches && rule.action == Action::kLabelMap) {
    rule.replacement.expand(groups_, verdict.mapped);
  }
  return verdict;
}

void RelabelRun::map_names(std::size_t index, LabelSet& labels) {
  // What is set here is not visited here.
  std::vector<LabelSet::Entry> visited = labels.came();
  visited.insert(visited.end(), labels.added().begin(), labels.added().end());
  for (const LabelSet::Entry& entry : visited) {
    const NameVerdict& verdict = verdict_on(index, entry.name);
    if (verdict.matches) set(labels, verdict.mapped, entry.value);
  }
}

void RelabelRun::drop_names(std::size_t index, LabelSet& labels) {
  const bool drops = rules_.rules_[index].action == Action::kLabelDrop;
  std::array<std::string_view, 64> gone;
  std::size_t count = gone.size();
  while (count == gone.size()) {
    count = 0;
    for (const auto* entries : {&labels.came(), &labels.added()}) {
      for (const LabelSet::Entry& entry : *entries) {
        if (entry.fixed || verdict_on(index, entry.name).matches != drops) continue;
        if (count < gone.size()) gone[count++] = entry.name;
      }
    }
    for (std::size_t i = 0; i < count; ++i) labels.remove(gone[i]);
  }
}

std::vector<RelabelRule> safe_relabel_rules() {
  // A sum over the policies counts a token once for each of its policies.
  RelabelRule drop;
  drop.action = Action::kDrop;
  drop.source_labels = {"__name__"};
  drop.regex = ".*_token_count_by_policy";
  RelabelRule labels;
  labels.action = Action::kLabelDrop;
  labels.regex =
      "request_id|request_path|secret_path|mount_path|namespace_path|entity_id|token_accessor|"
      "auth_accessor|accessor|client_ip|client_address|remote_address|policy|mount_point|"
      "openbao_namespace|creation_ttl|role";
  return {drop, labels};
}

}  // namespace bao_exporter
