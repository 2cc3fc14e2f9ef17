// The parser against a slow, obviously right one, and the laws that hold for every text.
#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bao_exporter/exposition.h"
#include "bao_exporter/format.h"
#include "catch.h"

namespace bao_exporter {

namespace {

struct PlainSample {
  std::string name, value, timestamp;
  std::vector<std::pair<std::string, std::string>> labels;  // values with their escapes
  bool operator==(const PlainSample&) const = default;
};

struct PlainFamily {
  std::string name;
  std::optional<std::string> help, type;
  std::vector<PlainSample> samples;
  bool operator==(const PlainFamily&) const = default;
};

using Plain = std::vector<PlainFamily>;

// Written from the document "Exposition formats", text format 0.0.4, with names in quotes as
// Prometheus 3 reads them, and from nothing else. Limits are left out: the texts of this file stay
// below them.
class Reference {
 public:
  static std::optional<Plain> read(const std::string& text) {
    Reference reader;
    if (text.empty() || text.back() != '\n' || !is_clean_utf8(text)) return std::nullopt;
    for (std::size_t from = 0; from < text.size();) {
      const std::size_t to = text.find('\n', from);
      reader.line_ = text.substr(from, to - from);
      reader.at_ = 0;
      if (!reader.line()) return std::nullopt;
      from = to + 1;
    }
    return reader.families_;
  }

 private:
  static bool is_clean_utf8(const std::string& text) {
    for (std::size_t i = 0; i < text.size();) {
      const auto byte = [&](std::size_t k) { return static_cast<unsigned char>(text[k]); };
      if (byte(i) == 0 || byte(i) == '\r') return false;
      std::size_t more = 0;
      unsigned point = byte(i);
      if (point >= 0x80) {
        more = point >> 5 == 6 ? 1 : point >> 4 == 14 ? 2 : point >> 3 == 30 ? 3 : 9;
        if (more == 9 || i + more >= text.size()) return false;
        point &= 0x3Fu >> more;
        for (std::size_t k = 1; k <= more; ++k) {
          if (byte(i + k) >> 6 != 2) return false;
          point = (point << 6) + (byte(i + k) & 0x3Fu);
        }
        const unsigned least = more == 1 ? 0x80 : more == 2 ? 0x800 : 0x10000;
        if (point < least || point > 0x10FFFF || (point >= 0xD800 && point < 0xE000)) return false;
      }
      i += more + 1;
    }
    return true;
  }

  [[nodiscard]] char now() const { return at_ < line_.size() ? line_[at_] : '\n'; }
  void blanks() {
    while (now() == ' ' || now() == '\t') ++at_;
  }
  bool eat(char c) { return now() == c ? (++at_, true) : false; }
  std::string word() {
    std::string out;
    while (now() != ' ' && now() != '\t' && now() != '\n') out += line_[at_++];
    return out;
  }
  std::string name(const std::string& also) {
    static const std::string kLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
    std::string out;
    while ((kLetters + also).find(now()) != std::string::npos ||
           (!out.empty() && now() >= '0' && now() <= '9')) {
      out += line_[at_++];
    }
    return out;
  }
  static bool is_number(const std::string& token) {
    static const std::set<std::string> kWords = {"nan",       "inf",      "+inf",     "-inf",
                                                 "+infinity", "infinity", "-infinity"};
    std::string lower;
    for (const char c : token) lower += c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    if (kWords.count(lower) == 1) return true;
    if (token.empty() || lower.find_first_not_of("0123456789.e+-") != std::string::npos)
      return false;
    char* end = nullptr;
    errno = 0;
    const double value = std::strtod(token.c_str(), &end);
    return *end == '\0' && !(errno == ERANGE && (value == 0 || std::isinf(value)));
  }
  static bool is_stamp(std::string token) {
    if (!token.empty() && (token[0] == '+' || token[0] == '-')) token.erase(0, 1);
    return !token.empty() && token.size() <= 18 &&
           token.find_first_not_of("0123456789") == std::string::npos;
  }
  // An escaped text up to its end, or nothing when an escape is not one of `after_backslash`.
  std::optional<std::string> escaped(const std::string& after_backslash, char end) {
    std::string out;
    while (now() != end && at_ < line_.size()) {
      if (now() == '\\') {
        out += line_[at_++];
        if (at_ == line_.size() || after_backslash.find(now()) == std::string::npos) return {};
      }
      out += line_[at_++];
    }
    return out;
  }

