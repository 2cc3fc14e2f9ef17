#include "exposition/relabelled_family.h"

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "bao_exporter/format.h"
#include "catch.h"
#include "support/relabelling.h"

namespace bao_exporter {

namespace {

using test::all_lines;
using test::dropped;
using test::label_drop;
using test::ready;
using test::relabelled;
using test::rule_of;
using Action = RelabelAction;

std::string out_of(const std::string& text, const std::vector<RelabelRule>& rules,
                   OnDuplicate on_duplicate = OnDuplicate::kSum) {
  return all_lines(*relabelled(text, ready(rules, on_duplicate)));
}

const std::string kHistograms = R"(# TYPE h histogram
h_bucket{p="a",le="1"} 1
h_bucket{p="a",le="+Inf"} 3
h_sum{p="a"} 0.5
h_count{p="a"} 3
h_bucket{p="b",le="1"} 10
h_bucket{p="b",le="+Inf"} 30
h_sum{p="b"} 0.25
h_count{p="b"} 30
)";

const std::string kSummaries = R"(# TYPE s summary
s{p="a",quantile="0.5"} 1
s_sum{p="a"} 2
s_count{p="a"} 3
s{p="b",quantile="0.99"} NaN
s_sum{p="b"} 20
s_count{p="b"} 30
s{p="b",q="x",quantile="0.5"} 7
s_sum{p="b",q="x"} 70
s_count{p="b",q="x"} 700
)";

}  // namespace

TEST_CASE("a family that no rule touches stays byte for byte") {
  const std::string text = "# TYPE x gauge\nx{b=\"1\",a=\"\",c=\"\\\\\"} 1e+00\nx{b=\"2\"} .5\n";
  const std::string without = all_lines(*relabelled(text, nullptr));
  CHECK(without ==
        "x{node_name=\"a\",b=\"1\",a=\"\",c=\"\\\\\"} 1e+00\nx{node_name=\"a\",b=\"2\"} .5\n");
  CHECK(out_of(text, {label_drop("none")}) == without);
  CHECK(out_of(text, {rule_of(Action::kReplace, {"b"}, "(.*)", "b")}) == without);
}

TEST_CASE("labels keep their order and escapes, new ones come last; values stay byte for byte") {
  CHECK(out_of("x{z=\"\\\"\\\\\\n\",b=\"1\",a=\"2\"} 1e+00 17\n",
               {rule_of(Action::kReplace, {"z"}, "(.*)", "new", "<$1>"), label_drop("b"),
                rule_of(Action::kReplace, {}, "(.*)", "a", "3")}) ==
        "x{node_name=\"a\",z=\"\\\"\\\\\\n\",a=\"3\",new=\"<\\\"\\\\\\n>\"} 1e+00\n");
}

TEST_CASE("rules read the identity, the renamed labels and the name of the sample") {
  const auto part = relabelled(
      "# TYPE x summary\nx_sum{namespace=\"team/\"} 1\nx_count 2\n",
      ready({rule_of(Action::kReplace, {"cluster", "node_name", "openbao_namespace", "__name__"},
                     "(.*)", "all")}),
      R"(cluster="p\"\\,d",node_name="n")");
  CHECK(
      all_lines(*part) ==
      R"(x_sum{cluster="p\"\\,d",node_name="n",openbao_namespace="team/",all="p\"\\,d;n;team/;x_sum"} 1)"
      "\n"
      R"(x_count{cluster="p\"\\,d",node_name="n",all="p\"\\,d;n;;x_count"} 2)"
      "\n");
}

TEST_CASE("what a node sends under a reserved name is the rules' as exported_") {
  CHECK(out_of("x{node_name=\"evil\",job=\"j\"} 1\n", {label_drop("exported_job")}) ==
        "x{node_name=\"a\",exported_node_name=\"evil\"} 1\n");
}

