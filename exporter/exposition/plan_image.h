// A RelabelPlan made ready: what happens to each label name, looked up once.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

#include "bao_exporter/node_part.h"

namespace bao_exporter {

struct LabelRule {
  enum class Action : std::uint8_t { kKeep, kRemove, kRename, kHard };  // kHard: the plain way
  static constexpr std::size_t kLongest = 30;
  static constexpr std::size_t kRoom = 64;  // loads of that many bytes may begin at a text here

  std::array<char, kRoom> name{};  // and its '="'
  std::uint64_t hash = 0;
  const char* renamed = nullptr;  // ',new_name="'
  std::uint32_t renamed_bytes = 0;
  std::uint32_t bytes = 0;  // of the name
  Action action = Action::kKeep;
  std::uint8_t needed_for = 0;  // kQuantile, kLe
};
inline constexpr std::uint8_t kQuantile = 1, kLe = 2;

class PlanImage {
 public:
  static constexpr std::uint32_t kUnknown = 64;

  explicit PlanImage(const RelabelPlan& plan);

  [[nodiscard]] const RelabelPlan& plan() const { return plan_; }
  // Never given twice in a process.
  [[nodiscard]] std::uint64_t number() const { return number_; }
  // Whether the fast way knows this plan's lines at all.
  [[nodiscard]] bool is_plain() const { return !plan_.identity.empty(); }

  [[nodiscard]] const LabelRule& rule(std::uint32_t id) const { return rules_[id]; }
  // The id of a name, learnt when it is new; kUnknown: too long, or too many.
  [[nodiscard]] std::uint32_t find(std::string_view name);
  // Between two bodies: when too many names were learnt, those of the next one are learnt anew.
  void forget_if_full();

 private:
  [[nodiscard]] std::uint32_t learn(std::string_view name);

  RelabelPlan plan_;
  std::uint64_t number_;
  std::array<LabelRule, kUnknown> rules_{};
  std::uint32_t count_ = 0;
  std::array<std::uint8_t, 256> slots_{};  // id + 1
  std::deque<std::string> texts_;
};

// Two plans that render any body alike.
[[nodiscard]] bool same_plan(const RelabelPlan& a, const RelabelPlan& b);

}  // namespace bao_exporter
