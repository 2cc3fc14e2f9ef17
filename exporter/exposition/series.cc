#include "exposition/series.h"

namespace bao_exporter::series {

std::uint64_t hash_of(std::string_view name, std::span<const Label> labels, std::uint64_t seed) {
  std::uint64_t sum = 0;
  for (const Label& label : labels) sum += label_hash(label.value, hash_bytes(label.name, seed));
  return whole_hash(hash_bytes(name, seed), sum, seed);
}

bool same(std::string_view name_a, std::span<const Label> a, std::string_view name_b,
          std::span<const Label> b) {
  if (name_a != name_b || a.size() != b.size()) return false;
  if (std::equal(a.begin(), a.end(), b.begin(), b.end())) return true;
  // Names are unique within a sample, so inclusion of equally many is equality.
  return std::all_of(a.begin(), a.end(), [&](const Label& label) {
    return std::find(b.begin(), b.end(), label) != b.end();
  });
}

}  // namespace bao_exporter::series