TEST_CASE("samples that rules drop are counted, and a family without samples is none") {
  const auto part =
      relabelled("# TYPE x gauge\nx{a=\"1\"} 1\nx{a=\"2\"} 2\n# TYPE y gauge\ny 1\ny{a=\"1\"} 2\n",
                 ready({rule_of(Action::kDrop, {"__name__", "a"}, "x;.*|y;1")}));
  CHECK(all_lines(*part) == "y{node_name=\"a\"} 1\n");
  CHECK(part->families().size() == 1);
  CHECK(part->samples() == 1);
  CHECK(dropped(*part, DropCause::kRelabel) == 3);
}

TEST_CASE("counters and gauges that become equal are summed, the others stay as they were") {
  for (const std::string type : {"counter", "gauge"}) {
    const auto part = relabelled("# TYPE x " + type +
                                     "\nx{p=\"a\",q=\"1\"} 0.5\nx{q=\"2\",p=\"a\"} 1e+00\n"
                                     "x{p=\"b\",q=\"1\"} +2\nx{q=\"1\",p=\"c\"} 1e1\n",
                                 ready({label_drop("p")}));
    CHECK(all_lines(*part) ==
          "x{node_name=\"a\",q=\"1\"} 12.5\nx{node_name=\"a\",q=\"2\"} 1e+00\n");
    CHECK(part->samples() == 2);
    CHECK(part->families()[0].samples == 2);
    CHECK(dropped(*part, DropCause::kDuplicateAfterRelabel) == 0);
  }
}

TEST_CASE("the order of labels makes no other series") {
  CHECK(out_of("# TYPE x gauge\nx{p=\"a\",q=\"1\",r=\"2\"} 1\nx{r=\"2\",q=\"1\",p=\"b\"} 2\n",
               {label_drop("p")}) == "x{node_name=\"a\",q=\"1\",r=\"2\"} 3\n");
}

TEST_CASE("sums know infinity and what is no number") {
  const auto sum = [](const std::string& a, const std::string& b) {
    return out_of("# TYPE x gauge\nx{p=\"a\"} " + a + "\nx{p=\"b\"} " + b + "\n",
                  {label_drop("p")});
  };
  CHECK(sum("+Inf", "1") == "x{node_name=\"a\"} +Inf\n");
  CHECK(sum("inf", "-Infinity") == "x{node_name=\"a\"} NaN\n");
  CHECK(sum("NaN", "1") == "x{node_name=\"a\"} NaN\n");
  CHECK(sum("9007199254740991", "1") == "x{node_name=\"a\"} 9007199254740992\n");
}

TEST_CASE("untyped samples that become equal are not summed: the first stays") {
  const auto part =
      relabelled("x{p=\"a\"} 1\nx{p=\"b\"} 2\nx{p=\"c\",q=\"1\"} 3\n", ready({label_drop("p")}));
  CHECK(all_lines(*part) == "x{node_name=\"a\"} 1\nx{node_name=\"a\",q=\"1\"} 3\n");
  CHECK(dropped(*part, DropCause::kDuplicateAfterRelabel) == 1);
}

TEST_CASE("with on_duplicate drop the first stays, and the others are counted") {
  const auto part = relabelled("# TYPE x counter\nx{p=\"a\"} 1\nx{p=\"b\"} 2\nx{p=\"c\"} 3\n",
                               ready({label_drop("p")}, OnDuplicate::kDrop));
  CHECK(all_lines(*part) == "x{node_name=\"a\"} 1\n");
  CHECK(dropped(*part, DropCause::kDuplicateAfterRelabel) == 2);
}

TEST_CASE("histograms are summed bucket by bucket") {
  CHECK(out_of(kHistograms, {label_drop("p")}) ==
        "h_bucket{node_name=\"a\",le=\"1\"} 11\nh_bucket{node_name=\"a\",le=\"+Inf\"} 33\n"
        "h_sum{node_name=\"a\"} 0.75\nh_count{node_name=\"a\"} 33\n");
}

