#include "reference/parse.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "reference/bytes.h"

namespace reference {

namespace {

using bao_exporter::Error;
using bao_exporter::ErrorCode;
using bao_exporter::Exposition;
using bao_exporter::Family;
using bao_exporter::Label;
using bao_exporter::MetricType;
using bao_exporter::ParseLimits;
using bao_exporter::Sample;
using std::string_view;

constexpr string_view kApart = "the lines of a family do not stand together";

// Every function that returns bool says whether to go on; what ended it is in error().
class Reader {
 public:
  Reader(string_view text, const ParseLimits& limits) : text_(text), limits_(limits) {}

  bool read() {
    if (!text_.ends_with('\n')) {
      return place(text_.size(), ErrorCode::kTruncated, "the body does not end with a newline");
    }
    if (const std::size_t bad = bad_byte(text_); bad != string_view::npos) {
      return place(bad, ErrorCode::kMalformed, "a NUL byte, a carriage return or invalid UTF-8");
    }
    for (string_view rest = text_; !rest.empty(); rest.remove_prefix(line_.size() + 1)) {
      line_ = rest.substr(0, rest.find('\n'));
      at_ = 0;
      ++line_number_;
      if (line_.size() > limits_.line_bytes_max) {
        return refuse(ErrorCode::kLimitLine, limits_.line_bytes_max,
                      "the line is longer than limits.line_bytes_max");
      }
      if (!read_line()) return false;
    }
    return true;
  }

  Error& error() { return *error_; }
  Exposition& result() { return out_; }
  [[nodiscard]] bool met_quoted_name() const { return met_quoted_name_; }

 private:
  // ---- refusing

  bool refuse(ErrorCode code, std::size_t at, string_view what) {
    error_ = Error{code, "line " + std::to_string(line_number_) + ", column " +
                             std::to_string(at + 1) + ": " + std::string(what)};
    return false;
  }
  bool malformed(std::size_t at, string_view what) {
    return refuse(ErrorCode::kMalformed, at, what);
  }
  bool place(std::size_t offset, ErrorCode code, string_view what) {
    std::size_t begin = 0;
    line_number_ = 1;
    for (std::size_t i = 0; i < offset; ++i) {
      if (text_[i] != '\n') continue;
      ++line_number_;
      begin = i + 1;
    }
    return refuse(code, offset - begin, what);
  }

  // ---- the line's bytes

  [[nodiscard]] bool ended() const { return at_ == line_.size(); }
  [[nodiscard]] bool sees(char c) const { return !ended() && line_[at_] == c; }
  [[nodiscard]] bool sees_blank() const { return !ended() && blank(line_[at_]); }
  void skip_blanks() {
    while (sees_blank()) ++at_;
  }
  bool take(char c) {
    if (!sees(c)) return false;
    ++at_;
    return true;
  }
  string_view take_word() {
    const std::size_t from = at_;
    while (!ended() && !blank(line_[at_])) ++at_;
    return line_.substr(from, at_ - from);
  }
  // Empty when there is none.
  string_view take_bare(bool (*begins)(char)) {
    const std::size_t from = at_;
    while (!ended() && (begins(line_[at_]) || (at_ > from && digit(line_[at_])))) ++at_;
    return line_.substr(from, at_ - from);
  }
  // What stands between here, after the opening quote, and the closing one, escapes as they are.
  bool take_quoted(string_view& inside, const std::string& what) {
    const std::size_t from = at_;
    while (!ended() && !sees('"')) {
      if (sees('\\')) {
        ++at_;
        if (!sees('\\') && !sees('"') && !sees('n')) {
          return malformed(at_ - 1, "an escape in " + what + " that is not \\\\, \\\" or \\n");
        }
      }
      ++at_;
    }
    inside = line_.substr(from, at_ - from);
    if (take('"')) return true;
    return malformed(from, what + " without closing quote");
  }
  bool take_quoted_name(string_view& name) {
    met_quoted_name_ = true;
    const std::size_t quote = at_ - 1;
    if (!take_quoted(name, "a quoted name")) return false;
    return !name.empty() || malformed(quote, "an empty quoted name");
  }

  // ---- lines

  bool read_line() {
    skip_blanks();
    if (ended()) return true;
    return take('#') ? read_comment() : read_sample();
  }

