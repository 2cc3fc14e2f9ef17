#include "exposition/plan_image.h"

#include <atomic>
#include <cstring>
#include <tuple>

#include "bao_exporter/hash.h"
#include "exposition/out_labels.h"

namespace bao_exporter {

namespace {

std::uint64_t next_number() {
  static std::atomic<std::uint64_t> last{0};
  return ++last;
}

std::uint8_t slot_of(std::string_view name) {
  return static_cast<std::uint8_t>(hash_bytes(name, 0x5107));
}

}  // namespace

PlanImage::PlanImage(const RelabelPlan& plan) : plan_(plan), number_(next_number()) {}

std::uint32_t PlanImage::find(std::string_view name) {
  for (std::uint8_t at = slot_of(name);; ++at) {
    if (slots_[at] == 0) break;
    const LabelRule& known = rules_[slots_[at] - 1U];
    if (std::string_view(known.name.data(), known.bytes) == name) return slots_[at] - 1U;
  }
  return learn(name);
}

void PlanImage::forget_if_full() {
  if (count_ < kUnknown) return;
  rules_ = {};
  count_ = 0;
  slots_ = {};
  texts_.clear();
}

std::uint32_t PlanImage::learn(std::string_view name) {
  if (count_ == kUnknown || name.size() > LabelRule::kLongest) return kUnknown;
  LabelRule& rule = rules_[count_];
  std::memcpy(rule.name.data(), name.data(), name.size());
  std::memcpy(rule.name.data() + name.size(), "=\"", 2);
  rule.bytes = static_cast<std::uint32_t>(name.size());
  rule.hash = hash_bytes(name, plan_.hash_seed);
  if (name == "quantile") rule.needed_for = kQuantile;
  if (name == "le") rule.needed_for = kLe;
  const std::pair<std::string, std::string>* rename = nullptr;
  for (const auto& candidate : plan_.renamed_labels) {
    if (rename == nullptr && candidate.first == name) rename = &candidate;
  }
  if (!plan_.removed_label.empty() && name == plan_.removed_label) {
    rule.action = LabelRule::Action::kRemove;
  } else if (rename != nullptr && rename->second.size() <= LabelRule::kLongest) {
    rule.action = LabelRule::Action::kRename;
    texts_.push_back("," + rename->second + "=\"");
    rule.renamed_bytes = static_cast<std::uint32_t>(texts_.back().size());
    texts_.back().append(LabelRule::kRoom, '\0');
    rule.renamed = texts_.back().data();
  } else if (rename != nullptr || is_reserved_label(plan_, name)) {
    rule.action = LabelRule::Action::kHard;
  }
  std::uint8_t at = slot_of(name);
  while (slots_[at] != 0) ++at;
  slots_[at] = static_cast<std::uint8_t>(++count_);
  return count_ - 1;
}

bool same_plan(const RelabelPlan& a, const RelabelPlan& b) {
  const auto values = [](const RelabelPlan& p) {
    return std::tie(p.identity, p.removed_label, p.renamed_labels, p.reserved_labels,
                    p.reserved_family_prefixes, p.reserved_in_own_text, p.state_label, p.hash_seed,
                    p.functions, p.relabel);
  };
  const auto has_functions = [](const RelabelPlan& p) {
    return p.leader_only || p.has_state_label;
  };
  if (values(a) != values(b)) return false;
  if (!has_functions(a) && !has_functions(b)) return true;
  return !a.functions.empty() && !a.leader_only == !b.leader_only &&
         !a.has_state_label == !b.has_state_label;
}

}  // namespace bao_exporter
