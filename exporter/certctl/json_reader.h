// JSON of a server that is not trusted: whatever it holds, there is a value or an Error with the
// place where it is wrong; never an exception, and no depth that a stack would feel. Pure.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "bao_exporter/result.h"

namespace bao_exporter::certctl {

using Json = nlohmann::json;

// Error (kProtocol): it is no JSON, nests deeper than certctl's answers do, or an object has a key
// twice (which of the two would count?). `what` is what was asked for, for the words.
[[nodiscard]] Result<Json> read_json(std::string_view text, std::string_view what);

// "an array"
[[nodiscard]] std::string_view kind_of(const Json& json);

// Without what no exposition may hold, and of a bounded length: it becomes a label.
[[nodiscard]] std::string label_text(std::string_view text);

// The members of one object. The first one that is wrong is remembered, so that a row is read in
// one go and asked for its error once.
class Fields {
 public:
  // `path` is the object's: "data[3]".
  Fields(const Json& object, std::string_view path);

  // Neither missing nor empty nor longer than any label.
  std::string word(const char* key);
  // Missing and null are empty.
  std::string text(const char* key);
  // As it stands, however it stands; missing and null are empty.
  std::string raw(const char* key);
  // Seconds since 1970; missing, null, empty and Go's zero time are none.
  std::optional<std::int64_t> time(const char* key);
  bool flag(const char* key);
  std::size_t count(const char* key);
  // An array; null (Go's empty list) is none.
  const Json* list(const char* key);

  [[nodiscard]] const std::optional<Error>& error() const { return error_; }

 private:
  [[nodiscard]] const Json* at(const char* key) const;
  void wrong(const char* key, std::string_view what);
  void not_a(std::string_view kind, const char* key, const Json& is);

  const Json& object_;
  std::string path_;
  std::optional<Error> error_;
};

}  // namespace bao_exporter::certctl