  // Behind the opening quote: what stands up to the closing one, where that can be a name.
  std::optional<std::string> quoted_name() {
    auto out = escaped("\\\"n", '"');
    return out && !out->empty() && eat('"') ? out : std::nullopt;
  }

  bool line() {
    blanks();
    if (now() == '\n') return true;
    return eat('#') ? comment() : sample();
  }

  bool comment() {
    blanks();
    const std::string what = word();
    if (what != "HELP" && what != "TYPE") return true;
    blanks();
    const std::string family = eat('"') ? quoted_name().value_or("") : name(":");
    if (family.empty() || (now() != ' ' && now() != '\t' && now() != '\n')) return false;
    blanks();
    if (!enter(family) || !families_.back().samples.empty()) return false;
    auto& slot = what == "HELP" ? families_.back().help : families_.back().type;
    if (slot) return false;
    if (what == "HELP") return (slot = escaped("\\n", '\n')).has_value();
    slot = word();
    blanks();
    static const std::set<std::string> kTypes = {"counter", "gauge", "histogram", "summary",
                                                 "untyped"};
    return kTypes.count(*slot) == 1 && now() == '\n';
  }

  bool sample() {
    PlainSample out;
    out.name = name(":");
    if (now() != '{' && (out.name.empty() || (now() != ' ' && now() != '\t'))) return false;
    blanks();
    std::map<std::string, std::string> labels;
    if (eat('{')) {
      for (blanks(); !eat('}'); blanks()) {
        const bool quoted = eat('"');
        const std::string label = quoted ? quoted_name().value_or("") : name("");
        if (blanks(); quoted && (now() == ',' || now() == '}')) {
          if (label.empty() || !out.name.empty()) return false;
          out.name = label;
          eat(',');
          continue;
        }
        if (blanks(); label.empty() || !eat('=')) return false;
        if (blanks(); !eat('"')) return false;
        const auto value = escaped("\\\"n", '"');
        if (!value || !eat('"') || !labels.emplace(label, *value).second) return false;
        out.labels.emplace_back(label, *value);
        if (blanks(); !eat(',') && now() != '}') return false;
      }
      blanks();
    }
    if (out.name.empty()) return false;
    out.value = word();
    blanks();
    out.timestamp = word();
    blanks();
    if (now() != '\n' || !is_number(out.value)) return false;
    if (!out.timestamp.empty() && !is_stamp(out.timestamp)) return false;
    if (!series_.emplace(out.name, labels).second) return false;
    return place(out, labels);
  }

  // The family becomes the last one; false when it was there and others came since.
  bool enter(const std::string& family) {
    if (!families_.empty() && families_.back().name == family) return true;
    if (!names_.insert(family).second) return false;
    families_.push_back({family, {}, {}, {}});
    return true;
  }

  [[nodiscard]] static bool is_part(const PlainFamily& family, const std::string& sample) {
    return (family.type == "summary" || family.type == "histogram") &&
           (sample == family.name + "_sum" || sample == family.name + "_count" ||
            (sample == family.name + "_bucket" && family.type == "histogram"));
  }

  bool place(const PlainSample& out, const std::map<std::string, std::string>& labels) {
    if (families_.empty() || !is_part(families_.back(), out.name)) {
      const bool continues = !families_.empty() && families_.back().name == out.name;
      for (const PlainFamily& closed : families_) {
        if (!continues && is_part(closed, out.name)) return false;
      }
      if (!enter(out.name)) return false;
    }
    PlainFamily& family = families_.back();
    if (family.type == "summary" && out.name == family.name && !labels.count("quantile"))
      return false;
    if (family.type == "histogram" && out.name == family.name) return false;
    if (family.type == "histogram" && out.name == family.name + "_bucket" && !labels.count("le")) {
      return false;
    }
    if (owners_.emplace(out.name, family.name).first->second != family.name) return false;
    family.samples.push_back(out);
    return true;
  }

