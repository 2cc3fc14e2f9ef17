// The loops with AVX-512BW: 64 bytes at a time.
#if defined(__x86_64__)

#include <immintrin.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "bao_exporter/hash.h"
#include "exposition/isa.h"
#include "exposition/pass.h"
#include "exposition/text_rules.h"

#define BAO_TARGET "avx512f,avx512bw,avx512vl,avx2,bmi,bmi2,lzcnt,popcnt"
#include "exposition/target_begin.h"

namespace bao_exporter::pass_avx512 {

namespace {

struct Digits {
  std::uint32_t not_digits;
  std::uint32_t newlines;
};

struct Ops {
  static constexpr std::uint32_t kWidth = 64;

  static __m512i load(const char* p) { return _mm512_loadu_si512(p); }
  static std::uint64_t is(__m512i bytes, char c) {
    return _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8(c));
  }
  static std::uint64_t between(__m512i bytes, char least, char range) {
    return _mm512_cmple_epu8_mask(_mm512_sub_epi8(bytes, _mm512_set1_epi8(least)),
                                  _mm512_set1_epi8(range));
  }

  static std::uint64_t differ(const char* a, const char* b) {
    return _mm512_cmpneq_epi8_mask(load(a), load(b));
  }
  static std::uint64_t odd(__m512i bytes) {  // signed: below a blank, or beyond ASCII
    return _mm512_cmplt_epi8_mask(bytes, _mm512_set1_epi8(' ')) | is(bytes, '\\');
  }
  static std::uint64_t text_stop(const char* p) { return odd(load(p)); }
  static std::uint64_t stop(const char* p) {
    const __m512i bytes = load(p);
    return odd(bytes) | is(bytes, '"');
  }
  static std::uint64_t not_name(const char* p) {
    const __m512i bytes = load(p);
    const __m512i folded = _mm512_or_si512(bytes, _mm512_set1_epi8(0x20));
    return ~(between(folded, 'a', 25) | between(bytes, '0', 10) | is(bytes, '_'));
  }
  static void copy(char* to, const char* from) { _mm512_storeu_si512(to, load(from)); }
  static Digits number(const char* p) {
    const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    const __mmask32 digits =
        _mm256_cmple_epu8_mask(_mm256_sub_epi8(bytes, _mm256_set1_epi8('0')), _mm256_set1_epi8(9));
    return {~static_cast<std::uint32_t>(digits),
            static_cast<std::uint32_t>(_mm256_cmpeq_epi8_mask(bytes, _mm256_set1_epi8('\n')))};
  }
};

#include "exposition/pass_loop.h"

}  // namespace

const PassLoops kLoops = {run_cold, run_steady};

}  // namespace bao_exporter::pass_avx512

#include "exposition/target_end.h"

#endif
