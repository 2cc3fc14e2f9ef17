#include "bench/collisions.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string_view>

#include "bao_exporter/check.h"
#include "bao_exporter/hash.h"

namespace bench {

namespace {

constexpr std::string_view kLetters =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_:0123456789";

// The n-th word of eight bytes that a name may hold; with a letter first.
std::uint64_t word(std::uint64_t n) {
  std::array<char, 8> text{};
  for (std::size_t i = 0; i < text.size(); ++i) {
    const std::size_t letters = i == 0 ? 52 : kLetters.size();
    text[i] = kLetters[n % letters];
    n /= letters;
  }
  std::uint64_t out = 0;
  std::memcpy(&out, text.data(), sizeof out);
  return out;
}

bool is_name(std::uint64_t bytes) {
  for (int i = 0; i < 8; ++i, bytes >>= 8U) {
    if (kLetters.find(static_cast<char>(bytes & 0xFFU)) == std::string_view::npos) return false;
  }
  return true;
}

std::string text_of(std::initializer_list<std::uint64_t> words) {
  std::string out;
  for (const std::uint64_t w : words) out.append(reinterpret_cast<const char*>(&w), 8);  // NOLINT
  return out;
}

// libstdc++'s hash of bytes: MurmurHash64A. Each of its steps can be undone, so the second of two
// words can be chosen for the state that is wanted after them; one in 65,536 such words is a name.
class Murmur {
 public:
  static constexpr std::uint64_t kMultiplier = 0xC6A4A7935BD1E995, kSeed = 0xC70F6907;

  static std::uint64_t shift_mix(std::uint64_t v) { return v ^ (v >> 47U); }
  static std::uint64_t step(std::uint64_t state, std::uint64_t word) {
    return (state ^ (shift_mix(word * kMultiplier) * kMultiplier)) * kMultiplier;
  }
  static std::uint64_t word_between(std::uint64_t before, std::uint64_t after) {
    return shift_mix((before ^ (after * inverse())) * inverse()) * inverse();
  }

 private:
  // Newton's method doubles the correct bits.
  static constexpr std::uint64_t inverse() {
    std::uint64_t x = kMultiplier;
    for (int i = 0; i < 6; ++i) x *= 2 - kMultiplier * x;
    return x;
  }
};

// Pieces of sixteen bytes that all lead from `state` to one other, which it becomes.
std::vector<std::string> pieces_that_meet(std::uint64_t& state, std::size_t count) {
  std::vector<std::string> pieces = {text_of({word(1), word(1)})};
  const std::uint64_t after = Murmur::step(Murmur::step(state, word(1)), word(1));
  for (std::uint64_t n = 2; pieces.size() < count; ++n) {
    const std::uint64_t second = Murmur::word_between(Murmur::step(state, word(n)), after);
    if (is_name(second)) pieces.push_back(text_of({word(n), second}));
  }
  state = after;
  return pieces;
}

template <typename Hash>
void check_that_all_meet(const std::vector<std::string>& names, Hash hash) {
  for (const std::string& name : names) BAO_CHECK(hash(name) == hash(names.front()));
}

}  // namespace

std::vector<std::string> colliding_for_std(std::size_t count) {
  constexpr std::size_t kStages = 4, kPieces = 18;  // 18^4 is more than 1e5
  std::uint64_t state = Murmur::kSeed ^ (kStages * 16 * Murmur::kMultiplier);
  std::vector<std::string> names = {""};
  for (std::size_t stage = 0; stage < kStages && names.size() < count; ++stage) {
    std::vector<std::string> longer;
    for (const std::string& piece : pieces_that_meet(state, kPieces)) {
      for (const std::string& name : names) longer.push_back(name + piece);
    }
    names = std::move(longer);
  }
  const std::size_t missing = kStages * 16 - names.front().size();
  BAO_CHECK(names.size() >= count);
  for (std::string& name : names) name.append(missing, 'a');
  names.resize(count);
  check_that_all_meet(names, std::hash<std::string_view>());
  return names;
}

// The hash multiplies the last sixteen bytes, one half with the other: when the first half and what
// was before it make zero, the other half changes nothing. The bytes before are tried until that is
// a name.
std::vector<std::string> colliding_for_ours(std::size_t count) {
  using bao_exporter::mix64;
  constexpr std::uint64_t kA = 0x9E3779B97F4A7C15, kB = 0xD1B54A32D192ED03, kSize = 32;
  std::uint64_t first = 0, third = 0;
  const std::uint64_t begin = mix64(kSize ^ kA, kB);
  // The last block of sixteen is taken by the loop, too, so the tail after it is empty.
  do {
    ++first;
    third = mix64(word(first) ^ kA ^ begin, word(first) ^ kB) ^ kA;
  } while (!is_name(third));
  std::vector<std::string> names;
  for (std::uint64_t n = 1; names.size() < count; ++n) {
    names.push_back(text_of({word(first), word(first), third, word(n)}));
  }
  check_that_all_meet(names,
                      [](const std::string& name) { return bao_exporter::hash_bytes(name, 0); });
  return names;
}

}  // namespace bench
