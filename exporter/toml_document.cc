#include "toml_document.h"

#include <algorithm>
#include <string>
#include <utility>

#include "config_values.h"

// Header-only and without exceptions: a distribution's library is built with them, and its ABI
// differs. The build may have defined TOML_HEADER_ONLY for that library.
#undef TOML_HEADER_ONLY
#undef TOML_EXCEPTIONS
#undef TOML_ENABLE_FORMATTERS
#define TOML_HEADER_ONLY 1
#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
// toml++ 3.3 asserts what texts such as `[.` and `a = [}` disprove, although it handles them well
// right after. Its assertions must neither abort (without NDEBUG) nor be taken for granted by the
// optimizer (with it).
#undef NDEBUG
#undef TOML_ASSERT
#define TOML_ASSERT(condition) static_assert(true)
#include <toml++/toml.h>

namespace bao_exporter {

namespace {

constexpr int kKeyDepthMax = 16;

// toml++ 3.3 bounds the nesting of values but not of a.b.c.d keys, and each level costs stack.
// Follows strings and comments, and counts the dots of one key or number.
class KeyDepthScanner {
 public:
  explicit KeyDepthScanner(std::string_view text) : rest_(text) {}

  // The line of a key that is nested too deep, or 0.
  int find() {
    while (!rest_.empty()) {
      const char c = rest_.front();
      if (c == '"' || c == '\'') {
        skip_string(c);
        continue;
      }
      if (c == '#') {
        step(std::min(rest_.find('\n'), rest_.size()));
        continue;
      }
      if (c == '\n' || c == ',' || c == '=' || c == '{' || c == '}') dots_ = 0;
      if (c == '.' && ++dots_ > kKeyDepthMax) return line_;
      step(1);
    }
    return 0;
  }

 private:
  void step(std::size_t bytes) {
    const std::string_view gone = rest_.substr(0, bytes);
    line_ += static_cast<int>(std::count(gone.begin(), gone.end(), '\n'));
    rest_.remove_prefix(gone.size());
  }

  void skip_string(char quote) {
    const std::string three(3, quote);
    const bool many_lines = rest_.substr(0, 3) == three;
    step(many_lines ? 3 : 1);
    while (!rest_.empty()) {
      if (quote == '"' && rest_.front() == '\\') {
        step(2);
      } else if (many_lines ? rest_.substr(0, 3) == three : rest_.front() == quote) {
        step(many_lines ? 3 : 1);
        // Up to two quotes may stand right before the closing three.
        while (many_lines && !rest_.empty() && rest_.front() == quote) step(1);
        return;
      } else if (!many_lines && rest_.front() == '\n') {
        return;
      } else {
        step(1);
      }
    }
  }

