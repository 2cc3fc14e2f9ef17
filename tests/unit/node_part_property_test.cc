// Bodies whose labels try to collide, by NodePart and by a slow and plain way.
#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "bao_exporter/node_part.h"
#include "catch.h"
#include "support/node_parts.h"

namespace bao_exporter {

namespace {

using test::all_dropped;
using test::dropped;
using test::kSeed;
using test::openbao_like_plan;
using test::render;
using test::whole_text;

class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}
  std::size_t below(std::size_t n) { return static_cast<std::size_t>(engine_() % n); }
  template <typename T>
  const T& one_of(const std::vector<T>& from) {
    return from[below(from.size())];
  }

 private:
  std::mt19937_64 engine_;
};

using Labels = std::vector<std::pair<std::string, std::string>>;

// A body whose labels try to collide: with ours, with what ours become, and with each other.
std::string hostile_body(Random& random) {
  static const std::vector<std::string> kFamilies = {"vault_core_unsealed",
                                                     "vault_raft_peers",
                                                     "bao_node_up",
                                                     "bao_node",
                                                     "certctl_state_x",
                                                     "a",
                                                     "a_sum",
                                                     "a_count_total",
                                                     "Z",
                                                     "job"};
  static const std::vector<std::string> kTypes = {"",      "untyped", "counter",
                                                  "gauge", "summary", "histogram"};
  static const std::vector<std::string> kLabels = {"cluster",
                                                   "namespace",
                                                   "openbao_namespace",
                                                   "exported_openbao_namespace",
                                                   "job",
                                                   "exported_job",
                                                   "exported_exported_job",
                                                   "node_name",
                                                   "exported_node_name",
                                                   "__x",
                                                   "exported___x",
                                                   "seal_state_source",
                                                   "exported_seal_state_source",
                                                   "x",
                                                   "exported_cluster"};
  static const std::vector<std::string> kValues = {"", "", "v", "v", "w", "startup", "\\n\\\""};
  std::set<std::string> families;
  std::set<std::pair<std::string, std::set<std::pair<std::string, std::string>>>> series;
  std::string text;
  for (std::size_t f = random.below(5) + 1; f > 0; --f) {
    const std::string family = random.one_of(kFamilies);
    if (!families.insert(family).second) continue;
    const std::string type = random.one_of(kTypes);
    const bool summary = type == "summary";
    const bool histogram = type == "histogram";
    std::string lines;
    for (std::size_t i = random.below(12); i > 0; --i) {
      std::string name = family;
      Labels labels;
      const std::size_t kind = random.below(3);
      if ((summary || histogram) && kind == 0) name += "_sum";
      if (summary && kind != 0) labels.emplace_back("quantile", "0.5");
      if (histogram && kind != 0) {
        name += "_bucket";
        labels.emplace_back("le", "1");
      }
      std::set<std::string> used;
      for (std::size_t l = random.below(4); l > 0; --l) {
        const std::string label = random.one_of(kLabels);
        if (used.insert(label).second) labels.emplace_back(label, random.one_of(kValues));
      }
      if (!series.insert({name, {labels.begin(), labels.end()}}).second) continue;
      lines += name;
      for (std::size_t l = 0; l < labels.size(); ++l) {
        lines += (l == 0 ? "{" : ",") + labels[l].first + "=\"" + labels[l].second + "\"";
      }
      lines += (labels.empty() ? "" : "}");
      lines += " " + std::to_string(random.below(1'000));
      lines += random.below(3) == 0 ? " 1700000000000\n" : "\n";
    }
    if (random.below(2) == 0) text += "# HELP " + family + " h\\\\\n";
    if (!type.empty()) text += "# TYPE " + family + " " + type + "\n";
    text += lines;
  }
  return text + "\n";
}

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// What the header of node_part.h says about one sample's labels, taken word by word.
Labels relabelled(const Exposition& exposition, const Sample& sample, bool state,
                  const RelabelPlan& plan, bool& had_removed) {
  struct Step {
    std::string name, value;
    bool ours;
  };
  std::vector<Step> steps;
  had_removed = false;
  for (const Label& label : exposition.labels_of(sample)) {
    if (label.name == plan.removed_label) {
      had_removed = !label.value.empty();
      continue;
    }
    const bool renamed = label.name == "namespace";
    steps.push_back({renamed ? "openbao_namespace" : std::string(label.name),
                     std::string(label.value), renamed});
  }
  for (Step& step : steps) {
    if (step.ours) continue;
    if (!contains(plan.reserved_labels, step.name) && step.name.substr(0, 2) != "__") continue;
    std::string name = step.name;
    do {
      name = "exported_" + name;
    } while (
        std::any_of(steps.begin(), steps.end(), [&](const Step& s) { return s.name == name; }));
    step.name = name;
  }
  Labels out;
  for (const Step& step : steps) out.emplace_back(step.name, step.value);
  if (state) out.emplace_back(plan.state_label, had_removed ? "cluster" : "startup");
  return out;
}

// The lines of one family by a slow and plain way.
std::string expected_lines(const Exposition& exposition, const Family& family,
                           const RelabelPlan& plan) {
  using Key = std::pair<std::string, std::map<std::string, std::string>>;
  struct Kept {
    std::string line;
    bool had_removed;
    bool out = false;
  };
  std::vector<Kept> lines;
  std::map<Key, std::size_t> holder;
  for (const Sample& sample : exposition.samples_of(family)) {
    bool had_removed = false;
    const Labels labels =
        relabelled(exposition, sample, plan.has_state_label(family.name), plan, had_removed);
    Key key{std::string(sample.name), {}};
    std::string line = std::string(sample.name) + "{" + plan.identity;
    for (const auto& [name, value] : labels) {
      if (!value.empty()) key.second.emplace(name, value);
      line += "," + name + "=\"" + value + "\"";
    }
    lines.push_back({line + "} " + std::string(sample.value) + "\n", had_removed});
    const auto [at, added] = holder.emplace(key, lines.size() - 1);
    if (added) continue;
    const bool better = had_removed && !lines[at->second].had_removed;
    lines[better ? at->second : lines.size() - 1].out = true;
    if (better) at->second = lines.size() - 1;
  }
  std::string out;
  for (const Kept& kept : lines) out += kept.out ? "" : kept.line;
  return out;
}

}  // namespace

TEST_CASE("whatever labels a node sends, each series carries the identity once and is alone") {
  Random random(11);
  RelabelPlan plan = openbao_like_plan();
  plan.leader_only = [](const Family& family) { return family.name == "vault_raft_peers"; };
  const std::vector<std::string> identity = {"cluster", "node_name", "instance", "scrape_profile"};
  std::size_t bodies = 0, collisions = 0, kept = 0;
  for (int round = 0; round < 4'000; ++round) {
    const std::string text = hostile_body(random);
    CAPTURE(text);
    const Result<Exposition> parsed = parse(text, {}, kSeed);
    // Names of two families may clash (a and a_sum); what is refused is no case for here.
    if (!parsed.ok()) continue;
    ++bodies;
    std::map<std::string, std::string> expected;
    for (const Family& family : parsed.value().families) {
      const bool ours = std::any_of(plan.reserved_family_prefixes.begin(),
                                    plan.reserved_family_prefixes.end(), [&](const std::string& p) {
                                      // A summary or histogram `bao_node` has samples bao_node_sum.
                                      const bool suffixed = family.type == MetricType::kSummary ||
                                                            family.type == MetricType::kHistogram;
                                      const std::string name =
                                          std::string(family.name) + (suffixed ? "_" : "");
                                      return name.substr(0, p.size()) == p;
                                    });
      if (family.sample_count == 0 || ours || plan.leader_only(family)) continue;
      expected[std::string(family.name)] = expected_lines(parsed.value(), family, plan);
    }
    const std::size_t sent = parsed.value().samples.size();
    const auto part = render(text, plan);

    std::map<std::string, std::string> actual;
    std::uint64_t samples = 0;
    for (const FamilyPart& family : part->families()) {
      if (!actual.empty() && actual.rbegin()->first >= family.name) FAIL("not sorted by name");
      actual[std::string(family.name)] = family.lines;
      samples += family.samples;
    }
    if (actual != expected) {
      CAPTURE(actual, expected);
      FAIL("not what the plan says");
    }
    if (part->samples() != samples) FAIL("the families' counts do not add up");
    if (part->samples() + all_dropped(*part) != sent)
      FAIL("kept and dropped are not what was sent");
    kept += samples;
    collisions += dropped(*part, DropCause::kDuplicateAfterRelabel);

    const std::string whole = whole_text(*part) + "\n";
    CAPTURE(whole);
    const Result<Exposition> again = parse(whole, {}, kSeed);
    if (!again.ok()) FAIL("the rendered text is refused: " + again.error().detail);
    if (again.value().samples.size() != samples) FAIL("samples got lost");
    std::set<std::pair<std::string, std::map<std::string, std::string>>> seen;
    for (const Sample& sample : again.value().samples) {
      if (!sample.timestamp.empty()) FAIL("a timestamp is left");
      std::map<std::string, std::string> labels;
      std::string first_labels;
      std::size_t place = 0;
      for (const Label& label : again.value().labels_of(sample)) {
        const std::string name(label.name);
        if (!label.value.empty()) labels.emplace(name, label.value);
        if (place < identity.size()) {
          first_labels += (place == 0 ? "" : ",") + name + "=\"" + std::string(label.value) + "\"";
        } else if (name != "openbao_namespace" && name != "seal_state_source" &&
                   (contains(plan.reserved_labels, name) || name.substr(0, 2) == "__")) {
          FAIL("a reserved label came through");
        }
        ++place;
      }
      if (first_labels != plan.identity) FAIL("not the identity");
      if (!seen.emplace(std::string(sample.name), labels).second) FAIL("two equal series");
    }
  }
  CHECK(bodies > 3'000);
  CHECK(kept > 10'000);
  CHECK(collisions > 500);
}

}  // namespace bao_exporter
