#include "bao_exporter/scrape_service.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "catch.h"
#include "support/samples.h"

namespace bao_exporter {

namespace {

using test::Samples;

const std::string kToken = "abcdefghijklmnopqrstuvwxyz";
const std::string kBody = "# TYPE vault_core_active gauge\nvault_core_active{cluster=\"prod\"} 1\n";
const std::string kOverdue = "# TYPE bao_node_up gauge\nbao_node_up{cluster=\"prod\"} 0\n";

// The text of one gzip member that ends where `bytes` ends; nullopt: it is not that.
std::optional<std::string> gunzip(const std::string& bytes) {
  z_stream stream{};
  if (::inflateInit2(&stream, 16 + MAX_WBITS) != Z_OK) return std::nullopt;
  std::string input = bytes;
  stream.next_in = reinterpret_cast<Bytef*>(input.data());  // NOLINT: zlib's type
  stream.avail_in = static_cast<uInt>(input.size());
  std::string out;
  std::array<char, 4096> buffer{};
  int result = Z_OK;
  while (result == Z_OK) {
    stream.next_out = reinterpret_cast<Bytef*>(buffer.data());  // NOLINT: zlib's type
    stream.avail_out = static_cast<uInt>(buffer.size());
    result = ::inflate(&stream, Z_NO_FLUSH);
    out.append(buffer.data(), buffer.size() - stream.avail_out);
  }
  const bool whole =
      result == Z_STREAM_END && stream.avail_in == 0;  // checksum and size were right
  ::inflateEnd(&stream);
  if (!whole) return std::nullopt;
  return out;
}

Rope rope_of(const std::string& body) {
  auto text = std::make_shared<const std::string>(body);
  Rope rope;
  rope.append(*text);
  rope.own(text);
  return rope;
}

NodeView served_node(const std::string& name, Role role, const std::string& text) {
  NodeView view{name, {{"cluster", "prod"}, {"node_name", name}}, role, ErrorCode::kOk, true, {}};
  view.text = std::make_shared<const ServedText>(rope_of(text));
  return view;
}

NodeView silent_node(const std::string& name, Role role, ErrorCode reason) {
  return {name, {{"cluster", "prod"}, {"node_name", name}}, role, reason, true, {}};
}

ServedCertctl served_certctl(const std::string& name, ErrorCode reason, TimePoint valid_until,
                             const std::string& text = "") {
  ServedCertctl certctl{name, {{"certctl", name}}, reason, valid_until, nullptr};
  if (!text.empty()) certctl.text = std::make_shared<const ServedText>(rope_of(text));
  return certctl;
}

class Service {
 public:
  Service() {
    auto tokens = std::make_shared<ScrapeTokens>();
    BAO_CHECK(!tokens->add("prometheus:" + kToken + "\nsecond:" + kToken + "2\n", "file"));
    token_slot_.set(std::move(tokens));
    configure({{"prod/a", "prod/b", "prod/new"}, {"https", "exporter:9825"}, {"ca", "lab", "new"}});
    service_.on_gzip_asked([this] { ++gzip_asked; });
  }

  void configure(PortFacts facts) {
    facts_.set(std::make_shared<const PortFacts>(std::move(facts)));
  }

  void publish(const std::string& body, TimePoint valid_until, std::uint64_t generation = 1,
               std::vector<NodeView> nodes = {}, std::vector<ServedCertctl> certctls = {}) {
    snapshots_.set(std::make_shared<const Snapshot>(
        rope_of(body), kOverdue, valid_until, generation, std::move(nodes), std::move(certctls)));
  }
  void publish_certctl(std::vector<ServedCertctl> certctls) {
    publish(kBody, now + std::chrono::hours(1), 1, {}, std::move(certctls));
  }
  void publish_nodes(std::vector<NodeView> nodes) {
    publish(kBody, now + std::chrono::hours(1), 1, std::move(nodes));
  }
  void publish(const std::string& body) { publish(body, now + std::chrono::hours(1)); }

  using Headers = std::vector<std::pair<std::string, std::string>>;
  Reply ask_raw(std::string_view method, std::string_view path, const Headers& headers) {
    HttpRequest request;
    request.peer = peer;
    request.method = method;
    request.path = path;
    request.headers.emplace_back("Host", "h");
    for (const auto& [name, value] : headers) request.headers.emplace_back(name, value);
    return service_.answer(request, now);
  }
  Reply probe(std::string_view method, std::string_view path,
              const std::vector<std::pair<std::string_view, std::string_view>>& headers = {}) {
    return service_.answer({method, path, headers, {}, /*admin=*/true}, now);
  }
  Reply ask(std::string_view method = "GET", std::string_view path = "/metrics", Headers more = {},
            const std::string& token = kToken) {
    more.emplace_back("Authorization", "Bearer " + token);
    return ask_raw(method, path, more);
  }

  ScrapeService& service() { return service_; }
  OwnMetrics& metrics() { return metrics_; }

  TimePoint now = Clock::now();
  PeerAddress peer;
  int gzip_asked = 0;

 private:
  Slot<Snapshot> snapshots_;
  Slot<ScrapeTokens> token_slot_;
  Slot<PortFacts> facts_;
  OwnMetrics metrics_;
  ScrapeService service_{snapshots_, token_slot_, facts_, metrics_};
};

std::string header(const Reply& reply, std::string_view name) {
  std::string found = "(none)";
  for (const auto& [key, value] : reply.headers) {
    if (key == name) found = found == "(none)" ? std::string(value) : "(twice)";
  }
  return found;
}

// Everything that a client can see of a reply.
std::string bytes_of(const Reply& reply) {
  std::string out = std::to_string(reply.status) + (reply.close ? " close" : " stay");
  for (const auto& [name, value] : reply.headers) {
    out += "\n" + std::string(name) + ": " + std::string(value);
  }
  out += "\nlength " + std::to_string(reply.body.bytes());
  return out + "\n\n" + (reply.send_body ? reply.body.to_string() : "");
}

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