  bool read_comment() {
    skip_blanks();
    const string_view word = take_word();
    if (word != "HELP" && word != "TYPE") return true;
    skip_blanks();
    string_view name;
    if (take('"')) {
      if (!take_quoted_name(name)) return false;
    } else {
      name = take_bare(begins_name);
    }
    if (name.empty() || (!ended() && !sees_blank())) {
      return malformed(at_, "HELP and TYPE need a metric name");
    }
    if (closed(name)) return malformed(at_, kApart);
    skip_blanks();
    Family& family = family_of(name);
    return word == "HELP" ? read_help(family) : read_type(family);
  }

  bool read_help(Family& family) {
    if (family.has_help) return malformed(at_, "a second HELP for this family");
    if (family.sample_count > 0) return malformed(at_, "HELP after samples of its family");
    family.has_help = true;
    family.help = line_.substr(at_);
    for (; !ended(); ++at_) {
      if (!sees('\\')) continue;
      ++at_;
      if (!sees('\\') && !sees('n')) {
        return malformed(at_ - 1, "an escape in HELP that is neither \\\\ nor \\n");
      }
    }
    return true;
  }

  bool read_type(Family& family) {
    static const std::map<string_view, MetricType> kTypes = {
        {"counter", MetricType::kCounter},     {"gauge", MetricType::kGauge},
        {"histogram", MetricType::kHistogram}, {"summary", MetricType::kSummary},
        {"untyped", MetricType::kUntyped},
    };
    if (family.has_type) return malformed(at_, "a second TYPE for this family");
    if (family.sample_count > 0) return malformed(at_, "TYPE after samples of its family");
    const std::size_t from = at_;
    const auto type = kTypes.find(take_word());
    if (type == kTypes.end()) {
      return malformed(from, "a TYPE other than counter, gauge, histogram, summary, untyped");
    }
    skip_blanks();
    if (!ended()) return malformed(at_, "text after TYPE");
    family.has_type = true;
    family.type = type->second;
    return true;
  }

  bool read_sample() {
    start_ = at_;
    sample_ = {};
    sample_.label_begin = static_cast<std::uint32_t>(out_.labels.size());
    sample_.name = take_bare(begins_name);
    if (sample_.name.empty() && !sees('{')) return malformed(at_, "a metric name was expected");
    if (sample_.name.empty()) met_quoted_name_ = true;
    const bool apart = sees_blank();
    skip_blanks();
    if (take('{')) {
      if (!read_braces()) return false;
      if (sample_.name.empty()) return malformed(start_, "a metric name was expected");
      skip_blanks();
    } else if (!apart) {
      return malformed(at_, "a byte that no metric name can have");
    }
    return read_value() && add_sample();
  }

  bool read_braces() {
    for (;;) {
      skip_blanks();
      if (take('}')) return true;
      if (!read_entry()) return false;
      skip_blanks();
      if (take('}')) return true;
      if (!take(',')) return malformed(at_, "',' or '}' was expected after a label");
    }
  }

  // A label, or the metric's name in quotes.
  bool read_entry() {
    const std::size_t from = at_;
    string_view name;
    if (take('"')) {
      if (!take_quoted_name(name)) return false;
      skip_blanks();
      if (sees(',') || sees('}')) {
        if (!sample_.name.empty()) return malformed(from, "a second metric name");
        sample_.name = name;
        return true;
      }
    }
    if (sample_.label_count == limits_.labels_per_sample_max) {
      return refuse(ErrorCode::kLimitLabels, from, "more labels than limits.labels_per_sample_max");
    }
    if (name.empty()) name = take_bare(begins_label);
    if (name.empty()) return malformed(at_, "a label name was expected");
    if (has_label(name)) return malformed(from, "a label name given twice");
    skip_blanks();
    if (!take('=')) return malformed(at_, "'=' was expected after a label name");
    skip_blanks();
    if (!take('"')) return malformed(at_, "a quoted label value was expected");
    string_view value;
    if (!take_quoted(value, "a label value")) return false;
    out_.labels.push_back({name, value});
    ++sample_.label_count;
    return true;
  }

  bool read_value() {
    const std::size_t value = at_;
    sample_.value = take_word();
    if (!number(sample_.value)) return malformed(value, "a number was expected");
    skip_blanks();
    if (ended()) return true;
    const std::size_t time = at_;
    sample_.timestamp = take_word();
    if (!stamp(sample_.timestamp)) return malformed(time, "a timestamp was expected");
    skip_blanks();
    return ended() || malformed(at_, "text after the sample");
  }

  // ---- families and series