  std::string_view rest_;
  int line_ = 1;
  int dots_ = 0;
};

// toml++ 3.3 has undefined behaviour where it asks whether a character from U+00A1 to U+FEFF is
// white space. So it gets each character below U+10000 that is not ASCII as the one that many
// further up, where it does not ask, and its strings are moved back. Nobody else uses that plane.
constexpr std::uint32_t kMovedBy = 0xf0000;
constexpr std::uint32_t kPlaneEnd = 0x100000;

bool is_moved(std::uint32_t code) { return code >= kMovedBy + 0x80 && code < kPlaneEnd; }

// Takes one character off valid UTF-8.
std::uint32_t take_character(std::string_view& text) {
  const auto first = static_cast<unsigned char>(text.front());
  const std::size_t length = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  std::uint32_t code = length == 1 ? first : first & (0x7fU >> length);
  for (std::size_t i = 1; i < length; ++i) {
    code = (code << 6U) | (static_cast<unsigned char>(text[i]) & 0x3fU);
  }
  text.remove_prefix(length);
  return code;
}

void append_character(std::string& out, std::uint32_t code) {
  const auto byte = [&out](std::uint32_t value) { out += static_cast<char>(value); };
  const auto tail = [&](unsigned shift) { byte(0x80U | ((code >> shift) & 0x3fU)); };
  if (code < 0x80) return byte(code);
  if (code < 0x800) {
    byte(0xc0U | (code >> 6U));
  } else if (code < 0x10000) {
    byte(0xe0U | (code >> 12U));
    tail(6);
  } else {
    byte(0xf0U | (code >> 18U));
    tail(12);
    tail(6);
  }
  tail(0);
}

// False when the text uses the plane already.
bool move_up(std::string_view text, std::string& out) {
  out.reserve(text.size());
  while (!text.empty()) {
    const std::uint32_t code = take_character(text);
    if (is_moved(code)) return false;
    append_character(out, code >= 0x80 && code < 0x10000 ? code + kMovedBy : code);
  }
  return true;
}

std::string move_down(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::uint32_t code = take_character(text);
    const bool is_surrogate = code >= kMovedBy + 0xd800 && code < kMovedBy + 0xe000;  // an escape
    append_character(out, is_moved(code) && !is_surrogate ? code - kMovedBy : code);
  }
  return out;
}

// toml++ describes an error with the text that it met; a value there may be a secret in the wrong
// place. Single characters and the names of keys are kept.
std::string without_values(std::string_view description) {
  std::string text(description);
  if (text.find("cannot redefine existing") != std::string::npos) return text;
  constexpr std::string_view kSaw = ", saw '";
  if (const auto at = text.find(kSaw); at != std::string::npos) {
    constexpr std::size_t kOneCharacter = 5;  // up to four bytes and the quote
    if (text.size() - at - kSaw.size() > kOneCharacter) text.resize(at);
  }
  for (const std::string_view before : {": '", "interpret '"}) {
    const auto at = text.find(before);
    const auto end = text.rfind("' ");
    if (at == std::string::npos || end == std::string::npos || end < at + before.size()) continue;
    text.replace(at + before.size() - 1, end + 2 - (at + before.size() - 1), "the value ");
  }
  return text;
}

void set_place(const toml::source_region& source, TomlValue& to) {
  to.line = static_cast<int>(source.begin.line);
  to.column = static_cast<int>(source.begin.column);
}

TomlValue convert(const toml::node& node);

void convert_array(const toml::array& array, TomlValue& to) {
  to.kind = TomlValue::Kind::kArray;
  to.items.reserve(array.size());
  for (const toml::node& item : array) to.items.push_back(convert(item));
}

void convert_table(const toml::table& table, TomlValue& to) {
  to.kind = TomlValue::Kind::kTable;
  to.items.reserve(table.size());
  for (auto&& [key, node] : table) {
    TomlValue value = convert(node);
    value.key = move_down(key.str());
    set_place(key.source(), value);
    to.items.push_back(std::move(value));
  }
  std::stable_sort(to.items.begin(), to.items.end(), [](const TomlValue& a, const TomlValue& b) {
    return std::pair(a.line, a.column) < std::pair(b.line, b.column);
  });
}

TomlValue convert(const toml::node& node) {
  TomlValue to;
  set_place(node.source(), to);
  if (const auto* array = node.as_array()) {
    convert_array(*array, to);
  } else if (const auto* table = node.as_table()) {
    convert_table(*table, to);
  } else if (const auto* text = node.as_string()) {
    to.kind = TomlValue::Kind::kString;
    to.text = move_down(text->get());
  } else if (const auto* integer = node.as_integer()) {
    to.kind = TomlValue::Kind::kInteger;
    to.integer = integer->get();
  } else if (const auto* boolean = node.as_boolean()) {
    to.kind = TomlValue::Kind::kBoolean;
    to.boolean = boolean->get();
  } else if (node.is_floating_point()) {
    to.kind = TomlValue::Kind::kFloat;
  } else {
    to.kind = TomlValue::Kind::kDate;
  }
  return to;
}

}  // namespace

const TomlValue* TomlValue::find(std::string_view name) const {
  const auto at = std::find_if(items.begin(), items.end(),
                               [name](const TomlValue& item) { return item.key == name; });
  return at == items.end() ? nullptr : &*at;
}

TomlDocument parse_toml(std::string_view text) {
  TomlDocument document;
  if (const int line = first_line_not_utf8(text); line != 0) {
    document.error =
        "the file is not UTF-8 (see line " + std::to_string(line) + "); save it as UTF-8 text";
    return document;
  }
  if (const int line = KeyDepthScanner(text).find(); line != 0) {
    document.error = "a key here is nested deeper than any key of the configuration";
    document.error_line = line;
    return document;
  }
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  if (text.substr(0, kByteOrderMark.size()) == kByteOrderMark) {
    text.remove_prefix(kByteOrderMark.size());
  }
  std::string moved;
  if (!move_up(text, moved)) {
    document.error = "the file has a character for private use (U+F0080 to U+FFFFF); remove it";
    return document;
  }
  const toml::parse_result result = toml::parse(moved);
  if (!result) {
    document.error = printable(without_values(result.error().description()));
    document.error_line = static_cast<int>(result.error().source().begin.line);
    return document;
  }
  document.root = convert(result.table());
  document.root.line = 0;
  return document;
}

}  // namespace bao_exporter
