#include "exposition/series_set.h"

#include <algorithm>

#include "bao_exporter/hash.h"

namespace bao_exporter {

namespace {
constexpr std::size_t kFirstCapacity = 1024;  // A power of two.
}

SeriesSet::SeriesSet(const Exposition& exposition, std::uint64_t seed)
    : exposition_(exposition), seed_(seed), entries_(kFirstCapacity) {}

std::uint64_t SeriesSet::hash_of(const Sample& sample) const {
  std::uint64_t sum = 0;  // Addition: the order of labels must not matter.
  for (const Label& label : exposition_.labels_of(sample)) {
    sum += hash_bytes(label.value, hash_bytes(label.name, seed_));
  }
  return mix64(hash_bytes(sample.name, seed_) ^ sum, seed_ | 1);
}

bool SeriesSet::same_series(const Sample& a, const Sample& b) const {
  if (a.name != b.name || a.label_count != b.label_count) return false;
  const auto left = exposition_.labels_of(a);
  const auto right = exposition_.labels_of(b);
  if (std::equal(left.begin(), left.end(), right.begin())) return true;
  // Names are unique within a sample, so inclusion of equally many is equality.
  return std::all_of(left.begin(), left.end(), [&](const Label& label) {
    return std::find(right.begin(), right.end(), label) != right.end();
  });
}

bool SeriesSet::insert(std::uint32_t sample_index) {
  if (used_ * 2 >= entries_.size()) grow();
  const Sample& sample = exposition_.samples[sample_index];
  const std::uint64_t hash = hash_of(sample);
  const std::size_t mask = entries_.size() - 1;
  for (std::size_t at = hash & mask;; at = (at + 1) & mask) {
    Entry& entry = entries_[at];
    if (entry.index_plus_1 == 0) {
      entry = {hash, sample_index + 1};
      ++used_;
      return true;
    }
    if (entry.hash == hash && same_series(exposition_.samples[entry.index_plus_1 - 1], sample)) {
      return false;
    }
  }
}

void SeriesSet::grow() {
  std::vector<Entry> bigger(entries_.size() * 2);
  const std::size_t mask = bigger.size() - 1;
  for (const Entry& entry : entries_) {
    if (entry.index_plus_1 == 0) continue;
    std::size_t at = entry.hash & mask;
    while (bigger[at].index_plus_1 != 0) at = (at + 1) & mask;
    bigger[at] = entry;
  }
  entries_.swap(bigger);
}

}  // namespace bao_exporter
