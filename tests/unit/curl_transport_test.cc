#include "bao_exporter/curl_transport.h"

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "catch.h"
#include "support/certificate.h"
#include "support/curl_requests.h"
#include "support/listening.h"
#include "support/quiet.h"
#include "support/raw_server.h"

namespace bao_exporter {

namespace {

using namespace test;  // NOLINT(google-build-using-namespace): the helpers of this test

Reply echo(const HttpRequest& request) {
  std::string said = std::string(request.method) + " " + std::string(request.path) + "\n";
  for (const auto& [name, value] : request.headers) {
    said += std::string(name) + ": " + std::string(value) + "\n";
  }
  return reply_with(said);
}

long long milliseconds_since(TimePoint from) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - from).count();
}

// A port on which nobody listens.
std::uint16_t closed_port() { return RawServer("").port(); }

}  // namespace

TEST_CASE("a server with a certificate of the given authority is verified, and answers whole") {
  const Listening listening(echo);
  REQUIRE(listening.listener != nullptr);
  const Answer answer = ask(request_to(listening));
  INFO((answer.failure ? answer.failure->detail : ""));
  REQUIRE(answer.answered());
  CHECK(answer.status == 200);
  CHECK(answer.content_type == "text/plain; version=0.0.4; charset=utf-8");
  CHECK(answer.content_encoding == "");
  CHECK(has(answer.body, "GET /v1/sys/metrics\n"));
  REQUIRE(answer.certificate_not_after.has_value());
  CHECK(*answer.certificate_not_after == listening.server.not_after);
}

TEST_CASE("a request says what it accepts and who it is, and nothing secret without a token") {
  const Listening listening(echo);
  REQUIRE(listening.listener != nullptr);
  Request request = request_to(listening);
  request.headers = {"X-Vault-No-Request-Forwarding: true"};
  const Answer answer = ask(std::move(request));
  REQUIRE(answer.answered());
  CHECK(has(answer.body, "Accept-Encoding: identity\n"));
  CHECK(has(answer.body, "User-Agent: bao-exporter/"));
  CHECK(has(answer.body, "X-Vault-No-Request-Forwarding: true\n"));
  CHECK_FALSE(has(answer.body, "Authorization"));
  CHECK_FALSE(has(answer.body, "Cookie"));
}

TEST_CASE("the token is sent as Bearer, once, and only with the request that has it") {
  const Listening listening(echo);
  REQUIRE(listening.listener != nullptr);
  const auto secret = Secret::load(listening.folder.write("token", kToken), {});
  REQUIRE(secret.ok());
  const auto transport = make_curl_transport();
  Request with = request_to(listening);
  with.bearer = secret.value();
  const Answer first = ask(*transport, with);
  REQUIRE(first.answered());
  CHECK(has(first.body, "Authorization: Bearer " + kToken + "\n"));
  // The same channel and connection, without: nothing of it is left.
  const Answer second = ask(*transport, request_to(listening));
  REQUIRE(second.answered());
  CHECK_FALSE(has(second.body, "Authorization"));
  CHECK(secret.value().use_count() == 2);  // this test's two, so the transport let go of it
}

TEST_CASE("a request with a body is a POST of it as JSON, and the next one is a GET again") {
  const RawServer server("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}");
  const auto transport = make_curl_transport();
  Request request = request_to(server.port());
  request.json_body = R"({"paths":["sys/metrics"]})";
  const Answer answer = ask(*transport, request);
  REQUIRE(answer.answered());
  CHECK(answer.status == 200);
  CHECK(answer.body == "{}");
  REQUIRE(ask(*transport, request_to(server.port())).answered());
  const std::vector<std::string> heads = server.heads();
  REQUIRE(heads.size() == 2);
  CHECK(heads[0].starts_with("POST /v1/sys/metrics"));
  CHECK(has(heads[0], "Content-Type: application/json\r\n"));
  CHECK(has(heads[0], "Content-Length: 25\r\n"));
  CHECK(has(heads[0], "\r\n\r\n" + request.json_body));
  CHECK_FALSE(has(heads[0], "Expect:"));
  CHECK(heads[1].starts_with("GET /v1/sys/metrics"));
  CHECK_FALSE(has(heads[1], "Content-Type"));
}

