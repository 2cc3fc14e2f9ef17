// Relabel rules on a body of text.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "../catch.h"
#include "bao_exporter/node_part.h"
#include "outcomes.h"
#include "re2_matcher.h"
#include "reserved_names.h"

namespace bao_exporter::test {

inline RelabelBounds our_bounds() { return {fixed_labels(), reserved_labels(), "__"}; }

inline RelabelRule rule_of(RelabelAction action, std::vector<std::string> sources,
                           std::string regex, std::string target = {},
                           std::string replacement = "$1") {
  RelabelRule rule;
  rule.action = action;
  rule.source_labels = std::move(sources);
  rule.regex = std::move(regex);
  rule.target_label = std::move(target);
  rule.replacement = std::move(replacement);
  return rule;
}

inline RelabelRule label_drop(std::string regex) {
  return rule_of(RelabelAction::kLabelDrop, {}, std::move(regex));
}

inline std::shared_ptr<const Relabel> ready(const std::vector<RelabelRule>& rules,
                                            OnDuplicate on_duplicate = OnDuplicate::kSum) {
  return std::make_shared<const Relabel>(rules, our_bounds(), on_duplicate, make_re2_matcher);
}

inline std::shared_ptr<const NodePart> relabelled(
    const std::string& text, std::shared_ptr<const Relabel> rules,
    const std::string& identity = R"(node_name="a")") {
  constexpr std::uint64_t kSeed = 7;
  RelabelPlan plan;
  plan.identity = identity;
  plan.removed_label = "cluster";
  plan.renamed_labels = {{"namespace", "openbao_namespace"}};
  plan.reserved_labels = reserved_labels();
  plan.hash_seed = kSeed;
  plan.relabel = std::move(rules);
  auto built = NodePart::build(text, {}, plan);
  if (!built.ok()) FAIL("the body is refused: " + built.error().detail);
  return std::move(built).value();
}

}  // namespace bao_exporter::test
