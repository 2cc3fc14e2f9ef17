// Names of metrics and labels. An Exposition has them as they were sent: what stood in quotes keeps
// its escapes. What is served has the names of text format 0.0.4 only (docs/adr/0013).
#pragma once

#include <string>
#include <string_view>

namespace bao_exporter {

// Those that need no quotes.
[[nodiscard]] bool is_metric_name(std::string_view name);
[[nodiscard]] bool is_label_name(std::string_view name);

// The name with an underscore for each character that no name has at its place.
[[nodiscard]] std::string served_metric_name(std::string_view name);
[[nodiscard]] std::string served_label_name(std::string_view name);

// The name as parse() reads it, in quotes where it needs them; of a family as in HELP and TYPE.
void append_label_name(std::string& out, std::string_view name);
void append_family_name(std::string& out, std::string_view name);

}  // namespace bao_exporter
