#include "exposition/grammar.h"

#include <algorithm>
#include <array>
#include <limits>

#include "bao_exporter/check.h"
#include "bao_exporter/hash.h"
#include "exposition/text_rules.h"

namespace bao_exporter {

namespace {

using namespace text_rules;  // NOLINT(google-build-using-namespace): the byte rules of this file

constexpr std::array<std::string_view, 5> kTypeNames = {"untyped", "counter", "gauge", "summary",
                                                        "histogram"};

// What is said of a text in quotes.
struct QuotedFaults {
  std::string_view escape;
  std::string_view unclosed;
};
constexpr QuotedFaults kLabelValue = {"an escape in a label value that is not \\\\, \\\" or \\n",
                                      "a label value without closing quote"};
constexpr QuotedFaults kQuotedName = {"an escape in a quoted name that is not \\\\, \\\" or \\n",
                                      "a quoted name without closing quote"};

// After the opening quote; takes the closing one.
Verdict read_quoted(Cursor& cursor, const QuotedFaults& faults, std::string_view& out) {
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
      return cursor.fault(faults.escape);
    }
    i += 2;
  }
  if (i >= rest.size()) return cursor.fault(faults.unclosed);
  out = rest.substr(0, i);
  cursor.advance(i + 1);
  return std::nullopt;
}

// Takes both quotes.
Verdict read_quoted_name(Cursor& cursor, std::string_view& out) {
  const Cursor quote = cursor;
  (void)cursor.take('"');
  if (auto fault = read_quoted(cursor, kQuotedName, out)) return fault;
  return out.empty() ? Verdict(quote.fault("an empty quoted name")) : std::nullopt;
}

// Whether a label of the line has that name; to be asked once for each of its labels. Many names
// are not compared one with each other: most are told apart by a bit.
bool is_given(std::string_view name, SampleLine& line) {
  constexpr std::size_t kFew = 16, kBits = 8'192;
  const auto bit_of = [](std::string_view text) { return hash_bytes(text, 0) % kBits; };
  if (line.labels.size() >= kFew) {
    if (line.labels.size() == kFew) {
      line.name_bits.assign(kBits, false);
      for (const Label& label : line.labels) line.name_bits[bit_of(label.name)] = true;
    }
    const std::size_t bit = bit_of(name);
    if (!line.name_bits[bit]) {
      line.name_bits[bit] = true;
      return false;
    }
  }
  return std::any_of(line.labels.begin(), line.labels.end(),
                     [&](const Label& label) { return label.name == name; });
}

// A label, or the metric's name in quotes: that stands anywhere among them.
Verdict read_entry(Cursor& cursor, std::size_t labels_max, SampleLine& out) {
  Label label;
  const Cursor before = cursor;
  if (cursor.peek() == '"') {
    if (auto fault = read_quoted_name(cursor, label.name)) return fault;
    cursor.skip_blanks();
    if (cursor.peek() == ',' || cursor.peek() == '}') {
      if (!out.sample.name.empty()) return before.fault("a second metric name");
      out.sample.name = label.name;
      return std::nullopt;
    }
  }
  if (out.labels.size() == labels_max) {
    return Fault{ErrorCode::kLimitLabels, before.column(),
                 "more labels than limits.labels_per_sample_max"};
  }
  if (label.name.empty()) label.name = cursor.take_name(is_label_start, is_label_byte);
  if (label.name.empty()) return cursor.fault("a label name was expected");
  if (is_given(label.name, out)) return before.fault("a label name given twice");
  cursor.skip_blanks();
  if (!cursor.take('=')) return cursor.fault("'=' was expected after a label name");
  cursor.skip_blanks();
  if (!cursor.take('"')) return cursor.fault("a quoted label value was expected");
  if (auto fault = read_quoted(cursor, kLabelValue, label.value)) return fault;
  out.labels.push_back(label);
  return std::nullopt;
}

Verdict read_labels(Cursor& cursor, std::size_t labels_max, SampleLine& out) {
  for (;;) {
    cursor.skip_blanks();
    if (cursor.take('}')) return std::nullopt;
    if (auto fault = read_entry(cursor, labels_max, out)) return fault;
    cursor.skip_blanks();
    if (cursor.take(',')) continue;
    if (cursor.take('}')) return std::nullopt;
    return cursor.fault("',' or '}' was expected after a label");
  }
}

