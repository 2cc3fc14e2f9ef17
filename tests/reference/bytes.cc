#include "reference/bytes.h"

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string>

namespace reference {

namespace {

bool is_word(std::string_view word, std::string_view small_letters) {
  if (word.size() != small_letters.size()) return false;
  for (std::size_t i = 0; i < word.size(); ++i) {
    if (word[i] != small_letters[i] && word[i] != small_letters[i] - 'a' + 'A') return false;
  }
  return true;
}

std::string_view take_digits(std::string_view& rest) {
  const std::string_view from = rest;
  while (!rest.empty() && digit(rest.front())) rest.remove_prefix(1);
  return from.substr(0, from.size() - rest.size());
}

bool take_sign(std::string_view& rest) {
  if (rest.empty() || (rest.front() != '+' && rest.front() != '-')) return false;
  rest.remove_prefix(1);
  return true;
}

// Neither too large for a double nor a nonzero one that would become zero.
bool representable(std::string_view digits) {
  const double value = std::strtod(std::string(digits).c_str(), nullptr);
  if (std::isinf(value)) return false;
  const std::string_view mantissa = digits.substr(0, digits.find_first_of("eE"));
  return value != 0 || mantissa.find_first_of("123456789") == std::string_view::npos;
}

// The code point that begins with `first`, when `more` bytes follow it; 0 when there is none.
std::uint32_t code_point(std::string_view text, std::size_t at, std::size_t more) {
  if (at + more >= text.size()) return 0;
  auto value = static_cast<unsigned char>(text[at]) & (0x3FU >> more);
  for (std::size_t i = at + 1; i <= at + more; ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if ((byte & 0xC0U) != 0x80U) return 0;
    value = value << 6U | (byte & 0x3FU);
  }
  return value;
}

// Bytes of the character at `at`; 0 when there is none that an exposition may have.
std::size_t character(std::string_view text, std::size_t at) {
  const auto first = static_cast<unsigned char>(text[at]);
  if (first < 0x80) return first != 0 && first != '\r' ? 1 : 0;
  if (first >= 0xC0 && first < 0xE0) return code_point(text, at, 1) >= 0x80 ? 2 : 0;
  if (first >= 0xE0 && first < 0xF0) {
    const std::uint32_t value = code_point(text, at, 2);
    return value >= 0x800 && (value < 0xD800 || value > 0xDFFF) ? 3 : 0;
  }
  if (first >= 0xF0 && first < 0xF8) {
    const std::uint32_t value = code_point(text, at, 3);
    return value >= 0x10000 && value <= 0x10FFFF ? 4 : 0;
  }
  return 0;
}

}  // namespace

bool number(std::string_view word) {
  std::string_view rest = word;
  const bool sign = take_sign(rest);
  if (is_word(rest, "inf") || is_word(rest, "infinity")) return true;
  if (!sign && is_word(rest, "nan")) return true;
  const std::string_view digits = rest;
  std::size_t count = take_digits(rest).size();
  if (!rest.empty() && rest.front() == '.') {
    rest.remove_prefix(1);
    count += take_digits(rest).size();
  }
  if (count == 0) return false;
  if (!rest.empty() && (rest.front() == 'e' || rest.front() == 'E')) {
    rest.remove_prefix(1);
    take_sign(rest);
    if (take_digits(rest).empty()) return false;
  }
  return rest.empty() && representable(digits);
}

bool stamp(std::string_view word) {
  std::string_view rest = word;
  take_sign(rest);
  const std::size_t count = take_digits(rest).size();
  return rest.empty() && count >= 1 && count <= 18;
}

std::size_t bad_byte(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t length = character(text, at);
    if (length == 0) return at;
    at += length;
  }
  return std::string_view::npos;
}

}  // namespace reference