TEST_CASE("a POST follows no redirect, and its answer has the same limit") {
  const RawServer server(
      "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:1/\r\n"
      "Content-Length: 0\r\nConnection: close\r\n\r\n");
  Request request = request_to(server.port());
  request.json_body = "{}";
  const Answer answer = ask(std::move(request));
  REQUIRE(answer.answered());
  CHECK(answer.status == 307);
  CHECK(server.heads().size() == 1);

  const RawServer talkative("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n12345");
  Request small = request_to(talkative.port());
  small.json_body = "{}";
  small.body_bytes_max = 4;
  const Answer large = ask(std::move(small));
  CHECK(reason_of(large) == "too_large");
}

TEST_CASE(
    "an answer tells where the connection led, also when TLS failed, and nothing without one") {
  const Listening listening(echo);
  REQUIRE(listening.listener != nullptr);
  const auto transport = make_curl_transport();
  CHECK(ask(*transport, request_to(listening)).address == "127.0.0.1");
  CHECK(ask(*transport, request_to(listening)).address == "127.0.0.1");  // the same connection
  Request mistrusting = request_to(listening);
  mistrusting.trust = trust_in(make_identity("Another authority", nullptr, ""));
  mistrusting.channel = 1;
  const Answer refused = ask(*transport, std::move(mistrusting));
  CHECK(reason_of(refused) == "tls");
  CHECK(refused.address == "127.0.0.1");
  const Answer nobody = ask(*transport, request_to(closed_port()));
  CHECK(reason_of(nobody) == "connect");
  CHECK(nobody.address.empty());
  CHECK(has(nobody.failure->detail, "Connection refused"));
}

TEST_CASE("a server of another authority is refused, and gets no token") {
  std::atomic<int> asked{0};
  const Listening listening([&](const HttpRequest& request) {
    ++asked;
    return echo(request);
  });
  REQUIRE(listening.listener != nullptr);
  const Identity stranger = make_identity("Authority of a test", nullptr, "");
  Request request = request_to(listening);
  request.trust = trust_in(stranger);
  CHECK(reason_of(ask(request)) == "tls");
  // The system's authorities, none at all, and words that are no certificate.
  for (const bool system : {false, true}) {
    auto trust = std::make_shared<TlsTrust>();
    trust->system_authorities = system;
    if (!system) trust->authorities_pem = "not a certificate\n";
    request.trust = trust;
    CHECK(reason_of(ask(request)) == "tls");
  }
  request.trust = std::make_shared<TlsTrust>();
  CHECK(reason_of(ask(request)) == "tls");
  request.trust = nullptr;
  CHECK(reason_of(ask(request)) == "tls");
  CHECK(asked == 0);
}

TEST_CASE("a certificate that is out of date is refused") {
  const Listening listening(echo);
  REQUIRE(listening.listener != nullptr);
  const Identity expired = make_identity("old", &listening.authority, kLocalNames, -60);
  const ServerFiles files = write_server_files(listening.folder, "old", expired);
  ListenerConfig config = listening.config;
  config.tls_cert_file = files.certificate;
  config.tls_key_file = files.key;
  auto started = Listener::start(config, echo);
  REQUIRE(started.ok());
  const std::string address = started.value()->addresses()[0];
  Request request = request_to(listening);
  request.url.port = static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)));
  const Answer answer = ask(request);
  CHECK(reason_of(answer) == "tls");
}

TEST_CASE("server_name is verified instead of the address, which is still where it goes") {
  // Only the name: the address alone must fail, the name must do.
  const Listening named(echo, "127.0.0.1:0", "DNS:openbao-0.internal.test");
  REQUIRE(named.listener != nullptr);
  CHECK(reason_of(ask(request_to(named))) == "tls");
  Request request = request_to(named);
  request.server_name = "openbao-0.internal.test";
  const Answer answer = ask(request);
  INFO((answer.failure ? answer.failure->detail : ""));
  REQUIRE(answer.answered());
  CHECK(has(answer.body, "Host: openbao-0.internal.test:" + std::to_string(named.port()) + "\n"));
  request.server_name = "openbao-1.internal.test";
  CHECK(reason_of(ask(request)) == "tls");
}

