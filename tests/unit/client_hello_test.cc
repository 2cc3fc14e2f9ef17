#include "bao_exporter/client_hello.h"

#include <string>

#include "catch.h"

namespace bao_exporter {

namespace {

// A record of `length` bytes whose first is a ClientHello's.
std::string record(std::size_t length) {
  std::string text = {22, 3, 1, static_cast<char>(length >> 8U), static_cast<char>(length & 0xffU)};
  return text + std::string(1, 1) + std::string(length - 1, 'x');
}

Greeting judge(const std::string& all) {
  return judge_greeting(std::string_view(all).substr(0, kGreetingBytes), all.size());
}

}  // namespace

TEST_CASE("a ClientHello is whole with the last byte of its record, and not before") {
  const std::string hello = record(300);
  for (std::size_t bytes = 0; bytes < hello.size(); ++bytes) {
    CAPTURE(bytes);
    CHECK(judge(hello.substr(0, bytes)) == Greeting::kUnfinished);
  }
  CHECK(judge(hello) == Greeting::kWhole);
  CHECK(judge(hello + "and more") == Greeting::kWhole);
}

TEST_CASE("what cannot become a ClientHello is known by its first wrong byte") {
  CHECK(judge("GET / HTTP/1.1\r\n") == Greeting::kOther);
  CHECK(judge("G") == Greeting::kOther);
  CHECK(judge(std::string("\x80\x2e\x01\x00\x02", 5)) == Greeting::kOther);  // SSL 2
  CHECK(judge(std::string("\x16\x02", 2)) == Greeting::kOther);
  CHECK(judge(std::string("\x15\x03\x01\x00\x02", 5)) == Greeting::kOther);      // an alert
  CHECK(judge(std::string("\x16\x03\x01\x00\x40\x02", 6)) == Greeting::kOther);  // a ServerHello
}

TEST_CASE("a record that is too short or too long for a ClientHello is none") {
  CHECK(judge(std::string("\x16\x03\x01\x00\x00", 5)) == Greeting::kOther);
  CHECK(judge(std::string("\x16\x03\x01\x00\x03", 5)) == Greeting::kOther);
  CHECK(judge(std::string("\x16\x03\x01\x40\x01", 5)) == Greeting::kOther);
  CHECK(judge(record(std::size_t{1} << 14U)) == Greeting::kWhole);
}

}  // namespace bao_exporter
