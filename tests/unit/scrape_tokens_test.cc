#include "bao_exporter/scrape_tokens.h"

#include <optional>
#include <string>
#include <vector>

#include "catch.h"

namespace bao_exporter {

namespace {

const std::string kToken = "abcdefghijklmnopqrst";  // 20 characters
// printf abcdefghijklmnopqrst | sha256sum
const std::string kHex = "dd65eea0329dcb94b17187af9dff28c31a1d78026737a16af75979a1fa4618e5";

std::string problem(const std::string& text) {
  ScrapeTokens tokens;
  const auto error = tokens.add(text, "/etc/bao/scrape-tokens");
  if (!error) return "";
  CHECK(error->code == ErrorCode::kConfig);
  return error->detail;
}

std::string name_of(const std::string& text, std::string_view presented) {
  ScrapeTokens tokens;
  REQUIRE_FALSE(tokens.add(text, "file").has_value());
  return std::string(tokens.match(presented).value_or("(none)"));
}

std::string upper(std::string text) {
  for (char& c : text) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  return text;
}

}  // namespace

TEST_CASE("a token is found by itself alone") {
  CHECK(name_of(kToken, kToken) == "unnamed");
  CHECK(name_of(kToken + "\n", kToken) == "unnamed");
  CHECK(name_of("  \t" + kToken + " \t\n", kToken) == "unnamed");
  for (const std::string& near :
       {std::string(), kToken + " ", " " + kToken, kToken + "\n", kToken + "u",
        kToken.substr(0, 19), upper(kToken), "unnamed:" + kToken, kHex, "sha256:" + kHex,
        kToken + std::string(1, '\0')}) {
    INFO("[" << near << "]");
    CHECK(name_of(kToken, near) == "(none)");
  }
}

TEST_CASE("a line may name its token") {
  CHECK(name_of("prometheus:" + kToken, kToken) == "prometheus");
  CHECK(name_of("a:" + kToken, kToken) == "a");
  CHECK(name_of("0.team_a-b:" + kToken, kToken) == "0.team_a-b");
  CHECK(name_of(std::string(63, 'x') + ":" + kToken, kToken) == std::string(63, 'x'));
}

TEST_CASE("the sha256 form lets in the same token as the plain one") {
  CHECK(name_of("sha256:" + kHex, kToken) == "unnamed");
  CHECK(name_of("prometheus:sha256:" + kHex, kToken) == "prometheus");
  CHECK(name_of("sha256:" + upper(kHex), kToken) == "unnamed");
  CHECK(name_of("sha256:" + kHex, kHex) == "(none)");
}

TEST_CASE("the hash of a short token is taken: its length cannot be seen") {
  // printf x | sha256sum
  CHECK(name_of("sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881", "x") ==
        "unnamed");
}

TEST_CASE("comments and empty lines are skipped") {
  CHECK(name_of("# " + std::string("old: zzzzzzzzzzzzzzzzzzzzzz") + "\n\n   \n\t# x\n" + kToken +
                    "\n\n",
                kToken) == "unnamed");
  CHECK(name_of("#" + kToken + "\nb:tttttttttttttttttttttttt", kToken) == "(none)");
}

TEST_CASE("of several tokens each is found under its name, from any file") {
  ScrapeTokens tokens;
  std::string text;
  for (int i = 0; i < 50; ++i) {
    text += "n" + std::to_string(i) + ":token-number-" + std::to_string(1'000'000 + i) + "\n";
  }
  REQUIRE_FALSE(tokens.add(text, "first").has_value());
  REQUIRE_FALSE(tokens.add("second:sha256:" + kHex + "\n", "second").has_value());
  CHECK(tokens.size() == 51);
  for (int i = 0; i < 50; ++i) {
    CHECK(tokens.match("token-number-" + std::to_string(1'000'000 + i)) == "n" + std::to_string(i));
  }
  CHECK(tokens.match(kToken) == "second");
  CHECK_FALSE(tokens.match("token-number-1000050").has_value());
}

TEST_CASE("without tokens nothing matches") {
  const ScrapeTokens none;
  CHECK_FALSE(none.match("").has_value());
  CHECK_FALSE(none.match(kToken).has_value());
}

TEST_CASE("a token under 20 characters is refused, with 20 it is taken") {
  CHECK(problem(std::string(20, 'a')).empty());
  CHECK(problem(std::string(19, 'a')) ==
        "/etc/bao/scrape-tokens:1: a token needs at least 20 characters");
  CHECK(problem("name:" + std::string(19, 'a')).find("at least 20") != std::string::npos);
}

TEST_CASE("every character of RFC 6750 is taken in a token, others are not") {
  CHECK(problem("azAZ09-._~+/azAZ09-._~+/==").empty());
  for (const char* bad :
       {"abcdefghijklmnop=qrstuv", "====================", "abcdefghijklm nopqrstuv",
        "abcdefghijklmnop\"qrstuv", "abcdefghijklmnop,qrstuv", "abcdefghijklmnop\xc3\xa4qrstuv",
        "abcdefghijklmnop\rqrstuv", "abcdefghijklmnopqrstuv\r", "abcdefghijklmnop%20qrstuv",
        "abcdefghijklmnop#qrstuv"}) {
    INFO(bad);
    CHECK_FALSE(problem(bad).empty());
  }
}

TEST_CASE("a bad line is named by file and number, and never quoted") {
  const std::string mark = "Hvs0SecretMark";
  const std::vector<std::string> bad = {
      mark,
      mark + " " + mark + mark,
      ":" + mark + mark,
      "na me:" + mark + mark,
      "-x:" + mark + mark,
      std::string(64, 'x') + ":" + mark + mark,
      mark + mark + ":" + mark,
      "name:" + mark + mark + ":" + mark,
      "name:" + mark + mark + "\"",
      "sha256:" + mark,
      "sha256:" + kHex.substr(1),
      "sha256:" + kHex + "0",
      "sha256:" + kHex.substr(1) + "g",
      "sha256:",
      "name:sha256:" + mark,
      "SHA256:" + mark,
      "name:",
  };
  for (const std::string& line : bad) {
    INFO(line);
    const std::string told = problem("# comment\n" + kToken + "\n\n" + line + "\n" + kToken + "\n");
    CHECK(told.rfind("/etc/bao/scrape-tokens:4: ", 0) == 0);
    CHECK(told.find(mark) == std::string::npos);
    CHECK(told.find(kHex.substr(1, 20)) == std::string::npos);
    CHECK(told.find('\n') == std::string::npos);
  }
}

TEST_CASE("a file without a token is refused") {
  for (const char* text : {"", "\n", "# only a comment\n", "  \n\t\n"}) {
    CHECK(problem(text) == "/etc/bao/scrape-tokens: has no token in it");
  }
}

TEST_CASE("a file without a token is refused also after a good one") {
  ScrapeTokens tokens;
  REQUIRE_FALSE(tokens.add(kToken, "good").has_value());
  CHECK(tokens.add("# nothing\n", "empty").has_value());
}

}  // namespace bao_exporter
