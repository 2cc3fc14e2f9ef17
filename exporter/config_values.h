// The forms of single values in the configuration: durations, sizes, names, ${...}. Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bao_exporter/config.h"
#include "bao_exporter/time.h"

namespace bao_exporter {

// "500ms", "30s", "2m", "1h": digits and one unit.
[[nodiscard]] std::optional<Milliseconds> parse_duration(std::string_view text);
// In the largest unit that is exact: "90s", "2m".
[[nodiscard]] std::string format_duration(Milliseconds duration);

// "64KiB", "16MiB", "1GiB": digits and one unit.
[[nodiscard]] std::optional<std::size_t> parse_size(std::string_view text);
[[nodiscard]] std::string format_size(std::size_t bytes);

// [A-Za-z0-9][A-Za-z0-9._-]{0,62}
[[nodiscard]] bool is_name(std::string_view text);

// Replaces ${CREDENTIALS_DIRECTORY} and ${NODE_NAME} in `text`. The problem, or empty.
[[nodiscard]] std::string expand_variables(const ConfigEnvironment& environment, std::string& text);

// Insertions, deletions, replacements and swaps of neighbours that lead from `a` to `b`.
[[nodiscard]] std::size_t edit_distance(std::string_view a, std::string_view b);
// The known word that `word` was probably meant to be; empty when none is near.
[[nodiscard]] std::string nearest_word(std::string_view word,
                                       const std::vector<std::string>& known);

// The line (from 1) of the first byte that is not UTF-8, or 0.
[[nodiscard]] int first_line_not_utf8(std::string_view text);

[[nodiscard]] bool has_control_character(std::string_view text);
// `text` on one line and not long, to be shown to a user.
[[nodiscard]] std::string printable(std::string_view text);

}  // namespace bao_exporter