TEST_CASE("buckets of histograms that have other ones are dropped, _sum and _count are summed") {
  std::string text = kHistograms;
  text.replace(text.rfind("le=\"1\""), 6, "le=\"2\"");
  const auto part = relabelled(text, ready({label_drop("p")}));
  CHECK(all_lines(*part) == "h_sum{node_name=\"a\"} 0.75\nh_count{node_name=\"a\"} 33\n");
  CHECK(dropped(*part, DropCause::kDuplicateAfterRelabel) == 4);
}

TEST_CASE("a bucket that one of three histograms lacks is not summed from the other two") {
  const std::string third =
      "h_bucket{p=\"c\",le=\"+Inf\"} 100\nh_sum{p=\"c\"} 1\nh_count{p=\"c\"} 100\n";
  CHECK(out_of(kHistograms + third, {label_drop("p")}) ==
        "h_sum{node_name=\"a\"} 1.75\nh_count{node_name=\"a\"} 133\n");
}

TEST_CASE("labelmap visits labels by name, in whatever order they came") {
  CHECK(out_of("x{kb=\"2\",ka=\"1\"} 1\n", {rule_of(Action::kLabelMap, {}, "k(a|b)", "", "to")}) ==
        "x{node_name=\"a\",kb=\"2\",ka=\"1\",to=\"2\"} 1\n");
}

TEST_CASE("of histograms that stay apart each is served as it is") {
  CHECK(out_of(kHistograms, {rule_of(Action::kReplace, {"p"}, "(.*)", "q"), label_drop("p")}) ==
        R"(h_bucket{node_name="a",le="1",q="a"} 1)"
        "\n"
        R"(h_bucket{node_name="a",le="+Inf",q="a"} 3)"
        "\n"
        R"(h_sum{node_name="a",q="a"} 0.5)"
        "\n"
        R"(h_count{node_name="a",q="a"} 3)"
        "\n"
        R"(h_bucket{node_name="a",le="1",q="b"} 10)"
        "\n"
        R"(h_bucket{node_name="a",le="+Inf",q="b"} 30)"
        "\n"
        R"(h_sum{node_name="a",q="b"} 0.25)"
        "\n"
        R"(h_count{node_name="a",q="b"} 30)"
        "\n");
}

TEST_CASE("quantiles are never summed: they are dropped where summaries become equal") {
  const auto part = relabelled(kSummaries, ready({label_drop("p")}));
  CHECK(all_lines(*part) ==
        "s_sum{node_name=\"a\"} 22\ns_count{node_name=\"a\"} 33\n"
        "s{node_name=\"a\",q=\"x\",quantile=\"0.5\"} 7\n"
        "s_sum{node_name=\"a\",q=\"x\"} 70\ns_count{node_name=\"a\",q=\"x\"} 700\n");
  CHECK(dropped(*part, DropCause::kDuplicateAfterRelabel) == 2);
}

TEST_CASE("with on_duplicate drop a histogram or summary is taken whole") {
  std::string other_buckets = kHistograms;
  other_buckets.replace(other_buckets.rfind("le=\"1\""), 6, "le=\"2\"");
  const auto part = relabelled(other_buckets, ready({label_drop("p")}, OnDuplicate::kDrop));
  CHECK(all_lines(*part) ==
        "h_bucket{node_name=\"a\",le=\"1\"} 1\nh_bucket{node_name=\"a\",le=\"+Inf\"} 3\n"
        "h_sum{node_name=\"a\"} 0.5\nh_count{node_name=\"a\"} 3\n");
  CHECK(dropped(*part, DropCause::kDuplicateAfterRelabel) == 4);
  CHECK(out_of(kSummaries, {label_drop("p|q")}, OnDuplicate::kDrop) ==
        "s{node_name=\"a\",quantile=\"0.5\"} 1\ns_sum{node_name=\"a\"} 2\n"
        "s_count{node_name=\"a\"} 3\n");
}

TEST_CASE("le is a label like others where there are no buckets, but for the rules") {
  CHECK(out_of(
            "# TYPE x gauge\nx{le=\"1\",p=\"a\"} 1\nx{le=\"2\",p=\"a\"} 2\nx{le=\"1\",p=\"b\"} 4\n",
            {label_drop("p")}) == "x{node_name=\"a\",le=\"1\"} 5\nx{node_name=\"a\",le=\"2\"} 2\n");
}

