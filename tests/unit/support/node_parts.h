// What one body becomes by a plan like OpenBao's.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "../catch.h"
#include "bao_exporter/format.h"
#include "bao_exporter/node_part.h"

namespace bao_exporter::test {

inline constexpr std::uint64_t kSeed = 7;

// What OpenBao's nodes get.
inline RelabelPlan openbao_like_plan() {
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
inline RelabelPlan short_plan() {
  RelabelPlan plan = openbao_like_plan();
  plan.identity = "node_name=\"a\"";
  return plan;
}

inline std::shared_ptr<const NodePart> render(const std::string& text, const RelabelPlan& plan) {
  auto built = NodePart::build(text, {}, plan);
  if (!built.ok()) FAIL("the body is refused: " + built.error().detail);
  return std::move(built).value();
}

inline std::string lines_of(const NodePart& part) {
  std::string out;
  for (const FamilyPart& family : part.families()) out += family.lines;
  return out;
}

inline std::string rendered(const std::string& text, const RelabelPlan& plan = short_plan()) {
  return lines_of(*render(text, plan));
}

inline std::uint64_t dropped(const NodePart& part, DropCause cause) {
  return part.dropped()[static_cast<std::size_t>(cause)];
}

inline std::uint64_t all_dropped(const NodePart& part) {
  std::uint64_t sum = 0;
  for (const std::uint64_t count : part.dropped()) sum += count;
  return sum;
}

inline std::string whole_text(const NodePart& part) {
  std::string out;
  for (const FamilyPart& family : part.families()) {
    append_family_header(out, family.name, family.has_help, family.help, family.type);
    out += family.lines;
  }
  return out;
}

}  // namespace bao_exporter::test
