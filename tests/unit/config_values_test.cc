#include "config_values.h"

#include <string>
#include <vector>

#include "catch.h"
#include "config_url.h"

namespace bao_exporter {

TEST_CASE("the value of a variable is not expanded again") {
  std::string text = "a${NODE_NAME}b${NODE_NAME}";
  CHECK(expand_variables({"", "${NODE_NAME}"}, text) == "");
  CHECK(text == "a${NODE_NAME}b${NODE_NAME}");
}

TEST_CASE("durations are a whole number and a unit") {
  CHECK(parse_duration("500ms") == Milliseconds(500));
  CHECK(parse_duration("30s") == Milliseconds(30'000));
  CHECK(parse_duration("2m") == Milliseconds(120'000));
  CHECK(parse_duration("1h") == Milliseconds(3'600'000));
  CHECK(parse_duration("0s") == Milliseconds(0));
  for (const char* bad : {"", "s", "15", "1.5s", "-1s", "+1s", " 1s", "1 s", "1s ", "1m30s", "1S",
                          "1d", "1us", "1e3s", "0x1s", "999999999999h"}) {
    INFO(bad);
    CHECK_FALSE(parse_duration(bad).has_value());
  }
}

TEST_CASE("sizes are a whole number and a unit") {
  CHECK(parse_size("64KiB") == std::size_t{65'536});
  CHECK(parse_size("16MiB") == std::size_t{16} << 20);
  CHECK(parse_size("1GiB") == std::size_t{1} << 30);
  for (const char* bad :
       {"", "64", "64KB", "64k", "1.5MiB", "-1KiB", "1 MiB", "MiB", "1MiBx", "99999999999GiB"}) {
    INFO(bad);
    CHECK_FALSE(parse_size(bad).has_value());
  }
}

TEST_CASE("durations and sizes are shown in the largest exact unit and read back the same") {
  CHECK(format_duration(Milliseconds(90'000)) == "90s");
  CHECK(format_duration(Milliseconds(120'000)) == "2m");
  CHECK(format_duration(Milliseconds(1'500)) == "1500ms");
  CHECK(format_duration(Milliseconds(0)) == "0s");
  CHECK(format_size(65'536) == "64KiB");
  CHECK(format_size(std::size_t{16} << 20) == "16MiB");
  CHECK(format_size(1'000) == "1000");
  for (std::int64_t ms = 1; ms < 100'000'000; ms = ms * 3 + 1) {
    CHECK(parse_duration(format_duration(Milliseconds(ms))) == Milliseconds(ms));
  }
}

TEST_CASE("URLs are taken apart, with default ports and a lower-case host") {
  const auto parts = [](std::string_view text) {
    Url url;
    REQUIRE(parse_url(text, url));
    return url.scheme + " " + url.host + " " + url.authority() + " " + url.path;
  };
  CHECK(parts("https://h") == "https h h:443 ");
  CHECK(parts("HTTP://H:80/") == "http h h:80 /");
  CHECK(parts("http://h") == "http h h:80 ");
  CHECK(parts("https://10.0.0.1:8200/v1/sys/metrics") ==
        "https 10.0.0.1 10.0.0.1:8200 /v1/sys/metrics");
  CHECK(parts("https://[2001:DB8::1]:8200") == "https 2001:db8::1 [2001:db8::1]:8200 ");
  CHECK(parts("https://a_b.c-d.svc:1/x%20y") == "https a_b.c-d.svc a_b.c-d.svc:1 /x%20y");
  CHECK(parts("https://1a.2b/") == "https 1a.2b 1a.2b:443 /");
}

TEST_CASE("URLs that could mean something else are refused and not touched") {
  for (const char* bad : {"",
                          "https",
                          "https:",
                          "https:/h",
                          "https://",
                          "https:///x",
                          "//h",
                          "h:8200",
                          "file://h",
                          "https://u@h",
                          "https://u:p@h",
                          "https://@h",
                          "https://u:p/w@h",
                          "https://h?",
                          "https://h/#",
                          "https://h:",
                          "https://h:0",
                          "https://h:65536",
                          "https://h:+1",
                          "https://h:1x",
                          "https://h:000001",
                          "https://.",
                          "https://a..b",
                          "https://-a",
                          "https://a-",
                          "https://1.2.3",
                          "https://1.2.3.4.5",
                          "https://01.2.3.4",
                          "https://256.1.1.1",
                          "https://0x7f.1",
                          "https://a.0x1",
                          "https://[::1",
                          "https://::1",
                          "https://[::1]x",
                          "https://[fe80::1%25eth0]",
                          "https://[h]",
                          "https://h h",
                          "https://h/a b",
                          "https://h/\"",
                          "https://h/\xc3\xa4",
                          "https://\xc3\xa4",
                          "https://h\n",
                          " https://h",
                          "https://h\\x"}) {
    INFO(bad);
    Url url{"s", "h", 1, "p"};
    CHECK_FALSE(parse_url(bad, url));
    CHECK(url.authority() == "h:1");
  }
}

TEST_CASE("listen addresses are host:port or [IPv6]:port") {
  const auto parts = [](std::string_view text) {
    ListenAddress address;
    REQUIRE(parse_listen_address(text, address));
    return address.host + " " + std::to_string(address.port);
  };
  CHECK(parts("127.0.0.1:9825") == "127.0.0.1 9825");
  CHECK(parts("0.0.0.0:0") == "0.0.0.0 0");
  CHECK(parts("[::]:9825") == ":: 9825");
  CHECK(parts("localhost:65535") == "localhost 65535");
  for (const char* bad : {"", ":9825", "9825", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536",
                          "::1:9825", "[::1]", "[::1]9825", "*:9825", "127.0.0.1:9825/x",
                          "127.0.0.1:9825r,127.0.0.1:80", "h:-1", "h: 1", "https://h:1"}) {
    INFO(bad);
    ListenAddress address;
    CHECK_FALSE(parse_listen_address(bad, address));
  }
}

TEST_CASE("log levels are the words of the contract") {
  LogLevel level = LogLevel::kInfo;
  CHECK(parse_log_level("error", level));
  CHECK(level == LogLevel::kError);
  CHECK_FALSE(parse_log_level("Error", level));
  CHECK_FALSE(parse_log_level("", level));
}

TEST_CASE("the nearest key is suggested, and none when nothing is near") {
  const std::vector<std::string> known = {"interval", "timeout", "stale_after", "api_url"};
  CHECK(nearest_word("intervall", known) == "interval");
  CHECK(nearest_word("itnerval", known) == "interval");
  CHECK(nearest_word("Timeout", known) == "timeout");
  CHECK(nearest_word("stale", known) == "stale_after");
  CHECK(nearest_word("url", known) == "api_url");
  CHECK(nearest_word("zebra", known) == "");
  CHECK(nearest_word("x", known) == "");
  CHECK(nearest_word("", known) == "");
  CHECK(nearest_word(std::string(100'000, 'x'), known) == "");
  CHECK(edit_distance("", "abc") == 3);
  CHECK(edit_distance("kitten", "sitting") == 3);
  CHECK(edit_distance("ab", "ba") == 1);
}

}  // namespace bao_exporter