TEST_CASE("an empty label is none, but for the bound of a bucket") {
  CHECK(out_of("# TYPE x gauge\nx{p=\"a\",le=\"\",q=\"\"} 1\nx{p=\"b\"} 2\n", {label_drop("p")}) ==
        "x{node_name=\"a\"} 3\n");
  CHECK(out_of("# TYPE h histogram\nh_bucket{p=\"a\",le=\"\"} 1\nh_sum{p=\"a\",le=\"\"} 1\n"
               "h_sum{p=\"b\"} 2\nh_bucket{p=\"b\",le=\"\"} 2\n",
               {label_drop("p")}) ==
        "h_bucket{node_name=\"a\",le=\"\"} 3\nh_sum{node_name=\"a\"} 3\n");
}

TEST_CASE("a family may be called as the parts of another are") {
  CHECK(out_of("# TYPE x_sum summary\nx_sum{p=\"a\",quantile=\"0.5\"} 1\nx_sum_sum{p=\"a\"} 2\n"
               "x_sum{p=\"b\",quantile=\"0.5\"} 1\nx_sum_sum{p=\"b\"} 2\n",
               {label_drop("p")}) == "x_sum_sum{node_name=\"a\"} 4\n");
}

TEST_CASE("what the plan makes equal is dropped before the rules, and not summed") {
  const auto part =
      relabelled("# TYPE x gauge\nx{cluster=\"c\",p=\"a\"} 1\nx{p=\"a\"} 2\nx{p=\"b\"} 4\n",
                 ready({label_drop("p")}));
  CHECK(all_lines(*part) == "x{node_name=\"a\"} 5\n");
  CHECK(dropped(*part, DropCause::kDuplicateAfterRelabel) == 1);
}

TEST_CASE("of names in quotes rules see what is served: underscores") {
  CHECK(out_of("{\"x.y\",\"a.b\"=\"1\",\"c.\\\"d\"=\"2\",p=\"3\"} 1\n{\"x.y\",p=\"4\"} 2\n",
               {label_drop("a_b|p|a\\.b"), rule_of(Action::kKeep, {"__name__"}, "x_y")}) ==
        "x_y{node_name=\"a\",c__d=\"2\"} 1\nx_y{node_name=\"a\"} 2\n");
}

TEST_CASE("series that rules make equal are added up, whatever quotes their labels needed") {
  CHECK(out_of("# TYPE \"x.y\" histogram\n{\"x.y_bucket\",le=\"+Inf\",\"p.q\"=\"a\"} 1\n"
               "{\"x.y_sum\",\"p.q\"=\"a\"} 2\n{\"x.y_bucket\",\"le\"=\"+Inf\",p_q=\"b\"} 3\n"
               "{\"x.y_sum\",p_q=\"b\"} 4\n",
               {label_drop("p_q")}) ==
        "x_y_bucket{node_name=\"a\",le=\"+Inf\"} 4\nx_y_sum{node_name=\"a\"} 6\n");
}

TEST_CASE("the path of one node knows no rules") {
  const auto part =
      relabelled("x{p=\"a\"} 1\n", ready({label_drop("p"), rule_of(Action::kDrop, {"p"}, "")}));
  CHECK(part->families().empty());
  REQUIRE(part->own_text().size() == 1);
  CHECK(part->own_text()[0] == "x{p=\"a\"} 1\n");
}

TEST_CASE("what rules may not do is counted for the part") {
  const auto part = relabelled("x{p=\"job\"} 1\nx{p=\"y\"} 2\n",
                               ready({rule_of(Action::kReplace, {"p"}, "(.*)", "$1", "z")}));
  CHECK(part->relabel_refused() == 1);
  CHECK(relabelled("x 1\n", nullptr)->relabel_refused() == 0);
}

// --- properties ---------------------------------------------------------------------------------

