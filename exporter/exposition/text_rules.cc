#include "exposition/text_rules.h"

#include <charconv>
#include <cstdint>
#include <cstring>
#include <system_error>

namespace bao_exporter::text_rules {

namespace {

bool equals_ignoring_case(std::string_view token, std::string_view lower) {
  if (token.size() != lower.size()) return false;
  for (std::size_t i = 0; i < token.size(); ++i) {
    const char c = token[i];
    const char folded = (c >= 'A' && c <= 'Z') ? static_cast<char>(c - 'A' + 'a') : c;
    if (folded != lower[i]) return false;
  }
  return true;
}

std::size_t count_digits(std::string_view token, std::size_t from) {
  std::size_t i = from;
  while (i < token.size() && is_digit(token[i])) ++i;
  return i - from;
}

// Prometheus refuses the whole scrape for one number that overflows.
bool fits_a_double(std::string_view digits) {
  if (digits.size() <= 300 && digits.find_first_of("eE") == std::string_view::npos) return true;
  double value = 0;
  return std::from_chars(digits.data(), digits.data() + digits.size(), value).ec == std::errc();
}

// True when eight bytes are all ASCII above carriage return or ordinary text: the fast way.
bool eight_plain_bytes(const char* p) {
  std::uint64_t word;
  std::memcpy(&word, p, sizeof word);
  constexpr std::uint64_t kHigh = 0x8080808080808080, kOnes = 0x0101010101010101;
  const auto has_zero = [](std::uint64_t v) { return (v - kOnes) & ~v & kHigh; };
  return (word & kHigh) == 0 && has_zero(word) == 0 && has_zero(word ^ (kOnes * '\r')) == 0;
}

}  // namespace

std::size_t utf8_sequence(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto continues = [&](std::size_t i, unsigned low, unsigned high) {
    return i < text.size() && byte(i) >= low && byte(i) <= high;
  };
  const unsigned first = byte(at);
  if (first >= 0xC2 && first <= 0xDF) return continues(at + 1, 0x80, 0xBF) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {
    const unsigned low = first == 0xE0 ? 0xA0 : 0x80;
    const unsigned high = first == 0xED ? 0x9F : 0xBF;
    return continues(at + 1, low, high) && continues(at + 2, 0x80, 0xBF) ? 3 : 0;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    const unsigned low = first == 0xF0 ? 0x90 : 0x80;
    const unsigned high = first == 0xF4 ? 0x8F : 0xBF;
    return continues(at + 1, low, high) && continues(at + 2, 0x80, 0xBF) &&
                   continues(at + 3, 0x80, 0xBF)
               ? 4
               : 0;
  }
  return 0;
}

bool is_value(std::string_view token) {
  std::size_t i = 0;
  const bool sign = !token.empty() && (token[0] == '+' || token[0] == '-');
  if (sign) i = 1;
  const std::string_view rest = token.substr(i);
  if (equals_ignoring_case(rest, "inf") || equals_ignoring_case(rest, "infinity")) return true;
  if (!sign && equals_ignoring_case(rest, "nan")) return true;
  const std::size_t whole = count_digits(token, i);
  i += whole;
  std::size_t fraction = 0;
  if (i < token.size() && token[i] == '.') {
    fraction = count_digits(token, i + 1);
    i += 1 + fraction;
  }
  if (whole + fraction == 0) return false;
  if (i < token.size() && (token[i] == 'e' || token[i] == 'E')) {
    ++i;
    if (i < token.size() && (token[i] == '+' || token[i] == '-')) ++i;
    const std::size_t exponent = count_digits(token, i);
    if (exponent == 0) return false;
    i += exponent;
  }
  return i == token.size() && fits_a_double(rest);
}

bool is_timestamp(std::string_view token) {
  const std::size_t sign = !token.empty() && (token[0] == '+' || token[0] == '-') ? 1 : 0;
  const std::size_t digits = count_digits(token, sign);
  return digits >= 1 && digits <= 18 && sign + digits == token.size();
}

std::size_t find_illegal_byte(std::string_view text) {
  std::size_t i = 0;
  while (i < text.size()) {
    if (text.size() - i >= 8 && eight_plain_bytes(text.data() + i)) {
      i += 8;
      continue;
    }
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte == 0 || byte == '\r') return i;
    if (byte < 0x80) {
      ++i;
      continue;
    }
    const std::size_t length = utf8_sequence(text, i);
    if (length == 0) return i;
    i += length;
  }
  return std::string_view::npos;
}

}  // namespace bao_exporter::text_rules
