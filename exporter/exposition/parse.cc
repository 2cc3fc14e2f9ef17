#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <unordered_map>

#include "bao_exporter/exposition.h"
#include "bao_exporter/hash.h"
#include "exposition/series_set.h"
#include "exposition/text_rules.h"

namespace bao_exporter {

namespace {

using namespace text_rules;  // NOLINT(google-build-using-namespace): the byte rules of this file

constexpr std::array<std::string_view, 5> kTypeNames = {"untyped", "counter", "gauge", "summary",
                                                        "histogram"};

std::optional<MetricType> type_from_name(std::string_view word) {
  const auto* const at = std::find(kTypeNames.begin(), kTypeNames.end(), word);
  if (at == kTypeNames.end()) return std::nullopt;
  return static_cast<MetricType>(at - kTypeNames.begin());
}

struct SeededHash {
  std::uint64_t seed;
  std::size_t operator()(std::string_view bytes) const noexcept { return hash_bytes(bytes, seed); }
};

// How a sample's name relates to a family.
enum class Kinship : std::uint8_t { kStranger, kMember, kBareHistogram, kLacksQuantile, kLacksLe };

// One line, and where we are in it.
class Cursor {
 public:
  explicit Cursor(std::string_view line) : line_(line) {}

  [[nodiscard]] bool at_end() const { return at_ == line_.size(); }
  [[nodiscard]] char peek() const { return at_end() ? '\0' : line_[at_]; }
  [[nodiscard]] std::size_t column() const { return at_ + 1; }
  [[nodiscard]] std::string_view rest() const { return line_.substr(at_); }

  void skip_blanks() {
    while (!at_end() && is_blank(line_[at_])) ++at_;
  }
  bool take(char c) {
    if (peek() != c || at_end()) return false;
    ++at_;
    return true;
  }
  std::string_view take_name(bool (*starts)(char), bool (*continues)(char)) {
    if (at_end() || !starts(line_[at_])) return {};
    const std::size_t from = at_;
    while (!at_end() && continues(line_[at_])) ++at_;
    return line_.substr(from, at_ - from);
  }
  std::string_view take_word() {
    const std::size_t from = at_;
    while (!at_end() && !is_blank(line_[at_])) ++at_;
    return line_.substr(from, at_ - from);
  }
  void advance(std::size_t n) { at_ += n; }

 private:
  std::string_view line_;
  std::size_t at_ = 0;
};

class Parser {
 public:
  Parser(std::string_view text, const ParseLimits& limits, std::uint64_t seed)
      : text_(text),
        limits_(limits),
        series_(out_, seed),
        family_index_(256, SeededHash{seed}),
        name_owner_(256, SeededHash{seed}) {}

  // nullopt is success; the result is in take().
  std::optional<Error> run() {
    if (text_.empty() || text_.back() != '\n') {
      return at_offset(ErrorCode::kTruncated, text_.size(), "the body does not end with a newline");
    }
    if (const std::size_t bad = find_illegal_byte(text_); bad != std::string_view::npos) {
      return at_offset(ErrorCode::kMalformed, bad,
                       "a NUL byte, a carriage return or invalid UTF-8");
    }
    std::size_t from = 0;
    while (from < text_.size()) {
      const void* newline = std::memchr(text_.data() + from, '\n', text_.size() - from);
      const auto to = static_cast<std::size_t>(static_cast<const char*>(newline) - text_.data());
      ++line_number_;
      if (to - from > limits_.line_bytes_max) {
        return fail(ErrorCode::kLimitLine, limits_.line_bytes_max + 1,
                    "the line is longer than limits.line_bytes_max");
      }
      if (auto error = parse_line(text_.substr(from, to - from))) return error;
      from = to + 1;
    }
    return std::nullopt;
  }

  Exposition take() { return std::move(out_); }

 private:
  using Outcome = std::optional<Error>;