  std::string line_;
  std::size_t at_ = 0;
  Plain families_;
  std::set<std::string> names_;
  std::map<std::string, std::string> owners_;
  std::set<std::pair<std::string, std::map<std::string, std::string>>> series_;
};

Plain plain(const Exposition& exposition) {
  Plain out;
  for (const Family& family : exposition.families) {
    PlainFamily to{std::string(family.name), {}, {}, {}};
    if (family.has_help) to.help = std::string(family.help);
    if (family.has_type) to.type = std::string(metric_type_name(family.type));
    for (const Sample& sample : exposition.samples_of(family)) {
      PlainSample one{
          std::string(sample.name), std::string(sample.value), std::string(sample.timestamp), {}};
      for (const Label& label : exposition.labels_of(sample)) {
        one.labels.emplace_back(label.name, label.value);
      }
      to.samples.push_back(std::move(one));
    }
    out.push_back(std::move(to));
  }
  return out;
}

Plain without_timestamps(Plain from) {
  for (PlainFamily& family : from) {
    for (PlainSample& sample : family.samples) sample.timestamp.clear();
  }
  return from;
}

constexpr std::uint64_t kSeed = 0x5EED;

struct Tally {
  std::size_t accepted = 0;
  std::size_t refused = 0;
};

// Both parsers agree, and what is accepted survives being written and read again.
void check_text(const std::string& text, Tally& tally) {
  const std::optional<Plain> expected = Reference::read(text);
  const Result<Exposition> parsed = parse(text, {}, kSeed);
  if (parsed.ok() != expected.has_value()) {
    CAPTURE(text, expected.has_value(), parsed.ok() ? "" : parsed.error().detail);
    FAIL("one parser accepts what the other refuses");
  }
  if (!expected) {
    ++tally.refused;
    return;
  }
  ++tally.accepted;
  CAPTURE(text);
  if (plain(parsed.value()) != *expected) FAIL("the parsers read different contents");
  const std::string written = format(parsed.value());
  CAPTURE(written);
  if (written.empty()) {
    if (!expected->empty()) FAIL("the text was lost");
    return;
  }
  const Result<Exposition> again = parse(written, {}, kSeed);
  if (!again.ok()) FAIL("what was written is refused: " + again.error().detail);
  if (plain(again.value()) != without_timestamps(*expected))
    FAIL("what was written reads otherwise");
}

// prefix + every string of up to `longest` symbols + suffix.
Tally check_all(const std::string& prefix, const std::vector<std::string>& alphabet,
                std::size_t longest, const std::string& suffix) {
  Tally tally;
  std::vector<std::size_t> digits;
  for (;;) {
    std::string text = prefix;
    for (const std::size_t digit : digits) text += alphabet[digit];
    check_text(text + suffix, tally);
    std::size_t at = 0;
    while (at < digits.size() && ++digits[at] == alphabet.size()) digits[at++] = 0;
    if (at == digits.size()) {
      if (digits.size() == longest) return tally;
      digits.assign(digits.size() + 1, 0);
    }
  }
}

std::vector<std::string> symbols(const std::string& bytes) {
  std::vector<std::string> out;
  for (const char c : bytes) out.emplace_back(1, c);
  return out;
}

class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}
  std::size_t below(std::size_t n) { return static_cast<std::size_t>(engine_() % n); }
  template <typename T>
  const T& one_of(const std::vector<T>& from) {
    return from[below(from.size())];
  }

 private:
  std::mt19937_64 engine_;
};

