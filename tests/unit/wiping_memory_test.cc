#include "io/wiping_memory.h"

#include <curl/curl.h>
#include <openssl/crypto.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "catch.h"
#include "support/memory_scan.h"

namespace bao_exporter {

namespace {

// Keeps what is given back, so that it may be looked at.
struct WatchedHeap {
  static inline std::map<void*, std::vector<char>> blocks;
  static inline std::vector<std::vector<char>> given_back;
  static inline bool exhausted = false;

  static void begin() {
    blocks.clear();
    given_back.clear();
    exhausted = false;
  }
  static void* allocate(std::size_t bytes) {
    if (exhausted) return nullptr;
    std::vector<char> block(bytes + 7, '?');  // a little more than asked for, as malloc() does
    void* at = block.data();
    blocks.emplace(at, std::move(block));
    return at;
  }
  static std::size_t bytes_of(void* block) { return blocks.at(block).size(); }
  static void give_back(void* block) {
    given_back.push_back(std::move(blocks.at(block)));
    blocks.erase(block);
  }
};
using Watched = WipingHeap<WatchedHeap>;

bool all_zero(const std::vector<char>& block) {
  return std::all_of(block.begin(), block.end(), [](char c) { return c == 0; });
}

}  // namespace

TEST_CASE("a block is zero to its last byte when it is given back") {
  WatchedHeap::begin();
  auto* block = static_cast<char*>(Watched::allocate(100));
  std::memset(block, 's', 100);
  Watched::release(block);
  Watched::release(nullptr);
  REQUIRE(WatchedHeap::given_back.size() == 1);
  CHECK(WatchedHeap::given_back[0].size() == 107);
  CHECK(all_zero(WatchedHeap::given_back[0]));
}

TEST_CASE("a block that grows or shrinks keeps its bytes, and the old one is given back as zero") {
  for (const std::size_t wanted : {10U, 100U, 1'000U}) {
    INFO(wanted);
    WatchedHeap::begin();
    auto* block = static_cast<char*>(Watched::allocate(100));
    std::memset(block, 's', 100);
    auto* moved = static_cast<char*>(Watched::resize(block, wanted));
    CHECK(moved != block);
    CHECK(std::string(moved, std::min<std::size_t>(wanted, 100)) ==
          std::string(std::min<std::size_t>(wanted, 100), 's'));
    REQUIRE(WatchedHeap::given_back.size() == 1);
    CHECK(all_zero(WatchedHeap::given_back[0]));
    CHECK(WatchedHeap::blocks.size() == 1);
  }
}

TEST_CASE("without memory nothing is lost, and nothing overflows") {
  WatchedHeap::begin();
  auto* block = static_cast<char*>(Watched::resize(nullptr, 5));
  std::memcpy(block, "text", 5);
  char* copy = Watched::duplicate(block);
  CHECK(std::string(copy) == "text");
  const auto* zeros = static_cast<const char*>(Watched::zeroed(3, 4));
  CHECK(std::string(zeros, 12) == std::string(12, '\0'));
  CHECK(Watched::zeroed(SIZE_MAX / 2, 3) == nullptr);
  WatchedHeap::exhausted = true;
  CHECK(Watched::resize(block, 1'000) == nullptr);
  CHECK(std::string(block) == "text");
  CHECK(Watched::duplicate(block) == nullptr);
  CHECK(Watched::zeroed(1, 1) == nullptr);
  CHECK(WatchedHeap::given_back.empty());
}

TEST_CASE("a second call changes nothing") {
  CRYPTO_malloc_fn allocate = nullptr, allocate_after = nullptr;
  CRYPTO_realloc_fn resize = nullptr, resize_after = nullptr;
  CRYPTO_free_fn release = nullptr, release_after = nullptr;
  ::CRYPTO_get_mem_functions(&allocate, &resize, &release);
  wipe_what_libraries_free();
  ::CRYPTO_get_mem_functions(&allocate_after, &resize_after, &release_after);
  CHECK((allocate == allocate_after && resize == resize_after && release == release_after));
  CHECK(release != &::CRYPTO_free);
}

#ifdef BAO_TEST_NO_MEMORY_SCAN
TEST_CASE("what OpenSSL and libcurl free is nowhere in memory") {
  WARN("NOT TESTED: the memory of a process with sanitizers is too large to be looked through");
}
#else
TEST_CASE("what OpenSSL frees or moves is nowhere in memory") {
  const test::MemoryScan scan;
  CHECK(scan.found() == 0);
  char* copy = OPENSSL_strndup(scan.secret().data(), scan.secret().size());
  CHECK(scan.found() == 1);
  for (const std::size_t bytes : {1'000U, 100'000U, 50U}) {
    copy = static_cast<char*>(OPENSSL_realloc(copy, bytes));
    CHECK(scan.found() == 1);
  }
  OPENSSL_free(copy);
  CHECK(scan.found() == 0);
}

TEST_CASE("what libcurl frees is nowhere in memory") {
  const test::MemoryScan scan;
  CURL* easy = ::curl_easy_init();
  REQUIRE(easy != nullptr);
  ::curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, static_cast<long>(scan.secret().size()));
  ::curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, scan.secret().data());
  CHECK(scan.found() > 0);
  ::curl_easy_cleanup(easy);
  CHECK(scan.found() == 0);
}
#endif

}  // namespace bao_exporter