  [[nodiscard]] Error fail(ErrorCode code, std::size_t column, std::string_view what) const {
    return Error{code, "line " + std::to_string(line_number_) + ", column " +
                           std::to_string(column) + ": " + std::string(what)};
  }
  [[nodiscard]] Error malformed(const Cursor& cursor, std::string_view what) const {
    return fail(ErrorCode::kMalformed, cursor.column(), what);
  }
  Error at_offset(ErrorCode code, std::size_t offset, std::string_view what) {
    const std::string_view before = text_.substr(0, offset);
    line_number_ = static_cast<std::size_t>(std::count(before.begin(), before.end(), '\n')) + 1;
    const std::size_t newline = before.rfind('\n');
    const std::size_t start = newline == std::string_view::npos ? 0 : newline + 1;
    return fail(code, offset - start + 1, what);
  }

  Outcome parse_line(std::string_view line) {
    Cursor cursor(line);
    cursor.skip_blanks();
    if (cursor.at_end()) return std::nullopt;
    if (cursor.take('#')) return parse_comment(cursor);
    return parse_sample(cursor);
  }

  Outcome parse_comment(Cursor& cursor) {
    cursor.skip_blanks();
    const std::string_view word = cursor.take_word();
    if (word != "HELP" && word != "TYPE") return std::nullopt;
    cursor.skip_blanks();
    const std::string_view name = cursor.take_name(is_name_start, is_name_byte);
    if (name.empty() || (!cursor.at_end() && !is_blank(cursor.peek()))) {
      return malformed(cursor, "HELP and TYPE need a metric name");
    }
    if (is_closed(name)) return malformed(cursor, "the lines of a family do not stand together");
    cursor.skip_blanks();
    return word == "HELP" ? parse_help(cursor, name) : parse_type(cursor, name);
  }

  Outcome parse_help(Cursor& cursor, std::string_view name) {
    Family& family = announce(name);
    if (family.has_help) return malformed(cursor, "a second HELP for this family");
    if (family.sample_count > 0) return malformed(cursor, "HELP after samples of its family");
    const std::string_view help = cursor.rest();
    for (std::size_t i = 0; i < help.size(); ++i) {
      if (help[i] != '\\') continue;
      if (i + 1 == help.size() || (help[i + 1] != '\\' && help[i + 1] != 'n')) {
        cursor.advance(i);
        return malformed(cursor, "an escape in HELP that is neither \\\\ nor \\n");
      }
      ++i;
    }
    family.help = help;
    family.has_help = true;
    return std::nullopt;
  }

  Outcome parse_type(Cursor& cursor, std::string_view name) {
    Family& family = announce(name);
    if (family.has_type) return malformed(cursor, "a second TYPE for this family");
    if (family.sample_count > 0) return malformed(cursor, "TYPE after samples of its family");
    const Cursor before = cursor;
    const std::optional<MetricType> type = type_from_name(cursor.take_word());
    if (!type) {
      return malformed(before, "a TYPE other than counter, gauge, histogram, summary, untyped");
    }
    cursor.skip_blanks();
    if (!cursor.at_end()) return malformed(cursor, "text after TYPE");
    family.type = *type;
    family.has_type = true;
    return std::nullopt;
  }

  Outcome parse_sample(Cursor& cursor) {
    Sample sample;
    const std::size_t start = cursor.column();
    sample.name = cursor.take_name(is_name_start, is_name_byte);
    if (sample.name.empty()) return malformed(cursor, "a metric name was expected");
    const bool separated = is_blank(cursor.peek());
    cursor.skip_blanks();
    sample.label_begin = static_cast<std::uint32_t>(out_.labels.size());
    if (cursor.take('{')) {
      if (auto error = parse_labels(cursor, sample)) return error;
      cursor.skip_blanks();
    } else if (!separated) {
      return malformed(cursor, "a byte that no metric name can have");
    }
    if (auto error = parse_value(cursor, sample)) return error;
    return add_sample(sample, start);
  }

