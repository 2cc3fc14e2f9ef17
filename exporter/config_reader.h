// Reads the tables of a configuration by a list of typed reads, such as
//   table.duration("interval", poll.interval, 1ms, 24h);
// Each read makes its key known (so that finish() can refuse the others), checks the form of the
// value, and leaves `to` alone when there is none or it is wrong. Problems are collected.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "bao_exporter/config.h"
#include "toml_document.h"

namespace bao_exporter {

// What the reads of one file share.
struct ReadContext {
  std::string file;
  ConfigEnvironment environment;
  std::vector<ConfigProblem> problems;
  std::vector<NamedFile> files;
  std::vector<ConfigKey> keys;  // every key that a read asked for
  bool list_keys = false;       // fill `keys`, and read each list of tables once, as if empty
};

// A word of a closed list and what it stands for.
template <typename T>
struct Word {
  std::string_view text;
  T value;
};

class TableReader {
 public:
  // `table` may be nullptr: the table is not there, and `line` is where it would be.
  TableReader(ReadContext& context, const TomlValue* table, std::string path, int line);

  void text(std::string_view name, std::string& to);
  // As it stands: a ${...} is the value's own.
  void verbatim(std::string_view name, std::string& to);
  void path(std::string_view name, std::string& to);
  // As path, but `special` stands for itself.
  void path_or_word(std::string_view name, std::string& to, std::string_view special);
  void paths(std::string_view name, std::vector<std::string>& to);
  void texts(std::string_view name, std::vector<std::string>& to);
  void text_or_list(std::string_view name, std::vector<std::string>& to);
  void boolean(std::string_view name, bool& to);
  void integer(std::string_view name, int& to, int min, int max);
  void count(std::string_view name, std::size_t& to, std::size_t max);
  void size(std::string_view name, std::size_t& to, std::size_t max);
  void duration(std::string_view name, Milliseconds& to, Milliseconds min, Milliseconds max);

  // One of `words`.
  template <typename T, std::size_t N>
  void word(std::string_view name, T& to, const std::array<Word<T>, N>& words) {
    std::vector<std::string_view> texts;
    std::size_t chosen = 0;
    for (std::size_t i = 0; i < N; ++i) {
      texts.push_back(words[i].text);
      if (words[i].value == to) chosen = i;
    }
    to = words[read_word(name, texts, chosen)].value;
  }

  // A list of one or more of `words`, none of them twice, as indices into `words`.
  void words(std::string_view name, std::vector<std::size_t>& to,
             const std::vector<std::string_view>& words);

  using Read = std::function<void(TableReader&)>;
  // [name]: `read` is called also when the table is not there.
  void table(std::string_view name, const Read& read);
  // [[name]]: `read` is called once for each.
  void tables(std::string_view name, const Read& read);

  // True when there is a [[list]] and each of its tables has `word` in `key`. Reads nothing.
  [[nodiscard]] bool each_has(std::string_view list, std::string_view key,
                              std::string_view word) const;

  // Keys and tables of the contract that this version does not have.
  void not_yet(std::initializer_list<std::string_view> names);
  // The key, which was read, must be there.
  void require(std::string_view name, std::string_view remedy);
  // Every key that no read asked for is a problem.
  void finish();

  // The key, which was read into `path`, names a file that must be usable.
  void names_file(std::string_view name, const std::string& path, NamedFile::Kind kind,
                  bool allow_group_read);

  // A problem of that key, at its line, else at the table's. The key is no longer sound.
  void complain(std::string_view name, std::string text);
  // False: only its keys and defaults are asked for.
  [[nodiscard]] bool is_there() const { return table_ != nullptr; }
  [[nodiscard]] bool given(std::string_view name) const;
  [[nodiscard]] bool sound(std::string_view name) const;
  [[nodiscard]] int line(std::string_view name) const;

 private:
  const TomlValue* know(std::string_view name, std::string type, std::string default_text);
  std::size_t read_word(std::string_view name, const std::vector<std::string_view>& words,
                        std::size_t chosen);
  bool expand(std::string_view name, const TomlValue& value, std::string_view form,
              std::string& out);
  // Text for a key of that name, or a complaint.
  bool take_text(std::string_view name, const TomlValue& value, std::string_view form,
                 bool with_variables, std::string& out);
  void read_list(std::string_view name, const TomlValue& value, std::string_view form,
                 std::vector<std::string>& to);
  void refuse_unknown(const TomlValue& item);
  [[nodiscard]] std::string resolve(const std::string& path) const;
  [[nodiscard]] std::string path_of(std::string_view name) const;

  ReadContext& context_;
  const TomlValue* table_;
  std::string path_;  // dotted; empty at the top
  int line_;
  std::vector<std::string> known_;
  std::vector<std::string> unsound_;
};

}  // namespace bao_exporter
