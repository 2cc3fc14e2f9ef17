// The loops for any machine: eight bytes at a time.
#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "bao_exporter/hash.h"
#include "exposition/isa.h"
#include "exposition/pass.h"
#include "exposition/text_rules.h"

namespace bao_exporter::pass_portable {

namespace {

struct Ops {
  static constexpr std::uint32_t kWidth = 8;
  static constexpr std::uint64_t kOnes = 0x0101010101010101, kHigh = 0x8080808080808080;

  // The first byte is the lowest.
  static std::uint64_t load(const char* p) {
    std::uint64_t word;
    std::memcpy(&word, p, sizeof word);
    if constexpr (std::endian::native == std::endian::big) word = __builtin_bswap64(word);
    return word;
  }
  // The high bit of each byte, as one bit each.
  static std::uint64_t gather(std::uint64_t high) { return (high * 0x0002040810204081) >> 56; }
  static std::uint64_t high_of_nonzero(std::uint64_t word) {
    return (((word & ~kHigh) + ~kHigh) | word) & kHigh;
  }
  static std::uint64_t high_of_equal(std::uint64_t word, char c) {
    return ~high_of_nonzero(word ^ (kOnes * static_cast<unsigned char>(c))) & kHigh;
  }
  static std::uint64_t high_of_odd(std::uint64_t word) {  // below a blank, or beyond ASCII
    return (~((word & ~kHigh) + kOnes * 0x60) | word) & kHigh;
  }
  static std::uint64_t differ(const char* a, const char* b) {
    return gather(high_of_nonzero(load(a) ^ load(b)));
  }
  static std::uint64_t text_stop(const char* p) {
    const std::uint64_t word = load(p);
    return gather(high_of_odd(word) | high_of_equal(word, '\\'));
  }
  static std::uint64_t stop(const char* p) {
    return text_stop(p) | gather(high_of_equal(load(p), '"'));
  }
  static std::uint64_t not_name(const char* p) {
    std::uint64_t bits = 0;
    for (unsigned i = 0; i < kWidth; ++i) {
      bits |= static_cast<std::uint64_t>(!text_rules::is_name_byte(p[i])) << i;
    }
    return bits;
  }
  static void copy(char* to, const char* from) { std::memcpy(to, from, kWidth); }
  static std::pair<std::uint32_t, std::uint32_t> number(const char* p) {
    std::uint64_t not_digits = 0, newlines = 0;
    for (unsigned i = 0; i < 32; i += 8) {
      const std::uint64_t word = load(p + i);
      const std::uint64_t low = word & ~kHigh;
      const std::uint64_t digits =
          (low + kOnes * (0x80 - '0')) & ~(low + kOnes * (0x7F - '9')) & ~word & kHigh;
      not_digits |= gather(~digits & kHigh) << i;
      newlines |= gather(high_of_equal(word, '\n')) << i;
    }
    return {static_cast<std::uint32_t>(not_digits), static_cast<std::uint32_t>(newlines)};
  }
};

#include "exposition/pass_loop.h"

}  // namespace

const PassLoops kLoops = {run_cold, run_steady};

}  // namespace bao_exporter::pass_portable
