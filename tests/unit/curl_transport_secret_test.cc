// Secrets in what the transport sends and gets: what it leaves behind of them.
#include <cstring>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "bao_exporter/curl_transport.h"
#include "catch.h"
#include "support/curl_requests.h"
#include "support/forked_server.h"
#include "support/memory_scan.h"
#include "support/quiet.h"
#include "support/raw_server.h"

namespace bao_exporter {

using namespace test;  // NOLINT(google-build-using-namespace): the helpers of this test

TEST_CASE("a secret body is a POST of it as JSON, and the next one is a GET again") {
  const RawServer server("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}");
  const auto transport = make_curl_transport();
  for (const bool secret_answer : {false, true}) {
    Request request = request_to(server.port());
    request.secret_body = Secret::join({R"({"role_id":")", kToken, R"("})"});
    request.secret_answer = secret_answer;
    REQUIRE(ask(*transport, std::move(request)).body == "{}");
    REQUIRE(ask(*transport, request_to(server.port())).answered());
  }
  const std::vector<std::string> heads = server.heads();
  REQUIRE(heads.size() == 4);
  for (const std::size_t post : {0U, 2U}) {
    CHECK(heads[post].starts_with("POST /v1/sys/metrics"));
    CHECK(has(heads[post], "Content-Type: application/json\r\n"));
    CHECK(has(heads[post], "\r\n\r\n{\"role_id\":\"" + kToken + "\"}"));
    CHECK(heads[post + 1].starts_with("GET /v1/sys/metrics"));
    CHECK_FALSE(has(heads[post + 1], "Content-Type"));
  }
}

TEST_CASE("a secret answer may start the next request of its channel, and end another's") {
  const RawServer server("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
  const RawServer silent("", /*silent=*/true);
  const auto transport = make_curl_transport();
  const auto secret_to = [](const RawServer& whom, std::uint64_t channel) {
    Request request = request_to(whom.port());
    request.channel = channel;
    request.secret_answer = true;
    return request;
  };
  bool other_called = false;
  transport->start(secret_to(silent, 1), [&](const Answer&) { other_called = true; });
  int answers = 0;
  std::function<void(Answer)> next = [&](const Answer& answer) {
    CHECK(answer.body == "hello");
    if (++answers < 5) transport->start(secret_to(server, 0), next);
    transport->cancel(1);
    transport->cancel(1);
  };
  transport->start(secret_to(server, 0), next);
  const TimePoint limit = Clock::now() + std::chrono::seconds(20);
  while (answers < 5 && Clock::now() < limit) transport->run_once(limit);
  CHECK(answers == 5);
  CHECK_FALSE(other_called);
  CHECK(ask(*transport, request_to(server.port())).body == "hello");
}

TEST_CASE("the connection of a secret answer ends with it") {
  ForkedServer server("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "hello", "");
  const auto transport = make_curl_transport();
  Request request = request_to(server.port());
  request.secret_answer = true;
  CHECK(ask(*transport, std::move(request)).body == "hello");
  CHECK(server.ended());
}

TEST_CASE("a secret answer that fails has no body") {
  const RawServer cut("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello");
  Request request = request_to(cut.port());
  request.secret_answer = true;
  const Answer answer = ask(request);
  CHECK(reason_of(answer) == "truncated");
  CHECK(answer.body.empty());
  const RawServer large("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
  request.url.port = large.port();
  request.body_bytes_max = 4;
  CHECK(reason_of(ask(request)) == "too_large");
}

#ifdef BAO_TEST_NO_MEMORY_SCAN
TEST_CASE("nothing of a secret request and its secret answer stays in memory") {
  WARN("NOT TESTED: the memory of a process with sanitizers is too large to be looked through");
}
#else

namespace {

// Several times what libcurl reads at once.
const std::string kPadding(60'000, ' ');

std::string secret_head(std::size_t length) {
  return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(length) + "\r\n\r\n";
}

Request secret_request(const ForkedServer& server, const MemoryScan& scan) {
  Request request = request_to(server.port());
  request.bearer = Secret::join({scan.secret()});
  request.secret_body = Secret::join({R"({"token":")", scan.secret(), R"("})"});
  request.secret_answer = true;
  request.body_bytes_max = std::size_t{64} << 10;
  return request;
}

}  // namespace

TEST_CASE("nothing of a secret request and its secret answer stays in memory") {
  const MemoryScan scan;
  const ForkedServer server(secret_head(scan.secret().size() + kPadding.size()), scan.secret(),
                            kPadding);
  const auto transport = make_curl_transport();
  Answer answer = ask(*transport, secret_request(server, scan));
  CHECK(reason_of(answer) == "ok");
  CHECK(answer.body.starts_with(scan.secret()));
  CHECK(scan.found() == 1);  // the answer's: the transport and its libraries have none
  ::explicit_bzero(answer.body.data(), answer.body.size());
  CHECK(scan.found() == 0);
}

TEST_CASE("nothing of a secret answer that failed stays in memory") {
  const MemoryScan scan;
  const ForkedServer server(secret_head(100'000), scan.secret(), kPadding.substr(30'000),
                            /*cut=*/true);
  const auto transport = make_curl_transport();
  const Answer answer = ask(*transport, secret_request(server, scan));
  CHECK(reason_of(answer) == "truncated");
  CHECK(scan.found() == 0);
}

TEST_CASE("nothing of a secret answer that was cancelled, or given up with the transport, stays") {
  for (const bool cancelled : {true, false}) {
    const MemoryScan scan;
    const ForkedServer server(secret_head(100'000), scan.secret(), kPadding.substr(30'000));
    auto transport = make_curl_transport();
    Request request = secret_request(server, scan);
    request.bearer = nullptr;
    request.secret_body = nullptr;
    transport->start(std::move(request), [](const Answer&) { FAIL("nobody called"); });
    const TimePoint limit = Clock::now() + std::chrono::seconds(10);
    while (scan.found() == 0 && Clock::now() < limit) {
      transport->run_once(Clock::now() + Milliseconds(10));
    }
    REQUIRE(scan.found() > 0);
    if (cancelled) {
      transport->cancel(0);
    } else {
      transport.reset();
    }
    CHECK(scan.found() == 0);
  }
}
#endif

}  // namespace bao_exporter