std::string sample_line(Random& random, const std::string& name, const std::string& own_label) {
  static const std::vector<std::string> kValues = {"1",  "NaN",     "+Inf",
                                                   "-0", "1.5e-07", "12345.678"};
  static const std::vector<std::string> kLabelValues = {"",     "x",        "\\\\", "\\\"", "\\n",
                                                        "{,}=", "\xC3\xA9", "a b",  "#"};
  std::string line = name;
  std::string labels = own_label;
  for (const char* label : {"cluster", "namespace", "job", "__x", "le_"}) {
    if (random.below(3) != 0) continue;
    if (!labels.empty()) labels += random.below(2) == 0 ? "," : " , ";
    labels += std::string(label) + "=\"" + random.one_of(kLabelValues) + "\"";
  }
  if (!labels.empty() || random.below(4) == 0) line += "{" + labels + "}";
  line += " " + random.one_of(kValues);
  if (random.below(5) == 0) line += " 17000000" + std::to_string(random.below(100'000));
  return line + "\n";
}

// Mostly acceptable; a series may come twice by chance.
std::string random_exposition(Random& random) {
  static const std::vector<std::string> kTypes = {"untyped", "counter", "gauge", "summary",
                                                  "histogram"};
  std::string text;
  const std::size_t families = random.below(6);
  for (std::size_t f = 0; f < families; ++f) {
    const std::string name = "vault_f" + std::to_string(f) + (random.below(4) == 0 ? "_count" : "");
    const std::string type = random.one_of(kTypes);
    const bool parts = type == "summary" || type == "histogram";
    if (random.below(3) != 0) text += "# HELP " + name + " Some \\\\ help\\n.\n";
    if (parts || random.below(3) != 0) text += "# TYPE " + name + " " + type + "\n";
    const std::size_t samples = random.below(5);
    for (std::size_t i = 0; i < samples; ++i) {
      const std::string number = std::to_string(i);
      if (!parts) {
        text += sample_line(random, name, "i=\"" + number + "\"");
      } else if (type == "summary") {
        text += sample_line(random, name, "quantile=\"0." + number + "\"");
      } else {
        text += sample_line(random, name + "_bucket", "le=\"" + number + "\"");
      }
    }
    if (parts && samples > 0) text += name + "_sum 1\n" + name + "_count 2\n";
    if (random.below(6) == 0) text += "# a comment\n\n";
  }
  return text + (text.empty() ? "\n" : "");
}

std::string mutated(Random& random, std::string text) {
  static const std::vector<std::string> kPieces = {"\n",
                                                   " ",
                                                   "\t",
                                                   "{",
                                                   "}",
                                                   "\"",
                                                   ",",
                                                   "=",
                                                   "\\",
                                                   "#",
                                                   "\\n",
                                                   "\\\\",
                                                   "\\\"",
                                                   "1",
                                                   "NaN",
                                                   "_sum",
                                                   "_x",
                                                   "x",
                                                   "# TYPE ",
                                                   "# HELP ",
                                                   "vault_f0",
                                                   "vault_f1",
                                                   " summary",
                                                   " histogram",
                                                   "\r",
                                                   "\xC3",
                                                   "\xC3\xA9",
                                                   "\xED\xA0\x80",
                                                   "\xF0\x9F\x98\x80",
                                                   "le=\"1\",",
                                                   "{x=\"1\"}",
                                                   "\"x\"=\"1\",",
                                                   "{\"vault_f0\",",
                                                   "\"x.y\"",
                                                   "e400"};
  const std::size_t times = 1 + random.below(3);
  for (std::size_t i = 0; i < times; ++i) {
    const std::size_t at = random.below(text.size() + 1);
    const std::size_t length = random.below(std::min<std::size_t>(text.size() - at, 12) + 1);
    switch (random.below(6)) {
      case 0:  // Another byte, of any kind.
        if (at < text.size()) text[at] = static_cast<char>(random.below(256));
        break;
      case 1:
        text.erase(at, length);
        break;
      case 2:
        text.insert(at, random.one_of(kPieces));
        break;
      case 3:  // A piece of the text, somewhere else.
        text.insert(random.below(text.size() + 1), text.substr(at, length));
        break;
      case 4: {  // A line, somewhere else.
        const std::size_t from = at == 0 ? 0 : text.rfind('\n', at - 1) + 1;
        const std::size_t to = text.find('\n', from);
        if (to == std::string::npos) break;
        const std::string line = text.substr(from, to + 1 - from);
        if (random.below(2) == 0) text.erase(from, line.size());
        const std::size_t there = text.find('\n', random.below(text.size() + 1));
        text.insert(there == std::string::npos ? 0 : there + 1, line);
        break;
      }
      default:
        if (at < text.size()) text[at] = random.one_of(kPieces)[0];
        break;
    }
  }
  return text;
}

}  // namespace

TEST_CASE("every short text is read, or refused, as the reference parser does") {
  const Tally tally = check_all("", symbols("a{}=\",\n 1#"), 5, "\n");
  CHECK(tally.accepted > 500);
  CHECK(tally.refused > 90'000);
}

TEST_CASE("every short label list is read, or refused, as the reference parser does") {
  const std::vector<std::string> pieces = {"x=\"", "\"", "=", ",", " ", "\\", "n", "}"};
  const Tally nameless = check_all("{", pieces, 5, "} 1\n");
  CHECK(nameless.accepted > 100);
  const Tally tally = check_all("a{", pieces, 5, "} 1\n");
  CHECK(tally.accepted > 100);
  CHECK(tally.refused > 30'000);
}

TEST_CASE("every short value is read, or refused, as the reference parser does") {
  const Tally tally = check_all("a ", symbols("10.e+- nN"), 4, "\n");
  CHECK(tally.accepted > 300);
  CHECK(tally.refused > 4'000);
  const Tally names =
      check_all("a ", {"N", "a", "n", "I", "inf", "INITY", "inity", "+", "-"}, 4, "\n");
  CHECK(names.accepted > 10);
  const Tally close = check_all("a", symbols("1.+- {}"), 4, "\n");
  CHECK(close.accepted > 10);
}

TEST_CASE("every short HELP and TYPE is read, or refused, as the reference parser does") {
  const Tally tally =
      check_all("#", {" ", "\t", "HELP", "TYPE", "a", "gauge", "\\", "n", "\n#"}, 5, "\n");
  CHECK(tally.accepted > 10'000);
  CHECK(tally.refused > 1'000);
}

TEST_CASE("every order of a few lines is read, or refused, as the reference parser does") {
  const Tally tally =
      check_all("",
                {"# TYPE x summary\n", "# TYPE x histogram\n", "# TYPE x_sum gauge\n",
                 "# HELP x h\n", "# HELP x_sum h\n", "x 1\n", "x{quantile=\"1\"} 1\n", "x_sum 1\n",
                 "x_sum{a=\"1\"} 1\n", "x_bucket 1\n", "x_bucket{le=\"1\"} 1\n", "b 1\n"},
                4, "\n");
  CHECK(tally.accepted > 3'000);
  CHECK(tally.refused > 5'000);
}

TEST_CASE("random expositions with random damage are read, or refused, as the reference does") {
  Random random(1);
  Tally tally;
  for (int i = 0; i < 1'500; ++i) {
    const std::string text = random_exposition(random);
    check_text(text, tally);
    for (int k = 0; k < 4; ++k) check_text(mutated(random, text), tally);
  }
  CHECK(tally.accepted > 2'000);
  CHECK(tally.refused > 2'000);
}

TEST_CASE(
    "every byte in a label value, before each that matters, is judged as the reference does") {
  Tally tally;
  for (int first = 0; first < 256; ++first) {
    for (const int second : {0x00, 0x0A, 0x0D, 0x22, 0x5C, 0x6E, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0,
                             0xBF, 0xC0, 0xE0, 0xFF}) {
      std::string text = "a{x=\"..";
      text += static_cast<char>(first);
      text += static_cast<char>(second);
      check_text(text + "..\"} 1\n", tally);
    }
  }
  CHECK(tally.accepted > 300);
  CHECK(tally.refused > 2'000);
}

TEST_CASE("random bytes that look like UTF-8 are judged as the reference does") {
  Random random(2);
  Tally tally;
  for (int i = 0; i < 10'000; ++i) {
    std::string text = "#" + std::string(random.below(9), 'p');
    // A lead byte and continuations, with the edges that matter.
    static const std::vector<std::string> kLeads = {"\xC2", "\xDF", "\xE0", "\xE1", "\xED",
                                                    "\xEF", "\xF0", "\xF1", "\xF4", "\xF5"};
    text += random.one_of(kLeads);
    const std::size_t more = static_cast<unsigned char>(text.back()) < 0xE0   ? 1
                             : static_cast<unsigned char>(text.back()) < 0xF0 ? 2
                                                                              : 3;
    for (std::size_t k = 0; k < more; ++k) text += static_cast<char>(0x80 + random.below(64));
    if (random.below(8) == 0) text.pop_back();
    if (random.below(8) == 0) text += static_cast<char>(random.below(256));
    check_text(text + "\n", tally);
  }
  CHECK(tally.accepted > 3'000);
  CHECK(tally.refused > 1'000);
}

TEST_CASE("the seed of the hash never changes the result") {
  // The second is the constant that makes hash_bytes give 0 for every short text.
  const std::vector<std::uint64_t> seeds = {0, 0x9E3779B97F4A7C15, 1, ~std::uint64_t{0}};
  Random random(3);
  Tally tally;
  for (int i = 0; i < 600; ++i) {
    std::string text = random_exposition(random);
    if (i % 2 == 0) text = mutated(random, text);
    const Result<Exposition> expected = parse(text, {}, kSeed);
    ++(expected.ok() ? tally.accepted : tally.refused);
    for (const std::uint64_t seed : seeds) {
      const Result<Exposition> parsed = parse(text, {}, seed);
      CAPTURE(text, seed);
      if (parsed.ok() != expected.ok()) FAIL("the seed decides");
      if (!parsed.ok()) {
        if (parsed.error().detail != expected.error().detail) FAIL("another error");
      } else if (plain(parsed.value()) != plain(expected.value())) {
        FAIL("other contents");
      }
    }
  }
  CHECK(tally.accepted > 100);
  CHECK(tally.refused > 100);
}

TEST_CASE("reading any text never needs more than the text: every prefix ends in a verdict") {
  Random random(4);
  for (int i = 0; i < 20; ++i) {
    const std::string text = random_exposition(random);
    for (std::size_t length = 0; length <= text.size(); ++length) {
      // A heap copy of exactly that size: a sanitizer sees each byte too far.
      const std::vector<char> copy(text.begin(),
                                   text.begin() + static_cast<std::ptrdiff_t>(length));
      const Result<Exposition> parsed = parse({copy.data(), copy.size()}, {}, kSeed);
      if (!parsed.ok() && (length == 0 || copy.back() != '\n')) {
        if (parsed.error().code != ErrorCode::kTruncated) FAIL("not called truncated");
      }
    }
  }
}

// Quadratic time would take minutes here.
TEST_CASE("a hundred thousand names with one long beginning are read") {
  std::string text;
  const std::string beginning(64, 'a');
  for (int i = 0; i < 100'000; ++i) text += beginning + std::to_string(i) + " 1\n";
  ParseLimits limits;
  limits.samples_max = 100'000;
  const Result<Exposition> parsed = parse(text, limits, kSeed);
  REQUIRE(parsed.ok());
  CHECK(parsed.value().families.size() == 100'000);
}

TEST_CASE("a hundred thousand series that differ in their last label only are read") {
  std::string text;
  for (int i = 0; i < 100'000; ++i) {
    text += "a{one=\"1\",two=\"2\",three=\"3\",last=\"" + std::to_string(i) + "\"} 1\n";
  }
  ParseLimits limits;
  limits.samples_max = 100'000;
  limits.series_per_family_max = 100'000;
  CHECK(parse(text, limits, kSeed).ok());
  text += "a{last=\"99999\",three=\"3\",two=\"2\",one=\"1\"} 1\n";
  limits.samples_max = limits.series_per_family_max = 100'001;
  const Result<Exposition> parsed = parse(text, limits, kSeed);
  REQUIRE_FALSE(parsed.ok());
  CHECK(parsed.error().code == ErrorCode::kDuplicateSeries);
}

TEST_CASE("series made of the same names and values in other places are told apart") {
  std::string text;
  for (int i = 0; i < 300; ++i) {
    for (int k = 0; k < 30; ++k) {
      text += "a{x=\"" + std::to_string(i) + "\",y=\"" + std::to_string(k + 1'000) + "\"} 1\n";
    }
  }
  CHECK(parse(text, {}, kSeed).ok());
}

TEST_CASE("a hundred thousand announced families, parts and one-byte lines are read") {
  std::string text;
  for (int i = 0; i < 50'000; ++i) text += "# TYPE s" + std::to_string(i) + " summary\n";
  for (int i = 0; i < 100'000; ++i) text += "#\n";
  text += "# TYPE s summary\n";
  for (int i = 0; i < 5'000; ++i) {
    text +=
        "s_sum{x=\"" + std::to_string(i) + "\"} 1\ns_count{x=\"" + std::to_string(i) + "\"} 1\n";
  }
  const Result<Exposition> parsed = parse(text, {}, kSeed);
  REQUIRE(parsed.ok());
  CHECK(parsed.value().families.size() == 50'001);
}

}  // namespace bao_exporter
