#include "config_reader.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "config_values.h"

namespace bao_exporter {

namespace {

using Kind = TomlValue::Kind;

constexpr std::string_view kTextForm = "a string in quotes, like \"openbao-0\"";
constexpr std::string_view kPathForm = "a path in quotes, like \"tls/tls.crt\"";
constexpr std::string_view kPathsForm = "a list of paths, like [\"scrape.token\"]";
constexpr std::string_view kListForm = "a list of strings, like [\"one\", \"two\"]";
constexpr std::string_view kTextsForm =
    "a string or a list of strings, like \"127.0.0.1:9825\" or [\"127.0.0.1:9825\"]";
constexpr std::string_view kDurationForm =
    "a duration in quotes: a whole number and ms, s, m or h, like \"15s\"";
constexpr std::string_view kSizeForm =
    "a size in quotes: a whole number and KiB, MiB or GiB, like \"16MiB\"; or a number of bytes";
constexpr std::string_view kNotYet = "is known but not supported by this version yet";

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

template <typename List>
std::string quoted_list(const List& texts) {
  std::string out;
  for (const auto& text : texts) out += (out.empty() ? "" : ", ") + quoted(text);
  return out;
}

std::string toml_list(const std::vector<std::string>& texts) {
  return std::string("[").append(quoted_list(texts)).append("]");
}

std::string expected(std::string_view form) { return "must be " + std::string(form); }

// Names under which people put a secret itself into a configuration.
bool is_secret_name(std::string_view name) {
  constexpr std::array<std::string_view, 14> kNames = {
      "token",  "tokens",      "bearer_token", "password",      "passwd",
      "secret", "api_key",     "apikey",       "secret_id",     "role_id",
      "jwt",    "private_key", "credential",   "wrapping_token"};
  return std::find(kNames.begin(), kNames.end(), name) != kNames.end();
}

// The key that names the file which a secret under that name belongs into.
std::string_view file_key(std::string_view path, std::string_view name) {
  if (path.substr(0, 8) == "listener") return "listener.token_files";
  if (path == "certctl") return "certctl.api_key_file";
  if (path.substr(0, 7) != "openbao") {
    return "listener.token_files, openbao.auth.token_file or certctl.api_key_file";
  }
  if (name == "jwt") return "openbao.auth.jwt_file";
  if (name == "role_id") return "openbao.auth.role_id_file";
  if (name == "secret_id" || name == "wrapping_token") return "openbao.auth.secret_id_file";
  return "openbao.auth.token_file";
}

std::string secret_remedy(std::string_view path, std::string_view name) {
  return "secrets are never in the configuration; write it to a file and name that file in " +
         std::string(file_key(path, name));
}

}  // namespace

TableReader::TableReader(ReadContext& context, const TomlValue* table, std::string path, int line)
    : context_(context), table_(table), path_(std::move(path)), line_(line) {}

std::string TableReader::path_of(std::string_view name) const {
  if (path_.empty() || name.empty()) return path_ + std::string(name);
  return path_ + "." + std::string(name);
}

bool TableReader::given(std::string_view name) const {
  return table_ != nullptr && table_->find(name) != nullptr;
}

bool TableReader::sound(std::string_view name) const {
  return std::find(unsound_.begin(), unsound_.end(), name) == unsound_.end();
}

int TableReader::line(std::string_view name) const {
  return given(name) ? table_->find(name)->line : line_;
}

void TableReader::complain(std::string_view name, std::string text) {
  unsound_.emplace_back(name);
  context_.problems.push_back(
      {context_.file, line(name), printable(path_of(name)), std::move(text)});
}

const TomlValue* TableReader::know(std::string_view name, std::string type,
                                   std::string default_text) {
  known_.emplace_back(name);
  if (context_.list_keys) {
    context_.keys.push_back({path_of(name), std::move(type), std::move(default_text), false});
  }
  return table_ == nullptr ? nullptr : table_->find(name);
}

bool TableReader::expand(std::string_view name, const TomlValue& value, std::string_view form,
                         std::string& out) {
  return take_text(name, value, form, /*with_variables=*/true, out);
}

bool TableReader::take_text(std::string_view name, const TomlValue& value, std::string_view form,
                            bool with_variables, std::string& out) {
  constexpr std::size_t kTextBytesMax = 4096;
  if (value.kind != Kind::kString) {
    complain(name, expected(form));
    return false;
  }
  std::string text = value.text;
  std::string problem;
  if (with_variables) problem = expand_variables(context_.environment, text);
  if (problem.empty() && has_control_character(text)) {
    problem = "must have no line end or control character in it";
  }
  if (problem.empty() && text.size() > kTextBytesMax) problem = "is longer than 4096 bytes";
  if (!problem.empty()) {
    complain(name, std::move(problem));
    return false;
  }
  out = std::move(text);
  return true;
}

void TableReader::text(std::string_view name, std::string& to) {
  if (const auto* value = know(name, "string", quoted(to))) expand(name, *value, kTextForm, to);
}

void TableReader::verbatim(std::string_view name, std::string& to) {
  const auto* value = know(name, "string", quoted(to));
  if (value != nullptr) take_text(name, *value, kTextForm, /*with_variables=*/false, to);
}

std::string TableReader::resolve(const std::string& path) const {
  if (path.empty() || path.front() == '/') return path;
  const auto slash = context_.file.rfind('/');
  return slash == std::string::npos ? path : context_.file.substr(0, slash + 1) + path;
}

void TableReader::path(std::string_view name, std::string& to) {
  if (const auto* value = know(name, "path", quoted(to))) expand(name, *value, kPathForm, to);
  to = resolve(to);
}

void TableReader::path_or_word(std::string_view name, std::string& to, std::string_view special) {
  const auto* value = know(name, "path or " + quoted(special), quoted(to));
  if (value != nullptr) expand(name, *value, kPathForm, to);
  if (to != special) to = resolve(to);
}

void TableReader::read_list(std::string_view name, const TomlValue& value, std::string_view form,
                            std::vector<std::string>& to) {
  if (value.kind != Kind::kArray) {
    complain(name, expected(form));
    return;
  }
  std::vector<std::string> list;
  for (const TomlValue& item : value.items) {
    std::string text;
    if (!expand(name, item, form, text)) return;
    list.push_back(std::move(text));
  }
  to = std::move(list);
}

void TableReader::paths(std::string_view name, std::vector<std::string>& to) {
  const auto* value = know(name, "list of paths", toml_list(to));
  if (value != nullptr) read_list(name, *value, kPathsForm, to);
  for (std::string& path : to) path = resolve(path);
}

void TableReader::texts(std::string_view name, std::vector<std::string>& to) {
  const auto* value = know(name, "list of strings", toml_list(to));
  if (value != nullptr) read_list(name, *value, kListForm, to);
}

void TableReader::text_or_list(std::string_view name, std::vector<std::string>& to) {
  const auto* value =
      know(name, "string or list of strings", to.size() == 1 ? quoted(to.front()) : toml_list(to));
  if (value == nullptr) return;
  if (value->kind == Kind::kArray) return read_list(name, *value, kTextsForm, to);
  std::string text;
  if (expand(name, *value, kTextsForm, text)) to = {std::move(text)};
}

void TableReader::boolean(std::string_view name, bool& to) {
  const auto* value = know(name, "boolean", to ? "true" : "false");
  if (value == nullptr) return;
  if (value->kind != Kind::kBoolean) return complain(name, "must be true or false, without quotes");
  to = value->boolean;
}

void TableReader::integer(std::string_view name, int& to, int min, int max) {
  const auto* value = know(name, "integer", std::to_string(to));
  if (value == nullptr) return;
  if (value->kind != Kind::kInteger || value->integer < min || value->integer > max) {
    return complain(name, "must be a whole number from " + std::to_string(min) + " to " +
                              std::to_string(max) + ", like " + std::to_string(to));
  }
  to = static_cast<int>(value->integer);
}

void TableReader::count(std::string_view name, std::size_t& to, std::size_t max) {
  int number = static_cast<int>(to);
  integer(name, number, 1, static_cast<int>(max));
  to = static_cast<std::size_t>(number);
}

void TableReader::size(std::string_view name, std::size_t& to, std::size_t max) {
  const auto* value = know(name, "size", quoted(format_size(to)));
  if (value == nullptr) return;
  std::int64_t bytes = value->integer;
  if (value->kind != Kind::kInteger) {
    std::string text;
    if (!expand(name, *value, kSizeForm, text)) return;
    const auto size = parse_size(text);
    if (!size) return complain(name, expected(kSizeForm));
    bytes = static_cast<std::int64_t>(*size);
  }
  if (bytes < 1 || static_cast<std::uint64_t>(bytes) > max) {
    return complain(name, "must be from 1 byte to " + format_size(max));
  }
  to = static_cast<std::size_t>(bytes);
}

void TableReader::duration(std::string_view name, Milliseconds& to, Milliseconds min,
                           Milliseconds max) {
  const auto* value = know(name, "duration", quoted(format_duration(to)));
  if (value == nullptr) return;
  std::string text;
  if (!expand(name, *value, kDurationForm, text)) return;
  const auto duration = parse_duration(text);
  if (!duration) return complain(name, expected(kDurationForm));
  if (*duration < min || *duration > max) {
    return complain(name, "must be from " + format_duration(min) + " to " + format_duration(max));
  }
  to = *duration;
}

std::size_t TableReader::read_word(std::string_view name,
                                   const std::vector<std::string_view>& words, std::size_t chosen) {
  const std::string form = "one of " + quoted_list(words);
  const auto* value = know(name, form, quoted(words[chosen]));
  std::string text;
  if (value == nullptr || !expand(name, *value, form, text)) return chosen;
  if (const auto at = std::find(words.begin(), words.end(), text); at != words.end()) {
    return static_cast<std::size_t>(at - words.begin());
  }
  complain(name, expected(form));
  return chosen;
}

void TableReader::words(std::string_view name, std::vector<std::size_t>& to,
                        const std::vector<std::string_view>& words) {
  std::vector<std::string> texts;
  for (const std::size_t chosen : to) texts.emplace_back(words[chosen]);
  const std::string type = "list of " + quoted_list(words);
  const auto* value = know(name, type, toml_list(texts));
  if (value == nullptr) return;
  const std::string form = "a list of one or more of " + quoted_list(words);
  texts.clear();
  read_list(name, *value, form, texts);
  if (!sound(name)) return;
  if (texts.empty()) return complain(name, expected(form));
  std::vector<std::size_t> list;
  for (const std::string& text : texts) {
    const auto at = std::find(words.begin(), words.end(), text);
    if (at == words.end()) return complain(name, expected(form));
    const auto index = static_cast<std::size_t>(at - words.begin());
    if (std::find(list.begin(), list.end(), index) != list.end()) {
      return complain(name, "has " + quoted(*at) + " twice; remove one");
    }
    list.push_back(index);
  }
  to = std::move(list);
}

void TableReader::table(std::string_view name, const Read& read) {
  known_.emplace_back(name);
  const TomlValue* value = table_ == nullptr ? nullptr : table_->find(name);
  if (value != nullptr && value->kind != Kind::kTable) {
    return complain(name, "must be one table; write [" + path_of(name) + "] above its keys");
  }
  TableReader inner(context_, value, path_of(name), line(name));
  read(inner);
  inner.finish();
}

void TableReader::tables(std::string_view name, const Read& read) {
  known_.emplace_back(name);
  const TomlValue* value = table_ == nullptr ? nullptr : table_->find(name);
  const auto read_one = [&](const TomlValue* item, int at) {
    TableReader inner(context_, item, path_of(name), at);
    read(inner);
    inner.finish();
  };
  if (context_.list_keys) return read_one(nullptr, 0);
  if (value == nullptr) return;
  const auto is_table = [](const TomlValue& item) { return item.kind == Kind::kTable; };
  if (value->kind != Kind::kArray ||
      !std::all_of(value->items.begin(), value->items.end(), is_table)) {
    return complain(
        name, "must be a list of tables; write [[" + path_of(name) + "]] above the keys of each");
  }
  for (const TomlValue& item : value->items) read_one(&item, item.line);
}

bool TableReader::each_has(std::string_view list, std::string_view key,
                           std::string_view word) const {
  const TomlValue* value = table_ == nullptr ? nullptr : table_->find(list);
  if (value == nullptr || value->kind != Kind::kArray || value->items.empty()) return false;
  return std::all_of(value->items.begin(), value->items.end(), [&](const TomlValue& item) {
    const TomlValue* said = item.kind == Kind::kTable ? item.find(key) : nullptr;
    return said != nullptr && said->kind == Kind::kString && said->text == word;
  });
}

void TableReader::not_yet(std::initializer_list<std::string_view> names) {
  for (const std::string_view name : names) {
    known_.emplace_back(name);
    if (given(name)) complain(name, std::string(kNotYet) + "; remove it");
  }
}

void TableReader::require(std::string_view name, std::string_view remedy) {
  if (context_.list_keys && !context_.keys.empty()) {
    context_.keys.back().required = true;
    context_.keys.back().default_text.clear();
  }
  if (!given(name)) complain(name, "is required; " + std::string(remedy));
}

void TableReader::finish() {
  if (table_ == nullptr) return;
  constexpr int kUnknownMax = 50;  // A file that is not ours at all is not worth more.
  int unknown = 0;
  for (const TomlValue& item : table_->items) {
    if (std::find(known_.begin(), known_.end(), item.key) != known_.end()) continue;
    if (++unknown > kUnknownMax) return complain("", "has more unknown keys, not listed here");
    refuse_unknown(item);
  }
}

void TableReader::refuse_unknown(const TomlValue& item) {
  if (is_secret_name(item.key)) return complain(item.key, secret_remedy(path_, item.key));
  std::string text = "unknown key '" + printable(item.key) + "'";
  const std::string nearest = nearest_word(item.key, known_);
  if (!nearest.empty()) {
    text += "; did you mean '" + nearest + "'?";
  } else {
    static const std::vector<ConfigKey> kAllKeys = config_keys();
    for (const ConfigKey& key : kAllKeys) {
      const auto dot = key.path.rfind('.');
      if (dot == std::string::npos || key.path.substr(dot + 1) != item.key) continue;
      text += "; it belongs to [" + key.path.substr(0, dot) + "]";
      break;
    }
    if (text.back() == '\'') text += "; remove it";
  }
  complain(item.key, std::move(text));
}

void TableReader::names_file(std::string_view name, const std::string& path, NamedFile::Kind kind,
                             bool allow_group_read) {
  if (path.empty() || !sound(name)) return;
  context_.files.push_back({path, kind, allow_group_read, line(name), path_of(name)});
}

}  // namespace bao_exporter
