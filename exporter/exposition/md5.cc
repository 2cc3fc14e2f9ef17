#include "exposition/md5.h"

#include <array>
#include <bit>
#include <cstddef>
#include <cstring>

namespace bao_exporter {

namespace {

using State = std::array<std::uint32_t, 4>;
constexpr std::size_t kBlock = 64;

// floor(2^32 * abs(sin(i + 1))): RFC 1321, 3.4.
constexpr std::array<std::uint32_t, 64> kSines = {
    0xD76AA478, 0xE8C7B756, 0x242070DB, 0xC1BDCEEE, 0xF57C0FAF, 0x4787C62A, 0xA8304613, 0xFD469501,
    0x698098D8, 0x8B44F7AF, 0xFFFF5BB1, 0x895CD7BE, 0x6B901122, 0xFD987193, 0xA679438E, 0x49B40821,
    0xF61E2562, 0xC040B340, 0x265E5A51, 0xE9B6C7AA, 0xD62F105D, 0x02441453, 0xD8A1E681, 0xE7D3FBC8,
    0x21E1CDE6, 0xC33707D6, 0xF4D50D87, 0x455A14ED, 0xA9E3E905, 0xFCEFA3F8, 0x676F02D9, 0x8D2A4C8A,
    0xFFFA3942, 0x8771F681, 0x6D9D6122, 0xFDE5380C, 0xA4BEEA44, 0x4BDECFA9, 0xF6BB4B60, 0xBEBFBC70,
    0x289B7EC6, 0xEAA127FA, 0xD4EF3085, 0x04881D05, 0xD9D4D039, 0xE6DB99E5, 0x1FA27CF8, 0xC4AC5665,
    0xF4292244, 0x432AFF97, 0xAB9423A7, 0xFC93A039, 0x655B59C3, 0x8F0CCC92, 0xFFEFF47D, 0x85845DD1,
    0x6FA87E4F, 0xFE2CE6E0, 0xA3014314, 0x4E0811A1, 0xF7537E82, 0xBD3AF235, 0x2AD7D2BB, 0xEB86D391};
constexpr std::array<std::array<int, 4>, 4> kTurns = {
    {{7, 12, 17, 22}, {5, 9, 14, 20}, {4, 11, 16, 23}, {6, 10, 15, 21}}};

std::uint32_t mixed(std::size_t round, std::uint32_t b, std::uint32_t c, std::uint32_t d) {
  switch (round) {
    case 0:
      return (b & c) | (~b & d);
    case 1:
      return (d & b) | (~d & c);
    case 2:
      return b ^ c ^ d;
    default:
      return c ^ (b | ~d);
  }
}

std::size_t word_of(std::size_t round, std::size_t step) {
  constexpr std::array<std::size_t, 4> kFactor = {1, 5, 3, 7}, kShift = {0, 1, 5, 0};
  return (kFactor[round] * step + kShift[round]) % 16;
}

std::uint32_t little_endian(const unsigned char* bytes) {
  return static_cast<std::uint32_t>(bytes[0]) | static_cast<std::uint32_t>(bytes[1]) << 8 |
         static_cast<std::uint32_t>(bytes[2]) << 16 | static_cast<std::uint32_t>(bytes[3]) << 24;
}

void take_block(State& state, const unsigned char* block) {
  auto [a, b, c, d] = state;
  for (std::size_t step = 0; step < kSines.size(); ++step) {
    const std::size_t round = step / 16;
    const std::uint32_t word = little_endian(block + 4 * word_of(round, step));
    const std::uint32_t sum = a + mixed(round, b, c, d) + kSines[step] + word;
    a = d;
    d = c;
    c = b;
    b += std::rotl(sum, kTurns[round][step % 4]);
  }
  state = {state[0] + a, state[1] + b, state[2] + c, state[3] + d};
}

std::uint32_t byte_swapped(std::uint32_t word) {
  return word << 24 | (word & 0xFF00U) << 8 | (word >> 8 & 0xFF00U) | word >> 24;
}

}  // namespace

std::uint64_t md5_tail(std::string_view text) {
  State state = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476};
  const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
  std::size_t left = text.size();
  for (; left >= kBlock; left -= kBlock, bytes += kBlock) take_block(state, bytes);

  constexpr std::size_t kLength = 8;
  std::array<unsigned char, 2 * kBlock> last{};
  if (left > 0) std::memcpy(last.data(), bytes, left);
  last[left] = 0x80;
  const std::size_t end = left + 1 + kLength <= kBlock ? kBlock : 2 * kBlock;
  std::uint64_t bits = std::uint64_t{text.size()} * 8;
  for (std::size_t i = end - kLength; i < end; ++i, bits >>= 8) {
    last[i] = static_cast<unsigned char>(bits);
  }
  for (std::size_t at = 0; at < end; at += kBlock) take_block(state, last.data() + at);
  return std::uint64_t{byte_swapped(state[2])} << 32 | byte_swapped(state[3]);
}

}  // namespace bao_exporter