namespace {

using Series = std::pair<std::string, std::map<std::string, std::string>>;

class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}
  std::size_t below(std::size_t bound) { return engine_() % bound; }
  std::string one_of(const std::vector<std::string>& texts) { return texts[below(texts.size())]; }

 private:
  std::mt19937_64 engine_;
};

const std::vector<std::string> kNames = {"p",  "q",         "cluster",     "node_name",
                                         "le", "namespace", "exported_job"};

RelabelRule some_rule(Random& random) {
  const std::vector<std::string> sources = {"p",        "q",  "cluster",  "node_name",
                                            "__name__", "le", "quantile", "exported_cluster"};
  RelabelRule rule = rule_of(static_cast<Action>(random.below(11)), {}, "(.*)");
  for (std::size_t n = random.below(3); n > 0; --n)
    rule.source_labels.push_back(random.one_of(sources));
  rule.regex = random.one_of(
      {"(.*)", "(.)(.*)", "p|q", "[a-b]", "x;(.*)", "exported_(.*)", "(.+)_name", ""});
  rule.target_label =
      random.one_of({"p", "q", "new", "$1", "${1}_$2", "cluster", "le", "node_$1", "__$1"});
  rule.replacement =
      random.one_of({"$1", "$2", "", "node_name", "cluster", "x_$1", "\"\n\\", "$1$1"});
  rule.modulus = 1 + random.below(3);
  return rule;
}

std::vector<RelabelRule> some_rules(Random& random) {
  std::vector<RelabelRule> rules;
  for (std::size_t n = 1 + random.below(4); n > 0;) {
    RelabelRule rule = some_rule(random);
    if (Relabel::problem_of(rule, test::our_bounds(), make_re2_matcher)) continue;
    rules.push_back(std::move(rule));
    --n;
  }
  return rules;
}

// The samples of `count` random label sets of one metric.
void add_metrics(std::string& text, const std::string& type, std::size_t count, Random& random) {
  std::set<std::string> seen;
  for (; count > 0; --count) {
    std::map<std::string, std::string> labels;
    for (std::size_t n = random.below(4); n > 0; --n) {
      const std::string name = random.one_of(kNames);
      if (name != "le") labels[name] = random.one_of({"a", "b", "job", "\\\"", ""});
    }
    std::string written;
    std::string key;
    for (const auto& [name, value] : labels) {
      written += name + "=\"" + value + "\",";
      if (!value.empty()) key += name + "=" + value + ",";
    }
    if (!seen.insert(key).second) continue;
    const auto line = [&](const std::string& name, const std::string& more) {
      text += name + "{" + written + more + "} " + std::to_string(random.below(100)) + "\n";
    };
    if (type == "histogram") {
      for (const char* le : {"1", "2", "+Inf"}) {
        if (random.below(8) != 0) line("x_bucket", std::string("le=\"") + le + "\"");
      }
    }
    if (type == "summary") line("x", "quantile=\"0.5\"");
    if (type == "summary" || type == "histogram") {
      line("x_sum", "");
      line("x_count", "");
    } else {
      line("x", "");
    }
  }
}

std::map<Series, std::string> series_of(const std::string& text) {
  std::map<Series, std::string> all;
  const auto parsed = parse(text, {}, 7);
  if (!parsed.ok()) FAIL(parsed.error().detail + "\n" + text);
  for (const Sample& sample : parsed.value().samples) {
    Series series{std::string(sample.name), {}};
    for (const Label& label : parsed.value().labels_of(sample)) {
      if (!label.value.empty()) series.second[std::string(label.name)] = label.value;
    }
    if (!all.emplace(series, sample.value).second) FAIL("twice: " + text);
  }
  return all;
}

double total(const std::map<Series, std::string>& all, const std::string& name) {
  double sum = 0;
  for (const auto& [series, value] : all) {
    if (series.first == name) sum += read_value(value);
  }
  return sum;
}

}  // namespace

