// The paths of single nodes and certctl servers, and what discovery lists.
#include <algorithm>
#include <string>

#include "catch.h"
#include "support/scraping.h"

namespace bao_exporter {

namespace {

using test::gunzip;
using test::header;
using test::kBody;
using test::kOverdue;
using test::served_certctl;
using test::served_node;
using test::Service;
using test::silent_node;

}  // namespace

TEST_CASE("the path of a node has what that node sent, and nothing of us or of others") {
  const std::string text = "# TYPE vault_core_active gauge\nvault_core_active{cluster=\"own\"} 1\n";
  Service service;
  service.publish_nodes(
      {served_node("prod/b", Role::kStandby, "b 1\n"), served_node("prod/a", Role::kActive, text)});
  const Reply reply = service.ask("GET", "/metrics/nodes/prod/a");
  CHECK(reply.status == 200);
  CHECK(reply.body.to_string() == text);
  CHECK(header(reply, "Content-Type") == "text/plain; version=0.0.4; charset=utf-8");
  CHECK(header(reply, "Cache-Control") == "no-store");
  CHECK(header(reply, "X-Content-Type-Options") == "nosniff");
  CHECK(header(reply, "Vary") == "Accept, Accept-Encoding");
  CHECK(header(reply, "Content-Encoding") == "(none)");
  CHECK(service.ask("GET", "/metrics/nodes/prod/b").body.to_string() == "b 1\n");
  const Reply packed = service.ask("GET", "/metrics/nodes/prod/a", {{"Accept-Encoding", "gzip"}});
  CHECK(header(packed, "Content-Encoding") == "gzip");
  CHECK(gunzip(packed.body.to_string()) == text);
  const Reply again = service.ask("GET", "/metrics/nodes/prod/a", {{"Accept-Encoding", "gzip"}});
  CHECK(again.body.to_string() == packed.body.to_string());
  CHECK(service.gzip_asked == 0);  // that is about the snapshot as a whole
  const Reply head = service.ask("HEAD", "/metrics/nodes/prod/a");
  CHECK(head.status == 200);
  CHECK_FALSE(head.send_body);
  CHECK(head.body.bytes() == text.size());
  CHECK(service.ask("POST", "/metrics/nodes/prod/a").status == 405);
  CHECK(service.ask("GET", "/metrics/nodes/prod/unheard").status == 404);
}

TEST_CASE("a node's text stays whole while newer snapshots are published") {
  Service service;
  service.publish_nodes({served_node("prod/a", Role::kActive, "a 1\n")});
  const Reply plain = service.ask("GET", "/metrics/nodes/prod/a");
  const Reply packed = service.ask("GET", "/metrics/nodes/prod/a", {{"Accept-Encoding", "gzip"}});
  service.publish_nodes({});
  CHECK(plain.body.to_string() == "a 1\n");
  CHECK(gunzip(packed.body.to_string()) == "a 1\n");
}

TEST_CASE("the path of a node that is not served is 503 with the reason in one line") {
  Service service;
  const auto words = [&](const std::string& path) {
    const Reply reply = service.ask("GET", path, {{"Accept-Encoding", "gzip"}});
    CHECK(reply.status == 503);
    CHECK(header(reply, "Content-Type") == "text/plain; charset=utf-8");
    CHECK(header(reply, "Content-Encoding") == "(none)");
    const std::string text = reply.body.to_string();
    CHECK(std::count(text.begin(), text.end(), '\n') == 1);
    CHECK(text.back() == '\n');
    return text;
  };
  CHECK(words("/metrics/nodes/prod/a").find("not_polled: starting") == 0);
  CHECK(service.ask("GET", "/metrics/nodes/prod/unheard").status == 404);

  service.publish_nodes({silent_node("prod/a", Role::kActive, ErrorCode::kTokenRejected),
                         silent_node("prod/b", Role::kStandby, ErrorCode::kOk)});
  CHECK(words("/metrics/nodes/prod/a").find("token_rejected: prod/a ") == 0);
  CHECK(words("/metrics/nodes/prod/b") ==
        "standby: prod/b is not served: the profile active serves the active node only\n");
  // Configured since the last publication.
  CHECK(words("/metrics/nodes/prod/new").find("not_polled: prod/new ") == 0);

  service.publish(kBody, service.now + std::chrono::seconds(1), 2,
                  {served_node("prod/a", Role::kActive, "a 1\n"),
                   silent_node("prod/b", Role::kUnreachable, ErrorCode::kConnect)});
  CHECK(service.ask("GET", "/metrics/nodes/prod/a").status == 200);
  service.now += std::chrono::seconds(2);
  CHECK(words("/metrics/nodes/prod/a").find("overdue: prod/a ") == 0);
  CHECK(words("/metrics/nodes/prod/b").find("overdue: prod/b ") == 0);
}

TEST_CASE("a node has its path as long as the configuration lists it") {
  Service service;
  service.publish_nodes({served_node("prod/a", Role::kActive, "a 1\n")});
  service.configure({{"prod/b"}, {"https", "exporter:9825"}});
  CHECK(service.ask("GET", "/metrics/nodes/prod/a").status == 404);
  CHECK(service.ask("GET", "/metrics/nodes/prod/b").status == 503);
}

TEST_CASE("the path of a certctl server has its text, and nothing of nodes or of others") {
  Service service;
  const TimePoint later = service.now + std::chrono::hours(1);
  service.publish_certctl({served_certctl("lab", ErrorCode::kOk, later, "lab 1\n"),
                           served_certctl("ca", ErrorCode::kOk, later, "ca 1\n")});
  const Reply reply = service.ask("GET", "/metrics/certctl/ca");
  CHECK(reply.status == 200);
  CHECK(reply.body.to_string() == "ca 1\n");
  CHECK(header(reply, "Content-Type") == "text/plain; version=0.0.4; charset=utf-8");
  CHECK(header(reply, "Vary") == "Accept, Accept-Encoding");
  CHECK(header(reply, "Content-Encoding") == "(none)");
  CHECK(service.ask("GET", "/metrics/certctl/lab").body.to_string() == "lab 1\n");
  const Reply packed = service.ask("GET", "/metrics/certctl/ca", {{"Accept-Encoding", "gzip"}});
  CHECK(header(packed, "Content-Encoding") == "gzip");
  CHECK(gunzip(packed.body.to_string()) == "ca 1\n");
  CHECK(service.gzip_asked == 0);
  CHECK_FALSE(service.ask("HEAD", "/metrics/certctl/ca").send_body);
  CHECK(service.ask("POST", "/metrics/certctl/ca").status == 405);
  CHECK(service.ask("GET", "/metrics/certctl/unheard").status == 404);
  service.publish_certctl({});
  CHECK(reply.body.to_string() == "ca 1\n");
  service.configure({{}, {"https", "exporter:9825"}, {"lab"}});
  CHECK(service.ask("GET", "/metrics/certctl/ca").status == 404);
}

TEST_CASE("the path of a certctl server that is not served is 503 with the reason in one line") {
  Service service;
  const auto words = [&](const std::string& name) {
    const Reply reply =
        service.ask("GET", "/metrics/certctl/" + name, {{"Accept-Encoding", "gzip"}});
    CHECK(reply.status == 503);
    CHECK(header(reply, "Content-Type") == "text/plain; charset=utf-8");
    CHECK(header(reply, "Content-Encoding") == "(none)");
    const std::string text = reply.body.to_string();
    CHECK(text.find('\n') == text.size() - 1);
    return text;
  };
  const auto second = std::chrono::seconds(1);
  CHECK(words("ca").find("not_polled: starting") == 0);
  service.publish(kBody, service.now + 3 * second, 1, {},
                  {served_certctl("ca", ErrorCode::kDatabaseDown, service.now + second),
                   served_certctl("lab", ErrorCode::kOk, service.now + second, "lab 1\n")});
  CHECK(words("ca") ==
        "database_down: ca is not served: its last poll did not give its own samples\n");
  CHECK(words("new") == "not_polled: new is not served: its first poll has not ended yet\n");
  CHECK(service.ask("GET", "/metrics/certctl/lab").status == 200);
  service.now += second;
  CHECK(service.ask("GET", "/metrics/certctl/lab").status == 200);
  service.now += second;  // nobody published it again, as where the thread that polls it hangs
  CHECK(words("lab") == "overdue: lab is not served: it was not polled for too long\n");
  service.now += 2 * second;
  CHECK(words("lab") == "overdue: lab is not served: the exporter has not polled for too long\n");
  CHECK(words("new").find("overdue: new is not served: ") == 0);
  service.publish_certctl({served_certctl("ca", ErrorCode::kNotPolled, {}),
                           served_certctl("lab", ErrorCode::kOverdue, {})});
  CHECK(words("ca").find("not_polled: ca is not served: ") == 0);
  CHECK(words("lab") == "overdue: lab is not served: it was not polled for too long\n");
}

TEST_CASE("discovery of certctl is 503 until there is a snapshot and an address") {
  Service service;
  const auto status = [&] { return service.ask("GET", "/sd/certctl").status; };
  const auto text = [&] { return service.ask("GET", "/sd/certctl").body.to_string(); };
  CHECK(status() == 503);
  CHECK(text().find("not_polled: starting") == 0);
  service.publish_certctl({served_certctl("ca", ErrorCode::kNotPolled, {})});
  CHECK(status() == 200);
  CHECK(text().find("/metrics/certctl/ca") != std::string::npos);
  CHECK(text().find("exporter:9825") != std::string::npos);
  service.now += std::chrono::hours(2);  // Prometheus shall see it down
  CHECK(text().find("/metrics/certctl/ca") != std::string::npos);
  service.configure({{}, {"https", ""}, {"ca"}});
  CHECK(status() == 503);
  CHECK(text().find("config: set listener.advertised_address") == 0);
}

TEST_CASE("service discovery lists nodes when there is a round and an address, else it is 503") {
  Service service;
  const auto status = [&](const char* path) { return service.ask("GET", path).status; };
  const auto text = [&](const char* path) { return service.ask("GET", path).body.to_string(); };
  CHECK(status("/sd") == 503);
  CHECK(text("/sd").find("not_polled: starting") == 0);
  CHECK(status("/sd/exporter") == 200);  // it needs no poll

  service.publish_nodes({served_node("prod/b", Role::kStandby, "b 1\n"),
                         silent_node("prod/a", Role::kUnreachable, ErrorCode::kConnect)});
  const Reply reply = service.ask("GET", "/sd", {{"Accept-Encoding", "gzip"}});
  CHECK(reply.status == 200);
  CHECK(header(reply, "Content-Type") == "application/json");
  CHECK(header(reply, "Cache-Control") == "no-store");
  CHECK(header(reply, "X-Content-Type-Options") == "nosniff");
  CHECK(header(reply, "Content-Encoding") == "(none)");
  const auto first = reply.body.to_string().find("/metrics/nodes/prod/a");
  CHECK(first < reply.body.to_string().find("/metrics/nodes/prod/b"));
  CHECK(text("/sd").find(R"("__meta_bao_node_role":"standby")") != std::string::npos);
  CHECK(text("/sd").find("exporter:9825") != std::string::npos);
  CHECK(status("/sd/nodes") == 404);
  CHECK(service.ask("POST", "/sd").status == 405);
  CHECK_FALSE(service.ask("HEAD", "/sd").send_body);

  // The targets stay listed while nothing is known of them: Prometheus shall see them down.
  service.now += std::chrono::hours(2);
  CHECK(text("/sd").find("/metrics/nodes/prod/b") != std::string::npos);
  CHECK(text("/sd").find(R"("__meta_bao_node_role":"standby")") == std::string::npos);

  service.configure({{"prod/a"}, {"https", ""}});
  for (const char* path : {"/sd", "/sd/exporter"}) {
    CHECK(status(path) == 503);
    CHECK(text(path).find("config: set listener.advertised_address") == 0);
  }
  CHECK(text("/sd/certctl") == "[]\n");  // none is configured
}

}  // namespace bao_exporter
