// From what a pass left to what a NodePart shows.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "bao_exporter/node_part.h"
#include "exposition/part_store.h"

namespace bao_exporter {

class PartFinisher {
 public:
  PartFinisher(NodePart& part, const RelabelPlan& plan) : part_(part), plan_(plan) {}

  // `previous`: a part whose families are the same, in the same order; or null.
  void run(const NodePart* previous);

 private:
  void note_served_names();
  void judge(std::uint32_t family) const;
  void count(const FamilyRecord& record);
  void sort_families(const NodePart* previous);
  void list_families();
  void slice_own_text();
  [[nodiscard]] std::string_view served_name(std::uint32_t family) const;
  [[nodiscard]] bool is_leader_only(std::uint32_t family) const;
  [[nodiscard]] bool is_in_own_text(std::uint32_t family) const;
  [[nodiscard]] bool is_name_taken(std::uint32_t family) const;
  [[nodiscard]] bool has_rival(std::uint32_t family, std::string_view name,
                               std::uint8_t parts) const;

  NodePart& part_;
  const RelabelPlan& plan_;
  std::vector<std::string_view> served_;  // by family; empty when all are served as they were sent
};

[[nodiscard]] Family family_of(const FamilyRecord& record);

}  // namespace bao_exporter
