#include "bao_exporter/exposition.h"

#include <string>
#include <string_view>
#include <vector>

#include "catch.h"

namespace bao_exporter {

namespace {

using namespace std::string_view_literals;

constexpr std::uint64_t kSeed = 42;

// What was read, in a form to compare: one line per family and per sample.
std::string contents(const Exposition& exposition) {
  std::string out;
  for (const Family& family : exposition.families) {
    out += "[" + std::string(family.name);
    if (family.has_type) out += " " + std::string(metric_type_name(family.type));
    if (family.has_help) out += " <" + std::string(family.help) + ">";
    out += "]\n";
    for (const Sample& sample : exposition.samples_of(family)) {
      out += std::string(sample.name) + "|";
      for (const Label& label : exposition.labels_of(sample)) {
        out += std::string(label.name) + "=" + std::string(label.value) + "|";
      }
      out += std::string(sample.value);
      if (!sample.timestamp.empty()) out += " @" + std::string(sample.timestamp);
      out += "\n";
    }
  }
  return out;
}

// The contents of `text`, or its error.
std::string read(std::string_view text, const ParseLimits& limits = {}) {
  const Result<Exposition> parsed = parse(text, limits, kSeed);
  if (parsed.ok()) return contents(parsed.value());
  return std::string(reason_name(parsed.error().code)) + ": " + parsed.error().detail;
}

struct Refused {
  std::string_view text;
  std::size_t line;
  std::size_t column;
  ErrorCode code = ErrorCode::kMalformed;
};

void check_refused(const std::vector<Refused>& table, const ParseLimits& limits = {}) {
  for (const Refused& refused : table) {
    CAPTURE(refused.text);
    const Result<Exposition> parsed = parse(refused.text, limits, kSeed);
    CHECK_FALSE(parsed.ok());
    if (parsed.ok()) continue;
    CHECK(reason_name(parsed.error().code) == reason_name(refused.code));
    const std::string place = "line " + std::to_string(refused.line) + ", column " +
                              std::to_string(refused.column) + ": ";
    CHECK(parsed.error().detail.substr(0, place.size()) == place);
    CHECK(parsed.error().detail.size() > place.size());
  }
}

std::string repeat(std::string_view piece, std::size_t times) {
  std::string out;
  for (std::size_t i = 0; i < times; ++i) out += piece;
  return out;
}

}  // namespace

TEST_CASE("a family is its HELP, its TYPE and its samples, byte for byte") {
  CHECK(read("# HELP a_total Things done.\n"
             "# TYPE a_total counter\n"
             "a_total{x=\"1\",y=\"2\"} 7\n"
             "a_total 1.50e+01\n") ==
        "[a_total counter <Things done.>]\n"
        "a_total|x=1|y=2|7\n"
        "a_total|1.50e+01\n");
}

TEST_CASE("TYPE may come before HELP, and each may be missing") {
  CHECK(read("# TYPE a gauge\n# HELP a h\na 1\n") == "[a gauge <h>]\na|1\n");
  CHECK(read("# TYPE a gauge\na 1\n") == "[a gauge]\na|1\n");
  CHECK(read("# HELP a h\na 1\n") == "[a <h>]\na|1\n");
  CHECK(read("a 1\n") == "[a]\na|1\n");
}

TEST_CASE("every type that the format knows is read, in lower case only") {
  for (const std::string name : {"untyped", "counter", "gauge", "summary", "histogram"}) {
    CHECK(read("# TYPE a " + name + "\n") == "[a " + name + "]\n");
  }
}

TEST_CASE("comments and blank lines say nothing, also between the lines of a family") {
  CHECK(read("\n"
             " \t \n"
             "#\n"
             "# \n"
             "# a comment\n"
             "\t# a comment behind a tab\n"
             "# HELPS a b\n"
             "# HELPa b\n"
             "# help a b\n"
             "# Type a nonsense\n"
             "# EOF\n"
             "## TYPE a gauge\n"
             "# TYPE a gauge\n"
             "\n"
             "a{x=\"1\"} 1\n"
             "# between\n"
             "a{x=\"2\"} 2\n") == "[a gauge]\na|x=1|1\na|x=2|2\n");
}

TEST_CASE("a body of nothing but a newline is an exposition of nothing") {
  CHECK(read("\n").empty());
  CHECK(read("# nothing\n\n").empty());
}

TEST_CASE("blanks and tabs may stand between all tokens and around the line") {
  CHECK(read(" \ta\t{ x\t= \"1\" ,\ty = \" 2 \" }\t 1 \t 123 \t\n") == "[a]\na|x=1|y= 2 |1 @123\n");
  CHECK(read(" \t#\t HELP \ta\t  h h \t\n") == "[a <h h \t>]\n");
  CHECK(read(" #\tTYPE\ta\tgauge\t \n") == "[a gauge]\n");
  CHECK(read("#TYPE a gauge\n") == "[a gauge]\n");
  CHECK(read("a\t1\n") == "[a]\na|1\n");
  CHECK(read("a {} 1\n") == "[a]\na|1\n");
}

TEST_CASE("no blank is needed where a brace separates") {
  CHECK(read("a{x=\"1\"}1\n") == "[a]\na|x=1|1\n");
  CHECK(read("a{}1 2\n") == "[a]\na|1 @2\n");
}

TEST_CASE("a comma may end the labels, and there may be no labels between braces") {
  CHECK(read("a{x=\"1\",} 1\n") == "[a]\na|x=1|1\n");
  CHECK(read("a{x=\"1\" , } 1\n") == "[a]\na|x=1|1\n");
  CHECK(read("a{} 1\n") == "[a]\na|1\n");
  CHECK(read("a{ } 1\n") == "[a]\na|1\n");
}

TEST_CASE("label values keep their escapes and may hold every other byte of a line") {
  CHECK(read("a{x=\"\\\\\\\"\\n\"} 1\n") == "[a]\na|x=\\\\\\\"\\n|1\n");
  CHECK(read("a{x=\"\\\\\"} 1\n") == "[a]\na|x=\\\\|1\n");
  CHECK(read("a{x=\"{}=,# \t'\"} 1\n") == "[a]\na|x={}=,# \t'|1\n");
  CHECK(read("a{x=\"\"} 1\n") == "[a]\na|x=|1\n");
  CHECK(read("a{x=\"\x01\x7f\"} 1\n") == "[a]\na|x=\x01\x7f|1\n");
}

TEST_CASE("all of UTF-8 is welcome in values, HELP and comments, up to its edges") {
  for (const std::string valid :
       {"\xC2\x80", "\xDF\xBF", "\xE0\xA0\x80", "\xED\x9F\xBF", "\xEE\x80\x80", "\xEF\xBF\xBF",
        "\xEF\xBB\xBF", "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF"}) {
    CAPTURE(valid);
    // At several offsets: the eight-byte steps must not see a sequence apart.
    for (std::size_t pad = 0; pad < 9; ++pad) {
      const std::string value = repeat("p", pad) + valid + "tail of more than eight";
      CHECK(read("a{x=\"" + value + "\"} 1\n") == "[a]\na|x=" + value + "|1\n");
    }
    CHECK(read("# HELP a " + valid + "\n") == "[a <" + valid + ">]\n");
    CHECK(read("# " + valid + "\na 1\n") == "[a]\na|1\n");
  }
}

TEST_CASE("HELP may be empty, and keeps quotes, escapes and blanks at its end") {
  CHECK(read("# HELP a\n") == "[a <>]\n");
  CHECK(read("# HELP a \n") == "[a <>]\n");
  CHECK(read("# HELP a \\\\ \\n \"q\" # x  \n") == "[a <\\\\ \\n \"q\" # x  >]\n");
  CHECK(read("# HELP a TYPE a gauge\n") == "[a <TYPE a gauge>]\n");
}

TEST_CASE("numbers are taken in every spelling that all readers share, and kept as sent") {
  for (const std::string value : {"0",
                                  "-0",
                                  "+1",
                                  "007",
                                  "1.",
                                  ".5",
                                  "-.5",
                                  "1.5",
                                  "1e3",
                                  "1E3",
                                  "1e+3",
                                  "1e-3",
                                  "1.e3",
                                  ".5e-03",
                                  "1.7976931348623157e308",
                                  "-1.7976931348623157E+308",
                                  "4.9e-324",
                                  "0e999999",
                                  "NaN",
                                  "nan",
                                  "NAN",
                                  "Inf",
                                  "inf",
                                  "INF",
                                  "+Inf",
                                  "-Inf",
                                  "+inf",
                                  "Infinity",
                                  "-infinity",
                                  "123456789012345678901234567890"}) {
    CAPTURE(value);
    CHECK(read("a " + value + "\n") == "[a]\na|" + value + "\n");
  }
}

TEST_CASE("a number may be long: three hundred digits, or a thousand after the point") {
  for (const std::string& value :
       {repeat("9", 300), repeat("9", 308), "0." + repeat("3", 1000), repeat("0", 1000) + "7"}) {
    CHECK(read("a " + value + "\n") == "[a]\na|" + value + "\n");
  }
}

TEST_CASE("timestamps are whole numbers of up to 18 digits, with or without sign") {
  for (const std::string stamp : {"0", "-1", "+1", "1700000000000", "999999999999999999"}) {
    CHECK(read("a 1 " + stamp + "\n") == "[a]\na|1 @" + stamp + "\n");
  }
}

TEST_CASE("a summary has quantiles, also NaN, with _sum and _count in any order") {
  CHECK(read("# TYPE s summary\n"
             "s_count 0\n"
             "s{quantile=\"0.5\"} NaN\n"
             "s{a=\"1\",quantile=\"0.99\"} NaN\n"
             "s_sum 0\n"
             "s{quantile=\"0.9\"} 1\n") ==
        "[s summary]\ns_count|0\ns|quantile=0.5|NaN\ns|a=1|quantile=0.99|NaN\ns_sum|0\n"
        "s|quantile=0.9|1\n");
}

TEST_CASE("a histogram has buckets with le, _sum and _count, and need not be complete") {
  CHECK(read("# TYPE h histogram\n"
             "h_bucket{le=\"0.1\"} 1\n"
             "h_bucket{le=\"+Inf\"} 2\n"
             "h_sum 0.3\n"
             "h_count 2\n") ==
        "[h histogram]\nh_bucket|le=0.1|1\nh_bucket|le=+Inf|2\nh_sum|0.3\nh_count|2\n");
  CHECK(read("# TYPE h histogram\nh_count 2\n") == "[h histogram]\nh_count|2\n");
}

TEST_CASE("without a TYPE, names that end in _sum, _count and _bucket are families of their own") {
  CHECK(read("x 1\nx_sum 2\nx_count 3\nx_bucket 4\n") ==
        "[x]\nx|1\n[x_sum]\nx_sum|2\n[x_count]\nx_count|3\n[x_bucket]\nx_bucket|4\n");
  CHECK(read("# TYPE x gauge\nx 1\nx_sum 2\n") == "[x gauge]\nx|1\n[x_sum]\nx_sum|2\n");
}

TEST_CASE("the TYPE tells what a name is, not its ending") {
  CHECK(read("# TYPE token_count gauge\ntoken_count 1\n"
             "# TYPE size_bucket gauge\nsize_bucket 1\n"
             "# TYPE size_sum counter\nsize_sum 1\n") ==
        "[token_count gauge]\ntoken_count|1\n"
        "[size_bucket gauge]\nsize_bucket|1\n"
        "[size_sum counter]\nsize_sum|1\n");
  CHECK(read("# TYPE x_bucket summary\n"
             "x_bucket{quantile=\"0.5\"} 1\nx_bucket_sum 1\nx_bucket_count 1\n") ==
        "[x_bucket summary]\nx_bucket|quantile=0.5|1\nx_bucket_sum|1\nx_bucket_count|1\n");
  CHECK(read("# TYPE x_count histogram\nx_count_bucket{le=\"1\"} 1\nx_count_count 1\n") ==
        "[x_count histogram]\nx_count_bucket|le=1|1\nx_count_count|1\n");
}

TEST_CASE("x_bucket beside summary x is a family of its own, since summaries have no buckets") {
  CHECK(read("# TYPE x summary\nx_sum 1\nx_bucket 2\n") ==
        "[x summary]\nx_sum|1\n[x_bucket]\nx_bucket|2\n");
  CHECK(read("# TYPE x summary\nx_sum 1\ny 1\nx_bucket 2\n") ==
        "[x summary]\nx_sum|1\n[y]\ny|1\n[x_bucket]\nx_bucket|2\n");
}

TEST_CASE("gauge x_sum may stand beside summary x that has no sample x_sum") {
  CHECK(read("# TYPE x summary\nx_count 1\n# TYPE x_sum gauge\nx_sum 1\n") ==
        "[x summary]\nx_count|1\n[x_sum gauge]\nx_sum|1\n");
  CHECK(read("# TYPE x_sum gauge\nx_sum 1\n# TYPE x summary\nx_count 1\n") ==
        "[x_sum gauge]\nx_sum|1\n[x summary]\nx_count|1\n");
}

TEST_CASE("a family may be announced and have no samples") {
  CHECK(read("# HELP a h\n# TYPE a gauge\n# TYPE b summary\nc 1\n") ==
        "[a gauge <h>]\n[b summary]\n[c]\nc|1\n");
}

TEST_CASE("names may mix cases, digits, underscores and colons") {
  CHECK(read("raft_commitNumLogs 1\n__a 1\na__b_ 1\n:a:b: 1\n_ 1\nZ9{_=\"1\",A__9=\"2\"} 1\n") ==
        "[raft_commitNumLogs]\nraft_commitNumLogs|1\n[__a]\n__a|1\n[a__b_]\na__b_|1\n"
        "[:a:b:]\n:a:b:|1\n[_]\n_|1\n[Z9]\nZ9|_=1|A__9=2|1\n");
  CHECK(read("inf 1\nNaN 2\n") == "[inf]\ninf|1\n[NaN]\nNaN|2\n");
}

TEST_CASE("series that differ in one byte of one label are two") {
  CHECK(read("a{x=\"1\"} 1\na{x=\"2\"} 1\na{X=\"1\"} 1\na{x=\"\"} 1\na 1\n"
             "a{x=\"1\",y=\"2\"} 1\na{x=\"2\",y=\"1\"} 1\na{xy=\"12\"} 1\n") ==
        "[a]\na|x=1|1\na|x=2|1\na|X=1|1\na|x=|1\na|1\na|x=1|y=2|1\na|x=2|y=1|1\na|xy=12|1\n");
}

TEST_CASE("a body that does not end with a newline is truncated, whatever it holds") {
  check_refused({
      {"", 1, 1, ErrorCode::kTruncated},
      {"a 1", 1, 4, ErrorCode::kTruncated},
      {"a 1\nb", 2, 2, ErrorCode::kTruncated},
      {"a 1\n ", 2, 2, ErrorCode::kTruncated},
      {"a 1\n# HELP b x", 2, 11, ErrorCode::kTruncated},
      {"not an exposition", 1, 18, ErrorCode::kTruncated},
      {"a 1\n\0"sv, 2, 2, ErrorCode::kTruncated},
  });
}

TEST_CASE("a second HELP or TYPE for a family is refused") {
  check_refused({
      {"# TYPE a gauge\n# TYPE a gauge\n", 2, 10},
      {"# TYPE a gauge\n# TYPE a counter\n", 2, 10},
      {"# HELP a x\n# HELP a x\n", 2, 10},
      {"# HELP a\n# HELP a\n", 2, 9},
      {"# TYPE a gauge\n# HELP a x\n# TYPE a gauge\n", 3, 10},
  });
}

TEST_CASE("HELP and TYPE after samples of their family are refused") {
  check_refused({
      {"a 1\n# TYPE a gauge\n", 2, 10},
      {"a 1\n# HELP a x\n", 2, 10},
      {"# TYPE a gauge\na 1\n# HELP a x\n", 3, 10},
      {"# HELP a x\na{x=\"1\"} 1\n# TYPE a gauge\n", 3, 10},
      {"a 1\nb 1\n# TYPE a gauge\n", 3, 9},
      {"a 1\nb 1\n# HELP a x\n", 3, 9},
  });
}

TEST_CASE("TYPE needs one of the five types and nothing after it") {
  check_refused({
      {"# TYPE a foo\n", 1, 10},
      {"# TYPE a Gauge\n", 1, 10},
      {"# TYPE a gauges\n", 1, 10},
      {"# TYPE a gaug\n", 1, 10},
      {"# TYPE a unknown\n", 1, 10},
      {"# TYPE a stateset\n", 1, 10},
      {"# TYPE a \n", 1, 10},
      {"# TYPE a\n", 1, 9},
      {"# TYPE a gauge x\n", 1, 16},
      {"# TYPE a gauge # x\n", 1, 16},
  });
}

TEST_CASE("names with other bytes, or that begin with a digit, are refused") {
  check_refused({
      {"1a 1\n", 1, 1},
      {"a-b 1\n", 1, 2},
      {"a.b 1\n", 1, 2},
      {"a\xC3\xA9 1\n", 1, 2},
      {"\xC3\xA9 1\n", 1, 1},
      {"  -a 1\n", 1, 3},
      {"a+1\n", 1, 2},
      {"a-1 2\n", 1, 2},
      {"a.5\n", 1, 2},
      {"a\"1\"\n", 1, 2},
      {"{x=\"1\"} 1\n", 1, 1},
      {"\"a\" 1\n", 1, 1},
      {"= 1\n", 1, 1},
      {"# TYPE\n", 1, 7},
      {"# HELP\n", 1, 7},
      {"# HELP \n", 1, 8},
      {"# TYPE 1a gauge\n", 1, 8},
      {"# HELP a-b x\n", 1, 9},
      {"# TYPE a{} gauge\n", 1, 9},
  });
}

TEST_CASE("labels that are not name=\"value\", separated by commas, are refused") {
  check_refused({
      {"a{1x=\"1\"} 1\n", 1, 3},
      {"a{x:y=\"1\"} 1\n", 1, 4},
      {"a{x-y=\"1\"} 1\n", 1, 4},
      {"a{:x=\"1\"} 1\n", 1, 3},
      {"a{=\"1\"} 1\n", 1, 3},
      {"a{\"1\"} 1\n", 1, 3},
      {"a{,} 1\n", 1, 3},
      {"a{,x=\"1\"} 1\n", 1, 3},
      {"a{x=\"1\",,} 1\n", 1, 9},
      {"a{x=\"1\";y=\"2\"} 1\n", 1, 8},
      {"a{x=\"1\" y=\"2\"} 1\n", 1, 9},
      {"a{x=\"1\"y=\"2\"} 1\n", 1, 8},
      {"a{x} 1\n", 1, 4},
      {"a{x \"1\"} 1\n", 1, 5},
      {"a{x==\"1\"} 1\n", 1, 5},
      {"a{x=1} 1\n", 1, 5},
      {"a{x='1'} 1\n", 1, 5},
      {"a{x=} 1\n", 1, 5},
      {"a{x=\"1\"\n", 1, 8},
      {"a{x=\"1\",\n", 1, 9},
      {"a{x=\n", 1, 5},
      {"a{x\n", 1, 4},
      {"a{\n", 1, 3},
      {"a{x=\"1\"}} 1\n", 1, 9},
      {"a{x=\"1\"}{y=\"1\"} 1\n", 1, 9},
  });
}

TEST_CASE("a label value that does not end on its line is refused") {
  check_refused({
      {"a{x=\"1} 1\n", 1, 6},
      {"a{x=\"\n", 1, 6},
      {"a{x=\"1\\\"} 1\n", 1, 6},
      {"a{x=\"1\n\"} 1\n", 1, 6},
      {"b 1\na{y=\"1\",x=\"1} 1\nb 1\n", 2, 12},
  });
}

TEST_CASE("a label given twice is refused, also with the same value") {
  check_refused({
      {"a{x=\"1\",x=\"2\"} 1\n", 1, 9},
      {"a{x=\"1\",x=\"1\"} 1\n", 1, 9},
      {"a{x=\"1\",y=\"1\", x=\"2\"} 1\n", 1, 16},
  });
}

TEST_CASE("escapes other than the format's are refused where they stand") {
  check_refused({
      {"a{x=\"\\t\"} 1\n", 1, 6},
      {"a{x=\"ab\\u0041\"} 1\n", 1, 8},
      {"a{x=\"\\N\"} 1\n", 1, 6},
      {"a{x=\"\\'\"} 1\n", 1, 6},
      {"a{x=\"\\\\\\x\"} 1\n", 1, 8},
      {"a{x=\"1\\\n", 1, 7},
      {"# HELP a x\\t\n", 1, 11},
      {"# HELP a \\\"\n", 1, 10},
      {"# HELP a x\\\n", 1, 11},
      {"# HELP a \\\\\\\n", 1, 12},
      {"# HELP a \\n\\x\n", 1, 12},
  });
}

TEST_CASE("a sample without a value, or with more than a timestamp after it, is refused") {
  check_refused({
      {"a\n", 1, 2},
      {"a \n", 1, 3},
      {"a{}\n", 1, 4},
      {"a{x=\"1\"} \n", 1, 10},
      {"a 1 2 3\n", 1, 7},
      {"a 1 2 # comment\n", 1, 7},
      {"a 1 # comment\n", 1, 5},
      {"a 1 x\n", 1, 5},
      {"a b 1\n", 1, 3},
  });
}

TEST_CASE("timestamps with a point, an exponent or more than 18 digits are refused") {
  check_refused({
      {"a 1 1.5\n", 1, 5},
      {"a 1 1e3\n", 1, 5},
      {"a 1 +\n", 1, 5},
      {"a 1 -\n", 1, 5},
      {"a 1 --1\n", 1, 5},
      {"a 1 0x1\n", 1, 5},
      {"a 1 NaN\n", 1, 5},
      {"a 1 1234567890123456789\n", 1, 5},
      {"a 1 -9223372036854775809\n", 1, 5},
  });
}

TEST_CASE("numbers that not every reader takes are refused") {
  for (const std::string_view value :
       {"0x10", "0x1p3", "1p3",       "0b1", "1_000",        "1,5",          "1.5.5", ".",
        "+",    "-",     "+.",        "e5",  ".e5",          "1e",           "1e+",   "1e5.5",
        "--1",  "+-1",   "1-",        "1f",  "$1",           "+NaN",         "-NaN",  "nan(1)",
        "nanx", "infin", "infinityx", "in",  "\xE2\x88\x9E", "\xEF\xBC\x91", "1\v",   "\"1\""}) {
    const std::string text = "a " + std::string(value) + "\n";
    check_refused({{text, 1, 3}});
  }
}

// Prometheus gives up the whole scrape for a number that overflows: one node's line would take all
// nodes with it.
TEST_CASE("numbers outside the range of a double are refused") {
  const std::string huge = "a " + repeat("9", 400) + "\n";
  const std::string huge_with_sign = "a +" + repeat("9", 400) + ".5e0\n";
  check_refused({
      {"a 1e400\n", 1, 3},
      {"a -1e400\n", 1, 3},
      {"a +1E+309\n", 1, 3},
      {"a 1e99999999999999999999\n", 1, 3},
      {"a 1.7976931348623159e308\n", 1, 3},
      {"a 1e-400\n", 1, 3},
      {huge, 1, 3},
      {huge_with_sign, 1, 3},
  });
}

TEST_CASE("NUL, carriage return and a byte order mark at the start are refused") {
  check_refused({
      {"a 1\nb\0 2\n"sv, 2, 2},
      {"# a \0 comment\n"sv, 1, 5},
      {"a{x=\"\0\"} 1\n"sv, 1, 6},
      {"a 1\r\n", 1, 4},
      {"a 1\n\r\n", 2, 1},
      {"# HELP a x\ry\n", 1, 11},
      {"a{x=\"12345678901234567890\r\"} 1\n", 1, 26},
      {"\xEF\xBB\xBF# TYPE a gauge\na 1\n", 1, 1},
      {"\xEF\xBB\xBF"
       "a 1\n",
       1, 1},
  });
}

TEST_CASE("bytes that are not UTF-8 are refused wherever they stand") {
  for (const std::string bad : {"\x80",
                                "\xBF",
                                "\xC0\xAF",
                                "\xC1\xBF",
                                "\xE0\x80\xAF",
                                "\xE0\x9F\xBF",
                                "\xF0\x80\x80\xAF",
                                "\xF0\x8F\xBF\xBF",
                                "\xED\xA0\x80",
                                "\xED\xBF\xBF",
                                "\xF4\x90\x80\x80",
                                "\xF5\x80\x80\x80",
                                "\xF8\x88\x80\x80\x80",
                                "\xFE",
                                "\xFF",
                                "\xC3",
                                "\xE2\x82",
                                "\xF0\x9F\x98",
                                "\xE2(\xA1",
                                "\xF0\x9F(\x80",
                                "\xC3\xC3\xA9"}) {
    for (std::size_t pad = 0; pad < 9; ++pad) {
      const std::string before = repeat("p", pad);
      const std::string label = "a{x=\"" + before + bad + "\"} 1\n";
      const std::string help = "b 1\n# HELP a " + before + bad + "\n";
      const std::string comment = "#" + before + bad + "\n";
      check_refused({{label, 1, 6 + pad}, {help, 2, 10 + pad}, {comment, 1, 2 + pad}});
    }
  }
}

TEST_CASE("a sample of another family between two of one family is refused") {
  check_refused({
      {"a{x=\"1\"} 1\nb 1\na{x=\"2\"} 1\n", 3, 1},
      {"a{x=\"1\"} 1\nb 1\n \ta{x=\"2\"} 1\n", 3, 3},
      {"# TYPE a gauge\na{x=\"1\"} 1\n# TYPE b gauge\na{x=\"2\"} 1\n", 4, 1},
      {"# TYPE a gauge\na{x=\"1\"} 1\n# HELP b x\na{x=\"2\"} 1\n", 4, 1},
  });
}

TEST_CASE("a line of another family between the HELP, the TYPE and the samples of one is refused") {
  check_refused({
      {"# TYPE a gauge\nb 1\na 1\n", 3, 1},
      {"# TYPE a gauge\n# TYPE b gauge\na 1\n", 3, 1},
      {"# TYPE a gauge\n# TYPE b gauge\n# HELP a x\n", 3, 9},
      {"# HELP a x\nb 1\n# TYPE a gauge\n", 3, 9},
      {"# TYPE a summary\nb 1\na_sum 1\n", 3, 1},
  });
}

TEST_CASE("x_sum, x_count and x_bucket after summary or histogram x is closed are refused") {
  check_refused({
      {"# TYPE x summary\nx_sum 1\nb 1\nx_sum{a=\"1\"} 2\n", 4, 1},
      {"# TYPE x summary\nx_sum 1\nb 1\nx_count 2\n", 4, 1},
      {"# TYPE x summary\nx_sum 1\nb 1\nx{quantile=\"0.5\"} 2\n", 4, 1},
      {"# TYPE x histogram\nx_sum 1\nb 1\nx_bucket{le=\"1\"} 2\n", 4, 1},
      {"# TYPE x histogram\nx_sum 1\nb 1\nx_count 2\n", 4, 1},
      {"# TYPE x histogram\nx_sum 1\nb 1\nx_sum{a=\"1\"} 2\n", 4, 1},
  });
}

// Families are relabelled one by one: equal series in two of them would not be seen.
TEST_CASE("samples of one name in two families are refused") {
  check_refused({
      {"# TYPE x summary\nx_sum 1\n# TYPE x_sum gauge\nx_sum{a=\"1\"} 2\n", 4, 1},
      {"# TYPE x_sum gauge\nx_sum 1\n# TYPE x summary\nx_sum{a=\"1\"} 2\n", 4, 1},
      {"x_count 1\n# TYPE x histogram\nx_sum 1\nx_count{a=\"1\"} 2\n", 4, 1},
      {"# TYPE x histogram\nx_bucket{le=\"1\"} 1\n# TYPE x_bucket summary\n"
       "x_bucket_sum 1\nx_bucket{quantile=\"1\"} 2\n",
       5, 1},
  });
}

TEST_CASE("names of samples have to fit the TYPE") {
  check_refused({
      {"# TYPE h histogram\nh 1\n", 2, 1},
      {"# TYPE h histogram\nh{le=\"1\"} 1\n", 2, 1},
      {"# TYPE h histogram\nh_bucket 1\n", 2, 1},
      {"# TYPE h histogram\n  h_bucket{x=\"1\"} 1\n", 2, 3},
      {"# TYPE s summary\ns 1\n", 2, 1},
      {"# TYPE s summary\ns{le=\"1\"} 1\n", 2, 1},
      {"# TYPE s summary\ns{quantile=\"0.5\"} 1\ns 1\n", 3, 1},
  });
}

TEST_CASE("a series given twice is refused, whatever the order of its labels and its value") {
  check_refused({
      {"a 1\na 2\n", 2, 1, ErrorCode::kDuplicateSeries},
      {"a 1\na 1\n", 2, 1, ErrorCode::kDuplicateSeries},
      {"a 1\na{} 1\n", 2, 1, ErrorCode::kDuplicateSeries},
      {"a 1 1\na 1 2\n", 2, 1, ErrorCode::kDuplicateSeries},
      {"a{x=\"1\"} 1\n\n  a{x=\"1\",} 1\n", 3, 3, ErrorCode::kDuplicateSeries},
      {"a{x=\"1\",y=\"2\"} 1\na{y=\"2\",x=\"1\"} 1\n", 2, 1, ErrorCode::kDuplicateSeries},
      {"a{x=\"1\",y=\"2\",z=\"3\"} 1\na 1\na{z=\"3\",x=\"1\",y=\"2\"} 1\n", 3, 1,
       ErrorCode::kDuplicateSeries},
      {"# TYPE s summary\ns_sum 1\ns_count 1\ns_sum 1\n", 4, 1, ErrorCode::kDuplicateSeries},
      {"# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"1\"} 2\n", 3, 1,
       ErrorCode::kDuplicateSeries},
  });
}

TEST_CASE("a series given twice is found among thousands") {
  std::string text;
  for (int i = 0; i < 9'000; ++i) text += "a{x=\"" + std::to_string(i) + "\"} 1\n";
  CHECK(parse(text, {}, kSeed).ok());
  text += "a{x=\"4711\"} 1\n";
  check_refused({{text, 9'001, 1, ErrorCode::kDuplicateSeries}});
}

TEST_CASE("as many samples as allowed are read, and one more is refused") {
  ParseLimits limits;
  limits.samples_max = 2;
  CHECK(read("a 1\nb 1\n# TYPE c gauge\n", limits) == "[a]\na|1\n[b]\nb|1\n[c gauge]\n");
  check_refused({{"a 1\nb 1\n c 1\n", 3, 2, ErrorCode::kLimitSamples}}, limits);
  limits.samples_max = 0;
  CHECK(read("# TYPE c gauge\n", limits) == "[c gauge]\n");
  check_refused({{"a 1\n", 1, 1, ErrorCode::kLimitSamples}}, limits);
}

TEST_CASE("as many series in one family as allowed are read, and one more is refused") {
  ParseLimits limits;
  limits.series_per_family_max = 2;
  const std::string_view two = "# TYPE s summary\ns_sum 1\ns_count 1\nb 1\nc 1\n";
  CHECK(read(two, limits) == "[s summary]\ns_sum|1\ns_count|1\n[b]\nb|1\n[c]\nc|1\n");
  check_refused({{"# TYPE s summary\ns_sum 1\ns_count 1\ns{quantile=\"1\"} 1\n", 4, 1,
                  ErrorCode::kLimitSamples},
                 {"b 1\na 1\na{x=\"1\"} 1\na{x=\"2\"} 1\n", 4, 1, ErrorCode::kLimitSamples}},
                limits);
}

TEST_CASE("lines as long as allowed are read, and one byte more is refused") {
  ParseLimits limits;
  limits.line_bytes_max = 10;
  CHECK(read("a 12345678\n# HELP a23\n          \n", limits) == "[a]\na|12345678\n[a23 <>]\n");
  check_refused({{"a 1\na 123456789\n", 2, 11, ErrorCode::kLimitLine},
                 {"a 1\n# a comment\n", 2, 11, ErrorCode::kLimitLine},
                 {"           \n", 1, 11, ErrorCode::kLimitLine},
                 {"# HELP a bc\n", 1, 11, ErrorCode::kLimitLine}},
                limits);
}

TEST_CASE("as many labels as allowed are read, and one more is refused") {
  ParseLimits limits;
  limits.labels_per_sample_max = 2;
  CHECK(read("a{x=\"1\",y=\"1\"} 1\na{x=\"1\",z=\"1\",} 1\n", limits) ==
        "[a]\na|x=1|y=1|1\na|x=1|z=1|1\n");
  check_refused({{"a{x=\"1\",y=\"1\",z=\"1\"} 1\n", 1, 15, ErrorCode::kLimitLabels}}, limits);
  limits.labels_per_sample_max = 0;
  CHECK(read("a{} 1\nb 1\n", limits) == "[a]\na|1\n[b]\nb|1\n");
  check_refused({{"a{x=\"1\"} 1\n", 1, 3, ErrorCode::kLimitLabels}}, limits);
}

TEST_CASE("the limits are 50000 samples, 10000 in a family, 64 KiB in a line and 64 labels") {
  const auto series = [](const std::string& name, int count) {
    std::string text;
    for (int i = 0; i < count; ++i) text += name + "{x=\"" + std::to_string(i) + "\"} 1\n";
    return text;
  };
  std::string text;
  for (const char* name : {"a", "b", "c", "d", "e"}) text += series(name, 10'000);
  CHECK(parse(text, {}, kSeed).ok());
  text += "f 1\n";
  check_refused({{text, 50'001, 1, ErrorCode::kLimitSamples}});
  text = series("a", 10'001);
  check_refused({{text, 10'001, 1, ErrorCode::kLimitSamples}});

  const std::string longest = "# HELP a " + repeat("x", 65'536 - 9);
  CHECK(parse(longest + "\n", {}, kSeed).ok());
  text = longest + "x\n";
  check_refused({{text, 1, 65'537, ErrorCode::kLimitLine}});

  std::string labels;
  for (int i = 10; i < 74; ++i) labels += "l" + std::to_string(i) + "=\"1\",";
  CHECK(parse("a{" + labels + "} 1\n", {}, kSeed).ok());
  text = "a{" + labels + "x=\"1\"} 1\n";
  check_refused({{text, 1, 64 * 8 + 3, ErrorCode::kLimitLabels}});
}

TEST_CASE("the detail of an error never quotes the text") {
  const std::string marker = "q7marker9";
  const std::vector<std::string> templates = {
      "@",
      "@\n",
      "@-x 1\n",
      "a @\n",
      "a 1 @\n",
      "a 1 2 @\n",
      "a{@} 1\n",
      "a{@=} 1\n",
      "a{x=\"@} 1\n",
      "a{x=\"@\\t\"} 1\n",
      "a{@=\"1\",@=\"2\"} 1\n",
      "a{x=\"@\" @} 1\n",
      "# TYPE a @\n",
      "# TYPE a gauge @\n",
      "# TYPE @- gauge\n",
      "# TYPE @ gauge\n# TYPE @ gauge\n",
      "# HELP @ @\n# HELP @ @\n",
      "# HELP a @\\t\n",
      "@ 1\n# TYPE @ gauge\n",
      "@ 1\nb 1\n@{x=\"1\"} 1\n",
      "# TYPE @ gauge\nb 1\n# HELP @ x\n",
      "# TYPE @ summary\n@ 1\n",
      "# TYPE @ histogram\n@ 1\n",
      "# TYPE @ histogram\n@_bucket{@=\"@\"} 1\n",
      "# TYPE @ summary\n@_sum 1\nb 1\n@_sum{@=\"@\"} 2\n",
      "# TYPE @ summary\n@_sum 1\n# TYPE @_sum gauge\n@_sum{@=\"@\"} 2\n",
      "@{@=\"@\"} 1\n@{@=\"@\"} 1\n",
      "a{x=\"@\xFF\"} 1\n",
      "@ 1\r\n",
  };
  for (const std::string& pattern : templates) {
    std::string text;
    for (const char c : pattern) text += c == '@' ? marker : std::string(1, c);
    CAPTURE(text);
    const Result<Exposition> parsed = parse(text, {}, kSeed);
    REQUIRE_FALSE(parsed.ok());
    CHECK(parsed.error().detail.find("marker") == std::string::npos);
    CHECK(parsed.error().detail.find("q7") == std::string::npos);
  }
}

TEST_CASE("views point into the caller's text") {
  const std::string text = "# HELP a h\na{x=\"1\"} 2 3\n";
  const Result<Exposition> parsed = parse(text, {}, kSeed);
  REQUIRE(parsed.ok());
  const auto inside = [&](std::string_view view) {
    return view.data() >= text.data() && view.data() + view.size() <= text.data() + text.size();
  };
  const Exposition& exposition = parsed.value();
  CHECK(inside(exposition.families[0].name));
  CHECK(inside(exposition.families[0].help));
  CHECK(inside(exposition.samples[0].name));
  CHECK(inside(exposition.samples[0].value));
  CHECK(inside(exposition.samples[0].timestamp));
  CHECK(inside(exposition.labels[0].name));
  CHECK(inside(exposition.labels[0].value));
}

}  // namespace bao_exporter
