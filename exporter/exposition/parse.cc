#include <algorithm>
#include <cstring>
#include <optional>
#include <vector>

#include "bao_exporter/exposition.h"
#include "bao_exporter/hash.h"
#include "exposition/family_book.h"
#include "exposition/fault_text.h"
#include "exposition/grammar.h"
#include "exposition/series.h"

namespace bao_exporter {

namespace {

class Parser {
 public:
  Parser(std::string_view text, const ParseLimits& limits, std::uint64_t seed)
      : text_(text), limits_(limits), seed_(seed) {
    book_.begin(text.data(), families_, limits, seed);
  }

  // nullopt is success; the result is in take().
  std::optional<Error> run() {
    if (auto error = truncation(text_)) return error;
    if (auto error = illegal_byte(text_, 0)) return error;
    std::size_t from = 0;
    while (from < text_.size()) {
      const void* newline = std::memchr(text_.data() + from, '\n', text_.size() - from);
      const auto to = static_cast<std::size_t>(static_cast<const char*>(newline) - text_.data());
      const std::uint32_t before = book_.current();
      auto fault = take_line(text_.substr(from, to - from));
      if (fault || book_.current() != before) {
        if (auto error = duplicate_in(before, fault.has_value())) return error;
      }
      if (fault) return error_at(text_, from, *fault);
      from = to + 1;
    }
    return duplicate_in(book_.current(), /*early=*/false);
  }

  Exposition take() {
    for (const FamilyRecord& record : families_) {
      out_.families.push_back({record.name, record.help, record.type, record.has_help,
                               record.has_type, record.line_begin, record.line_count});
    }
    return std::move(out_);
  }

 private:
  Verdict take_line(std::string_view line) {
    if (line.size() > limits_.line_bytes_max) {
      return Fault{ErrorCode::kLimitLine, limits_.line_bytes_max + 1,
                   "the line is longer than limits.line_bytes_max"};
    }
    bool is_sample = false;
    if (auto fault = book_.take(line, line_, is_sample)) return fault;
    if (!is_sample) return std::nullopt;
    line_.sample.label_begin = static_cast<std::uint32_t>(out_.labels.size());
    out_.samples.push_back(line_.sample);
    out_.labels.insert(out_.labels.end(), line_.labels.begin(), line_.labels.end());
    hashes_.push_back(series::hash_of(line_.sample.name, line_.labels, seed_));
    return std::nullopt;
  }

  // Of a family that has ended; `early`: its last line may have been counted and not kept.
  std::optional<Error> duplicate_in(std::uint32_t family, bool early) {
    if (family == FamilyBook::kNone) return std::nullopt;
    const FamilyRecord& record = families_[family];
    const std::uint32_t begin = record.line_begin;
    const auto count =
        early ? std::min(record.line_count, static_cast<std::uint32_t>(out_.samples.size()) - begin)
              : record.line_count;
    const std::uint32_t found = series::first_duplicate(
        count, table_, [&](std::uint32_t i) { return hashes_[begin + i]; },
        [&](std::uint32_t a, std::uint32_t b) {
          const Sample& left = out_.samples[begin + a];
          const Sample& right = out_.samples[begin + b];
          return series::same(left.name, out_.labels_of(left), right.name, out_.labels_of(right));
        });
    if (found == series::kNone) return std::nullopt;
    const auto at =
        static_cast<std::size_t>(out_.samples[begin + found].name.data() - text_.data());
    return duplicate_error(text_, at);
  }

  std::string_view text_;
  ParseLimits limits_;
  std::uint64_t seed_;
  Pod<FamilyRecord> families_;
  FamilyBook book_;
  SampleLine line_;
  Exposition out_;
  std::vector<std::uint64_t> hashes_;
  std::vector<std::uint32_t> table_;
};

}  // namespace

Result<Exposition> parse(std::string_view text, const ParseLimits& limits,
                         std::uint64_t hash_seed) {
  Parser parser(text, limits, hash_seed);
  if (auto error = parser.run()) return *std::move(error);
  return parser.take();
}

}  // namespace bao_exporter
