#include "bao_exporter/format.h"

#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "catch.h"

namespace bao_exporter {

namespace {

std::string escaped(std::string_view raw) {
  std::string out;
  append_escaped_label_value(out, raw);
  return out;
}

std::string escaped_help(std::string_view raw) {
  std::string out;
  append_escaped_help(out, raw);
  return out;
}

std::string value_text(double value) {
  std::string out;
  append_value(out, value);
  return out;
}

std::string rewritten(std::string_view text) {
  const Result<Exposition> parsed = parse(text, {}, 1);
  return parsed.ok() ? format(parsed.value()) : parsed.error().detail;
}

}  // namespace

TEST_CASE("in label values backslash, quote and newline are escaped, and nothing else") {
  CHECK(escaped("a\\b\"c\nd") == "a\\\\b\\\"c\\nd");
  CHECK(escaped("\\n") == "\\\\n");
  CHECK(escaped("\t'{}=,# \xC3\xA9") == "\t'{}=,# \xC3\xA9");
  CHECK(escaped("").empty());
}

TEST_CASE("in HELP backslash and newline are escaped, and quotes are not") {
  CHECK(escaped_help("a\\b\"c\nd") == "a\\\\b\"c\\nd");
  CHECK(escaped_help("\\n") == "\\\\n");
}

TEST_CASE("escaping appends and leaves what was there") {
  std::string out = "\"\n";
  append_escaped_label_value(out, "\"");
  append_escaped_help(out, "\n");
  append_value(out, 1);
  CHECK(out == "\"\n\\\"\\n1");
}

TEST_CASE("unescaping undoes escaping, for any bytes") {
  std::mt19937_64 engine(1);
  for (int i = 0; i < 5'000; ++i) {
    std::string raw(engine() % 40, '\0');
    static constexpr std::string_view kLikely = "\\\"\nn\\a";
    for (char& c : raw) {
      c = engine() % 2 == 0 ? static_cast<char>(engine() & 0xFF)
                            : kLikely[engine() % kLikely.size()];
    }
    const std::string safe = escaped(raw);
    REQUIRE(unescape_label_value(safe) == raw);
    REQUIRE(safe.find('\n') == std::string::npos);
  }
}

TEST_CASE("unescaping reads the three escapes, and leaves a lone backslash at the end") {
  CHECK(unescape_label_value("\\\\\\\"\\n") == "\\\"\n");
  CHECK(unescape_label_value("\\\\n") == "\\n");
  CHECK(unescape_label_value("x\\") == "x\\");
  CHECK(unescape_label_value("").empty());
}

TEST_CASE("what was escaped is read back as one label value and one HELP") {
  std::mt19937_64 engine(2);
  for (int i = 0; i < 2'000; ++i) {
    std::string raw(1 + engine() % 30, '\0');
    static constexpr std::string_view kBytes = "\\\"\nn,}{= \ta#";
    for (char& c : raw) c = kBytes[engine() % kBytes.size()];
    const std::string text =
        "# HELP a ." + escaped_help(raw) + "\na{x=\"" + escaped(raw) + "\"} 1\n";
    CAPTURE(text);
    const Result<Exposition> parsed = parse(text, {}, 1);
    REQUIRE(parsed.ok());
    REQUIRE(parsed.value().labels.size() == 1);
    REQUIRE(unescape_label_value(parsed.value().labels[0].value) == raw);
    REQUIRE(unescape_label_value(parsed.value().families[0].help) == "." + raw);
  }
}

TEST_CASE("numbers are written as short as they can be") {
  CHECK(value_text(0) == "0");
  CHECK(value_text(-0.0) == "-0");
  CHECK(value_text(1) == "1");
  CHECK(value_text(-12.5) == "-12.5");
  CHECK(value_text(0.1) == "0.1");
  CHECK(value_text(0.1 + 0.2) == "0.30000000000000004");
  CHECK(value_text(1'700'000'000.123) == "1700000000.123");
  CHECK(value_text(9'007'199'254'740'993.0) == "9007199254740992");
  CHECK(value_text(1e21) == "1e+21");
  CHECK(value_text(std::numeric_limits<double>::max()) == "1.7976931348623157e+308");
  CHECK(value_text(-std::numeric_limits<double>::max()) == "-1.7976931348623157e+308");
  CHECK(value_text(std::numeric_limits<double>::min()) == "2.2250738585072014e-308");
  CHECK(value_text(std::numeric_limits<double>::denorm_min()) == "5e-324");
}

TEST_CASE("infinities and every NaN have the format's names") {
  CHECK(value_text(std::numeric_limits<double>::infinity()) == "+Inf");
  CHECK(value_text(-std::numeric_limits<double>::infinity()) == "-Inf");
  CHECK(value_text(std::numeric_limits<double>::quiet_NaN()) == "NaN");
  CHECK(value_text(-std::numeric_limits<double>::quiet_NaN()) == "NaN");
  CHECK(value_text(std::numeric_limits<double>::signaling_NaN()) == "NaN");
}

TEST_CASE("every double is written so that it reads back bit for bit, and our parser takes it") {
  std::mt19937_64 engine(3);
  std::vector<double> values = {std::numeric_limits<double>::denorm_min(),
                                -std::numeric_limits<double>::max(), -0.0};
  for (int i = 0; i < 20'000; ++i) values.push_back(std::bit_cast<double>(std::uint64_t{engine()}));
  for (int i = 0; i < 5'000; ++i) {
    values.push_back(static_cast<double>(engine() % 1'000'000'000'000) / 1'000.0);
  }
  std::string text;
  for (const double value : values) {
    if (std::isnan(value)) continue;
    const std::string written = value_text(value);
    double back = 0;
    const std::size_t sign = written[0] == '+' ? 1 : 0;
    const auto end = std::from_chars(written.data() + sign, written.data() + written.size(), back);
    CAPTURE(written);
    REQUIRE(end.ptr == written.data() + written.size());
    REQUIRE(std::bit_cast<std::uint64_t>(back) == std::bit_cast<std::uint64_t>(value));
    text += "a{i=\"" + std::to_string(text.size()) + "\"} " + written + "\n";
  }
  ParseLimits limits;
  limits.series_per_family_max = limits.samples_max;
  CHECK(parse(text, limits, 1).ok());
}

TEST_CASE("no double is written longer than its shortest form with an exponent") {
  std::mt19937_64 engine(4);
  for (int i = 0; i < 3'000; ++i) {
    const auto value = i % 2 == 0 ? std::bit_cast<double>(std::uint64_t{engine()})
                                  : static_cast<double>(engine() % 1'000'000) / 1e4;
    if (!std::isfinite(value)) continue;
    std::array<char, 64> scientific{};
    double back = 0;
    for (int digits = 0; digits < 17 && (digits == 0 || back != value); ++digits) {
      std::snprintf(scientific.data(), scientific.size(), "%.*e", digits, value);
      back = std::strtod(scientific.data(), nullptr);
    }
    const std::string_view shortest(scientific.data());
    CAPTURE(value_text(value), shortest);
    REQUIRE(back == value);
    REQUIRE(value_text(value).size() <= shortest.size());
  }
}

TEST_CASE("a family's header is HELP, when it has one, and TYPE") {
  const auto header = [](bool has_help, std::string_view help, MetricType type) {
    std::string out;
    append_family_header(out, "a", has_help, help, type);
    return out;
  };
  CHECK(header(true, "h\\n", MetricType::kGauge) == "# HELP a h\\n\n# TYPE a gauge\n");
  CHECK(header(false, "h", MetricType::kCounter) == "# TYPE a counter\n");
  CHECK(header(true, "", MetricType::kUntyped) == "# HELP a \n# TYPE a untyped\n");
  CHECK(header(false, "", MetricType::kSummary) == "# TYPE a summary\n");
  CHECK(header(false, "", MetricType::kHistogram) == "# TYPE a histogram\n");
}

TEST_CASE("an exposition is written plainly: no comments, no timestamps, one blank") {
  CHECK(rewritten(
            "# x\n\n#  TYPE  a  gauge\n#\tHELP\ta  h \na { x = \"\\n\" , } \t+1.0 123\na{} 2\n") ==
        "# HELP a h \n# TYPE a gauge\na{x=\"\\n\"} +1.0\na 2\n");
  CHECK(rewritten("# HELP a\nb 1\n# TYPE c summary\n") == "# HELP a \nb 1\n# TYPE c summary\n");
  CHECK(rewritten("\n").empty());
}

}  // namespace bao_exporter
