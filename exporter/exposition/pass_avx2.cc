// The loops with AVX2: 32 bytes at a time.
#if defined(__x86_64__)

#include <immintrin.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "bao_exporter/hash.h"
#include "exposition/isa.h"
#include "exposition/pass.h"
#include "exposition/text_rules.h"

#define BAO_TARGET "avx2,bmi,bmi2,lzcnt,popcnt"
#include "exposition/target_begin.h"

namespace bao_exporter::pass_avx2 {

namespace {

struct Digits {
  std::uint32_t not_digits;
  std::uint32_t newlines;
};

struct Ops {
  static constexpr std::uint32_t kWidth = 32;

  static __m256i load(const char* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
  static std::uint64_t bits(__m256i mask) {
    return static_cast<std::uint32_t>(_mm256_movemask_epi8(mask));
  }
  static __m256i is(__m256i bytes, char c) { return _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(c)); }
  static __m256i at_most(__m256i bytes, char most) {
    return _mm256_cmpeq_epi8(_mm256_min_epu8(bytes, _mm256_set1_epi8(most)), bytes);
  }
  static __m256i minus(__m256i bytes, char c) {
    return _mm256_sub_epi8(bytes, _mm256_set1_epi8(c));
  }

  static std::uint64_t differ(const char* a, const char* b) {
    return ~bits(_mm256_cmpeq_epi8(load(a), load(b))) & 0xFFFFFFFFU;
  }
  static __m256i odd(__m256i bytes) {  // signed: below a blank, or beyond ASCII
    return _mm256_or_si256(_mm256_cmpgt_epi8(_mm256_set1_epi8(' '), bytes), is(bytes, '\\'));
  }
  static std::uint64_t text_stop(const char* p) { return bits(odd(load(p))); }
  static std::uint64_t stop(const char* p) {
    const __m256i bytes = load(p);
    return bits(_mm256_or_si256(odd(bytes), is(bytes, '"')));
  }
  static std::uint64_t not_name(const char* p) {
    const __m256i bytes = load(p);
    const __m256i letters = at_most(minus(_mm256_or_si256(bytes, _mm256_set1_epi8(0x20)), 'a'), 25);
    const __m256i digits = at_most(minus(bytes, '0'), 10);  // and ':'
    const __m256i name = _mm256_or_si256(_mm256_or_si256(letters, digits), is(bytes, '_'));
    return ~bits(name) & 0xFFFFFFFFU;
  }
  static void copy(char* to, const char* from) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), load(from));
  }
  static Digits number(const char* p) {
    const __m256i bytes = load(p);
    return {static_cast<std::uint32_t>(~bits(at_most(minus(bytes, '0'), 9))),
            static_cast<std::uint32_t>(bits(is(bytes, '\n')))};
  }
};

#include "exposition/pass_loop.h"

}  // namespace

const PassLoops kLoops = {run_cold, run_steady};

}  // namespace bao_exporter::pass_avx2

#include "exposition/target_end.h"

#endif
