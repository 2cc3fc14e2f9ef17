// Finds a series that is given twice within one family; the order of labels does not matter. Equal
// hashes are confirmed by comparing. No two families have series of one name (family_book.h).
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "bao_exporter/exposition.h"
#include "bao_exporter/hash.h"

namespace bao_exporter {

namespace series {

[[nodiscard]] inline std::uint64_t label_hash(std::string_view value, std::uint64_t name_hash) {
  return hash_bytes(value, name_hash);
}
// Of the sum of the labels' hashes: addition, since their order must not matter.
[[nodiscard]] inline std::uint64_t whole_hash(std::uint64_t name_hash, std::uint64_t labels_sum,
                                              std::uint64_t seed) {
  return mix64(name_hash ^ labels_sum, seed | 1);
}

[[nodiscard]] std::uint64_t hash_of(std::string_view name, std::span<const Label> labels,
                                    std::uint64_t seed);
[[nodiscard]] bool same(std::string_view name_a, std::span<const Label> a, std::string_view name_b,
                        std::span<const Label> b);

inline constexpr std::uint32_t kNone = ~std::uint32_t{0};

// The first of `count` series that one before it equals, or kNone. `table` is room.
template <typename HashAt, typename SameAt>
std::uint32_t first_duplicate(std::uint32_t count, std::vector<std::uint32_t>& table,
                              HashAt hash_at, SameAt same_at) {
  if (count < 2) return kNone;
  std::size_t room = 4;
  while (room < std::size_t{count} * 2) room *= 2;
  if (table.size() < room) table.resize(room);
  std::fill_n(table.data(), room, 0);
  const std::size_t mask = room - 1;
  std::uint32_t* const slots = table.data();
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::uint64_t hash = hash_at(i);
    std::size_t at = hash & mask;
    for (; slots[at] != 0; at = (at + 1) & mask) {
      if (hash_at(slots[at] - 1) == hash && same_at(slots[at] - 1, i)) return i;
    }
    slots[at] = i + 1;
  }
  return kNone;
}

}  // namespace series

}  // namespace bao_exporter
