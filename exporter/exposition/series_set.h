// Finds a series that is given twice: an open-addressing table over the samples of one Exposition.
// The order of labels does not matter. Equal hashes are confirmed by comparing.
#pragma once

#include <cstdint>
#include <vector>

#include "bao_exporter/exposition.h"

namespace bao_exporter {

class SeriesSet {
 public:
  SeriesSet(const Exposition& exposition, std::uint64_t seed);

  // Adds the sample with that index. False when the same series is already there.
  bool insert(std::uint32_t sample_index);

 private:
  [[nodiscard]] std::uint64_t hash_of(const Sample& sample) const;
  [[nodiscard]] bool same_series(const Sample& a, const Sample& b) const;
  void grow();

  struct Entry {
    std::uint64_t hash = 0;
    std::uint32_t index_plus_1 = 0;
  };
  const Exposition& exposition_;
  std::uint64_t seed_;
  std::vector<Entry> entries_;
  std::size_t used_ = 0;
};

}  // namespace bao_exporter
