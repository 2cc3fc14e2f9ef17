// Who may ask and how: HEAD, refusals and what is counted of them.
#include <optional>
#include <string>
#include <vector>

#include "catch.h"
#include "support/samples.h"
#include "support/scraping.h"

namespace bao_exporter {

namespace {

using test::bytes_of;
using test::header;
using test::kBody;
using test::kToken;
using test::Samples;
using test::Service;

}  // namespace

TEST_CASE("HEAD is answered as GET, without the body") {
  Service service;
  service.publish(kBody);
  const Reply head = service.ask("HEAD");
  CHECK(head.status == 200);
  CHECK_FALSE(head.send_body);
  CHECK(head.body.bytes() > kBody.size());
  CHECK(header(head, "Content-Type") == "text/plain; version=0.0.4; charset=utf-8");
  const Reply missing = service.ask("HEAD", "/unheard");
  CHECK(missing.status == 404);
  CHECK_FALSE(missing.send_body);
}

TEST_CASE("HEAD never gets a body, also when it is refused") {
  Service service;
  service.publish(kBody);
  const Reply reply = service.ask("HEAD", "/metrics", {{"Content-Length", "5"}});
  CHECK(reply.status == 400);
  CHECK_FALSE(reply.send_body);
}

TEST_CASE("every 401 is the same, whatever the cause, the path, the method and the body") {
  Service service;
  std::optional<std::string> first;
  const std::vector<Service::Headers> causes = {
      {},
      {{"Authorization", "Bearer wrong-token-wrong-token"}},
      {{"Authorization", "Basic x"}},
      {{"Authorization", ""}},
      {{"Authorization", "Bearer " + kToken}, {"Authorization", "Bearer " + kToken}}};
  for (const bool published : {false, true}) {
    if (published) service.publish(kBody);
    for (const auto& cause : causes) {
      for (const char* method : {"GET", "HEAD", "POST", "BREW"}) {
        for (const char* path : {"/metrics", "/", "/unheard", "/metrics/nodes/prod/a",
                                 "/metrics/nodes/prod/unheard", "/sd"}) {
          for (const Service::Headers& more :
               std::vector<Service::Headers>{{},
                                             {{"Content-Length", "5"}},
                                             {{"Connection", "keep-alive"}},
                                             {{"Accept-Encoding", "gzip"}}}) {
            Service::Headers headers = cause;
            headers.insert(headers.end(), more.begin(), more.end());
            const std::string seen = bytes_of(service.ask_raw(method, path, headers));
            if (!first) first = seen;
            CHECK(seen == *first);
          }
        }
      }
    }
  }
  CHECK(first->find("401 close") == 0);
  CHECK(first->find("WWW-Authenticate: Bearer") != std::string::npos);
  CHECK(first->find("length 0") != std::string::npos);
}

TEST_CASE("refusals of who has a token say what is wrong") {
  Service service;
  service.publish(kBody);
  const Reply missing = service.ask("GET", "/unheard");
  CHECK(missing.status == 404);
  for (const char* path : {"/metrics,", "/metrics/nodes/CLUSTER/NAME,", "/metrics/certctl/NAME,",
                           "/metrics/exporter,", "/sd,", "/sd/certctl ", "/sd/exporter\n"}) {
    CHECK(missing.body.to_string().find(path) != std::string::npos);
  }
  CHECK_FALSE(missing.close);
  const Reply method = service.ask("POST", "/metrics");
  CHECK(method.status == 405);
  CHECK(header(method, "Allow") == "GET, HEAD");
  const Reply body = service.ask("GET", "/metrics", {{"Content-Length", "5"}});
  CHECK(body.status == 400);
  CHECK(body.close);
  for (const Reply* reply : {&missing, &method, &body}) {
    CHECK(header(*reply, "Cache-Control") == "no-store");
    CHECK(header(*reply, "Content-Type") == "text/plain; charset=utf-8");
    CHECK(reply->body.to_string().back() == '\n');
  }
}

TEST_CASE("scrapes are counted by route, answer and token; refusals by cause") {
  Service service;
  (void)service.ask();  // 503
  service.publish(kBody);
  for (int i = 0; i < 3; ++i) (void)service.ask();
  (void)service.ask("GET", "/metrics", {}, kToken + "2");
  (void)service.ask("GET", "/unheard");
  (void)service.ask("GET", "/other/unheard");
  (void)service.ask("GET", "/metrics/nodes/prod/a");
  (void)service.ask("GET", "/metrics/nodes/prod/b");
  (void)service.ask("GET", "/metrics/nodes/prod/unheard");
  (void)service.ask("GET", "/sd/exporter");
  (void)service.ask("POST");
  (void)service.ask("GET", "/metrics", {{"Content-Length", "5"}});
  (void)service.ask("GET", "/metrics", {}, "wrong-token-wrong-token");
  (void)service.ask("GET", "/metrics", {}, "wrong-token-wrong-token");
  (void)service.ask("GET", "/metrics", {{"Authorization", "Basic x"}});  // and the token
  (void)service.ask("GET", "/metrics", {}, "");
  (void)service.ask_raw("GET", "/metrics", {});
  const Samples samples(service.ask().body.to_string());
  REQUIRE(samples.problem() == "");
  const auto scrapes = [&](std::string_view path, std::string_view code, std::string_view token) {
    return samples.value("bao_exporter_scrapes_total",
                         {{"path", path}, {"code", code}, {"token", token}});
  };
  CHECK(scrapes("/metrics", "503", "prometheus") == "1");
  CHECK(scrapes("/metrics", "200", "prometheus") == "3");
  CHECK(scrapes("/metrics", "200", "second") == "1");
  CHECK(scrapes("other", "404", "prometheus") == "3");
  CHECK(scrapes("/metrics/nodes", "503", "prometheus") == "2");
  CHECK(scrapes("/sd/exporter", "200", "prometheus") == "1");
  CHECK(scrapes("/metrics", "405", "prometheus") == "1");
  CHECK(samples.value("bao_exporter_scrapes_total", {{"code", "400"}}) == "1");
  const auto failures = [&](std::string_view cause) {
    return samples.value("bao_exporter_auth_failures_total", {{"cause", cause}});
  };
  CHECK(failures("wrong") == "2");
  CHECK(failures("multiple") == "1");
  CHECK(failures("malformed") == "1");
  CHECK(failures("missing") == "1");
  CHECK(failures("rate_limited") == "0");
  // The path and the token of a client never become labels.
  CHECK(samples.text().find("unheard") == std::string::npos);
  CHECK(samples.text().find(kToken) == std::string::npos);
}

TEST_CASE("who shows a token may stay, who does not may not") {
  Service service;
  for (const char* path : {"/metrics", "/unheard", "/sd"}) {
    CHECK(service.ask("GET", path).authenticated);
  }
  CHECK(service.ask("POST").authenticated);
  CHECK(service.ask("GET", "/metrics", {{"Content-Length", "5"}}).authenticated);
  const Reply refused = service.ask("GET", "/metrics", {}, "wrong-token-wrong-token");
  CHECK_FALSE(refused.authenticated);
  CHECK(refused.close);
}

TEST_CASE("an address that fails too often waits for its refusals, and never for its answers") {
  Service service;
  service.publish(kBody);
  const auto wrong = [&] { return service.ask("GET", "/metrics", {}, "wrong-token-wrong-token"); };
  const std::string first = bytes_of(wrong());
  for (int i = 1; i < AuthLimiter::kAtOnce; ++i) CHECK(wrong().delay == Milliseconds(0));
  for (int i = 0; i < 50; ++i) {
    const Reply refused = wrong();
    CHECK(refused.delay == AuthLimiter::kDelay);
    CHECK(bytes_of(refused) == first);
    const Reply served = service.ask();
    CHECK(served.status == 200);
    CHECK(served.delay == Milliseconds(0));
  }
  CHECK(service.ask_raw("GET", "/metrics", {}).delay == AuthLimiter::kDelay);
  service.peer = *parse_address("192.0.2.1");
  CHECK(wrong().delay == Milliseconds(0));
  service.now += OwnTail::kEvery;  // after a flood of scrapes own families are so old at most
  const Samples samples(service.ask().body.to_string());
  const auto failures = [&](std::string_view cause) {
    return samples.value("bao_exporter_auth_failures_total", {{"cause", cause}});
  };
  CHECK(failures("wrong") == std::to_string(AuthLimiter::kAtOnce + 1));
  CHECK(failures("missing") == "0");
  CHECK(failures("rate_limited") == "51");
}

}  // namespace bao_exporter
