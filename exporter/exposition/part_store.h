// What a NodePart is made of: arenas that are filled in one pass and taken again by a later part.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "bao_exporter/exposition.h"
#include "exposition/family_book.h"
#include "exposition/pod.h"

namespace bao_exporter {

// One sample: in the body, and as it is rendered. Offsets, so that arenas may move.
struct LineRecord {
  static constexpr std::uint32_t kDropped = ~std::uint32_t{0};

  std::uint64_t hash = 0;  // of the series as sent
  std::uint32_t at = 0;
  std::uint32_t prefix = 0;  // bytes before its value
  std::uint32_t out_at = 0;
  std::uint32_t out_prefix = 0;  // or kDropped
};

// Bytes of the body that are not to be shown: blanks and a timestamp.
struct Stamp {
  std::uint32_t from = 0;
  std::uint32_t to = 0;
};

struct PartStore {
  std::string body;
  Pod<char> out;  // with kSlack bytes of room behind what is there
  Pod<LineRecord> lines;
  Pod<FamilyRecord> families;                    // in the order of the body
  Pod<Stamp> stamps;                             // in the order of the body
  Pod<std::uint32_t> order;                      // of families, by name
  std::map<std::uint32_t, std::string> renamed;  // served names of families whose own need quotes
  std::vector<std::string> removed;              // values of the removed label; the first is empty
  ParseLimits limits;
  std::uint64_t plan = 0;  // which one: PlanImage::number

  // Bytes that its arenas hold, used or not, but for the body.
  [[nodiscard]] std::size_t room() const {
    return out.capacity() + lines.capacity() * sizeof(LineRecord) +
           families.capacity() * sizeof(FamilyRecord) + stamps.capacity() * sizeof(Stamp) +
           order.capacity() * sizeof(std::uint32_t);
  }
  [[nodiscard]] std::string_view line_at(const LineRecord& line) const {
    const std::string_view rest = std::string_view(body).substr(line.at);
    return rest.substr(0, rest.find('\n'));
  }
};

}  // namespace bao_exporter
