// Small rules on ASCII text that configuration, HTTP and transport share.
#pragma once

#include <algorithm>
#include <string_view>

namespace bao_exporter::ascii {

inline char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

inline bool is_letter_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

inline bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return lower(x) == lower(y); });
}

// Without blanks and tabs (or what else is `white`) at both ends.
inline std::string_view trimmed(std::string_view text, std::string_view white = " \t") {
  const std::size_t from = text.find_first_not_of(white);
  if (from == std::string_view::npos) return {};
  return text.substr(from, text.find_last_not_of(white) - from + 1);
}

}  // namespace bao_exporter::ascii
