// A seeded 64-bit hash for tables over bytes that strangers chose. Not for secrets.
// Strong enough that colliding input cannot be prepared without knowing the seed.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace bao_exporter {

// 64x64 -> 128 bit multiplication, folded.
[[nodiscard]] inline std::uint64_t mix64(std::uint64_t a, std::uint64_t b) noexcept {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

[[nodiscard]] inline std::uint64_t hash_bytes(std::string_view bytes, std::uint64_t seed) noexcept {
  constexpr std::uint64_t kA = 0x9E3779B97F4A7C15, kB = 0xD1B54A32D192ED03;
  const char* p = bytes.data();
  std::size_t left = bytes.size();
  std::uint64_t h = seed ^ mix64(bytes.size() ^ kA, kB);
  while (left >= 16) {
    std::uint64_t a, b;
    std::memcpy(&a, p, 8);
    std::memcpy(&b, p + 8, 8);
    h = mix64(a ^ kA ^ h, b ^ seed ^ kB);
    p += 16;
    left -= 16;
  }
  std::uint64_t tail[2] = {0, 0};
  if (left > 0) std::memcpy(tail, p, left);
  return mix64(tail[0] ^ kB ^ h, tail[1] ^ seed ^ kA);
}

// hash_bytes() of at most 16 bytes, of which 16 can be read.
[[nodiscard]] inline std::uint64_t hash_short_bytes(const char* p, std::size_t size,
                                                    std::uint64_t seed) noexcept {
  if (size == 16) return hash_bytes({p, size}, seed);
  constexpr std::uint64_t kA = 0x9E3779B97F4A7C15, kB = 0xD1B54A32D192ED03;
  std::uint64_t head, tail;
  std::memcpy(&head, p, 8);
  std::memcpy(&tail, p + 8, 8);
  if constexpr (std::endian::native == std::endian::big) {
    return hash_bytes({p, size}, seed);
  }
  const auto keep = [](std::size_t bytes) { return (std::uint64_t{1} << (8 * bytes)) - 1; };
  head &= size < 8 ? keep(size) : ~std::uint64_t{0};
  tail &= size < 8 ? 0 : keep(size - 8);
  const std::uint64_t h = seed ^ mix64(size ^ kA, kB);
  return mix64(head ^ kB ^ h, tail ^ seed ^ kA);
}

}  // namespace bao_exporter
