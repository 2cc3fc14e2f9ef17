#include "exposition/names.h"

#include <algorithm>

#include "exposition/text_rules.h"

namespace bao_exporter {

namespace {

using Bytes = bool (*)(char);

bool is_name(std::string_view name, Bytes starts, Bytes continues) {
  return !name.empty() && starts(name.front()) && std::all_of(name.begin(), name.end(), continues);
}

// Bytes of the character that `name` begins with; an escape is one.
std::size_t character(std::string_view name) {
  if (name.front() == '\\') return 2;
  return std::max<std::size_t>(text_rules::utf8_sequence(name, 0), 1);
}

std::string served_name(std::string_view name, Bytes starts, Bytes continues) {
  std::string out;
  while (!name.empty()) {
    const bool fits = (out.empty() ? starts : continues)(name.front());
    out += fits ? name.front() : '_';
    name.remove_prefix(std::min(character(name), name.size()));
  }
  return out;
}

void append_name(std::string& out, std::string_view name, bool bare) {
  if (!bare) out += '"';
  out += name;
  if (!bare) out += '"';
}

}  // namespace

bool is_metric_name(std::string_view name) {
  return is_name(name, text_rules::is_name_start, text_rules::is_name_byte);
}

bool is_label_name(std::string_view name) {
  return is_name(name, text_rules::is_label_start, text_rules::is_label_byte);
}

std::string served_metric_name(std::string_view name) {
  return served_name(name, text_rules::is_name_start, text_rules::is_name_byte);
}

std::string served_label_name(std::string_view name) {
  return served_name(name, text_rules::is_label_start, text_rules::is_label_byte);
}

void append_label_name(std::string& out, std::string_view name) {
  append_name(out, name, is_label_name(name));
}

void append_family_name(std::string& out, std::string_view name) {
  append_name(out, name, is_metric_name(name));
}

}  // namespace bao_exporter
