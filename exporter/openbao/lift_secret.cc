// Lexical, not a parser: a string that a colon follows is a key, wherever it stands. So it works on
// a text that is cut off or broken, too, and no copy of the value is made on the way.
#include <algorithm>
#include <charconv>
#include <optional>

#include "bao_exporter/login.h"

namespace bao_exporter {

namespace {

constexpr std::string_view kWhite = " \t\r\n";

// Where the bytes of a string stand, without its quotes, and where the text goes on after it.
struct Piece {
  std::size_t from = 0;
  std::size_t to = 0;
  std::size_t next = 0;
};

// `at` is at the quote that begins it. A string without an end reaches to the end of the text.
Piece string_at(std::string_view text, std::size_t at) {
  std::size_t to = at + 1;
  while (to < text.size() && text[to] != '"') to += text[to] == '\\' ? 2 : 1;
  to = std::min(to, text.size());
  return {at + 1, to, std::min(to + 1, text.size())};
}

std::size_t after_white(std::string_view text, std::size_t at) {
  return std::min(text.find_first_not_of(kWhite, at), text.size());
}

// The character that stands at `at`, escaped or not, and moves on. Nullopt: none of ASCII.
std::optional<char> take_character(std::string_view text, std::size_t& at) {
  if (text[at] != '\\') return text[at++];
  if (text.substr(at).size() < 2) return std::nullopt;
  const char escape = text[at + 1];
  if (escape != 'u') {
    at += 2;
    return escape == '"' || escape == '\\' || escape == '/' ? std::optional(escape) : std::nullopt;
  }
  unsigned code = 0;
  const std::string_view digits = text.substr(at + 2, 4);
  const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), code, 16);
  if (digits.size() < 4 || read.ptr != digits.data() + 4 || code > 0x7f) return std::nullopt;
  at += 6;
  return static_cast<char>(code);
}

bool is_key(std::string_view raw, std::string_view key) {
  std::size_t at = 0;
  for (const char wanted : key) {
    if (at >= raw.size()) return false;
    const auto character = take_character(raw, at);
    if (!character || *character != wanted) return false;
  }
  return at == raw.size();
}

bool is_fit(std::string_view value) {
  return !value.empty() && value.size() <= Secret::kBytesMax &&
         std::all_of(value.begin(), value.end(),
                     [](char c) { return c > 0x20 && c < 0x7f && c != '\\'; });
}

}  // namespace

std::shared_ptr<const Secret> lift_secret(std::string& json, std::string_view key) {
  std::shared_ptr<const Secret> lifted;
  std::size_t at = json.find('"');
  while (at < json.size()) {
    const Piece name = string_at(json, at);
    std::size_t next = after_white(json, name.next);
    if (next < json.size() && json[next] == ':') {
      next = after_white(json, next + 1);
      const bool is_string = next < json.size() && json[next] == '"';
      const std::string_view text = json;
      if (is_string && is_key(text.substr(name.from, name.to - name.from), key)) {
        const Piece value = string_at(json, next);
        const std::string_view bytes = text.substr(value.from, value.to - value.from);
        if (!lifted && is_fit(bytes) && value.next > value.to) lifted = Secret::join({bytes});
        std::fill(json.begin() + static_cast<std::ptrdiff_t>(value.from),
                  json.begin() + static_cast<std::ptrdiff_t>(value.to), '*');
        next = value.next;
      }
    }
    at = json.find('"', next);
  }
  return lifted;
}

}  // namespace bao_exporter