TEST_CASE("two nodes behind one server_name are not mixed, one after the other or at once") {
  const Listening a([](const HttpRequest&) { return reply_with("a"); });
  REQUIRE(a.listener != nullptr);
  auto b = Listener::start(a.config, [](const HttpRequest&) { return reply_with("b"); });
  REQUIRE(b.ok());
  const std::string address = b.value()->addresses()[0];
  Request to_a = request_to(a);
  to_a.server_name = "openbao-0.internal.test";
  to_a.channel = 0;
  Request to_b = to_a;
  to_b.channel = 1;
  to_b.url.port = static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)));
  const auto transport = make_curl_transport();
  for (int round = 0; round < 3; ++round) {
    CHECK(ask(*transport, to_a).body == "a");
    CHECK(ask(*transport, to_b).body == "b");
  }
}

TEST_CASE("a body of exactly the limit is taken, one byte more is too large") {
  const Listening listening(
      [](const HttpRequest&) { return reply_with(std::string(10'000, 'x')); });
  REQUIRE(listening.listener != nullptr);
  Request request = request_to(listening);
  request.body_bytes_max = 10'000;
  const Answer fits = ask(request);
  CHECK(reason_of(fits) == "ok");
  CHECK(fits.body.size() == 10'000);
  request.body_bytes_max = 9'999;
  const Answer large = ask(request);
  CHECK(reason_of(large) == "too_large");
  CHECK(large.body.size() <= 9'999);
  CHECK(has(large.failure->detail, "9999"));
}

TEST_CASE("a body that is sent in chunks is counted too, and its end is needed") {
  const std::string head =
      "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n";
  const RawServer whole(head + "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n");
  const Answer answer = ask(request_to(whole.port()));
  CHECK(reason_of(answer) == "ok");
  CHECK(answer.body == "hello world");
  Request small = request_to(whole.port());
  small.body_bytes_max = 10;
  CHECK(reason_of(ask(small)) == "too_large");
  const RawServer cut(head + "5\r\nhello\r\n");
  const std::string reason = reason_of(ask(request_to(cut.port())));
  CHECK((reason == "truncated" || reason == "reset"));
}

TEST_CASE("an answer that is not whole is never taken for one") {
  const auto reason_for = [](const std::string& words) {
    const RawServer server(words);
    return reason_of(ask(request_to(server.port())));
  };
  CHECK(reason_for("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello") == "truncated");
  CHECK(reason_for("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nno length at all\n") ==
        "truncated");
  CHECK(reason_for("") == "reset");
  CHECK(reason_for("220 this is a mail server\r\n") == "protocol");
  CHECK(reason_for("HTTP/1.1 204 No Content\r\n\r\n") == "ok");
  CHECK(reason_for("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") == "ok");
}

TEST_CASE("a redirect is an answer, and is not followed") {
  const RawServer elsewhere("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
  const RawServer server("HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:" +
                         std::to_string(elsewhere.port()) + "/\r\nContent-Length: 0\r\n\r\n");
  const Answer answer = ask(request_to(server.port()));
  CHECK(reason_of(answer) == "ok");
  CHECK(answer.status == 307);
  CHECK(elsewhere.heads().empty());
}

TEST_CASE("proxies of the environment are not used") {
  const RawServer proxy("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nproxy");
  const RawServer server("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\ndirect");
  const std::string url = "http://127.0.0.1:" + std::to_string(proxy.port());
  for (const char* name : {"http_proxy", "https_proxy", "all_proxy", "ALL_PROXY"}) {
    ::setenv(name, url.c_str(), 1);  // NOLINT(concurrency-mt-unsafe): nobody else reads them
  }
  const Answer answer = ask(request_to(server.port()));
  for (const char* name : {"http_proxy", "https_proxy", "all_proxy", "ALL_PROXY"}) {
    ::unsetenv(name);  // NOLINT(concurrency-mt-unsafe)
  }
  CHECK(answer.body == "direct");
  CHECK(proxy.heads().empty());
}

TEST_CASE("status, type and encoding are told as they came") {
  const RawServer server(
      "HTTP/1.1 403 Forbidden\r\nCONTENT-TYPE:  application/json \r\n"
      "content-encoding: gzip\r\nContent-Length: 2\r\n\r\n{}");
  const Answer answer = ask(request_to(server.port()));
  CHECK(reason_of(answer) == "ok");
  CHECK(answer.status == 403);
  CHECK(answer.content_type == "application/json");
  CHECK(answer.content_encoding == "gzip");
  CHECK(answer.body == "{}");
  CHECK_FALSE(answer.certificate_not_after.has_value());
}

TEST_CASE("a server that accepts and says nothing ends with its deadline, and not long after") {
  const RawServer silent("", /*silent=*/true);
  for (const char* scheme : {"http", "https"}) {
    Request request = request_to(silent.port(), scheme);
    const TimePoint from = Clock::now();
    request.deadline = from + Milliseconds(300);
    const Answer answer = ask(std::move(request));
    const auto took = milliseconds_since(from);
    INFO(scheme << " took " << took << " ms");
    CHECK(reason_of(answer) == "timeout");
    CHECK(took >= 290);
    CHECK(took <= 600);
  }
}

TEST_CASE("a deadline that has passed is a timeout at once") {
  const RawServer silent("", /*silent=*/true);
  Request request = request_to(silent.port());
  const TimePoint from = Clock::now();
  request.deadline = from - Milliseconds(1);
  CHECK(reason_of(ask(std::move(request))) == "timeout");
  CHECK(milliseconds_since(from) < 1'000);
}

TEST_CASE("one that is silent delays no other") {
  const RawServer silent("", /*silent=*/true);
  const RawServer server("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
  const auto transport = make_curl_transport();
  Request slow = request_to(silent.port());
  slow.channel = 1;
  bool slow_ended = false;
  transport->start(std::move(slow), [&](const Answer&) { slow_ended = true; });
  CHECK(reason_of(ask(*transport, request_to(server.port()))) == "ok");
  CHECK_FALSE(slow_ended);
  transport->cancel(1);
}

TEST_CASE("a port without a listener is connect, with the address told") {
  const std::uint16_t port = closed_port();
  const Answer answer = ask(request_to(port));
  CHECK(reason_of(answer) == "connect");
  CHECK(has(answer.failure->detail, std::to_string(port)));
  CHECK_FALSE(answer.certificate_not_after.has_value());
}

TEST_CASE("a TLS client at a plain port, and a plain client at a TLS port, fail as what they are") {
  const RawServer plain("HTTP/1.0 400 Bad Request\r\n\r\nClient sent plain HTTP.\n");
  Request request = request_to(plain.port(), "https");
  request.deadline = Clock::now() + Milliseconds(1'000);
  const std::string reason = reason_of(ask(request));
  CHECK((reason == "tls" || reason == "timeout"));
  const Listening listening(echo);
  REQUIRE(listening.listener != nullptr);
  const std::string other = reason_of(ask(request_to(listening.port(), "http")));
  CHECK((other == "reset" || other == "protocol"));
}

TEST_CASE("a cancelled request never calls back, and its channel can be used again") {
  const RawServer silent("", /*silent=*/true);
  const RawServer server("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
  const auto transport = make_curl_transport();
  bool called = false;
  Request request = request_to(silent.port());
  request.deadline = Clock::now() + Milliseconds(100);
  transport->start(std::move(request), [&](const Answer&) { called = true; });
  transport->run_once(Clock::now() + Milliseconds(20));
  transport->cancel(0);
  transport->cancel(0);                                      // nothing there
  transport->cancel(77);                                     // never was
  const TimePoint later = Clock::now() + Milliseconds(200);  // past its deadline
  while (Clock::now() < later) transport->run_once(later);
  CHECK_FALSE(called);
  CHECK(ask(*transport, request_to(server.port())).body == "hello");
  CHECK_FALSE(called);
}

TEST_CASE("a request that is given up with the transport never calls back") {
  const RawServer silent("", /*silent=*/true);
  bool called = false;
  {
    const auto transport = make_curl_transport();
    transport->start(request_to(silent.port()), [&](const Answer&) { called = true; });
    transport->run_once(Clock::now() + Milliseconds(20));
  }
  CHECK_FALSE(called);
}

TEST_CASE("an answer may start the next request of its channel, and end another's") {
  const RawServer server("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
  const RawServer silent("", /*silent=*/true);
  const auto transport = make_curl_transport();
  Request other = request_to(silent.port());
  other.channel = 1;
  bool other_called = false;
  transport->start(other, [&](const Answer&) { other_called = true; });
  int answers = 0;
  std::function<void(Answer)> next = [&](const Answer& answer) {
    CHECK(answer.body == "hello");
    if (++answers < 5) transport->start(request_to(server.port()), next);
    transport->cancel(1);
  };
  transport->start(request_to(server.port()), next);
  const TimePoint limit = Clock::now() + std::chrono::seconds(20);
  while (answers < 5 && Clock::now() < limit) transport->run_once(limit);
  CHECK(answers == 5);
  CHECK_FALSE(other_called);
}

TEST_CASE("wake_up ends a run_once that waits, from another thread or before it began") {
  const auto transport = make_curl_transport();
  const TimePoint from = Clock::now();
  const TimePoint far = from + std::chrono::seconds(30);
  transport->wake_up();
  transport->run_once(far);
  {
    std::jthread other([&] { transport->wake_up(); });
    transport->run_once(far);
  }
  CHECK(milliseconds_since(from) < 20'000);
}

TEST_CASE("run_once without anything to do ends at its time, not before") {
  const auto transport = make_curl_transport();
  const TimePoint from = Clock::now();
  transport->run_once(from + Milliseconds(50));
  CHECK(milliseconds_since(from) >= 49);
  transport->run_once(from - Milliseconds(50));  // has passed: returns at once
  CHECK(milliseconds_since(from) < 10'000);
}

TEST_CASE("a connection is kept for the next request of the channel") {
  std::atomic<int> asked{0};
  const Listening listening([&](const HttpRequest&) {
    ++asked;
    return reply_with("x");
  });
  REQUIRE(listening.listener != nullptr);
  const auto transport = make_curl_transport();
  for (int i = 0; i < 5; ++i) {
    const Answer answer = ask(*transport, request_to(listening));
    CHECK(reason_of(answer) == "ok");
    // Also when no handshake was made for it.
    CHECK(answer.certificate_not_after == listening.server.not_after);
  }
  CHECK(asked == 5);
}

TEST_CASE("a connection made under one trust is not used under another") {
  const Listening listening(echo);
  REQUIRE(listening.listener != nullptr);
  const auto transport = make_curl_transport();
  CHECK(reason_of(ask(*transport, request_to(listening))) == "ok");
  const Identity stranger = make_identity("Another", nullptr, "");
  Request distrust = request_to(listening);
  distrust.trust = trust_in(stranger);
  CHECK(reason_of(ask(*transport, distrust)) == "tls");
  Request misnamed = request_to(listening);
  misnamed.server_name = "not-in-the-certificate.test";
  CHECK(reason_of(ask(*transport, misnamed)) == "tls");
  CHECK(reason_of(ask(*transport, request_to(listening))) == "ok");
}

TEST_CASE("a client certificate is used with its key only") {
  const Listening listening(echo);
  REQUIRE(listening.listener != nullptr);
  const Identity client = make_identity("client", &listening.authority, "");
  const auto reason_with = [&](const std::shared_ptr<const Secret>& key) {
    auto trust = std::make_shared<TlsTrust>(*trust_in(listening.authority));
    trust->client_certificate_pem = client.certificate_pem();
    trust->client_key_pem = key;
    Request request = request_to(listening);
    request.trust = trust;
    return reason_of(ask(std::move(request)));
  };
  CHECK(reason_with(Secret::join({client.key_pem()})) == "ok");
  CHECK(reason_with(Secret::join({listening.server.key_pem()})) == "tls");
  CHECK(reason_with(Secret::join({"not a key"})) == "tls");
}

}  // namespace bao_exporter
