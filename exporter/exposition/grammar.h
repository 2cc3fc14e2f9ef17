// The grammar of one line of text format 0.0.4: the only one in the product. What a line may say
// depends on the lines before it: see family_book.h.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>
#include <vector>

#include "bao_exporter/exposition.h"
#include "bao_exporter/result.h"

namespace bao_exporter {

// What is wrong with a line, and where; columns count bytes from 1. `what` is static.
struct Fault {
  ErrorCode code = ErrorCode::kMalformed;
  std::size_t column = 1;
  std::string_view what;
};
using Verdict = std::optional<Fault>;

// One line, and where we are in it.
class Cursor {
 public:
  Cursor() = default;
  explicit Cursor(std::string_view line) : line_(line) {}

  [[nodiscard]] bool at_end() const { return at_ == line_.size(); }
  [[nodiscard]] char peek() const { return at_end() ? '\0' : line_[at_]; }
  [[nodiscard]] std::size_t column() const { return at_ + 1; }
  [[nodiscard]] std::string_view rest() const { return line_.substr(at_); }
  [[nodiscard]] Fault fault(std::string_view what) const {
    return {ErrorCode::kMalformed, column(), what};
  }

  void skip_blanks();
  bool take(char c);
  std::string_view take_name(bool (*starts)(char), bool (*continues)(char));
  std::string_view take_word();
  void advance(std::size_t n) { at_ += n; }

 private:
  std::string_view line_;
  std::size_t at_ = 0;
};

struct SampleLine {
  Sample sample;
  std::size_t column = 1;  // where it begins
  std::vector<Label> labels;
  std::vector<bool> name_bits;  // of many labels: which hashes their names have
};
// From the name, or the brace that has it, to the end of the line.
[[nodiscard]] Verdict read_sample(Cursor cursor, std::size_t labels_max, SampleLine& out);
// The same for a line that is known to be one.
void read_known_sample(std::string_view line, SampleLine& out);

// A line that begins with #.
struct Announcement {
  enum class Word : std::uint8_t { kComment, kHelp, kType };
  Word word = Word::kComment;
  std::string_view name;
};
// After the #; leaves the cursor behind the name.
[[nodiscard]] Verdict read_announcement(Cursor& cursor, Announcement& out);
[[nodiscard]] Verdict read_help(Cursor cursor, std::string_view& help);
[[nodiscard]] Verdict read_type(Cursor cursor, MetricType& type);

}  // namespace bao_exporter
