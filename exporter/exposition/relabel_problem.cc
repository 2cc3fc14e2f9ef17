// What is wrong with a rule, before it is run: Prometheus' own conditions, and ours.
#include <algorithm>

#include "bao_exporter/relabel.h"
#include "exposition/names.h"
#include "exposition/relabel_rule.h"
#include "exposition/relabel_template.h"
#include "exposition/text_rules.h"

namespace bao_exporter {

namespace {

using Action = RelabelAction;
using Problem = std::optional<RelabelProblem>;

constexpr std::string_view kNameForm =
    "must be letters, digits and _, and start with no digit; write a name of a label";

bool contains(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// A name with $1, ${1} or ${name} in it, as Prometheus takes it where names are the old ones.
bool is_name_template(std::string_view text) {
  if (text.empty() || text_rules::is_digit(text.front())) return false;
  while (!text.empty()) {
    const bool is_group = text.front() == '$';
    if (is_group) text.remove_prefix(1);
    const bool braced = is_group && text.starts_with('{');
    if (braced) text.remove_prefix(1);
    const auto end = std::find_if_not(text.begin(), text.end(), text_rules::is_label_byte);
    if (end == text.begin()) return false;
    text.remove_prefix(static_cast<std::size_t>(end - text.begin()));
    if (braced && !text.starts_with('}')) return false;
    if (braced) text.remove_prefix(1);
  }
  return true;
}

// Of a name that a rule would make whatever the sample is.
Problem problem_of_made(const std::string& key, const std::string& name,
                        const RelabelBounds& bounds) {
  if (!is_label_name(name)) return RelabelProblem{key, std::string(kNameForm)};
  if (contains(bounds.fixed, name)) {
    return RelabelProblem{key, "rules cannot change the label '" + name +
                                   "', they can only read it; choose another name"};
  }
  const bool prefixed = !bounds.reserved_prefix.empty() && name.starts_with(bounds.reserved_prefix);
  if (!prefixed && !contains(bounds.reserved, name)) return std::nullopt;
  return RelabelProblem{key, "the name '" + name +
                                 "' is reserved; choose another one (what is only needed between "
                                 "two rules is removed by a labeldrop after them)"};
}

Problem problem_of_template(const std::string& key, const std::string& text,
                            const RelabelBounds& bounds) {
  if (text.find('$') == std::string::npos) return problem_of_made(key, text, bounds);
  if (is_name_template(text)) return std::nullopt;
  return RelabelProblem{key,
                        "must become the name of a label: letters, digits, _, $1 and ${name}, "
                        "starting with no digit"};
}

bool needs_target(Action action) {
  return action == Action::kReplace || action == Action::kHashMod || action == Action::kLowercase ||
         action == Action::kUppercase || action == Action::kKeepEqual ||
         action == Action::kDropEqual;
}

Problem problem_of_target(const RelabelRule& rule, const RelabelBounds& bounds) {
  const std::string key = "target_label";
  if (!needs_target(rule.action)) return std::nullopt;
  if (rule.target_label.empty()) {
    return RelabelProblem{key, "is required for this action; name the label"};
  }
  if (rule.action == Action::kKeepEqual || rule.action == Action::kDropEqual) {
    if (is_label_name(rule.target_label)) return std::nullopt;
    return RelabelProblem{key, std::string(kNameForm)};
  }
  if (rule.action == Action::kReplace) return problem_of_template(key, rule.target_label, bounds);
  return problem_of_made(key, rule.target_label, bounds);
}

Problem problem_of_names(const RelabelRule& rule, const RelabelBounds& bounds) {
  for (const std::string& name : rule.source_labels) {
    if (is_label_name(name)) continue;
    return RelabelProblem{"source_labels",
                          "has a name that no label can have; a name is letters, digits and _, and "
                          "starts with no digit"};
  }
  if (auto problem = problem_of_target(rule, bounds)) return problem;
  if (rule.action == Action::kLabelMap) {
    if (auto problem = problem_of_template("replacement", rule.replacement, bounds)) return problem;
  }
  if (!RelabelTemplate::is_ambiguous(rule.replacement)) return std::nullopt;
  return RelabelProblem{"replacement",
                        "has a $ group right before a letter that is not ASCII; write the group "
                        "as ${1}"};
}

Problem problem_of_regex(const RelabelRule& rule, const RelabelBounds& bounds,
                         const MatcherMaker& make) {
  auto made = make(rule.regex);
  if (!made.ok()) return RelabelProblem{"regex", made.error().detail};
  if (rule.action != Action::kLabelDrop) return std::nullopt;
  for (const std::string& name : bounds.fixed) {
    if (!made.value()->match(name)) continue;
    return RelabelProblem{"regex", "takes in the label '" + name +
                                       "', which rules cannot remove; make it narrower, or use "
                                       "labelkeep, which keeps such labels by itself"};
  }
  return std::nullopt;
}

}  // namespace

std::optional<RelabelProblem> Relabel::problem_of(const RelabelRule& rule,
                                                  const RelabelBounds& bounds,
                                                  const MatcherMaker& make) {
  if (rule.action == Action::kHashMod && rule.modulus == 0) {
    return RelabelProblem{"modulus", "is required for hashmod; it must be 1 or more"};
  }
  if (auto problem = problem_of_names(rule, bounds)) return problem;
  return problem_of_regex(rule, bounds, make);
}

}  // namespace bao_exporter
