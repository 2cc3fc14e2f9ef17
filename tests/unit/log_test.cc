#include "bao_exporter/log.h"

#include <fcntl.h>
#include <unistd.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "catch.h"
#include "support/folder.h"
#include "support/quiet.h"

namespace bao_exporter {

namespace {

using nlohmann::json;

// What the line of a JSON log is, time left out.
json as_json(const std::string& rendered) {
  return json::parse("{" + rendered + "}", nullptr, /*allow_exceptions=*/false);
}

std::string logfmt(std::string_view message, log::Fields fields = {}) {
  return log::render(LogFormat::kLogfmt, "info", message, fields);
}

std::string json_text(std::string_view message, log::Fields fields = {}) {
  return log::render(LogFormat::kJson, "info", message, fields);
}

bool has_control(const std::string& text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return true;
  }
  return false;
}

// Standard error, caught in a file while this lives.
class Caught {
 public:
  explicit Caught(const std::string& file) : file_(file), before_(::dup(2)) {
    const int fd = ::open(file.c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0600);
    REQUIRE(fd >= 0);
    REQUIRE(::dup2(fd, 2) == 2);
    ::close(fd);
  }
  ~Caught() { end(); }
  Caught(const Caught&) = delete;
  Caught& operator=(const Caught&) = delete;

  std::vector<std::string> lines() {
    end();
    std::ifstream in(file_);
    std::vector<std::string> lines;
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    return lines;
  }

 private:
  void end() {
    if (before_ < 0) return;
    ::dup2(before_, 2);
    ::close(before_);
    before_ = -1;
  }

  std::string file_;
  int before_;
};

}  // namespace

TEST_CASE("an event is rendered as logfmt, quoted where it has to be") {
  CHECK(logfmt("started") == R"(level=info msg="started")");
  CHECK(logfmt("poll", {{"node", "prod/a"}, {"reason", "ok"}}) ==
        R"(level=info msg="poll" node=prod/a reason=ok)");
  CHECK(logfmt("x", {{"a", ""}}) == R"(level=info msg="x" a="")");
  CHECK(logfmt("x", {{"a", "two words"}}) == R"(level=info msg="x" a="two words")");
  CHECK(logfmt("x", {{"a", "b=c"}}) == R"(level=info msg="x" a="b=c")");
  CHECK(logfmt("x", {{"a", "say \"no\""}}) == R"(level=info msg="x" a="say \"no\"")");
  CHECK(logfmt("x", {{"a", R"(C:\dir)"}}) == R"(level=info msg="x" a="C:\\dir")");
  CHECK(logfmt("x", {{"a", "1\n2"}}) == R"(level=info msg="x" a="1\u000a2")");
}

TEST_CASE("an event is rendered as JSON that a JSON reader takes") {
  const json event = as_json(json_text(
      "say \"hi\"",
      {{"node", "prod/a"}, {"path", R"(C:\dir)"}, {"words", "1\n2\t3\r4"}, {"nothing", ""}}));
  REQUIRE(event.is_object());
  CHECK(event["level"] == "info");
  CHECK(event["msg"] == "say \"hi\"");
  CHECK(event["node"] == "prod/a");
  CHECK(event["path"] == R"(C:\dir)");
  CHECK(event["words"] == "1\n2\t3\r4");
  CHECK(event["nothing"] == "");
}

TEST_CASE("no text from outside makes a second line, a second field or a colour") {
  for (const std::string& words :
       {std::string("a\nlevel=error msg=forged"), std::string("a\r\nb"), std::string("\x1b[31mred"),
        std::string("\x1b]0;title\x07"), std::string("a\0b", 3), std::string("\x7f\x08\x0b\x0c"),
        std::string("x\" level=error msg=\"forged"), std::string("\\\" forged=\"1"),
        std::string("\\"), std::string("\"")}) {
    for (const LogFormat format : {LogFormat::kLogfmt, LogFormat::kJson}) {
      const std::string line = log::render(format, "warn", "poll", {{"detail", words}});
      INFO(line);
      CHECK_FALSE(has_control(line));
    }
    const json event = as_json(json_text("poll", {{"detail", words}}));
    REQUIRE(event.is_object());
    CHECK(event["detail"] == words);
    CHECK(event.size() == 3);
    // A logfmt value with quotes in it is one JSON string.
    const std::string line = logfmt("poll", {{"detail", words}});
    const std::string value = line.substr(std::string("level=info msg=\"poll\" detail=").size());
    CHECK(json::parse(value, nullptr, false) == words);
  }
}

TEST_CASE("every byte below 128 survives JSON, alone and beside others") {
  for (int byte = 0; byte < 128; ++byte) {
    const std::string text = std::string("a") + static_cast<char>(byte) + "b";
    INFO(byte);
    const json event = as_json(json_text(text, {{"f", text}}));
    REQUIRE(event.is_object());
    CHECK(event["msg"] == text);
    CHECK(event["f"] == text);
  }
}

