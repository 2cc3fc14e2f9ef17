// From what is wrong with a text to the error that says where.
#pragma once

#include <cstddef>
#include <string_view>

#include "bao_exporter/result.h"
#include "exposition/grammar.h"

namespace bao_exporter {

// "line L, column C: what", for a fault of the line that begins at that offset.
[[nodiscard]] Error error_at(std::string_view text, std::size_t line_begin, const Fault& fault);

// That the series in the line of that offset was given before.
[[nodiscard]] Error duplicate_error(std::string_view text, std::size_t at);

// What is wrong with the text as a whole: it is said before anything about its lines. Looks for
// illegal bytes from `from`, which is a line's beginning.
[[nodiscard]] std::optional<Error> truncation(std::string_view text);
[[nodiscard]] std::optional<Error> illegal_byte(std::string_view text, std::size_t from);

}  // namespace bao_exporter
