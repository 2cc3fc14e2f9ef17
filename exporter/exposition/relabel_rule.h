// A rule made ready: what relabel.cc runs.
#pragma once

#include <memory>
#include <string>

#include "bao_exporter/relabel.h"
#include "exposition/relabel_template.h"

namespace bao_exporter {

struct CompiledRule {
  RelabelAction action = RelabelAction::kReplace;
  std::vector<std::string> source_labels;
  std::string separator;
  std::uint64_t modulus = 0;
  std::string target_label;
  std::shared_ptr<const Matcher> matcher;  // null: the action has none
  RelabelTemplate target;
  RelabelTemplate replacement;
};

}  // namespace bao_exporter
