// What a plan does to each label name, looked up once.
#include "exposition/plan_image.h"

#include <string>

#include "catch.h"

namespace bao_exporter {

namespace {

using Action = LabelRule::Action;

RelabelPlan some_plan() {
  RelabelPlan plan;
  plan.identity = "node_name=\"a\"";
  plan.removed_label = "cluster";
  plan.renamed_labels = {{"namespace", "openbao_namespace"},
                         {"long", std::string(31, 'l')},
                         {"fits", std::string(30, 'f')}};
  plan.reserved_labels = {"node_name", "openbao_namespace"};
  return plan;
}

}  // namespace

TEST_CASE("only names that the plan knows of are hard, removed or renamed, all others are kept") {
  PlanImage image(some_plan());
  const auto action = [&](const std::string& name) { return image.rule(image.find(name)).action; };
  for (const int time : {1, 2}) {
    CAPTURE(time);
    for (const std::string name : {"a", "mount_point", "quantile", "le", "clusters", "name"}) {
      CHECK(action(name) == Action::kKeep);
    }
    CHECK(action("cluster") == Action::kRemove);
    CHECK(action("namespace") == Action::kRename);
    CHECK(action("fits") == Action::kRename);
    CHECK(action("long") == Action::kHard);  // its new name has no room
    CHECK(action("node_name") == Action::kHard);
    CHECK(action("openbao_namespace") == Action::kHard);
    CHECK(action("__x") == Action::kHard);
  }
  CHECK(image.rule(image.find("quantile")).needed_for == kQuantile);
  CHECK(image.rule(image.find("le")).needed_for == kLe);
  CHECK(image.rule(image.find("a")).needed_for == 0);
  const LabelRule& renamed = image.rule(image.find("namespace"));
  CHECK(std::string_view(renamed.renamed, renamed.renamed_bytes) == ",openbao_namespace=\"");
}

TEST_CASE("64 names are learnt, none that is longer than 30 bytes, and known ones stay known") {
  PlanImage image(some_plan());
  CHECK(image.find(std::string(31, 'x')) == PlanImage::kUnknown);
  CHECK(image.find(std::string(30, 'x')) == 0);
  for (std::uint32_t i = 1; i < 64; ++i) CHECK(image.find("label" + std::to_string(i)) == i);
  CHECK(image.find("another") == PlanImage::kUnknown);
  for (std::uint32_t i = 1; i < 64; ++i) CHECK(image.find("label" + std::to_string(i)) == i);
  CHECK(image.find(std::string(30, 'x')) == 0);
}

}  // namespace bao_exporter
