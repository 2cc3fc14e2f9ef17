// Byte-level rules of text format 0.0.4, shared by the parser and by whoever makes names.
#pragma once

#include <cstddef>
#include <string_view>

namespace bao_exporter::text_rules {

inline bool is_digit(char c) { return c >= '0' && c <= '9'; }
inline bool is_blank(char c) { return c == ' ' || c == '\t'; }
inline bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
inline bool is_label_start(char c) { return is_letter(c) || c == '_'; }
inline bool is_name_start(char c) { return is_label_start(c) || c == ':'; }
inline bool is_label_byte(char c) { return is_label_start(c) || is_digit(c); }
inline bool is_name_byte(char c) { return is_name_start(c) || is_digit(c); }

// A number as all readers of the format take it: decimal with optional sign, point and exponent,
// or Inf, Infinity, NaN in any case (NaN without sign); not one outside a double's range.
[[nodiscard]] bool is_value(std::string_view token);

// An optional sign and 1 to 18 digits.
[[nodiscard]] bool is_timestamp(std::string_view token);

// Length of the valid multi-byte UTF-8 sequence at `at`, 0 when there is none (RFC 3629: no
// overlong forms, no surrogates, at most U+10FFFF).
[[nodiscard]] std::size_t utf8_sequence(std::string_view text, std::size_t at);

// Offset of the first byte that no exposition may hold (NUL, carriage return, a byte that does not
// continue valid UTF-8), or npos.
[[nodiscard]] std::size_t find_illegal_byte(std::string_view text);

}  // namespace bao_exporter::text_rules
