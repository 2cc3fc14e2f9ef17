// The small steps of the loops over plain lines. See pass_loop.h, which includes this.

[[gnu::always_inline]] inline const char* skip_equal(const char* a, const char* b,
                                                     std::uint32_t limit) {
  std::uint32_t i = 0;
  do {
    const std::uint64_t other = Ops::differ(a + i, b + i);
    if (other != 0) return a + i + std::countr_zero(other);
    i += Ops::kWidth;
  } while (i < limit);
  return a + i;
}

[[gnu::always_inline]] inline bool equal(const char* a, const char* b, std::uint32_t bytes) {
  std::uint32_t i = 0;
  for (; i + Ops::kWidth <= bytes; i += Ops::kWidth) {
    if (Ops::differ(a + i, b + i) != 0) return false;
  }
  const std::uint32_t rest = bytes - i;
  return rest == 0 || (Ops::differ(a + i, b + i) & ((std::uint64_t{1} << rest) - 1)) == 0;
}

// May write kWidth - 1 bytes too many.
[[gnu::always_inline]] inline char* put(char* to, const char* from, std::uint32_t bytes) {
  std::uint32_t i = 0;
  do {
    Ops::copy(to + i, from + i);
    i += Ops::kWidth;
  } while (i < bytes);
  return to + bytes;
}

inline std::uint32_t word_at(const char* p) {
  std::uint32_t word;
  std::memcpy(&word, p, sizeof word);
  return word;
}

// The number of bytes of a value that ends with its line, 0 when it is none or too long for us.
// The usual forms without a branch: which of them comes next cannot be foretold.
[[gnu::always_inline]] inline std::uint32_t value_bytes(const char* p) {
  const auto [not_digits, newlines] = Ops::number(p);
  if (newlines == 0) return 0;
  const auto bytes = static_cast<std::uint32_t>(std::countr_zero(newlines));
  const std::uint32_t odd = not_digits & ((std::uint32_t{1} << bytes) - 1);
  const std::uint32_t odd2 = odd & (odd - 1);
  const std::uint32_t odd3 = odd2 & (odd2 - 1);
  const std::uint32_t odd4 = odd3 & (odd3 - 1);
  const auto first = static_cast<std::uint32_t>(std::countr_zero(odd)) & 31U;
  const auto second = static_cast<std::uint32_t>(std::countr_zero(odd2)) & 31U;
  const auto third = static_cast<std::uint32_t>(std::countr_zero(odd3)) & 31U;
  const bool point = p[first] == '.';
  const bool whole = (odd == 0) & (bytes > 0);
  const bool decimal = point & (odd != 0) & (odd2 == 0) & (bytes > 1);
  const bool power = point & (odd3 != 0) & (odd4 == 0) & (second > 1) & (p[second] == 'e') &
                     (third == second + 1) & ((p[third] == '+') | (p[third] == '-')) &
                     (bytes - third - 2 < 2);  // one or two digits: in the range of a double
  std::uint32_t nan;
  std::memcpy(&nan, "NaN\n", sizeof nan);
  if (whole | decimal | power | (word_at(p) == nan)) return bytes;
  return text_rules::is_value({p, bytes}) ? bytes : 0;
}

[[gnu::always_inline]] inline std::uint64_t value_hash(const char* p, std::uint32_t bytes,
                                                       std::uint64_t seed) {
  return bytes <= 16 ? hash_short_bytes(p, bytes, seed) : hash_bytes({p, bytes}, seed);
}
