// Writes text exposition format 0.0.4. Everything that leaves the exporter goes through here:
// escapes are complete (HELP too) and numbers keep every bit.
//
// Pure; appends to a caller's string.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "bao_exporter/exposition.h"

namespace bao_exporter {

// Label value: \ " and newline are escaped.
void append_escaped_label_value(std::string& out, std::string_view raw);
// The other way round, for text that parse() accepted.
[[nodiscard]] std::string unescape_label_value(std::string_view escaped);
// HELP text: \ and newline are escaped.
void append_escaped_help(std::string& out, std::string_view raw);
// The shortest text that reads back as the same double; NaN, +Inf, -Inf.
void append_value(std::string& out, double value);
// The other way round, for a value that parse() accepted; NaN for what is no number (a bound of
// `le` may be anything).
[[nodiscard]] double read_value(std::string_view text);

// `# HELP` (when `has_help`) and `# TYPE`; `name` and `escaped_help` are written as they are.
void append_family_header(std::string& out, std::string_view name, bool has_help,
                          std::string_view escaped_help, MetricType type);

// name="value" pairs as they were sent, names in quotes where they need them: `separator` before
// the first, commas before the others.
void append_labels(std::string& out, std::span<const Label> labels, char separator);

// One line, without timestamp. `sample` is one of `exposition`.
void append_sample(std::string& out, const Exposition& exposition, const Sample& sample);

// The exposition as text, samples without timestamps; families without TYPE get none.
[[nodiscard]] std::string format(const Exposition& exposition);

}  // namespace bao_exporter
