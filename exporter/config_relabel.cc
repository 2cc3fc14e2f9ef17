#include "config_relabel.h"

#include <algorithm>
#include <array>
#include <limits>
#include <string>
#include <utility>

#include "re2_matcher.h"
#include "reserved_names.h"

namespace bao_exporter {

namespace {

using Action = RelabelAction;

constexpr std::array<Word<RelabelPreset>, 2> kPresets = {
    {{"none", RelabelPreset::kNone}, {"safe", RelabelPreset::kSafe}}};
constexpr std::array<Word<OnDuplicate>, 2> kOnDuplicate = {
    {{"sum", OnDuplicate::kSum}, {"drop", OnDuplicate::kDrop}}};
constexpr std::array<Word<Action>, 11> kActions = {{{"replace", Action::kReplace},
                                                    {"keep", Action::kKeep},
                                                    {"drop", Action::kDrop},
                                                    {"labeldrop", Action::kLabelDrop},
                                                    {"labelkeep", Action::kLabelKeep},
                                                    {"labelmap", Action::kLabelMap},
                                                    {"hashmod", Action::kHashMod},
                                                    {"lowercase", Action::kLowercase},
                                                    {"uppercase", Action::kUppercase},
                                                    {"keepequal", Action::kKeepEqual},
                                                    {"dropequal", Action::kDropEqual}}};

// Which keys an action takes, and which it cannot do without. A key that would do nothing is
// refused, as is a rule that lacks what makes it one: both are mistakes.
struct Keys {
  Action action;
  std::array<std::string_view, 5> taken;
  std::array<std::string_view, 2> needed;
};
constexpr std::array<Keys, 11> kKeys = {{
    {Action::kReplace,
     {"source_labels", "separator", "regex", "target_label", "replacement"},
     {"target_label"}},
    {Action::kKeep, {"source_labels", "separator", "regex"}, {"source_labels", "regex"}},
    {Action::kDrop, {"source_labels", "separator", "regex"}, {"source_labels", "regex"}},
    {Action::kLabelDrop, {"regex"}, {"regex"}},
    {Action::kLabelKeep, {"regex"}, {"regex"}},
    {Action::kLabelMap, {"regex", "replacement"}, {"regex"}},
    {Action::kHashMod,
     {"source_labels", "separator", "modulus", "target_label"},
     {"source_labels", "target_label"}},
    {Action::kLowercase,
     {"source_labels", "separator", "target_label"},
     {"source_labels", "target_label"}},
    {Action::kUppercase,
     {"source_labels", "separator", "target_label"},
     {"source_labels", "target_label"}},
    {Action::kKeepEqual, {"source_labels", "target_label"}, {"source_labels", "target_label"}},
    {Action::kDropEqual, {"source_labels", "target_label"}, {"source_labels", "target_label"}},
}};
constexpr std::array<std::string_view, 6> kAllKeys = {
    "source_labels", "separator", "regex", "modulus", "target_label", "replacement"};

template <std::size_t N>
bool contains(const std::array<std::string_view, N>& keys, std::string_view key) {
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

RelabelBounds bounds() { return {fixed_labels(), reserved_labels(), "__"}; }

// True when the rule has all that its action needs, and nothing else.
bool check_keys(TableReader& table, const RelabelRule& rule) {
  const Action action = rule.action;
  const auto at = std::find_if(kKeys.begin(), kKeys.end(),
                               [&](const Keys& keys) { return keys.action == action; });
  const auto word = std::find_if(kActions.begin(), kActions.end(),
                                 [&](const auto& one) { return one.value == action; });
  const std::string name(word->text);
  bool good = true;
  for (const std::string_view key : kAllKeys) {
    if (!table.sound(key)) {
      good = false;
    } else if (table.given(key) && !contains(at->taken, key) &&
               (key != "modulus" || rule.modulus != 0)) {
      table.complain(key, "does nothing with action = \"" + name + "\"; remove it");
      good = false;
    } else if (!table.given(key) && contains(at->needed, key)) {
      table.complain(key, "is required with action = \"" + name + "\"; add it");
      good = false;
    }
  }
  return good;
}

void read_rule(TableReader& table, RelabelRule& rule) {
  int modulus = 0;
  table.word("action", rule.action, kActions);
  table.texts("source_labels", rule.source_labels);
  table.verbatim("separator", rule.separator);
  table.verbatim("regex", rule.regex);
  table.verbatim("target_label", rule.target_label);
  table.verbatim("replacement", rule.replacement);
  table.integer("modulus", modulus, 0, std::numeric_limits<int>::max());
  rule.modulus = static_cast<std::uint64_t>(modulus);
  if (!table.is_there() || !table.sound("action") || !check_keys(table, rule)) return;
  if (auto problem = Relabel::problem_of(rule, bounds(), make_re2_matcher)) {
    table.complain(problem->key, std::move(problem->text));
  }
}

}  // namespace

void read_relabel(TableReader& table, OutputConfig& output) {
  table.word("relabel_preset", output.relabel_preset, kPresets);
  table.word("on_duplicate", output.on_duplicate, kOnDuplicate);
  table.tables("relabel",
               [&](TableReader& rule) { read_rule(rule, output.relabel.emplace_back()); });
  if (output.relabel.size() <= Relabel::kRulesMax) return;
  table.complain("relabel", "are more than " + std::to_string(Relabel::kRulesMax) +
                                " rules; put several names into one regex");
}

std::shared_ptr<const Relabel> ready_relabel(const OutputConfig& output) {
  std::vector<RelabelRule> rules = output.relabel;
  if (output.relabel_preset == RelabelPreset::kSafe) {
    for (RelabelRule& rule : safe_relabel_rules()) rules.push_back(std::move(rule));
  }
  if (rules.empty()) return nullptr;
  return std::make_shared<const Relabel>(rules, bounds(), output.on_duplicate, make_re2_matcher);
}

}  // namespace bao_exporter
