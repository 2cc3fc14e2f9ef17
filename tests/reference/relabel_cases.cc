// Writes random relabel rules, random labels, and what we make of them, a JSON object a line, for
// tests/reference/go_relabel. Usage: relabel_cases CASES SEED
#include <array>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <random>

#include "exposition/label_set.h"
#include "exposition/relabel_template.h"
#include "re2_matcher.h"

namespace {

using namespace bao_exporter;  // NOLINT(google-build-using-namespace)
using nlohmann::json;

constexpr std::array<const char*, 11> kActions = {"replace",   "keep",      "drop",     "labeldrop",
                                                  "labelkeep", "labelmap",  "hashmod",  "lowercase",
                                                  "uppercase", "keepequal", "dropequal"};

class Cases {
 public:
  explicit Cases(std::uint64_t seed) : random_(seed) {}

  json next() {
    std::vector<RelabelRule> rules;
    json out;
    out["Rules"] = json::array();
    for (std::size_t n = 1 + below(4); n > 0; --n) {
      rules.push_back(rule());
      out["Rules"].push_back(written(rules.back()));
    }
    LabelSet set;
    std::vector<std::pair<std::string, std::string>> labels = some_labels();
    out["Labels"] = labels;
    out["Ambiguous"] = ambiguous(rules);
    out["Refused"] = refused(rules);
    out["Keep"] = false;
    out["Result"] = json::array();
    if (!out["Refused"]) run(rules, labels, out);
    return out;
  }

 private:
  std::size_t below(std::size_t bound) { return random_() % bound; }
  template <std::size_t N>
  std::string one_of(const std::array<const char*, N>& texts) {
    return texts[below(N)];
  }

  std::string name() {
    constexpr std::array<const char*, 10> kNames = {
        "__name__", "a",      "b",           "ab",    "mount_point",
        "policy",   "kube_a", "kube_kube_a", "tmp_b", "_c"};
    return one_of(kNames);
  }
  std::string value() {
    constexpr std::array<const char*, 16> kValues = {
        "x",        "X",      "xy",           "secret/",  "secret/team/a",    "a;b",
        "1",        "42",     "\xC3\x84rger", "\xC4\xB0", "\xCE\xA3\xCF\x82", "\xF0\x90\x90\x80",
        "\xC3\x9F", "kube_b", "a\nb",         ""};
    std::string text = one_of(kValues);
    return below(4) == 0 ? text + one_of(kValues) : text;
  }
  std::string expression() {
    constexpr std::array<const char*, 34> kWhole = {"(.*)",
                                                    "(.+)",
                                                    "",
                                                    ".",
                                                    "x",
                                                    "(?i)x+",
                                                    "a|ab",
                                                    "(a)(b)?",
                                                    "secret/(.*)",
                                                    "([^/]*)/(?P<rest>.*)",
                                                    "(?<first>.)(.*)",
                                                    "kube_(.+)",
                                                    "(kube_)?(.*)",
                                                    "[a-c]+",
                                                    "\\d+",
                                                    "(\\w+);(\\w+)",
                                                    "a.b",
                                                    "(?s)a.b",
                                                    "(?-s)a.b",
                                                    "[[:upper:]].*",
                                                    "\\p{Lu}.*",
                                                    "(",
                                                    "[",
                                                    "a{2,1}",
                                                    "x*?",
                                                    "(x|y)*",
                                                    "^x$",
                                                    "\\Aa",
                                                    "b\\z",
                                                    "(?m)^a$",
                                                    "\\Qa;b\\E",
                                                    "__name__|policy",
                                                    "policy|mount_point|a",
                                                    "(?:a|b)(.*)"};
    constexpr std::array<const char*, 9> kPieces = {"x",       "(a)", ".",    "*", "|",
                                                    "(?:b|c)", "\\.", "[^a]", "+"};
    if (below(5) != 0) return one_of(kWhole);
    std::string text;
    for (std::size_t n = 1 + below(5); n > 0; --n) text += one_of(kPieces);
    return text;
  }
  std::string replacement() {
    constexpr std::array<const char*, 22> kTexts = {
        "$1",  "$0",         "${1}",      "${1}_x",     "$1_x", "$2",       "$$1",  "$",
        "${",  "${rest}",    "$first",    "fixed",      "",     "x$1y",     "$1$2", "${1",
        "$01", "$999999999", "$\xC3\xA4", "$1\xC3\xA4", "a b",  "${2}-${1}"};
    return one_of(kTexts);
  }
  std::string target() {
    constexpr std::array<const char*, 12> kTexts = {
        "$1", "${1}_to", "to_$1", "${first}", "1x", "a-b", "x$", "$1$2", "", "${1", "new", "_"};
    return below(3) == 0 ? one_of(kTexts) : name();
  }

