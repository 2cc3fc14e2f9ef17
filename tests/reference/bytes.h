// What bytes, numbers and stamps an exposition may hold, for the reference parser.
#pragma once

#include <cstddef>
#include <string_view>

namespace reference {

inline bool blank(char c) { return c == ' ' || c == '\t'; }
inline bool digit(char c) { return c >= '0' && c <= '9'; }
inline bool begins_label(char c) {
  return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
inline bool begins_name(char c) { return c == ':' || begins_label(c); }

// A decimal number that a double can hold, or Inf, Infinity, NaN in any case (NaN without sign).
[[nodiscard]] bool number(std::string_view word);

// An optional sign and 1 to 18 digits.
[[nodiscard]] bool stamp(std::string_view word);

// Offset of the first NUL, carriage return, or byte that is no part of a UTF-8 character; or npos.
[[nodiscard]] std::size_t bad_byte(std::string_view text);

}  // namespace reference
