// Go's %q in label values, made legal.
#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>

#include "bao_exporter/format.h"
#include "certctl/answers.h"

namespace bao_exporter::certctl {

namespace {

constexpr char32_t kReplacement = 0xFFFD;

struct Escape {
  std::size_t bytes = 0;  // with the backslash
  char32_t rune = 0;
};

void append_utf8(std::string& out, char32_t rune) {
  const auto put = [&](char32_t bits) {
    out += static_cast<char>(static_cast<unsigned char>(bits));
  };
  if (rune < 0x80) {
    put(rune);
  } else if (rune < 0x800) {
    put(0xC0 | (rune >> 6U));
    put(0x80 | (rune & 0x3FU));
  } else if (rune < 0x10000) {
    put(0xE0 | (rune >> 12U));
    put(0x80 | ((rune >> 6U) & 0x3FU));
    put(0x80 | (rune & 0x3FU));
  } else {
    put(0xF0 | (rune >> 18U));
    put(0x80 | ((rune >> 12U) & 0x3FU));
    put(0x80 | ((rune >> 6U) & 0x3FU));
    put(0x80 | (rune & 0x3FU));
  }
}

// What can stand in a label: no NUL, no carriage return, no half of a surrogate pair.
char32_t legal(char32_t rune) {
  const bool surrogate = rune >= 0xD800 && rune <= 0xDFFF;
  return rune == 0 || rune == '\r' || surrogate || rune > 0x10FFFF ? kReplacement : rune;
}

std::optional<char32_t> one_letter(char letter) {
  switch (letter) {
    case 'a':
      return U'\a';
    case 'b':
      return U'\b';
    case 'f':
      return U'\f';
    case 'r':
      return kReplacement;
    case 't':
      return U'\t';
    case 'v':
      return U'\v';
    default:
      return std::nullopt;
  }
}

// \xHH \uHHHH \UHHHHHHHH; nullopt: fewer digits than that.
std::optional<char32_t> hexadecimal(std::string_view after_letter, std::size_t digits) {
  if (after_letter.size() < digits) return std::nullopt;
  std::uint32_t value = 0;
  const char* end = after_letter.data() + digits;
  const auto read = std::from_chars(after_letter.data(), end, value, 16);
  if (read.ec != std::errc() || read.ptr != end) return std::nullopt;
  return value;
}

// Of `text`, which begins with a backslash: the escape that only Go knows. nullopt: one of the
// format's own, or none at all; the strict parser has its say on those.
std::optional<Escape> go_escape(std::string_view text) {
  if (text.size() < 2) return std::nullopt;
  if (const auto rune = one_letter(text[1])) return Escape{2, *rune};
  const std::size_t digits = text[1] == 'x' ? 2 : text[1] == 'u' ? 4 : text[1] == 'U' ? 8 : 0;
  if (digits == 0) return std::nullopt;
  const auto rune = hexadecimal(text.substr(2), digits);
  if (!rune) return std::nullopt;
  // Go writes \x80 and above for bytes that are not UTF-8, and for nothing else.
  const bool stray_byte = digits == 2 && *rune >= 0x80;
  return Escape{2 + digits, stray_byte ? kReplacement : legal(*rune)};
}

// A label value from behind its opening quote; returns how many bytes up to the closing one.
std::size_t append_value_of(std::string& out, std::string_view text) {
  std::size_t at = 0;
  while (at < text.size() && text[at] != '"') {
    if (text[at] != '\\') {
      out += text[at++];
    } else if (const auto escape = go_escape(text.substr(at))) {
      std::string raw;
      append_utf8(raw, escape->rune);
      append_escaped_label_value(out, raw);
      at += escape->bytes;
    } else {
      out += text.substr(at, 2);
      at += std::min<std::size_t>(2, text.size() - at);
    }
  }
  return at;
}

void append_sample_line(std::string& out, std::string_view line) {
  bool in_labels = false;
  for (std::size_t at = 0; at < line.size(); ++at) {
    out += line[at];
    if (line[at] == '{') in_labels = true;
    if (line[at] == '}') in_labels = false;
    if (line[at] != '"' || !in_labels) continue;
    at += 1 + append_value_of(out, line.substr(at + 1));
    if (at < line.size()) out += line[at];
  }
}

bool is_comment(std::string_view line) {
  const std::size_t at = line.find_first_not_of(" \t");
  return at != std::string_view::npos && line[at] == '#';
}

}  // namespace

std::string with_legal_escapes(std::string body) {
  if (body.find('\\') == std::string::npos) return body;
  std::string out;
  out.reserve(body.size());
  const std::string_view text = body;
  for (std::size_t from = 0; from < text.size();) {
    const std::size_t newline = text.find('\n', from);
    const std::size_t to = newline == std::string_view::npos ? text.size() : newline;
    const std::string_view line = text.substr(from, to - from);
    if (is_comment(line) || line.find('\\') == std::string_view::npos) {
      out += line;
    } else {
      append_sample_line(out, line);
    }
    if (newline != std::string_view::npos) out += '\n';
    from = to + 1;
  }
  return out;
}

}  // namespace bao_exporter::certctl
