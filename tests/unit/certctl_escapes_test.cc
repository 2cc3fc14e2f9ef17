#include <array>
#include <random>

#include "bao_exporter/exposition.h"
#include "bao_exporter/format.h"
#include "catch.h"
#include "certctl/answers.h"

namespace bao_exporter::certctl {

namespace {

using namespace std::string_literals;

const std::string kUnknown = "\xEF\xBF\xBD";  // U+FFFD

std::string line_with(const std::string& escaped) { return "a{x=\"" + escaped + "\"} 1\n"; }

// What a reader of the format has for that label value after the escapes were made legal.
std::string value_of(const std::string& escaped) {
  const std::string text = with_legal_escapes(line_with(escaped));
  INFO(text);
  const auto parsed = parse(text, {}, 1);
  REQUIRE(parsed.ok());
  REQUIRE(parsed.value().labels.size() == 1);
  return unescape_label_value(parsed.value().labels[0].value);
}

// --- a reference: strings of runes as Go's %q writes them, and what of them a label can carry ---

struct Quoted {
  std::string as_go;
  std::string value;
};

std::string hex(std::uint32_t value, std::size_t digits) {
  std::string text;
  for (std::size_t i = digits; i > 0; --i) {
    text += "0123456789abcdef"[(value >> (4 * (i - 1))) & 0xFU];
  }
  return text;
}

const std::array<Quoted, 22> kPieces = {{{"a", "a"},
                                         {" ", " "},
                                         {"{", "{"},
                                         {"}", "}"},
                                         {",", ","},
                                         {"#", "#"},
                                         {"\xC3\xA9", "\xC3\xA9"},
                                         {"\xF0\x9F\x98\x80", "\xF0\x9F\x98\x80"},
                                         {"\\\\", "\\"},
                                         {"\\\"", "\""},
                                         {"\\n", "\n"},
                                         {"\\t", "\t"},
                                         {"\\r", "\xEF\xBF\xBD"},
                                         {"\\a", "\a"},
                                         {"\\b", "\b"},
                                         {"\\f", "\f"},
                                         {"\\v", "\v"},
                                         {"\\x00", "\xEF\xBF\xBD"},
                                         {"\\x7f", "\x7f"},
                                         {"\\xff", "\xEF\xBF\xBD"},
                                         {"\\u200b", "\xE2\x80\x8B"},
                                         {"\\U000e0001", "\xF3\xA0\x80\x81"}}};

}  // namespace

TEST_CASE("Go's escapes become the bytes they stand for") {
  CHECK(with_legal_escapes(line_with("a\\tb")) == line_with("a\tb"));
  CHECK(value_of("\\a\\b\\f\\t\\v") == "\a\b\f\t\v");
  CHECK(value_of("\\x7f\\x01\\x41") == "\x7f\x01"s + "A");
  CHECK(value_of("caf\\u00e9") == "caf\xC3\xA9");
  CHECK(value_of("\\u0041\\u07FF\\uFFFF") == "A\xDF\xBF\xEF\xBF\xBF");
  CHECK(value_of("\\U0001F600\\U0010ffff") == "\xF0\x9F\x98\x80\xF4\x8F\xBF\xBF");
}

TEST_CASE("an escape for a byte that a label must escape is escaped again") {
  CHECK(with_legal_escapes(line_with("\\x0a\\x22\\x5c")) == line_with("\\n\\\"\\\\"));
  CHECK(value_of("\\u000a\\u0022\\u005cn") == "\n\"\\n");
}

TEST_CASE("what no label can carry becomes U+FFFD") {
  CHECK(value_of("\\r") == kUnknown);
  CHECK(value_of("\\x00\\x0d") == kUnknown + kUnknown);
  CHECK(value_of("\\xc3\\xa9") == kUnknown + kUnknown);
  CHECK(value_of("\\ud800\\uDFFF") == kUnknown + kUnknown);
  CHECK(value_of("\\U00110000\\UFFFFFFFF") == kUnknown + kUnknown);
}

TEST_CASE("the format's own escapes stay as they are") {
  const std::string text = line_with("\\\\t\\\"x\\n\\\\");
  CHECK(with_legal_escapes(text) == text);
  CHECK(value_of("\\\\x41") == "\\x41");
}

TEST_CASE("what is no escape of Go's either is left to the strict parser") {
  for (const char* escaped :
       {"\\q", "\\'", "\\x4", "\\xg0", "\\u00e", "\\U0000004", "\\x-1", "\\u+041", "\\101"}) {
    const std::string text = line_with(escaped);
    INFO(text);
    CHECK(with_legal_escapes(text) == text);
    CHECK_FALSE(parse(with_legal_escapes(text), {}, 1).ok());
  }
}

TEST_CASE("outside label values no byte changes") {
  for (const std::string& text :
       {"# HELP a with \\t and \"\\x41\"\n# TYPE a gauge\na 1\n"s, " \t# a{x=\"\\t\"} 1\n"s,
        "a \"\\t\" 1\n"s, "\\t{x=\"y\"} \\x41\n"s, "a{x=\"y\"} \"\\t\"\n"s, "\\"s, "a{x=\"\\"s,
        "a{x=\"y\n\\t\"} 1\n"s, ""s, "\n\n"s, "a{\\t=\"y\"} 1"s}) {
    INFO(text);
    CHECK(with_legal_escapes(text) == text);
  }
}

TEST_CASE("a brace or a hash in a label value is no brace and no comment") {
  CHECK(with_legal_escapes("a{x=\"}\\t\",y=\"{#\\t\"} 1\n") == "a{x=\"}\t\",y=\"{#\t\"} 1\n");
  CHECK(with_legal_escapes("a{x=\"\\\"\\t\"} 1\n") == "a{x=\"\\\"\t\"} 1\n");
}

TEST_CASE("whatever Go quotes is read as a reference decoder does, in every place") {
  std::mt19937_64 random(7);
  for (int round = 0; round < 5'000; ++round) {
    std::string text = "# HELP a \\\\ and \"quotes\"\n# TYPE a gauge\n";
    std::vector<std::string> values;
    for (std::size_t line = 0; line < 1 + random() % 3; ++line) {
      text += "a{line=\"" + std::to_string(line) + "\"";
      for (const char* name : {"x", "y"}) {
        std::string value;
        text += std::string(",") + name + "=\"";
        for (std::size_t n = random() % 6; n > 0; --n) {
          const Quoted& piece = kPieces[random() % kPieces.size()];
          text += piece.as_go;
          value += piece.value;
        }
        text += '"';
        values.push_back(value);
      }
      text += "} 1\n";
    }
    const std::string legal = with_legal_escapes(text);
    INFO(text);
    const auto parsed = parse(legal, {}, 1);
    REQUIRE(parsed.ok());
    std::vector<std::string> read;
    for (const Label& label : parsed.value().labels) {
      if (label.name != "line") read.push_back(unescape_label_value(label.value));
    }
    CHECK(read == values);
    CHECK(with_legal_escapes(legal) == legal);
  }
}

TEST_CASE("every byte value, as Go escapes it, is read") {
  for (std::uint32_t rune = 0; rune < 0x11'0000; rune += rune < 0x3000 ? 1 : 0x101) {
    const std::string value = value_of("\\U" + hex(rune, 8));
    if (rune == 0 || rune == '\r' || (rune >= 0xD800 && rune < 0xE000)) {
      CHECK(value == kUnknown);
    } else if (rune < 0x80) {
      CHECK(value == std::string(1, static_cast<char>(rune)));
    } else {
      CHECK(value.size() >= 2);
    }
  }
}

TEST_CASE("text without backslashes passes byte for byte, and a large one in linear time") {
  std::string text;
  for (int i = 0; i < 200'000; ++i) text += "a{x=\"\xC3\xA9\",y=\"\"} 1\n";
  CHECK(with_legal_escapes(text) == text);
  const std::string hostile = "a{x=\"" + std::string(4'000'000, '\\') + "\"} 1\n";
  CHECK(with_legal_escapes(hostile) == hostile);
  std::string tabs;
  for (int i = 0; i < 1'000'000; ++i) tabs += "\\t";
  CHECK(with_legal_escapes(line_with(tabs)) == line_with(std::string(1'000'000, '\t')));
}

}  // namespace bao_exporter::certctl
