// TOML text as a tree of plain values that know their lines.
//
// Contract: toml++ is known to toml_document.cc alone. Pure: no I/O. Hostile text (deep nesting,
// bytes that are not UTF-8) gives an error, never a crash. An error never quotes a value.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace bao_exporter {

struct TomlValue {
  enum class Kind : std::uint8_t {
    kString,
    kInteger,
    kFloat,
    kBoolean,
    kDate,
    kArray,
    kTable,
  };

  Kind kind = Kind::kTable;
  std::string key;  // its name in a table; empty in an array
  int line = 0;     // 1-based; of the key, or of the value in an array
  int column = 0;
  std::string text;  // kString
  std::int64_t integer = 0;
  bool boolean = false;
  std::vector<TomlValue> items;  // of an array or a table, in the order of the file

  // The member of a table, or nullptr.
  [[nodiscard]] const TomlValue* find(std::string_view name) const;
};

struct TomlDocument {
  TomlValue root;
  std::string error;  // empty: root is the document
  int error_line = 0;
};

[[nodiscard]] TomlDocument parse_toml(std::string_view text);

}  // namespace bao_exporter