TEST_CASE("text in UTF-8 stays as it is") {
  const std::string words = "Z\xc3\xbcrich \xe2\x82\xac \xf0\x9f\x94\x91";
  CHECK(as_json(json_text("x", {{"f", words}}))["f"] == words);
}

TEST_CASE("bytes that are not UTF-8 do not make the JSON unreadable") {
  for (const std::string& words : {std::string("\xff"), std::string("a\xc3"), std::string("\x80z"),
                                   std::string("\xc0\xaf"), std::string("\xed\xa0\x80")}) {
    const std::string line = json_text("x", {{"f", words}});
    CHECK(as_json(line).is_object());
  }
}

TEST_CASE("control characters above 127 (C1, as bytes or as UTF-8) do not reach a terminal") {
  // U+009B is "ESC [" in one character.
  for (const std::string& words : {std::string("\xc2\x9b"
                                               "31mred"),
                                   std::string("\x9b"
                                               "31mred")}) {
    for (const LogFormat format : {LogFormat::kLogfmt, LogFormat::kJson}) {
      const std::string line = log::render(format, "info", "x", {{"f", words}});
      CHECK(line.find('\x9b') == std::string::npos);
    }
  }
}

TEST_CASE("random fields are one line in both formats, and JSON gives ASCII back exactly") {
  std::mt19937 random(1);  // NOLINT: the same each time
  for (int round = 0; round < 5'000; ++round) {
    std::string words;
    for (std::size_t n = random() % 20; n > 0; --n) words += static_cast<char>(random() % 128);
    const log::Fields fields = {{"f", words}, {"g", "end"}};
    REQUIRE_FALSE(has_control(log::render(LogFormat::kLogfmt, "info", words, fields)));
    const std::string line = log::render(LogFormat::kJson, "info", words, fields);
    REQUIRE_FALSE(has_control(line));
    const json event = as_json(line);
    REQUIRE(event.is_object());
    CHECK(event["f"] == words);
    CHECK(event["g"] == "end");
  }
}

TEST_CASE("events go to stderr, one line each, braces and percent signs untouched") {
  const test::Folder folder;
  std::vector<std::string> lines;
  {
    Caught caught(folder.path("err"));
    log::init(LogLevel::kInfo, LogFormat::kJson);
    log::info("{} {0} %v %s", {{"f", "{}%n\n2"}});
    log::debug("not shown");
    log::warn("second");
    log::error("third");
    lines = caught.lines();
  }
  REQUIRE(lines.size() == 3);
  std::vector<json> events;
  for (const std::string& line : lines) {
    events.push_back(json::parse(line, nullptr, false));
    INFO(line);
    REQUIRE(events.back().is_object());
    CHECK(events.back()["ts"].get<std::string>().size() == 24);
    CHECK(events.back()["ts"].get<std::string>().back() == 'Z');
  }
  CHECK(events[0]["msg"] == "{} {0} %v %s");
  CHECK(events[0]["f"] == "{}%n\n2");
  CHECK(events[0]["level"] == "info");
  CHECK(events[1]["level"] == "warn");
  CHECK(events[2]["level"] == "error");
  log::init(LogLevel::kError, LogFormat::kLogfmt);
}

TEST_CASE("each level shows itself and what is graver") {
  const test::Folder folder;
  std::map<LogLevel, std::size_t> shown;
  for (const LogLevel level :
       {LogLevel::kDebug, LogLevel::kInfo, LogLevel::kWarn, LogLevel::kError}) {
    Caught caught(folder.path("err"));
    log::init(level, LogFormat::kLogfmt);
    log::debug("d");
    log::info("i");
    log::warn("w");
    log::error("e");
    shown[level] = caught.lines().size();
  }
  log::init(LogLevel::kError, LogFormat::kLogfmt);
  CHECK(shown[LogLevel::kDebug] == 4);
  CHECK(shown[LogLevel::kInfo] == 3);
  CHECK(shown[LogLevel::kWarn] == 2);
  CHECK(shown[LogLevel::kError] == 1);
}

// A reload did this while the loops wrote: the logger was freed under their feet (1 crash in 753).
TEST_CASE("level and format may change while other threads write") {
  {
    std::vector<std::jthread> writers;
    for (int i = 0; i < 3; ++i) {
      writers.emplace_back([](const std::stop_token& stop) {
        while (!stop.stop_requested()) log::debug("nobody reads this", {{"key", "value"}});
      });
    }
    for (int i = 0; i < 2'000; ++i) {
      log::init(LogLevel::kError, i % 2 == 0 ? LogFormat::kJson : LogFormat::kLogfmt);
    }
  }
  log::init(LogLevel::kError, LogFormat::kLogfmt);
  SUCCEED("nothing was freed under a writer");
}

}  // namespace bao_exporter