TEST_CASE("whatever the rules: each series once, and the identity, le and quantile as they were") {
  const std::vector<std::string> types = {"counter", "gauge", "untyped", "summary", "histogram"};
  std::size_t touched = 0;
  for (std::uint64_t seed = 0; seed < 4'000; ++seed) {
    Random random(seed);
    const std::string type = random.one_of(types);
    std::string text = "# TYPE x " + type + "\n";
    add_metrics(text, type, 1 + random.below(8), random);
    const auto rules =
        ready(some_rules(random), random.below(2) == 0 ? OnDuplicate::kSum : OnDuplicate::kDrop);
    const std::string identity = R"(cluster="prod",node_name="n\\1")";
    const auto part = relabelled(text, rules, identity);
    const auto plain = relabelled(text, nullptr, identity);
    INFO(text);
    const std::string lines = "# TYPE x " + type + "\n" + all_lines(*part);
    const auto series = series_of(lines);
    touched += all_lines(*part) != all_lines(*plain) ? 1 : 0;
    for (const auto& [one, value] : series) {
      CHECK(one.second.at("cluster") == "prod");
      CHECK(one.second.at("node_name") == R"(n\\1)");
      CHECK(one.second.contains("le") == (one.first == "x_bucket"));
      CHECK(one.second.contains("quantile") == (type == "summary" && one.first == "x"));
      for (const auto& [name, label_value] : one.second) {
        CHECK_FALSE(name.starts_with("__"));
        for (const char* never : {"instance", "job", "node", "pod", "certctl", "node_role"}) {
          CHECK(name != never);
        }
      }
    }
    CHECK(part->samples() == series.size());
    // Each sample is served, or summed into one that is, or dropped and counted.
    CHECK(part->samples() + dropped(*part, DropCause::kRelabel) +
              dropped(*part, DropCause::kDuplicateAfterRelabel) <=
          plain->samples() + dropped(*plain, DropCause::kDuplicateAfterRelabel));
  }
  CHECK(touched > 1'000);
}

TEST_CASE("whatever labels are removed: what is summed is neither lost nor counted twice") {
  for (std::uint64_t seed = 0; seed < 2'000; ++seed) {
    Random random(seed);
    const std::string type = random.one_of({"counter", "gauge", "summary", "histogram"});
    std::string text = "# TYPE x " + type + "\n";
    add_metrics(text, type, 1 + random.below(12), random);
    std::vector<RelabelRule> rules;
    for (std::size_t n = 1 + random.below(3); n > 0; --n) {
      rules.push_back(label_drop(random.one_of({"p", "q", "openbao_namespace", "exported_.*"})));
    }
    const auto part = relabelled(text, ready(rules));
    const auto plain = relabelled(text, nullptr);
    const auto before = series_of("# TYPE x " + type + "\n" + all_lines(*plain));
    const auto after = series_of("# TYPE x " + type + "\n" + all_lines(*part));
    INFO(text);
    for (const char* name : {"x_sum", "x_count"}) CHECK(total(before, name) == total(after, name));
    if (type == "counter" || type == "gauge") CHECK(total(before, "x") == total(after, "x"));
    // A bucket is served with all that belongs into it, or not at all.
    for (const auto& [series, value] : after) {
      if (series.first != "x_bucket") continue;
      double sum = 0;
      for (const auto& [old, old_value] : before) {
        if (old.first != "x_bucket" || old.second.at("le") != series.second.at("le")) continue;
        const bool goes_there =
            std::all_of(series.second.begin(), series.second.end(), [&](const auto& label) {
              const auto at = old.second.find(label.first);
              return at != old.second.end() && at->second == label.second;
            });
        bool only_there = true;
        for (const auto& [name, label_value] : old.second) {
          if (series.second.contains(name)) continue;
          only_there = only_there && std::any_of(rules.begin(), rules.end(), [&](const auto& rule) {
                         return make_re2_matcher(rule.regex).value()->match(name);
                       });
        }
        if (goes_there && only_there) sum += read_value(old_value);
      }
      CHECK(read_value(value) == sum);
    }
  }
}

}  // namespace bao_exporter
