// Names in quotes, as Prometheus 3 has them: what is read, and what is served of it.
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bao_exporter/exposition.h"
#include "bao_exporter/format.h"
#include "bao_exporter/merge.h"
#include "bao_exporter/open_metrics.h"
#include "bao_exporter/outcome.h"
#include "catch.h"
#include "exposition/names.h"
#include "support/instruction_sets.h"
#include "support/poll_bodies.h"

namespace bao_exporter {

namespace {

constexpr std::uint64_t kSeed = 7;
const std::string kPadding = "# " + std::string(300, '#') + "\n";  // the loops end before

std::string rewritten(const std::string& text) {
  const auto parsed = parse(text, {}, kSeed);
  return parsed.ok() ? format(parsed.value()) : parsed.error().detail;
}

std::string refusal(const std::string& text, const ParseLimits& limits = {}) {
  const auto parsed = parse(text, limits, kSeed);
  if (parsed.ok()) return "accepted";
  return std::string(reason_name(parsed.error().code)) + ": " + parsed.error().detail;
}

RelabelPlan plan_of(Role role) {
  RelabelPlan plan = openbao_relabel_plan("node_name=\"a\"", role, true);
  plan.hash_seed = kSeed;
  return plan;
}

std::shared_ptr<const NodePart> part_of(const std::string& text, Role role = Role::kActive) {
  auto built = NodePart::build(text, {}, plan_of(role));
  if (!built.ok()) FAIL("the body is refused: " + built.error().detail);
  return std::move(built).value();
}

std::string served(const NodePart& part) {
  std::string out;
  for (const FamilyPart& family : part.families()) {
    append_family_header(out, family.name, family.has_help, family.help, family.type);
    out += family.lines;
  }
  return out;
}

std::string served(const std::string& text) { return served(*part_of(text)); }

std::uint64_t dropped(const NodePart& part, DropCause cause) {
  return part.dropped()[static_cast<std::size_t>(cause)];
}

std::string own_text(const NodePart& part) {
  std::string out;
  for (const std::string_view slice : part.own_text()) out += slice;
  return out;
}

}  // namespace

TEST_CASE("a metric's name may stand in quotes among its labels, wherever") {
  CHECK(rewritten("{\"a.b\"} 1\n") == "{\"a.b\"} 1\n");
  CHECK(rewritten("{\"a.b\",} 1\n") == "{\"a.b\"} 1\n");
  CHECK(rewritten("{ \"a.b\" , l = \"1\" } 1\n") == "{\"a.b\",l=\"1\"} 1\n");
  CHECK(rewritten("{l=\"1\",\"a.b\",m=\"2\"} 1\n") == "{\"a.b\",l=\"1\",m=\"2\"} 1\n");
  CHECK(rewritten("{\"a\",l=\"1\"}1 5\n") == "a{l=\"1\"} 1\n");
}

TEST_CASE("a label's name may stand in quotes, also where the metric's does not") {
  CHECK(rewritten("a{\"l.x\"=\"1\",\"m\" = \"2\"} 1\n") == "a{\"l.x\"=\"1\",m=\"2\"} 1\n");
  CHECK(rewritten("{\"l x\"=\"1\",\"a b\"} 1\n") == "{\"a b\",\"l x\"=\"1\"} 1\n");
  CHECK(rewritten("a{\"l:x\"=\"1\"} 1\n") == "a{\"l:x\"=\"1\"} 1\n");
}

TEST_CASE("HELP and TYPE take a name in quotes, and what needs none is the same with them") {
  CHECK(rewritten("# HELP \"a.b\" x\n# TYPE \"a.b\" gauge\n{\"a.b\"} 1\n") ==
        "# HELP \"a.b\" x\n# TYPE \"a.b\" gauge\n{\"a.b\"} 1\n");
  CHECK(rewritten("# TYPE a gauge\n# HELP \"a\" x\n{\"a\"} 1\na{l=\"\"} 2\n") ==
        "# HELP a x\n# TYPE a gauge\na 1\na{l=\"\"} 2\n");
  CHECK(rewritten("# HELP \"a.b\"\n") == "# HELP \"a.b\" \n");
}

TEST_CASE("the parts of summaries and histograms are told by their names, in quotes or not") {
  const std::string summary =
      "# TYPE \"a.b\" summary\n{\"a.b\",quantile=\"0.5\"} 1\n{\"a.b_sum\"} 1\n{\"a.b_count\"} 1\n";
  CHECK(rewritten(summary) == summary);
  CHECK(refusal("# TYPE \"a.b\" summary\n{\"a.b\"} 1\n") ==
        "malformed: line 2, column 1: a summary's sample without quantile label");
  CHECK(refusal("# TYPE a histogram\n{\"a_bucket\",\"le\"=\"1\"} 1\n") == "accepted");
  CHECK(refusal("# TYPE a histogram\n {\"a_bucket\"} 1\n") ==
        "malformed: line 2, column 2: a histogram's bucket without le label");
}

TEST_CASE("what is wrong with a name in quotes is told where it stands") {
  const std::vector<std::pair<std::string, std::string>> table = {
      {"{\"a\\x\"} 1", "4: an escape in a quoted name that is not \\\\, \\\" or \\n"},
      {"{\"a", "3: a quoted name without closing quote"},
      {"{\"\"} 1", "2: an empty quoted name"},
      {"a{\"\"=\"1\"} 1", "3: an empty quoted name"},
      {"# TYPE \"\" gauge", "8: an empty quoted name"},
      {"# TYPE \"a\\t\" gauge", "10: an escape in a quoted name that is not \\\\, \\\" or \\n"},
      {"# HELP \"a\"x", "11: HELP and TYPE need a metric name"},
      {"a{\"b\"} 1", "3: a second metric name"},
      {"{\"a\", \"b\"} 1", "7: a second metric name"},
      {"{} 1", "1: a metric name was expected"},
      {" {l=\"1\"} 1", "2: a metric name was expected"},
      {"{", "2: a label name was expected"},
      {"\"a\" 1", "1: a metric name was expected"},
      {"a{\"l\"} 1", "3: a second metric name"},
      {"a{\"l\" x=\"1\"} 1", "7: '=' was expected after a label name"},
      {"a{l=\"1\",\"l\"=\"2\"} 1", "9: a label name given twice"},
      {"{\"a\" 1", "6: '=' was expected after a label name"},
      {"{\"a\"}", "6: a number was expected"}};
  for (const auto& [line, said] : table) {
    CAPTURE(line);
    CHECK(refusal("\n" + line + "\n") == "malformed: line 2, column " + said);
  }
}

TEST_CASE("names in quotes are counted as labels only where they are") {
  ParseLimits limits;
  limits.labels_per_sample_max = 1;
  CHECK(refusal("{l=\"1\",\"a\"} 1\n", limits) == "accepted");
  CHECK(refusal("{l=\"1\",\"a\"=\"2\",\"b\"} 1\n", limits) ==
        "limit_labels: line 1, column 8: more labels than limits.labels_per_sample_max");
  CHECK(refusal("{l=\"1\",\"\"} 1\n", limits) ==
        "malformed: line 1, column 8: an empty quoted name");
}

TEST_CASE("a series is the same in quotes and without, and is told where its line begins") {
  const std::string said = "duplicate_series: line 2, column 2: this series was given before";
  for (const std::string first : {"a{l=\"1\",m=\"2\"} 1\n", "{\"a\",\"m\"=\"2\",l=\"1\"} 1\n"}) {
    const std::string text = first + "\t{m=\"2\",\"l\"=\"1\",\"a\"} 1\n" + kPadding;
    CHECK(refusal(text) == said);
    for (const Isa isa : loops_of_this_machine()) {
      const Forced forced(isa);
      CHECK(shown_of(NodePart::build(text, {}, plan_of(Role::kActive))) == said);
    }
  }
  CHECK(refusal("{\"a\\\\n\"} 1\n{\"a\\n\"} 1\n") == "accepted");
}

TEST_CASE("a line that begins as a name in quotes reads is not taken for one of that family") {
  const std::vector<std::pair<std::string, std::string>> table = {
      {"a b", "malformed: line 2, column 3: a number was expected"},
      {"9", "malformed: line 2, column 1: a metric name was expected"},
      {"a{b", "malformed: line 2, column 5: '=' was expected after a label name"}};
  for (const auto& [name, said] : table) {
    for (const Isa isa : loops_of_this_machine()) {
      const Forced forced(isa);
      const std::string text = "{\"" + name + "\",l=\"1\"} 1\n" + name + " 1\n" + kPadding;
      CAPTURE(name, static_cast<int>(isa));
      CHECK(shown_of(NodePart::build(text, {}, plan_of(Role::kActive))) == said);
    }
  }
}

TEST_CASE("an underscore is served for each character that no name has at its place") {
  const std::vector<std::pair<std::string, std::string>> table = {{"a.b", "a_b"},
                                                                  {"a b-c", "a_b_c"},
                                                                  {"9a9", "_a9"},
                                                                  {"a\\\\b", "a_b"},
                                                                  {"a\\nb", "a_b"},
                                                                  {"\\\"", "_"},
                                                                  {"\xC3\xA9", "_"},
                                                                  {"a\xF0\x9F\x8D\xBA.", "a__"},
                                                                  {"a:b_C1", "a:b_C1"},
                                                                  {"\xE2\x82\xAC"
                                                                   "0",
                                                                   "_0"}};
  for (const auto& [name, wanted] : table) {
    CAPTURE(name);
    CHECK(served_metric_name(name) == wanted);
    CHECK(served("{\"" + name + "\"} 1\n") ==
          "# TYPE " + wanted + " untyped\n" + wanted + "{node_name=\"a\"} 1\n");
  }
  CHECK(served_label_name("a:b") == "a_b");
}

TEST_CASE("what is served has no quotes around names, and the node's own text has them as sent") {
  const std::string text =
      "# HELP \"a.b\" x\n# TYPE \"a.b\" summary\n{\"a.b\",\"quantile\"=\"0.5\",\"l.x\"=\"1\"} 1\n"
      "{\"a.b_sum\",\"l.x\"=\"1\"} 2\n";
  const auto part = part_of(text);
  CHECK(served(*part) ==
        "# HELP a_b x\n# TYPE a_b summary\na_b{node_name=\"a\",quantile=\"0.5\",l_x=\"1\"} 1\n"
        "a_b_sum{node_name=\"a\",l_x=\"1\"} 2\n");
  CHECK(own_text(*part) == text);
  const Exposition sent = part->excerpt([](const Family& family) { return family.name == "a.b"; });
  REQUIRE(sent.samples.size() == 2);
  CHECK(sent.samples[1].name == "a.b_sum");
}

TEST_CASE("families come in the order of the names that they are served by") {
  CHECK(served("{\"a.z\"} 1\n{\"9\"} 2\na_b 3\nA 4\n{\"a\xC3\xA9\"} 5\n") ==
        "# TYPE A untyped\nA{node_name=\"a\"} 4\n# TYPE _ untyped\n_{node_name=\"a\"} 2\n"
        "# TYPE a_ untyped\na_{node_name=\"a\"} 5\n# TYPE a_b untyped\na_b{node_name=\"a\"} 3\n"
        "# TYPE a_z untyped\na_z{node_name=\"a\"} 1\n");
}

TEST_CASE(
    "a family whose name becomes another's is dropped: its own name goes before, then order") {
  const auto first = part_of("{\"a.b\"} 1\n{\"a b\",l=\"1\"} 2\n{\"a b\",l=\"2\"} 3\n");
  CHECK(served(*first) == "# TYPE a_b untyped\na_b{node_name=\"a\"} 1\n");
  CHECK(dropped(*first, DropCause::kTypeConflict) == 2);
  CHECK(first->samples() == 1);
  const auto own = part_of("{\"a.b\"} 1\n{\"a b\"} 2\na_b 3\n");
  CHECK(served(*own) == "# TYPE a_b untyped\na_b{node_name=\"a\"} 3\n");
  CHECK(dropped(*own, DropCause::kTypeConflict) == 2);
  CHECK(own_text(*own) == "{\"a.b\"} 1\n{\"a b\"} 2\na_b 3\n");
}

TEST_CASE("so is one whose samples another family has, or could have by its type") {
  const auto kept = [](const std::string& text) {
    std::string names;
    const auto part = part_of(text);
    for (const FamilyPart& family : part->families()) names += std::string(family.name) + " ";
    CHECK(dropped(*part, DropCause::kTypeConflict) + part->samples() == 2);
    return names;
  };
  const std::string summary = "{\"a.b\",quantile=\"1\"} 1\n";
  CHECK(kept("# TYPE a summary\na{quantile=\"1\"} 1\n{\"a.sum\"} 1\n") == "a ");
  CHECK(kept("{\"a.sum\"} 1\n# TYPE a summary\na{quantile=\"1\"} 1\n") == "a ");
  CHECK(kept("# TYPE a summary\na{quantile=\"1\"} 1\n{\"a.bucket\"} 1\n") == "a a_bucket ");
  CHECK(kept("# TYPE a histogram\na_sum 1\n{\"a.bucket\"} 1\n") == "a ");
  CHECK(kept("# TYPE a counter\na 1\n{\"a.count\"} 1\n") == "a a_count ");
  CHECK(kept("# TYPE \"a.b\" summary\n" + summary + "a_b_count 1\n") == "a_b_count ");
  CHECK(kept("a_b_count 1\n# TYPE \"a.b\" summary\n" + summary) == "a_b_count ");
  CHECK(kept("# TYPE \"a.b\" summary\n" + summary + "{\"a.b.sum\"} 1\n") == "a_b ");
  CHECK(kept("{\"a.b.sum\"} 1\n# TYPE \"a.b\" summary\n" + summary) == "a_b_sum ");
}

TEST_CASE("labels whose names become one are told apart, in whatever order they are sent") {
  const std::string head = "# TYPE a untyped\na{node_name=\"a\",";
  CHECK(served("a{l_x=\"own\",\"l-x\"=\"1\"} 1\n") ==
        head + "l_x=\"own\",exported_l_x=\"1\"} 1\n");
  CHECK(served("a{\"l.x\"=\"2\",\"l-x\"=\"1\"} 1\n") ==
        head + "exported_l_x=\"2\",l_x=\"1\"} 1\n");
}

TEST_CASE("of three labels whose names become one the last by name is left out") {
  const std::string head = "# TYPE a untyped\na{node_name=\"a\",";
  CHECK(served("a{l_x=\"own\",\"l-x\"=\"1\",\"l.x\"=\"2\"} 1\n") ==
        head + "l_x=\"own\",exported_l_x=\"1\"} 1\n");
  CHECK(served("a{\"l.x\"=\"2\",\"l-x\"=\"1\",l_x=\"own\"} 1\n") ==
        head + "exported_l_x=\"1\",l_x=\"own\"} 1\n");
  const auto twice = part_of("a{\"x-\"=\"1\",\"x.\"=\"2\",\"x~\"=\"3\"} 1\n"
                             "a{\"x-\"=\"1\",\"x.\"=\"2\",\"x~\"=\"4\"} 2\n");
  CHECK(served(*twice) == head + "x_=\"1\",exported_x_=\"2\"} 1\n");
  CHECK(dropped(*twice, DropCause::kDuplicateAfterRelabel) == 1);
}

TEST_CASE("what is served of a line with names in quotes is at most a few times what was sent") {
  std::string text = "a{";
  for (char c = '!'; c <= '~'; ++c) {
    if (c != '"' && c != '\\') text += std::string("\"") + c + "\"=\"v\",";
  }
  text += "} 1\n";
  ParseLimits limits;
  limits.labels_per_sample_max = 100;
  auto built = NodePart::build(text, limits, plan_of(Role::kActive));
  REQUIRE(built.ok());
  CHECK(served(*built.value()).size() < 3 * text.size());
}

TEST_CASE("series that become one by their labels' names are served once") {
  for (const Isa isa : loops_of_this_machine()) {
    const Forced forced(isa);
    const auto part = part_of("a{l_x=\"1\"} 1\na{l_x=\"2\"} 2\na{\"l.x\"=\"1\"} 3\n" + kPadding);
    CHECK(served(*part) ==
          "# TYPE a untyped\na{node_name=\"a\",l_x=\"1\"} 1\na{node_name=\"a\",l_x=\"2\"} 2\n");
    CHECK(dropped(*part, DropCause::kDuplicateAfterRelabel) == 1);
  }
}

TEST_CASE("no name in quotes becomes one of ours") {
  CHECK(served("a{\"node.name\"=\"x\",\"seal-state source\"=\"y\",\".role__\"=\"z\"} 1\n") ==
        "# TYPE a untyped\na{node_name=\"a\",exported_node_name=\"x\","
        "exported_seal_state_source=\"y\",_role__=\"z\"} 1\n");
  CHECK(served("a{\"_.name__\"=\"x\",\"cluster\"=\"y\",\"namespace\"=\"z\"} 1\n") ==
        "# TYPE a untyped\na{node_name=\"a\",exported___name__=\"x\",openbao_namespace=\"z\"} 1\n");
  const auto reserved =
      part_of("{\"bao.node.up\"} 1\n# TYPE \"bao token\" summary\n{\"bao token_sum\"} 1\n");
  CHECK(reserved->families().empty());
  CHECK(dropped(*reserved, DropCause::kReservedName) == 2);
}

TEST_CASE("a node that is not active serves no leader-only family in quotes either") {
  const std::string text =
      "# TYPE \"vault.raft.peers\" gauge\n{\"vault.raft.peers\"} 3\n"
      "{\"vault_raft_peers\"} 3\n";
  const auto standby = part_of(text, Role::kStandby);
  CHECK(dropped(*standby, DropCause::kLeaderOnly) == 2);
  CHECK(own_text(*standby).empty());
  CHECK(part_of(text)->samples() == 1);
}

TEST_CASE("the seal's state is told of a name in quotes as of any") {
  CHECK(served("{\"vault.core.unsealed\",\"cluster\"=\"c\"} 1\n{\"vault.core.unsealed\"} 0\n") ==
        "# TYPE vault_core_unsealed untyped\n"
        "vault_core_unsealed{node_name=\"a\",seal_state_source=\"cluster\"} 1\n"
        "vault_core_unsealed{node_name=\"a\",seal_state_source=\"startup\"} 0\n");
}

TEST_CASE("a poll after another gives the same, whatever became of names in quotes") {
  const std::string head = "# TYPE \"a.b\" gauge\n";
  const auto body = [&](const std::string& lines) {
    return "ordinary 1\n" + head + lines + "{\"a b\"} 1\n{l=\"1\",\"c.d\"} 5\n" + kPadding;
  };
  const std::vector<std::string> polls = {
      "{\"a.b\",l=\"1\"} 1\n{\"a.b\",\"l.x\"=\"1\"} 2\n",
      "{\"a.b\",l=\"1\"} 3\n{\"a.b\",\"l.x\"=\"1\"} 4\n",
      "{\"a.b\",l=\"1\"} 3\n{\"a.b\",\"l.x\"=\"1\"} 4\n{\"a.b\",l_x=\"1\"} 5\n",
      "{\"a.b\",l_x=\"1\"} 5\n{\"a.b\",l=\"1\"} 3\n", "{\"a.b\"} 1\n"};
  for (const Isa isa : loops_of_this_machine()) {
    const Forced forced(isa);
    PartBuilder builder;
    std::shared_ptr<const NodePart> before;
    for (const std::string& lines : polls) {
      const auto next = builder.build(body(lines), {}, plan_of(Role::kActive), before.get());
      REQUIRE(next.ok());
      CHECK(shown_of(next) == shown_of(NodePart::build(body(lines), {}, plan_of(Role::kActive))));
      before = next.value();
    }
    CHECK(builder.steady_parts() >= 1);
    CHECK(dropped(*before, DropCause::kTypeConflict) == 1);
  }
}

TEST_CASE("of two nodes a name in quotes and its underscores are one family") {
  TypeBook types;
  const auto with_quotes = part_of("# TYPE \"a.b\" gauge\n{\"a.b\"} 1\n");
  const auto without = part_of("# TYPE a_b gauge\na_b{l=\"1\"} 2\n");
  const Merged merged = merge({{0, with_quotes}, {1, without}}, types);
  CHECK(merged.rope.to_string() ==
        "# TYPE a_b gauge\na_b{node_name=\"a\"} 1\na_b{node_name=\"a\",l=\"1\"} 2\n");
}

TEST_CASE(
    "names of 200,000 characters, and 20,000 families of one name, take no time to speak of") {
  const std::string name(60'000, '.');
  CHECK(part_of("{\"" + name + "\"} 1\n")->families()[0].name == std::string(60'000, '_'));
  std::string text;
  for (int i = 0; i < 20'000; ++i) {
    std::string odd = "a";
    for (int bit = 0; bit < 15; ++bit) odd += (i >> bit & 1) != 0 ? '.' : '-';
    text += "{\"" + odd + "\"} 1\n{\"" + odd + ".sum\"} 1\n";
  }
  const auto part = part_of(text);
  CHECK(part->families().size() == 2);
  CHECK(dropped(*part, DropCause::kTypeConflict) == 39'998);
}

TEST_CASE("OpenMetrics keeps names in quotes as they were sent") {
  const auto out = open_metrics(
      "# HELP \"a.b_total\" x\n# TYPE \"a.b_total\" counter\n{\"a.b_total\",\"l.x\"=\"1\"} 1\n",
      kSeed);
  REQUIRE(out.ok());
  CHECK(out.value() ==
        "# HELP \"a.b\" x\n# TYPE \"a.b\" counter\n{\"a.b_total\",\"l.x\"=\"1\"} 1\n# EOF\n");
}

}  // namespace bao_exporter