  RelabelRule rule() {
    RelabelRule rule;
    rule.action = static_cast<RelabelAction>(below(kActions.size()));
    using enum RelabelAction;
    const bool names_only = rule.action == kLabelDrop || rule.action == kLabelKeep;
    const bool compares = rule.action == kKeepEqual || rule.action == kDropEqual;
    if (!names_only && rule.action != kLabelMap) {
      for (std::size_t n = below(4); n > 0; --n) rule.source_labels.push_back(name());
      constexpr std::array<const char*, 4> kSeparators = {";", "", "/", "--"};
      if (!compares) rule.separator = one_of(kSeparators);
      rule.target_label = target();
    }
    if (!compares && below(6) != 0) rule.regex = expression();
    if (rule.action == kHashMod) rule.modulus = below(5) == 0 ? below(3) : random_() >> below(64);
    if (rule.action == kReplace || rule.action == kLabelMap) rule.replacement = replacement();
    if (rule.action == kLabelMap && below(2) == 0) rule.replacement = target();
    return rule;
  }

  static json written(const RelabelRule& rule) {
    return {{"Action", kActions[static_cast<std::size_t>(rule.action)]},
            {"Separator", rule.separator},
            {"Regex", rule.regex},
            {"Target", rule.target_label},
            {"Replacement", rule.replacement},
            {"Sources", rule.source_labels},
            {"Modulus", rule.modulus}};
  }

  std::vector<std::pair<std::string, std::string>> some_labels() {
    std::vector<std::pair<std::string, std::string>> labels;
    for (std::size_t n = below(7); n > 0; --n) {
      auto label = std::make_pair(name(), value());
      const auto same = [&](const auto& other) { return other.first == label.first; };
      if (label.second.empty() || std::any_of(labels.begin(), labels.end(), same)) continue;
      labels.push_back(std::move(label));
    }
    return labels;
  }

  static bool ambiguous(const std::vector<RelabelRule>& rules) {
    return std::any_of(rules.begin(), rules.end(), [](const RelabelRule& rule) {
      return RelabelTemplate::is_ambiguous(rule.replacement) ||
             RelabelTemplate::is_ambiguous(rule.target_label);
    });
  }
  static bool refused(const std::vector<RelabelRule>& rules) {
    return std::any_of(rules.begin(), rules.end(), [](const RelabelRule& rule) {
      return Relabel::problem_of(rule, {}, make_re2_matcher).has_value();
    });
  }

  static void run(const std::vector<RelabelRule>& rules,
                  const std::vector<std::pair<std::string, std::string>>& labels, json& out) {
    const Relabel relabel(rules, {}, OnDuplicate::kSum, make_re2_matcher);
    RelabelRun one(relabel, 1);
    LabelSet set;
    for (const auto& [name, value] : labels) set.add(name, value, false);
    set.sort();
    out["Keep"] = one.apply(set);
    for (const auto* entries : {&set.came(), &set.added()}) {
      for (const LabelSet::Entry& entry : *entries) {
        out["Result"].push_back({std::string(entry.name), std::string(entry.value)});
      }
    }
  }

  std::mt19937_64 random_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: %s CASES SEED\n", argv[0]);
    return 2;
  }
  Cases cases(std::strtoull(argv[2], nullptr, 10));
  for (long long n = std::strtoll(argv[1], nullptr, 10); n > 0; --n) {
    std::puts(cases.next().dump().c_str());
  }
  return 0;
}
