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

bool is_ascii(char c) { return static_cast<unsigned char>(c) < 0x80; }

// Finds what toml++ 3.3 does not survive, before it sees it: it bounds the nesting of values but
// not of a.b.c.d keys, where each level costs stack; and it has undefined behaviour where it asks
// whether a character such as U+00E4 is white space. Follows strings and comments.
class TomlScanner {
 public:
  explicit TomlScanner(std::string_view text) : rest_(text) {
    if (rest_.substr(0, 3) == "\xef\xbb\xbf") step(3);  // the byte order mark
  }

  // What is wrong at line(), or empty.
  std::string_view find() {
    while (!rest_.empty() && problem_.empty()) {
      const char c = rest_.front();
      if ((c == '"' || c == '\'') && kBeforeString.find(before_) != std::string_view::npos) {
        skip_string(c);
        before_ = c;
        continue;
      }
      if (c == '#') {
        step(std::min(rest_.find('\n'), rest_.size()));
        continue;
      }
      if (!is_ascii(c)) problem_ = kNotAscii;
      if (c == '\n' || c == ',' || c == '=' || c == '{' || c == '}') dots_ = 0;
      if (c == '.' && ++dots_ > kKeyDepthMax) problem_ = kTooDeep;
      if (!problem_.empty()) break;
      if (c != ' ' && c != '\t') before_ = c;
      step(1);
    }
    return problem_;
  }

  [[nodiscard]] int line() const { return line_; }

 private:
  // Elsewhere a quote is an error, and toml++ looks at what follows as if it were no string.
  static constexpr std::string_view kBeforeString = "\n=[,{.";
  static constexpr std::string_view kTooDeep =
      "a key here is nested deeper than any key of the configuration";
  static constexpr std::string_view kNotAscii =
      "a character here is not ASCII; only comments and quoted strings on one line may have such";

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
      if (many_lines && !is_ascii(rest_.front())) {
        problem_ = kNotAscii;
        return;
      }
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
  std::string_view problem_;
  char before_ = '\n';  // the last character that is not blank
  int line_ = 1;
  int dots_ = 0;
};

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
    value.key = std::string(key.str());
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
    to.text = text->get();
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
  TomlScanner scanner(text);
  if (const std::string_view problem = scanner.find(); !problem.empty()) {
    document.error = problem;
    document.error_line = scanner.line();
    return document;
  }
  const toml::parse_result result = toml::parse(text);
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
