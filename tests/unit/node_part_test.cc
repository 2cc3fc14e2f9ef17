#include "bao_exporter/node_part.h"

#include <string>
#include <string_view>
#include <utility>

#include "catch.h"
#include "support/node_parts.h"

namespace bao_exporter {

namespace {

using test::all_dropped;
using test::dropped;
using test::lines_of;
using test::openbao_like_plan;
using test::render;
using test::rendered;
using test::short_plan;

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

}  // namespace bao_exporter