  Outcome parse_labels(Cursor& cursor, Sample& sample) {
    for (;;) {
      cursor.skip_blanks();
      if (cursor.take('}')) return std::nullopt;
      if (sample.label_count == limits_.labels_per_sample_max) {
        return fail(ErrorCode::kLimitLabels, cursor.column(),
                    "more labels than limits.labels_per_sample_max");
      }
      if (auto error = parse_label(cursor, sample)) return error;
      cursor.skip_blanks();
      if (cursor.take(',')) continue;
      if (cursor.take('}')) return std::nullopt;
      return malformed(cursor, "',' or '}' was expected after a label");
    }
  }

  Outcome parse_label(Cursor& cursor, Sample& sample) {
    Label label;
    const Cursor before = cursor;
    label.name = cursor.take_name(is_label_start, is_label_byte);
    if (label.name.empty()) return malformed(cursor, "a label name was expected");
    for (std::size_t i = sample.label_begin; i < out_.labels.size(); ++i) {
      if (out_.labels[i].name == label.name) return malformed(before, "a label name given twice");
    }
    cursor.skip_blanks();
    if (!cursor.take('=')) return malformed(cursor, "'=' was expected after a label name");
    cursor.skip_blanks();
    if (!cursor.take('"')) return malformed(cursor, "a quoted label value was expected");
    const std::string_view rest = cursor.rest();
    std::size_t i = 0;
    while (i < rest.size() && rest[i] != '"') {
      if (rest[i] != '\\') {
        ++i;
        continue;
      }
      const char escaped = i + 1 < rest.size() ? rest[i + 1] : '\0';
      if (escaped != '\\' && escaped != '"' && escaped != 'n') {
        cursor.advance(i);
        return malformed(cursor, "an escape in a label value that is not \\\\, \\\" or \\n");
      }
      i += 2;
    }
    if (i >= rest.size()) return malformed(cursor, "a label value without closing quote");
    label.value = rest.substr(0, i);
    cursor.advance(i + 1);
    out_.labels.push_back(label);
    ++sample.label_count;
    return std::nullopt;
  }

  Outcome parse_value(Cursor& cursor, Sample& sample) {
    const Cursor before = cursor;
    sample.value = cursor.take_word();
    if (!is_value(sample.value)) return malformed(before, "a number was expected");
    cursor.skip_blanks();
    if (cursor.at_end()) return std::nullopt;
    const Cursor stamp = cursor;
    sample.timestamp = cursor.take_word();
    if (!is_timestamp(sample.timestamp)) return malformed(stamp, "a timestamp was expected");
    cursor.skip_blanks();
    if (!cursor.at_end()) return malformed(cursor, "text after the sample");
    return std::nullopt;
  }

  Outcome add_sample(const Sample& sample, std::size_t column) {
    if (out_.samples.size() == limits_.samples_max) {
      return fail(ErrorCode::kLimitSamples, column, "more samples than limits.samples_max");
    }
    if (auto error = choose_family(sample, column)) return error;
    Family& family = out_.families[current_];
    if (!takes_name(family, sample.name)) {
      return fail(ErrorCode::kMalformed, column, "another family has samples of this name");
    }
    if (family.sample_count == limits_.series_per_family_max) {
      return fail(ErrorCode::kLimitSamples, column,
                  "more series in one family than limits.series_per_family_max");
    }
    const auto index = static_cast<std::uint32_t>(out_.samples.size());
    ++family.sample_count;
    out_.samples.push_back(sample);
    if (!series_.insert(index)) {
      return fail(ErrorCode::kDuplicateSeries, column, "this series was given before");
    }
    return std::nullopt;
  }

  Outcome choose_family(const Sample& sample, std::size_t column) {
    const Kinship kinship =
        current_ == kNone ? Kinship::kStranger : kinship_of(out_.families[current_], sample);
    switch (kinship) {
      case Kinship::kMember:
        return std::nullopt;
      case Kinship::kBareHistogram:
        return fail(ErrorCode::kMalformed, column, "a histogram has _bucket, _sum and _count only");
      case Kinship::kLacksQuantile:
        return fail(ErrorCode::kMalformed, column, "a summary's sample without quantile label");
      case Kinship::kLacksLe:
        return fail(ErrorCode::kMalformed, column, "a histogram's bucket without le label");
      case Kinship::kStranger:
        break;
    }
    if (is_closed(sample.name) || is_part_of_earlier(sample.name)) {
      return fail(ErrorCode::kMalformed, column, "the samples of a family do not stand together");
    }
    announce(sample.name);
    return std::nullopt;
  }

