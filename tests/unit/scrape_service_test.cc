#include "bao_exporter/scrape_service.h"

#include <string>
#include <thread>
#include <vector>

#include "catch.h"
#include "support/samples.h"
#include "support/scraping.h"

namespace bao_exporter {

namespace {

using test::gunzip;
using test::header;
using test::kBody;
using test::kOverdue;
using test::kToken;
using test::Samples;
using test::served_certctl;
using test::served_node;
using test::Service;

}  // namespace

TEST_CASE("before the first snapshot the answer is 503, with the reason") {
  Service service;
  const Reply reply = service.ask();
  CHECK(reply.status == 503);
  CHECK(reply.body.to_string().find("not_polled: starting") == 0);
  CHECK(header(reply, "Content-Type") == "text/plain; charset=utf-8");
  CHECK(header(reply, "Content-Encoding") == "(none)");
  CHECK_FALSE(reply.close);
  const Reply gzip = service.ask("GET", "/metrics", {{"Accept-Encoding", "gzip"}});
  CHECK(gzip.status == 503);
  CHECK(header(gzip, "Content-Encoding") == "(none)");
}

TEST_CASE("a scrape gets the snapshot and then our own families") {
  Service service;
  service.publish(kBody);
  const Reply reply = service.ask();
  CHECK(reply.status == 200);
  CHECK(header(reply, "Content-Type") == "text/plain; version=0.0.4; charset=utf-8");
  CHECK(header(reply, "Cache-Control") == "no-store");
  CHECK(header(reply, "X-Content-Type-Options") == "nosniff");
  CHECK(header(reply, "Vary") == "Accept, Accept-Encoding");
  CHECK(header(reply, "Content-Encoding") == "(none)");
  CHECK_FALSE(reply.close);
  CHECK(reply.send_body);
  const Samples samples(reply.body.to_string());
  REQUIRE(samples.problem() == "");
  CHECK(samples.text().find(kBody) == 0);
  CHECK(samples.value("vault_core_active", {{"cluster", "prod"}}) == "1");
  CHECK(samples.value("bao_exporter_build_info") == "1");
  CHECK(samples.label("bao_exporter_build_info", "version") != "");
  CHECK(samples.label("bao_exporter_build_info", "revision") != "");
  CHECK(reply.body.bytes() == samples.text().size());
  CHECK(service.gzip_asked == 0);
}

TEST_CASE("gzip is one member with the same text as the plain answer") {
  Service service;
  std::string large;
  for (int i = 0; i < 9'000; ++i) {
    large += "vault_x{i=\"" + std::to_string(i) + "\"} " + std::to_string(i * 7) + "\n";
  }
  for (const std::string& body : {kBody, large}) {
    service.publish(body);
    // Two times: the compressed part is made once and served again.
    for (int twice = 0; twice < 2; ++twice) {
      const Reply packed = service.ask("GET", "/metrics", {{"Accept-Encoding", "gzip, br"}});
      CHECK(packed.status == 200);
      CHECK(header(packed, "Content-Encoding") == "gzip");
      CHECK(header(packed, "Vary") == "Accept, Accept-Encoding");
      const auto text = gunzip(packed.body.to_string());
      REQUIRE(text.has_value());
      CHECK(text->substr(0, body.size()) == body);
      const Samples samples(*text);
      CHECK(samples.problem() == "");
      CHECK(samples.value("bao_exporter_build_info") == "1");
      const std::string plain = service.ask().body.to_string();
      CHECK(plain.substr(0, body.size()) == text->substr(0, body.size()));
    }
  }
  CHECK(service.gzip_asked == 4);
}

TEST_CASE("the answer without our own families is the same bytes, plain and packed") {
  Service service;
  service.publish(kBody);
  // Wrong tokens in between change our own families only.
  const auto packed =
      gunzip(service.ask("GET", "/metrics", {{"Accept-Encoding", "gzip"}}).body.to_string());
  REQUIRE(packed.has_value());
  Service fresh;
  fresh.publish(kBody);
  const auto without_own = [](const std::string& text) {
    return text.substr(0, text.find("# HELP bao_exporter_"));
  };
  CHECK(without_own(fresh.ask().body.to_string()) == without_own(*packed));
  CHECK(without_own(*packed) == kBody);
}

TEST_CASE("an overdue snapshot serves no upstream sample, plain or packed") {
  Service service;
  service.publish(kBody, service.now - Milliseconds(1));
  const Reply plain = service.ask();
  CHECK(plain.status == 200);
  const Samples samples(plain.body.to_string());
  REQUIRE(samples.problem() == "");
  CHECK(samples.values("vault_core_active").empty());
  CHECK(samples.value("bao_node_up") == "0");
  CHECK(samples.value("bao_exporter_build_info") == "1");
  const Reply packed = service.ask("GET", "/metrics", {{"Accept-Encoding", "gzip"}});
  const auto text = gunzip(packed.body.to_string());
  REQUIRE(text.has_value());
  CHECK(text->find("vault_core_active") == std::string::npos);
  CHECK(text->find(kOverdue) == 0);
}

TEST_CASE("a snapshot is overdue after valid_until, not at it") {
  Service service;
  service.publish(kBody, service.now);
  CHECK(service.ask().body.to_string().find("vault_core_active") != std::string::npos);
  service.now += std::chrono::nanoseconds(1);
  CHECK(service.ask().body.to_string().find("vault_core_active") == std::string::npos);
  service.publish(kBody);
  CHECK(service.ask().body.to_string().find("vault_core_active") != std::string::npos);
}

TEST_CASE("OpenMetrics is served on every path of metrics, plain and packed, to who wants it") {
  Service service;
  const std::string counter = "# TYPE a_total counter\na_total{x=\"1\"} 1\n# TYPE b counter\nb 2\n";
  const TimePoint later = service.now + std::chrono::hours(1);
  service.publish(counter, later, 1, {served_node("prod/a", Role::kActive, counter)},
                  {served_certctl("ca", ErrorCode::kOk, later, counter)});
  const Service::Headers accept = {{"Accept", "application/openmetrics-text;version=1.0.0"}};
  Service::Headers packed = accept;
  packed.emplace_back("Accept-Encoding", "gzip");
  const std::string wanted = "# TYPE a counter\na_total{x=\"1\"} 1\n# TYPE b unknown\nb 2\n";
  for (const char* path :
       {"/metrics", "/metrics/nodes/prod/a", "/metrics/certctl/ca", "/metrics/exporter"}) {
    CAPTURE(path);
    const Reply plain = service.ask("GET", path, accept);
    const std::string text = plain.body.to_string();
    CHECK(plain.status == 200);
    CHECK(header(plain, "Content-Type") ==
          "application/openmetrics-text; version=1.0.0; charset=utf-8");
    CHECK(header(plain, "Vary") == "Accept, Accept-Encoding");
    CHECK(header(plain, "Content-Encoding") == "(none)");
    CHECK((path == std::string("/metrics/exporter") || text.find(wanted) == 0));
    CHECK(text.rfind("# EOF\n") == text.size() - 6);
    const Reply gzip = service.ask("GET", path, packed);
    CHECK(header(gzip, "Content-Type") == header(plain, "Content-Type"));
    CHECK(header(gzip, "Content-Encoding") == "gzip");
    const auto unpacked = gunzip(gzip.body.to_string());
    REQUIRE(unpacked.has_value());
    CHECK(unpacked->rfind("# EOF\n") == unpacked->size() - 6);
    CHECK(unpacked->substr(0, 40) == text.substr(0, 40));
    CHECK(header(service.ask("GET", path), "Content-Type") ==
          "text/plain; version=0.0.4; charset=utf-8");
  }
  CHECK(service.gzip_asked == 0);
  CHECK(header(service.ask("GET", "/sd", accept), "Content-Type") == "application/json");
  service.now += std::chrono::hours(2);
  CHECK(service.ask("GET", "/metrics", accept).body.to_string().find("bao_node_up") !=
        std::string::npos);
  CHECK(service.ask("GET", "/metrics/nodes/prod/a", accept).status == 503);
}

TEST_CASE("the admin address tells of life and readiness, and of nothing else") {
  Service service;
  CHECK(service.probe("GET", "/-/healthy").status == 200);  // no loop has begun
  const Reply early = service.probe("GET", "/-/ready");
  CHECK(early.status == 503);
  CHECK(early.body.to_string().find("not_polled: starting") == 0);
  service.publish(kBody);
  for (const char* path : {"/-/healthy", "/-/ready"}) {
    const Reply reply = service.probe("GET", path);
    CHECK(reply.status == 200);
    CHECK(reply.body.to_string() == "ok\n");
    CHECK_FALSE(reply.authenticated);
    CHECK_FALSE(reply.close);
    CHECK(header(reply, "Cache-Control") == "no-store");
    CHECK(header(reply, "X-Content-Type-Options") == "nosniff");
    CHECK_FALSE(service.probe("HEAD", path).send_body);
    CHECK(service.probe("POST", path).status == 404);
    CHECK(service.probe("POST", path, {{"Content-Length", "5"}}).close);
    CHECK(service.ask("GET", path).status == 404);  // at the port itself
    CHECK(service.ask_raw("GET", path, {}).status == 401);
  }
  const std::string bearer = "Bearer " + kToken;
  for (const char* path : {"/metrics", "/metrics/exporter", "/sd", "/", "/-/", "/-/healthy/", ""}) {
    const Reply reply = service.probe("GET", path, {{"Authorization", bearer}});
    CHECK(reply.status == 404);
    CHECK_FALSE(reply.authenticated);
    CHECK(reply.body.to_string().find("/-/ready") != std::string::npos);
  }
  const Samples samples(service.ask().body.to_string());
  CHECK(samples.values("bao_exporter_scrapes_total").size() == 1);  // those of /-/ at the port
}

TEST_CASE("a loop that hangs is no life, whichever it is") {
  for (const bool poll : {true, false}) {
    Service service;
    service.publish(kBody);
    auto& metrics = service.metrics();
    metrics.poll_loop().beat(service.now);
    metrics.build_loop().beat(service.now);
    service.now += Heartbeat::kHungAfter + Milliseconds(1);
    (poll ? metrics.build_loop() : metrics.poll_loop()).beat(service.now);
    const Reply reply = service.probe("GET", "/-/healthy");
    CHECK(reply.status == 503);
    CHECK(reply.body.to_string().find(poll ? "polls hangs" : "builds snapshots hangs") !=
          std::string::npos);
    CHECK(service.probe("GET", "/-/ready").status == 200);
  }
}

TEST_CASE("many workers may ask at once while snapshots change") {
  Service service;
  service.publish(kBody);
  {
    std::vector<std::jthread> workers;
    for (int worker = 0; worker < 4; ++worker) {
      workers.emplace_back([&service, worker] {
        const std::string scheme = "Bearer " + kToken;
        for (int i = 0; i < 200; ++i) {
          HttpRequest request{"GET", "/metrics", {{"Host", "h"}, {"Authorization", scheme}}};
          if ((i + worker) % 2 == 0) request.headers.emplace_back("Accept", "*/*");
          const Reply reply = service.service().answer(request, Clock::now());
          BAO_CHECK(reply.status == 200 && reply.body.bytes() > kBody.size());
        }
      });
    }
    for (std::uint64_t i = 2; i < 100; ++i) {
      service.publish(kBody, Clock::now() + std::chrono::hours(1), i);
    }
  }
  service.now = Clock::now() + std::chrono::seconds(1);
  const Samples samples(service.ask().body.to_string());
  CHECK(samples.value("bao_exporter_scrapes_total", {{"code", "200"}}) == "800");
}

}  // namespace bao_exporter
