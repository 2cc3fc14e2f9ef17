#include "bao_exporter/hash.h"

#include <bit>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "catch.h"

namespace bao_exporter {

TEST_CASE("equal bytes have equal hashes, wherever they lie") {
  std::mt19937_64 engine(1);
  for (std::size_t length = 0; length < 100; ++length) {
    // Heap copies of exactly that size, at odd places: a sanitizer sees each byte too far.
    std::vector<char> one(length + 1), two(length);
    for (std::size_t i = 0; i < length; ++i) one[i + 1] = two[i] = static_cast<char>(engine());
    CHECK(hash_bytes({one.data() + 1, length}, 42) == hash_bytes({two.data(), length}, 42));
  }
}

TEST_CASE("zeros count: texts that differ in their length only have other hashes") {
  std::set<std::uint64_t> seen;
  for (std::size_t length = 0; length < 200; ++length) {
    CHECK(seen.insert(hash_bytes(std::string(length, '\0'), 42)).second);
  }
}

TEST_CASE("every bit of the bytes and of the seed moves about half of the hash") {
  std::mt19937_64 engine(2);
  for (const std::size_t length : {1u, 7u, 8u, 9u, 15u, 16u, 17u, 31u, 32u, 40u}) {
    double moved = 0;
    int flips = 0;
    for (int round = 0; round < 20; ++round) {
      std::string text(length, '\0');
      for (char& c : text) c = static_cast<char>(engine());
      const std::uint64_t seed = engine();
      const std::uint64_t before = hash_bytes(text, seed);
      for (std::size_t bit = 0; bit < length * 8; ++bit, ++flips) {
        std::string other = text;
        other[bit / 8] = static_cast<char>(other[bit / 8] ^ (1 << (bit % 8)));
        const std::uint64_t after = hash_bytes(other, seed);
        if (after == before) FAIL("a bit of the text does not count");
        moved += std::popcount(before ^ after);
      }
      for (int bit = 0; bit < 64; ++bit, ++flips) {
        const std::uint64_t after = hash_bytes(text, seed ^ (std::uint64_t{1} << bit));
        if (after == before) FAIL("a bit of the seed does not count");
        moved += std::popcount(before ^ after);
      }
    }
    CAPTURE(length);
    CHECK(moved / flips > 28);
    CHECK(moved / flips < 36);
  }
}

TEST_CASE("names as nodes send them fill a table evenly, in its low bits") {
  constexpr std::size_t kBuckets = 1'024;
  for (const std::uint64_t seed : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{0xDEADBEEF}}) {
    std::vector<int> buckets(kBuckets);
    for (int i = 0; i < 16'384; ++i) {
      ++buckets[hash_bytes("vault_route_read_" + std::to_string(i) + "__count", seed) % kBuckets];
    }
    // 16 in each on average, with a deviation of 4.
    for (const int count : buckets) {
      if (count > 48) FAIL("a bucket is overfull");
    }
  }
}

TEST_CASE("the short way of the hash gives what the long one gives, for every length") {
  const std::string text = "0123456789abcdefghijklmnopqrstuvwxyz";
  for (std::size_t from = 0; from < 8; ++from) {
    for (std::size_t size = 0; size <= 16; ++size) {
      const std::string_view piece = std::string_view(text).substr(from, size);
      CHECK(hash_short_bytes(piece.data(), size, 77) == hash_bytes(piece, 77));
    }
  }
}

}  // namespace bao_exporter