  bool add_sample() {
    if (out_.samples.size() == limits_.samples_max) {
      return refuse(ErrorCode::kLimitSamples, start_, "more samples than limits.samples_max");
    }
    if (!choose_family()) return false;
    Family& family = out_.families[current_];
    if (owners_.emplace(sample_.name, current_).first->second != current_) {
      return malformed(start_, "another family has samples of this name");
    }
    if (family.sample_count == limits_.series_per_family_max) {
      return refuse(ErrorCode::kLimitSamples, start_,
                    "more series in one family than limits.series_per_family_max");
    }
    ++family.sample_count;
    out_.samples.push_back(sample_);
    if (!series_.insert(series_key()).second) {
      return refuse(ErrorCode::kDuplicateSeries, start_, "this series was given before");
    }
    return true;
  }

  // Finds whether the current family takes the sample, or makes one for it.
  bool choose_family() {
    if (current_ != kNone) {
      const Family& family = out_.families[current_];
      const bool histogram = family.type == MetricType::kHistogram;
      const bool summary = family.type == MetricType::kSummary;
      const auto is = [&](string_view suffix) {
        return sample_.name == std::string(family.name) + std::string(suffix);
      };
      if (is("") && histogram) {
        return malformed(start_, "a histogram has _bucket, _sum and _count only");
      }
      if (is("") && summary && !has_label("quantile")) {
        return malformed(start_, "a summary's sample without quantile label");
      }
      if (histogram && is("_bucket") && !has_label("le")) {
        return malformed(start_, "a histogram's bucket without le label");
      }
      if (is("") || (histogram && is("_bucket"))) return true;
      if ((histogram || summary) && (is("_sum") || is("_count"))) return true;
    }
    if (closed(sample_.name) || part_of_earlier()) {
      return malformed(start_, "the samples of a family do not stand together");
    }
    family_of(sample_.name);
    return true;
  }

  // `x_sum` though summary `x` is closed already.
  [[nodiscard]] bool part_of_earlier() const {
    const auto part_of = [&](string_view suffix, MetricType type) {
      if (!sample_.name.ends_with(suffix)) return false;
      const auto known =
          families_.find(sample_.name.substr(0, sample_.name.size() - suffix.size()));
      return known != families_.end() && out_.families[known->second].type == type;
    };
    return part_of("_sum", MetricType::kSummary) || part_of("_count", MetricType::kSummary) ||
           part_of("_sum", MetricType::kHistogram) || part_of("_count", MetricType::kHistogram) ||
           part_of("_bucket", MetricType::kHistogram);
  }

  // Known, and lines of another family came since.
  [[nodiscard]] bool closed(string_view name) const {
    const auto known = families_.find(name);
    return known != families_.end() && known->second != current_;
  }

  // Makes it the current one.
  Family& family_of(string_view name) {
    const auto [known, is_new] = families_.emplace(name, out_.families.size());
    current_ = known->second;
    if (is_new) {
      Family family;
      family.name = name;
      family.sample_begin = static_cast<std::uint32_t>(out_.samples.size());
      out_.families.push_back(family);
    }
    return out_.families[current_];
  }

  [[nodiscard]] bool has_label(string_view name) const {
    const auto begin = out_.labels.begin() + sample_.label_begin;
    return std::any_of(begin, out_.labels.end(),
                       [&](const Label& label) { return label.name == name; });
  }

  // Name and sorted labels, apart by a byte that no text has.
  [[nodiscard]] std::string series_key() const {
    std::vector<std::pair<string_view, string_view>> labels;
    for (const Label& label : out_.labels_of(sample_)) labels.emplace_back(label.name, label.value);
    std::sort(labels.begin(), labels.end());
    std::string key(sample_.name);
    for (const auto& [name, value] : labels) {
      key.append(1, '\0').append(name).append(1, '\0').append(value);
    }
    return key;
  }

  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);

  const string_view text_;
  const ParseLimits limits_;
  string_view line_;
  std::size_t at_ = 0;  // in line_
  std::size_t line_number_ = 0;
  std::size_t start_ = 0;  // of the sample, in line_
  Sample sample_;
  std::size_t current_ = kNone;                  // family
  std::map<string_view, std::size_t> families_;  // by name
  std::map<string_view, std::size_t> owners_;    // of samples' names
  std::unordered_set<std::string> series_;
  Exposition out_;
  std::optional<Error> error_;
  bool met_quoted_name_ = false;
};

}  // namespace

bao_exporter::Result<Exposition> parse(string_view text, const ParseLimits& limits,
                                       bool* met_quoted_name) {
  Reader reader(text, limits);
  const bool accepted = reader.read();
  if (met_quoted_name != nullptr) *met_quoted_name = reader.met_quoted_name();
  if (!accepted) return std::move(reader.error());
  return std::move(reader.result());
}

}  // namespace reference