Verdict read_value(Cursor& cursor, Sample& sample) {
  const Cursor before = cursor;
  sample.value = cursor.take_word();
  if (!is_value(sample.value)) return before.fault("a number was expected");
  cursor.skip_blanks();
  if (cursor.at_end()) return std::nullopt;
  const Cursor stamp = cursor;
  sample.timestamp = cursor.take_word();
  if (!is_timestamp(sample.timestamp)) return stamp.fault("a timestamp was expected");
  cursor.skip_blanks();
  if (!cursor.at_end()) return cursor.fault("text after the sample");
  return std::nullopt;
}

}  // namespace

void Cursor::skip_blanks() {
  while (!at_end() && is_blank(line_[at_])) ++at_;
}

bool Cursor::take(char c) {
  if (peek() != c || at_end()) return false;
  ++at_;
  return true;
}

std::string_view Cursor::take_name(bool (*starts)(char), bool (*continues)(char)) {
  if (at_end() || !starts(line_[at_])) return {};
  const std::size_t from = at_;
  while (!at_end() && continues(line_[at_])) ++at_;
  return line_.substr(from, at_ - from);
}

std::string_view Cursor::take_word() {
  const std::size_t from = at_;
  while (!at_end() && !is_blank(line_[at_])) ++at_;
  return line_.substr(from, at_ - from);
}

Verdict read_sample(Cursor cursor, std::size_t labels_max, SampleLine& out) {
  out.sample = {};
  out.labels.clear();
  out.column = cursor.column();
  out.sample.name = cursor.take_name(is_name_start, is_name_byte);
  const Fault unnamed = cursor.fault("a metric name was expected");
  if (out.sample.name.empty() && cursor.peek() != '{') return unnamed;
  const bool separated = is_blank(cursor.peek());
  cursor.skip_blanks();
  if (cursor.take('{')) {
    if (auto fault = read_labels(cursor, labels_max, out)) return fault;
    if (out.sample.name.empty()) return unnamed;
    cursor.skip_blanks();
  } else if (!separated) {
    return cursor.fault("a byte that no metric name can have");
  }
  out.sample.label_count = static_cast<std::uint32_t>(out.labels.size());
  return read_value(cursor, out.sample);
}

void read_known_sample(std::string_view line, SampleLine& out) {
  Cursor cursor(line);
  cursor.skip_blanks();
  BAO_CHECK(!read_sample(cursor, std::numeric_limits<std::size_t>::max(), out));
}

Verdict read_announcement(Cursor& cursor, Announcement& out) {
  cursor.skip_blanks();
  const std::string_view word = cursor.take_word();
  if (word != "HELP" && word != "TYPE") return std::nullopt;
  out.word = word == "HELP" ? Announcement::Word::kHelp : Announcement::Word::kType;
  cursor.skip_blanks();
  if (cursor.peek() == '"') {
    if (auto fault = read_quoted_name(cursor, out.name)) return fault;
  } else {
    out.name = cursor.take_name(is_name_start, is_name_byte);
  }
  if (out.name.empty() || (!cursor.at_end() && !is_blank(cursor.peek()))) {
    return cursor.fault("HELP and TYPE need a metric name");
  }
  return std::nullopt;
}

Verdict read_help(Cursor cursor, std::string_view& help) {
  help = cursor.rest();
  for (std::size_t i = 0; i < help.size(); ++i) {
    if (help[i] != '\\') continue;
    if (i + 1 == help.size() || (help[i + 1] != '\\' && help[i + 1] != 'n')) {
      cursor.advance(i);
      return cursor.fault("an escape in HELP that is neither \\\\ nor \\n");
    }
    ++i;
  }
  return std::nullopt;
}

Verdict read_type(Cursor cursor, MetricType& type) {
  const Cursor before = cursor;
  const std::string_view word = cursor.take_word();
  const auto* const at = std::find(kTypeNames.begin(), kTypeNames.end(), word);
  if (at == kTypeNames.end()) {
    return before.fault("a TYPE other than counter, gauge, histogram, summary, untyped");
  }
  cursor.skip_blanks();
  if (!cursor.at_end()) return cursor.fault("text after TYPE");
  type = static_cast<MetricType>(at - kTypeNames.begin());
  return std::nullopt;
}

std::string_view metric_type_name(MetricType type) noexcept {
  return kTypeNames[static_cast<std::size_t>(type)];
}

}  // namespace bao_exporter