  // Known, and other lines came since.
  [[nodiscard]] bool is_closed(std::string_view name) const {
    const auto at = family_index_.find(name);
    return at != family_index_.end() && at->second != current_;
  }

  // Summary `x` and gauge `x_sum` may both be there, but only one of them has samples `x_sum`: else
  // two series of one name would be in two families, and become equal unseen.
  [[nodiscard]] bool takes_name(const Family& family, std::string_view name) {
    if (family.sample_count > 0 && out_.samples.back().name == name) return true;
    return name_owner_.try_emplace(name, current_).first->second == current_;
  }

  [[nodiscard]] Kinship kinship_of(const Family& family, const Sample& sample) const {
    const bool summary = family.type == MetricType::kSummary;
    const bool histogram = family.type == MetricType::kHistogram;
    if (sample.name == family.name) {
      if (histogram) return Kinship::kBareHistogram;
      if (summary && !has_label(sample, "quantile")) return Kinship::kLacksQuantile;
      return Kinship::kMember;
    }
    if ((!summary && !histogram) || !sample.name.starts_with(family.name))
      return Kinship::kStranger;
    const std::string_view suffix = sample.name.substr(family.name.size());
    if (suffix == "_sum" || suffix == "_count") return Kinship::kMember;
    if (!histogram || suffix != "_bucket") return Kinship::kStranger;
    return has_label(sample, "le") ? Kinship::kMember : Kinship::kLacksLe;
  }

  [[nodiscard]] bool has_label(const Sample& sample, std::string_view name) const {
    const auto labels = out_.labels_of(sample);
    return std::any_of(labels.begin(), labels.end(),
                       [&](const Label& label) { return label.name == name; });
  }

  // `x_sum` that comes when summary `x` is closed already.
  [[nodiscard]] bool is_part_of_earlier(std::string_view name) const {
    for (const std::string_view suffix : {"_sum", "_count", "_bucket"}) {
      if (!name.ends_with(suffix)) continue;
      const auto base = family_index_.find(name.substr(0, name.size() - suffix.size()));
      if (base == family_index_.end()) continue;
      const MetricType type = out_.families[base->second].type;
      if (type == MetricType::kHistogram) return true;
      if (type == MetricType::kSummary && suffix != "_bucket") return true;
    }
    return false;
  }

  // The family of that name, made when it is new; it becomes the current one.
  Family& announce(std::string_view name) {
    const auto [at, added] = family_index_.try_emplace(name, out_.families.size());
    if (added) {
      Family family;
      family.name = name;
      family.sample_begin = static_cast<std::uint32_t>(out_.samples.size());
      out_.families.push_back(family);
    }
    current_ = at->second;
    return out_.families[current_];
  }

  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);

  std::string_view text_;
  ParseLimits limits_;
  Exposition out_;
  SeriesSet series_;
  std::unordered_map<std::string_view, std::size_t, SeededHash> family_index_;
  std::unordered_map<std::string_view, std::size_t, SeededHash> name_owner_;  // of samples
  std::size_t current_ = kNone;
  std::size_t line_number_ = 0;
};

}  // namespace

std::string_view metric_type_name(MetricType type) noexcept {
  return kTypeNames[static_cast<std::size_t>(type)];
}

Result<Exposition> parse(std::string_view text, const ParseLimits& limits,
                         std::uint64_t hash_seed) {
  Parser parser(text, limits, hash_seed);
  if (auto error = parser.run()) return *std::move(error);
  return parser.take();
}

}  // namespace bao_exporter
