#include <algorithm>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "bao_exporter/format.h"
#include "bao_exporter/node_part.h"
#include "catch.h"

namespace bao_exporter {

namespace {

constexpr std::uint64_t kSeed = 7;

std::shared_ptr<const NodePart> render(const std::string& text, const RelabelPlan& plan) {
  auto built = NodePart::build(text, {}, plan);
  if (!built.ok()) FAIL("the body is refused: " + built.error().detail);
  return std::move(built).value();
}

std::string joined(const NodePart& part) {
  std::string out;
  for (const std::string_view slice : part.own_text()) out += slice;
  return out;
}

// A plan that changes about all that a plan can.
RelabelPlan busy_plan() {
  RelabelPlan plan;
  plan.identity = R"(cluster="prod",node_name="a")";
  plan.removed_label = "cluster";
  plan.renamed_labels = {{"namespace", "openbao_namespace"}};
  plan.reserved_labels = {"cluster", "node_name", "job"};
  plan.reserved_family_prefixes = {"bao_node_"};
  plan.state_label = "seal_state_source";
  plan.has_state_label = [](std::string_view family) { return family == "vault_core_unsealed"; };
  return plan;
}

RelabelPlan follower_plan() {
  RelabelPlan plan = busy_plan();
  plan.leader_only = [](const Family& family) { return family.name.starts_with("leader"); };
  return plan;
}

std::string own_text(const std::string& text, const RelabelPlan& plan = busy_plan()) {
  return joined(*render(text, plan));
}

}  // namespace

TEST_CASE("the own text of a node is its body, whatever the plan makes of the labels") {
  const std::string body =
      "# a comment before everything\n"
      "# HELP vault_core_unsealed with \\\\ and \\n in it\n"
      "# TYPE vault_core_unsealed gauge\n"
      "vault_core_unsealed{cluster=\"own\",namespace=\"n/\",} 1.50\n"
      "\n"
      "  \t# TYPE  bao_node_up \tgauge \n"
      "bao_node_up{job = \"x\" , node_name=\"b\\\"\\n\"}   0x\n";
  const std::string good = body.substr(0, body.size() - 2) + "  \n# the end\n";
  CHECK(own_text(good) == good);
  CHECK(render(good, busy_plan())->own_text().size() == 1);  // one slice: nothing was copied
}

TEST_CASE("the own text of a node leaves out the leader-only families, with HELP and TYPE") {
  const std::string kept_first = "# HELP a h\n# TYPE a gauge\na 1\na{x=\"y\"} 2\n";
  const std::string kept_last = "# TYPE z summary\nz{quantile=\"0.5\"} 1\nz_sum 2\nz_count 3\n";
  const std::string dropped =
      "# HELP leader_a h\n# TYPE leader_a gauge\nleader_a 1\n"
      "leader_b 2\n"
      "# TYPE leader_c summary\nleader_c_sum 2\n# TYPE leader_announced gauge\n";
  CHECK(own_text(kept_first + dropped + kept_last, follower_plan()) == kept_first + kept_last);
  CHECK(own_text(dropped + kept_last, follower_plan()) == kept_last);
  CHECK(own_text(kept_first + dropped, follower_plan()) == kept_first);
  CHECK(own_text(dropped, follower_plan()).empty());
  CHECK(own_text(kept_first + dropped + kept_last) == kept_first + dropped + kept_last);
}

TEST_CASE("the own text of a node has no timestamps, and the other bytes of their lines") {
  CHECK(own_text("a{x=\"1 2\"} 1.0e3 1700000000000\nb  2\nc 3\t-5  \n") ==
        "a{x=\"1 2\"} 1.0e3\nb  2\nc 3  \n");
}

TEST_CASE("the own text of a body without families is that body") {
  CHECK(own_text("\n") == "\n");
  CHECK(own_text("# nothing\n", follower_plan()) == "# nothing\n");
}

namespace {

std::size_t below(std::mt19937_64& random, std::size_t n) {
  return static_cast<std::size_t>(random() % n);
}

std::string_view one_of(std::mt19937_64& random, const std::vector<std::string_view>& from) {
  return from[below(random, from.size())];
}

// Families with odd blanks, comments, empty lines and timestamps between and in them.
std::string any_body(std::mt19937_64& random, bool stamps) {
  std::vector<std::string_view> names = {"leader_a", "leader_b", "a", "b", "bao_node_x", "vault_y"};
  std::shuffle(names.begin(), names.end(), random);
  const std::vector<std::string_view> between = {"", "", "", "\n", "# c\n", " \t \n", "#\n"};
  const std::vector<std::string_view> blanks = {" ", "  ", "\t"};
  std::string text(one_of(random, between));
  for (std::size_t f = below(random, names.size() + 1); f > 0; --f) {
    const std::string name(names[f - 1]);
    const std::string_view type = one_of(random, {"", "gauge", "summary"});
    if (below(random, 2) == 0) text += "# HELP " + name + " leader_a \\\\\n";
    text += one_of(random, between);
    if (!type.empty()) {
      text += "#" + std::string(one_of(random, blanks)) + "TYPE " + name + " " + std::string(type) +
              "\n";
    }
    for (std::size_t i = below(random, 4); i > 0; --i) {
      text += one_of(random, between);
      text += name;
      text += type == "summary" ? "_sum" : "";
      text += "{i=\"" + std::to_string(i) + " 1700\\n\"}";
      text += one_of(random, blanks);
      text += one_of(random, {"1", "1.50", "NaN", "-Inf"});
      if (stamps && below(random, 3) == 0) text += " 1700000000000";
      text += one_of(random, {"", "", " "});
      text += "\n";
    }
  }
  return text + "\n";
}

}  // namespace

TEST_CASE("parsed, the own text is the body without the leader-only families and timestamps") {
  std::mt19937_64 random(5);
  const RelabelPlan plan = follower_plan();
  std::size_t bodies = 0, cuts = 0, whole = 0;
  for (int round = 0; round < 4'000; ++round) {
    const std::string text = any_body(random, round % 2 == 0);
    CAPTURE(text);
    const Result<Exposition> parsed = parse(text, {}, kSeed);
    if (!parsed.ok()) continue;  // summary `a` beside another's `a_sum`
    ++bodies;
    Exposition expected = parsed.value();
    const std::size_t families = expected.families.size();
    std::erase_if(expected.families, plan.leader_only);
    const bool same = expected.families.size() == families;
    const bool stamped = text.find(" 1700000000000") != std::string::npos;
    const std::string expected_text = format(expected);  // which writes no timestamps
    const std::string own = joined(*render(text, plan));
    if (same && !stamped) {
      if (own != text) FAIL("not the body");
      ++whole;
    }
    if (own.size() < text.size()) ++cuts;
    const std::string line_at_least = own + "\n";  // all of it may have been left out
    const Result<Exposition> again = parse(line_at_least, {}, kSeed);
    if (!again.ok()) FAIL("the own text is refused: " + again.error().detail);
    if (format(again.value()) != expected_text) FAIL("not what is left of the body");
    for (const Sample& sample : again.value().samples) {
      if (!sample.timestamp.empty()) FAIL("a timestamp is left");
    }
  }
  CHECK(bodies > 3'500);
  CHECK(cuts > 1'500);
  CHECK(whole > 300);
}

}  // namespace bao_exporter
