#include "bao_exporter/format.h"

#include <array>
#include <charconv>
#include <cmath>
#include <limits>

#include "exposition/names.h"

namespace bao_exporter {

namespace {

void append_escaped(std::string& out, std::string_view raw, bool quotes) {
  for (const char c : raw) {
    if (c == '\\') {
      out += "\\\\";
    } else if (c == '\n') {
      out += "\\n";
    } else if (quotes && c == '"') {
      out += "\\\"";
    } else {
      out += c;
    }
  }
}

void append_help(std::string& out, std::string_view name, std::string_view escaped_help) {
  out += "# HELP ";
  out += name;
  out += ' ';
  out += escaped_help;
  out += '\n';
}

}  // namespace

void append_escaped_label_value(std::string& out, std::string_view raw) {
  append_escaped(out, raw, true);
}

std::string unescape_label_value(std::string_view escaped) {
  std::string out;
  for (std::size_t i = 0; i < escaped.size(); ++i) {
    if (escaped[i] == '\\' && i + 1 < escaped.size()) {
      ++i;
      out += escaped[i] == 'n' ? '\n' : escaped[i];
    } else {
      out += escaped[i];
    }
  }
  return out;
}

void append_escaped_help(std::string& out, std::string_view raw) {
  append_escaped(out, raw, false);
}

void append_value(std::string& out, double value) {
  if (std::isnan(value)) {
    out += "NaN";
  } else if (std::isinf(value)) {
    out += value > 0 ? "+Inf" : "-Inf";
  } else {
    std::array<char, 32> buffer{};
    const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
    out.append(buffer.data(), end.ptr);
  }
}

double read_value(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  double value = 0;
  const char* const end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, value);
  const bool whole = read.ec == std::errc() && read.ptr == end;
  return whole ? value : std::numeric_limits<double>::quiet_NaN();
}

void append_family_header(std::string& out, std::string_view name, bool has_help,
                          std::string_view escaped_help, MetricType type) {
  if (has_help) append_help(out, name, escaped_help);
  out += "# TYPE ";
  out += name;
  out += ' ';
  out += metric_type_name(type);
  out += '\n';
}

void append_labels(std::string& out, std::span<const Label> labels, char separator) {
  for (const Label& label : labels) {
    out += separator;
    append_label_name(out, label.name);
    out += "=\"";
    out += label.value;
    out += '"';
    separator = ',';
  }
}

void append_sample(std::string& out, const Exposition& exposition, const Sample& sample) {
  const bool bare = is_metric_name(sample.name);
  if (!bare) out += '{';
  append_family_name(out, sample.name);
  append_labels(out, exposition.labels_of(sample), bare ? '{' : ',');
  if (!bare || sample.label_count > 0) out += '}';
  out += ' ';
  out += sample.value;
  out += '\n';
}

std::string format(const Exposition& exposition) {
  std::string out;
  for (const Family& family : exposition.families) {
    std::string name;
    append_family_name(name, family.name);
    if (family.has_type) {
      append_family_header(out, name, family.has_help, family.help, family.type);
    } else if (family.has_help) {
      append_help(out, name, family.help);
    }
    for (const Sample& sample : exposition.samples_of(family)) {
      append_sample(out, exposition, sample);
    }
  }
  return out;
}

}  // namespace bao_exporter
