// Small, fast and the same on every machine: what the generators draw from.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace reference {

// SplitMix64.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() {
    std::uint64_t z = state_ += 0x9E3779B97F4A7C15;
    z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27U)) * 0x94D049BB133111EB;
    return z ^ (z >> 31U);
  }
  // 0 to bound - 1; 0 when bound is 0.
  std::size_t below(std::size_t bound) { return bound == 0 ? 0 : next() % bound; }
  bool one_in(std::size_t n) { return below(n) == 0; }
  double unit() { return static_cast<double>(next() >> 11U) * 0x1p-53; }
  template <std::size_t N>
  std::string_view pick(const std::string_view (&words)[N]) {  // NOLINT(*-avoid-c-arrays)
    return words[below(N)];
  }

 private:
  std::uint64_t state_;
};

}  // namespace reference
