#include "bao_exporter/node_part.h"

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bao_exporter/format.h"
#include "catch.h"

namespace bao_exporter {

namespace {

constexpr std::uint64_t kSeed = 7;

// What OpenBao's nodes get.
RelabelPlan openbao_like_plan() {
  RelabelPlan plan;
  plan.identity = R"(cluster="prod",node_name="a",instance="h:8200",scrape_profile="active")";
  plan.removed_label = "cluster";
  plan.renamed_labels = {{"namespace", "openbao_namespace"}};
  plan.reserved_labels = {"cluster",
                          "node_name",
                          "instance",
                          "scrape_profile",
                          "pod",
                          "node",
                          "kubernetes_namespace",
                          "node_role",
                          "job",
                          "openbao_namespace",
                          "seal_state_source"};
  plan.reserved_family_prefixes = {"bao_node_", "bao_cluster_", "bao_token_", "bao_exporter_",
                                   "certctl_state_"};
  plan.state_label = "seal_state_source";
  plan.has_state_label = [](std::string_view family) {
    return family.size() >= 13 && family.substr(family.size() - 13) == "core_unsealed";
  };
  return plan;
}

// One identity label, to keep expectations short.
RelabelPlan short_plan() {
  RelabelPlan plan = openbao_like_plan();
  plan.identity = "node_name=\"a\"";
  return plan;
}

std::shared_ptr<const NodePart> render(const std::string& text, const RelabelPlan& plan) {
  auto built = NodePart::build(text, {}, plan);
  if (!built.ok()) FAIL("the body is refused: " + built.error().detail);
  return std::move(built).value();
}

std::string lines_of(const NodePart& part) {
  std::string out;
  for (const FamilyPart& family : part.families()) out += family.lines;
  return out;
}

std::string rendered(const std::string& text, const RelabelPlan& plan = short_plan()) {
  return lines_of(*render(text, plan));
}

std::uint64_t dropped(const NodePart& part, DropCause cause) {
  return part.dropped()[static_cast<std::size_t>(cause)];
}

std::uint64_t all_dropped(const NodePart& part) {
  std::uint64_t sum = 0;
  for (const std::uint64_t count : part.dropped()) sum += count;
  return sum;
}

std::string whole_text(const NodePart& part) {
  std::string out;
  for (const FamilyPart& family : part.families()) {
    append_family_header(out, family.name, family.has_help, family.help, family.type);
    out += family.lines;
  }
  return out;
}

}  // namespace

TEST_CASE("the identity comes first, then the node's own labels as sent") {
  CHECK(rendered("a{x=\"1\",b=\"2\"} 3\na 4\n", openbao_like_plan()) ==
        "a{cluster=\"prod\",node_name=\"a\",instance=\"h:8200\",scrape_profile=\"active\","
        "x=\"1\",b=\"2\"} 3\n"
        "a{cluster=\"prod\",node_name=\"a\",instance=\"h:8200\",scrape_profile=\"active\"} 4\n");
}

TEST_CASE("an empty plan leaves the samples as they are, but for blanks and timestamps") {
  CHECK(rendered("a{ x = \"1\", } \t3 1700000000000\nb{}  4 5\n__c{__x=\"1\",job=\"j\"} 1\n", {}) ==
        "__c{exported___x=\"1\",job=\"j\"} 1\na{x=\"1\"} 3\nb 4\n");
}

TEST_CASE("values are kept byte for byte, and timestamps are gone") {
  for (const std::string value :
       {"NaN", "nan", "+Inf", "-inf", "1e3", "1.50", "007", "-0", ".5", "1.7976931348623157e308",
        "0.1000000000000000055511151231257827"}) {
    CHECK(rendered("a " + value + " 1700000000000\n") == "a{node_name=\"a\"} " + value + "\n");
  }
}

TEST_CASE("label values keep their escapes") {
  CHECK(rendered("a{x=\"\\\\\\\"\\n\xC3\xA9,}\"} 1\n") ==
        "a{node_name=\"a\",x=\"\\\\\\\"\\n\xC3\xA9,}\"} 1\n");
}

TEST_CASE("the removed label goes, wherever it stands") {
  CHECK(
      rendered(
          "a{cluster=\"c\",x=\"1\"} 1\nb{x=\"1\",cluster=\"c\",y=\"2\"} 1\nc{cluster=\"c\"} 1\n") ==
      "a{node_name=\"a\",x=\"1\"} 1\nb{node_name=\"a\",x=\"1\",y=\"2\"} 1\nc{node_name=\"a\"} 1\n");
}

TEST_CASE("a renamed label gets its new name and keeps its place") {
  CHECK(rendered("a{x=\"1\",namespace=\"n\",y=\"2\"} 1\n") ==
        "a{node_name=\"a\",x=\"1\",openbao_namespace=\"n\",y=\"2\"} 1\n");
}

TEST_CASE("the node's own label of a rename's target is exported, the renamed one is not") {
  CHECK(rendered("a{openbao_namespace=\"own\",namespace=\"n\"} 1\n") ==
        "a{node_name=\"a\",exported_openbao_namespace=\"own\",openbao_namespace=\"n\"} 1\n");
  CHECK(rendered("a{openbao_namespace=\"own\"} 1\n") ==
        "a{node_name=\"a\",exported_openbao_namespace=\"own\"} 1\n");
}

TEST_CASE("every reserved label that a node sends is exported") {
  for (const std::string& name : openbao_like_plan().reserved_labels) {
    if (name == "cluster") continue;  // Removed before it could be.
    CHECK(rendered("a{" + name + "=\"forged\"} 1\n") ==
          "a{node_name=\"a\",exported_" + name + "=\"forged\"} 1\n");
  }
  RelabelPlan plan = short_plan();
  plan.removed_label.clear();
  CHECK(rendered("a{cluster=\"forged\"} 1\n", plan) ==
        "a{node_name=\"a\",exported_cluster=\"forged\"} 1\n");
}

TEST_CASE("labels that begin with two underscores are exported, those with one are not") {
  CHECK(rendered("a{__name__=\"b\"} 1\nb{__x=\"1\",__=\"2\"} 1\nc{_x=\"1\",x__=\"2\"} 1\n") ==
        "a{node_name=\"a\",exported___name__=\"b\"} 1\n"
        "b{node_name=\"a\",exported___x=\"1\",exported___=\"2\"} 1\n"
        "c{node_name=\"a\",_x=\"1\",x__=\"2\"} 1\n");
}

TEST_CASE("a label is exported until no other label has its name") {
  CHECK(rendered("a{job=\"1\",exported_job=\"2\"} 1\n") ==
        "a{node_name=\"a\",exported_exported_job=\"1\",exported_job=\"2\"} 1\n");
  CHECK(rendered("a{exported_job=\"2\",job=\"1\"} 1\n") ==
        "a{node_name=\"a\",exported_job=\"2\",exported_exported_job=\"1\"} 1\n");
  CHECK(rendered("a{exported_exported_job=\"3\",job=\"1\",exported_job=\"2\"} 1\n") ==
        "a{node_name=\"a\",exported_exported_job=\"3\",exported_exported_exported_job=\"1\","
        "exported_job=\"2\"} 1\n");
}

TEST_CASE("PKI's role stays role, and other names near ours are left alone") {
  CHECK(rendered("a{role=\"r\",Job=\"1\",jobs=\"2\",clusters=\"3\",namespaces=\"4\"} 1\n") ==
        "a{node_name=\"a\",role=\"r\",Job=\"1\",jobs=\"2\",clusters=\"3\",namespaces=\"4\"} 1\n");
}

TEST_CASE("the removed label becomes the state label where that is asked for") {
  CHECK(rendered("vault_core_unsealed 1\n"
                 "vault_core_unsealed{cluster=\"c\"} 0\n"
                 "vault_core_active{cluster=\"c\"} 1\n") ==
        "vault_core_active{node_name=\"a\"} 1\n"
        "vault_core_unsealed{node_name=\"a\",seal_state_source=\"startup\"} 1\n"
        "vault_core_unsealed{node_name=\"a\",seal_state_source=\"cluster\"} 0\n");
  CHECK(rendered("vault_core_unsealed{cluster=\"\"} 1\n") ==
        "vault_core_unsealed{node_name=\"a\",seal_state_source=\"startup\"} 1\n");
  CHECK(rendered("vault_core_unsealed{seal_state_source=\"x\"} 1\n") ==
        "vault_core_unsealed{node_name=\"a\",exported_seal_state_source=\"x\","
        "seal_state_source=\"startup\"} 1\n");
}

TEST_CASE("of two samples that removal makes equal, the one that had the label stays") {
  for (const std::string text :
       {"a 1\na{cluster=\"c\"} 2\n", "a{cluster=\"c\"} 2\na 1\n",
        "a{cluster=\"\"} 1\na{cluster=\"c\"} 2\n", "a 0\na{cluster=\"\"} 1\na{cluster=\"c\"} 2\n",
        "a{cluster=\"c\"} 2\na{cluster=\"d\"} 3\n",
        "a 1\na{cluster=\"c\"} 2\na{cluster=\"d\"} 3\n"}) {
    CAPTURE(text);
    const auto part = render(text, short_plan());
    CHECK(lines_of(*part) == "a{node_name=\"a\"} 2\n");
    const auto lines = static_cast<std::uint64_t>(std::count(text.begin(), text.end(), '\n'));
    CHECK(dropped(*part, DropCause::kDuplicateAfterRelabel) == lines - 1);
    CHECK(part->samples() == 1);
  }
}

TEST_CASE("of samples that become equal and never had a value of the label, the first stays") {
  CHECK(rendered("a 1\na{cluster=\"\"} 2\n") == "a{node_name=\"a\"} 1\n");
  CHECK(rendered("a{cluster=\"\"} 2\na 1\n") == "a{node_name=\"a\"} 2\n");
}

TEST_CASE("only samples that become equal are dropped, and the others keep their order") {
  const auto part = render(
      "a{x=\"3\"} 3\na{x=\"1\"} 1\na{x=\"2\",cluster=\"c\"} 2\na{cluster=\"c\",x=\"1\"} 11\na 0\n",
      short_plan());
  CHECK(
      lines_of(*part) ==
      "a{node_name=\"a\",x=\"3\"} 3\na{node_name=\"a\",x=\"2\"} 2\na{node_name=\"a\",x=\"1\"} 11\n"
      "a{node_name=\"a\"} 0\n");
  CHECK(dropped(*part, DropCause::kDuplicateAfterRelabel) == 1);
}

TEST_CASE("equal labels in another order are equal") {
  CHECK(rendered("a{x=\"1\",y=\"2\"} 1\na{y=\"2\",cluster=\"c\",x=\"1\"} 2\n") ==
        "a{node_name=\"a\",y=\"2\",x=\"1\"} 2\n");
}

TEST_CASE("parts of one family with equal labels are not equal") {
  const std::string text =
      "# TYPE s summary\ns_sum{cluster=\"c\"} 1\ns_count 2\ns_count{cluster=\"c\"} 3\n";
  CHECK(rendered(text) == "s_sum{node_name=\"a\"} 1\ns_count{node_name=\"a\"} 3\n");
}

// Prometheus takes a label without a value for no label.
TEST_CASE("samples that differ in empty labels only are equal") {
  const auto part = render("a{x=\"\"} 1\na 2\na{y=\"\",x=\"\"} 3\na{y=\"1\"} 4\n", short_plan());
  CHECK(lines_of(*part) == "a{node_name=\"a\",x=\"\"} 1\na{node_name=\"a\",y=\"1\"} 4\n");
  CHECK(dropped(*part, DropCause::kDuplicateAfterRelabel) == 2);
}

TEST_CASE("a label that is exported onto a label that another sample has is found") {
  const auto part =
      render("a{job=\"1\"} 1\na{exported_job=\"1\"} 2\na{exported_job=\"2\"} 3\n", short_plan());
  CHECK(lines_of(*part) ==
        "a{node_name=\"a\",exported_job=\"1\"} 1\na{node_name=\"a\",exported_job=\"2\"} 3\n");
  CHECK(dropped(*part, DropCause::kDuplicateAfterRelabel) == 1);
}

TEST_CASE("two values of the removed label are one state, and the first stays") {
  const auto part = render(
      "vault_core_unsealed{cluster=\"c\"} 1\nvault_core_unsealed{cluster=\"d\"} 0\n", short_plan());
  CHECK(lines_of(*part) ==
        "vault_core_unsealed{node_name=\"a\",seal_state_source=\"cluster\"} 1\n");
  CHECK(dropped(*part, DropCause::kDuplicateAfterRelabel) == 1);
}

TEST_CASE("families under our prefixes are dropped and counted, others that begin alike are not") {
  const auto part = render(
      "bao_node_up 1\n"
      "# TYPE bao_cluster_x summary\nbao_cluster_x_sum 1\nbao_cluster_x_count 1\n"
      "bao_token_x 1\nbao_exporter_x{a=\"1\"} 1\nbao_exporter_x{a=\"2\"} 1\ncertctl_state_x 1\n"
      "bao_nodes 1\nbao_node 1\nBAO_NODE_UP 1\nx_bao_node_up 1\ncertctl_states 1\n",
      short_plan());
  CHECK(dropped(*part, DropCause::kReservedName) == 7);
  CHECK(all_dropped(*part) == 7);
  CHECK(part->samples() == 5);
  CHECK(part->families().size() == 5);
}

TEST_CASE("families under our prefixes are left out of the own text where the plan says so") {
  const std::string body =
      "# HELP a first\n# TYPE a gauge\na 1\n\n# HELP bao_node_up forged\n# TYPE bao_node_up gauge\n"
      "bao_node_up 1\nbao_node_up{x=\"y\"} 1\n# TYPE b gauge\nb 2 17\n"
      "# TYPE certctl_state summary\ncertctl_state_sum 1\n";
  const auto own = [&](const RelabelPlan& plan) {
    const auto part = render(body, plan);
    std::string text;
    for (const std::string_view slice : part->own_text()) text += slice;
    return text;
  };
  RelabelPlan plan = openbao_like_plan();
  CHECK(own(plan).find("bao_node_up") != std::string::npos);
  plan.reserved_in_own_text = false;
  CHECK(own(plan) == "# HELP a first\n# TYPE a gauge\na 1\n\n# TYPE b gauge\nb 2\n");
}

TEST_CASE("families that only the leader may speak of are dropped as the plan says, and counted") {
  RelabelPlan plan = short_plan();
  plan.leader_only = [](const Family& family) {
    return family.name == "vault_raft_peers" || family.type == MetricType::kHistogram;
  };
  const std::string text =
      "vault_raft_peers 3\n# TYPE h histogram\nh_sum 1\nh_count 1\nvault_raft_peers_total 1\n"
      "bao_node_up 1\n";
  const auto part = render(text, plan);
  CHECK(lines_of(*part) == "vault_raft_peers_total{node_name=\"a\"} 1\n");
  CHECK(dropped(*part, DropCause::kLeaderOnly) == 3);
  CHECK(dropped(*part, DropCause::kReservedName) == 1);
  plan.leader_only = nullptr;
  CHECK(render(text, plan)->samples() == 4);
}

TEST_CASE("families are sorted by name, with the order of samples kept") {
  const auto part = render(
      "# HELP z Last.\n# TYPE z gauge\nz{x=\"2\"} 1\nz{x=\"1\"} 2\nB 1\n# TYPE empty gauge\n"
      "# TYPE a summary\na_sum 1\na{quantile=\"1\"} 1\na_count 1\n_ 1\n",
      short_plan());
  std::string names;
  for (const FamilyPart& family : part->families()) names += std::string(family.name) + " ";
  CHECK(names == "B _ a z ");
  const FamilyPart& summary = part->families()[2];
  CHECK(summary.type == MetricType::kSummary);
  CHECK_FALSE(summary.has_help);
  CHECK(summary.samples == 3);
  CHECK(summary.lines ==
        "a_sum{node_name=\"a\"} 1\na{node_name=\"a\",quantile=\"1\"} 1\na_count{node_name=\"a\"} "
        "1\n");
  const FamilyPart& gauge = part->families()[3];
  CHECK(gauge.type == MetricType::kGauge);
  CHECK(gauge.has_help);
  CHECK(gauge.help == "Last.");
  CHECK(gauge.lines == "z{node_name=\"a\",x=\"2\"} 1\nz{node_name=\"a\",x=\"1\"} 2\n");
}

TEST_CASE("a part counts what it serves, what it dropped and the bytes it came from") {
  const std::string text = "a 1\na{cluster=\"c\"} 2\nb 1\nbao_node_up 1\n# TYPE c gauge\n";
  const auto part = render(text, short_plan());
  CHECK(part->samples() == 2);
  CHECK(all_dropped(*part) == 2);
  CHECK(part->body_bytes() == text.size());
}

TEST_CASE("a body without samples is a part without families") {
  const auto part = render("# TYPE a gauge\n\n", short_plan());
  CHECK(part->families().empty());
  CHECK(part->samples() == 0);
  CHECK(part->body_bytes() == 16);
}

TEST_CASE("the identity is escaped, and labels without a value are left out of it") {
  CHECK(render_identity({}).empty());
  CHECK(render_identity({{"a", ""}, {"b", ""}}).empty());
  CHECK(render_identity({{"a", "1"}, {"b", ""}, {"c", "x\"\\\n"}}) == "a=\"1\",c=\"x\\\"\\\\\\n\"");
}

TEST_CASE(
    "a body that does not parse is an error, and one that parses has no need of its string any "
    "more") {
  const auto bad = NodePart::build("a\n", {}, {});
  REQUIRE_FALSE(bad.ok());
  CHECK(bad.error().code == ErrorCode::kMalformed);
  // Short enough for the string's own room: a view into it must not be lost.
  std::string body = "a 1\n";
  const auto part = NodePart::build(std::move(body), {}, {});
  REQUIRE(part.ok());
  body = "b 2\n";
  const Exposition sent = part.value()->excerpt([](const Family&) { return true; });
  REQUIRE(sent.samples.size() == 1);
  CHECK(sent.samples[0].name == "a");
  CHECK(sent.samples[0].value.data() == part.value()->own_text()[0].data() + 2);
}

TEST_CASE("the causes of dropped samples have the names of the contract") {
  std::string names;
  for (std::size_t i = 0; i < kDropCauseCount; ++i) {
    names += std::string(drop_cause_name(static_cast<DropCause>(i))) + " ";
  }
  CHECK(names ==
        "leader_only superseded type_conflict reserved_name relabel series_limit "
        "duplicate_after_relabel ");
}

namespace {

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
