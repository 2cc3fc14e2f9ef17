#include "bao_exporter/front_door.h"

#include <algorithm>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "catch.h"

namespace bao_exporter {

namespace {

const std::string kToken = "abcdefghijklmnopqrstuvwxyz0123456789";
const std::string kGood = "Bearer " + kToken;

const ScrapeTokens& tokens() {
  static const ScrapeTokens kTokens = [] {
    ScrapeTokens made;
    BAO_CHECK(!made.add("prometheus:" + kToken + "\nother:ABCDEFGHIJKLMNOPQRSTUVWXYZ\n", "file"));
    return made;
  }();
  return kTokens;
}

using Headers = std::vector<std::pair<std::string, std::string>>;

Admission admit_exactly(const Headers& headers, std::string_view method = "GET",
                        std::string_view path = "/metrics", std::string_view version = "1.1") {
  HttpRequest request;
  request.method = method;
  request.path = path;
  request.version = version;
  for (const auto& [name, value] : headers) request.headers.emplace_back(name, value);
  static const NodeNames kNodes = {"prod/a", "prod/b.c", "lab/a"};
  static const NodeNames kCertctls = {"ca", "ca-2.b"};
  return admit(request, tokens(), kNodes, kCertctls);
}

// With a Host, as every request of HTTP/1.1 has one.
Admission admit_with(Headers headers, std::string_view method = "GET",
                     std::string_view path = "/metrics") {
  headers.emplace_back("Host", "h");
  return admit_exactly(headers, method, path);
}

std::string repeated(std::string_view text, std::size_t times) {
  std::string out;
  for (; times > 0; --times) out += text;
  return out;
}

}  // namespace

TEST_CASE("the right token gets /metrics, under its name, on a connection that stays") {
  const Admission admission = admit_with({{"Authorization", kGood}});
  CHECK(admission.status == 200);
  CHECK(admission.route == Route::kMetrics);
  CHECK(admission.auth_failure == AuthFailure::kNone);
  CHECK(admission.token_name == "prometheus");
  CHECK_FALSE(admission.head);
  CHECK_FALSE(admission.gzip);
  CHECK_FALSE(admission.close);
  CHECK(admit_with({{"Authorization", "Bearer ABCDEFGHIJKLMNOPQRSTUVWXYZ"}}).token_name == "other");
}

TEST_CASE("questions are answered in the order of the contract: token, body, path, method") {
  const std::vector<std::pair<Headers, AuthFailure>> authorizations = {
      {{}, AuthFailure::kMissing},
      {{{"Authorization", "Bearer"}}, AuthFailure::kMalformed},
      {{{"Authorization", kGood}, {"Authorization", kGood}}, AuthFailure::kMultiple},
      {{{"Authorization", "Bearer abcdefghijklmnopqrstuvwxyz012345678X"}}, AuthFailure::kWrong},
      {{{"Authorization", kGood}}, AuthFailure::kNone}};
  const std::vector<std::pair<Headers, bool>> bodies = {
      {{}, false},
      {{{"Content-Length", "0"}}, false},
      {{{"Content-Length", "5"}}, true},
      {{{"Transfer-Encoding", "chunked"}}, true},
      {{{"Transfer-Encoding", "identity"}}, true},
      {{{"content-length", "0"}, {"CONTENT-LENGTH", "1"}}, true},
      {{{"Content-Length", "0"}, {"Content-Length", "0"}}, true},
      {{{"Content-Length", "00"}}, true},
      {{{"Content-Length", "+0"}}, true},
      {{{"Content-Length", ""}}, true},
      {{{"Content-Length", "-0"}}, true},
      {{{"Content-Length", "0, 0"}}, true},
      {{{"Content-Length", "nonsense"}}, true},
      {{{"Content-Length ", "5"}}, true}};
  std::vector<std::pair<std::string, bool>> paths = {
      {"/metrics", true},          {"/", false},          {"", false},
      {"/metrics/", false},        {"/Metrics", false},   {"//metrics", false},
      {"/metrics/x", false},       {"/metric", false},    {"/metricsx", false},
      {"/%6detrics", false},       {"/./metrics", false}, {"/a/../metrics", false},
      {"/metrics%00", false},      {"/metrics;a", false}, {"metrics", false},
      {"http://h/metrics", false}, {"*", false},          {"/sd", true}};
  paths.emplace_back("/metrics/nodes/prod/a", true);
  paths.emplace_back("/metrics/nodes/prod/unheard", false);
  const std::vector<std::string> methods = {"GET",   "HEAD",  "POST",    "PUT",     "DELETE",
                                            "PATCH", "TRACE", "OPTIONS", "CONNECT", "PROPFIND",
                                            "get",   "Get",   "",        "GETX"};
  for (const auto& [authorization, failure] : authorizations) {
    for (const auto& [body, has_body] : bodies) {
      for (const auto& [path, known] : paths) {
        for (const std::string& method : methods) {
          Headers headers = body;
          headers.insert(headers.end(), authorization.begin(), authorization.end());
          const Admission admission = admit_with(headers, method, path);
          const bool reads = method == "GET" || method == "HEAD";
          const int wanted = failure != AuthFailure::kNone ? 401
                             : has_body                    ? 400
                             : !known                      ? 404
                             : !reads                      ? 405
                                                           : 200;
          INFO(method << " " << path << ", failure " << auth_failure_name(failure) << ", "
                      << body.size() << " body headers");
          CHECK(admission.status == wanted);
          CHECK(admission.auth_failure == failure);
          CHECK(admission.close == (wanted == 401 || wanted == 400));
          CHECK(admission.token_name == (wanted == 401 ? "" : "prometheus"));
        }
      }
    }
  }
}

TEST_CASE("a malformed Authorization is never accepted") {
  const std::string t = kToken;
  const std::vector<std::string> malformed = {
      "",
      " ",
      "Bearer",
      "Bearer ",
      "Bearer  ",
      "bearer",
      t,
      " " + t,
      ":" + t,
      "=" + t,
      "Bearer" + t,
      "Bearer:" + t,
      "Bearer: " + t,
      "Bearer=" + t,
      "Bearer\t" + t,
      "Bearer\n" + t,
      "Bearer  " + t,
      "Bearer \t" + t,
      " Bearer " + t,
      "\tBearer " + t,
      "Bearer " + t + " ",
      "Bearer " + t + "\t",
      "Bearer " + t + "\r",
      "Bearer " + t + "\n",
      "Bearer " + t + "\r\n",
      "Bearer " + t + std::string(1, '\0'),
      "Bearer " + std::string(1, '\0') + t,
      "Bearer" + std::string(1, '\0') + t,
      "Bearer " + t + "," + t,
      "Bearer " + t + ", Bearer " + t,
      "Bearer " + t + ",",
      "Bearer ," + t,
      "Bearer " + t + " " + t,
      "Bearer " + t + ";",
      "Bearer \"" + t + "\"",
      "Bearer '" + t + "'",
      "Bearer <" + t + ">",
      "Bearer token=" + t,
      "Bearer token=\"" + t + "\"",
      "Bearer realm=\"x\", " + t,
      "Basic " + t,
      "Basic dXNlcjphYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5ejAxMjM0NTY3ODk=",
      "Digest " + t,
      "Token " + t,
      "Negotiate " + t,
      "Bearers " + t,
      "Beare " + t,
      "Bear er " + t,
      "B earer " + t,
      "Basic, Bearer " + t,
      "Bearer Bearer " + t,
      "Basic x, Bearer " + t,
      "Bearer\xC2\xA0" + t,
      "Bearer " + t + "\xC3\xA9",
      "\xEF\xBB\xBF"
      "Bearer " +
          t,
      "Bearer \x7f" + t,
      "Bearer \x01" + t,
      "Bearer " + t.substr(0, t.size() - 1),
      "Bearer " + t.substr(1),
      "Bearer " + t + "=",
      "Bearer " + t + t,
      "Bearer A" + t.substr(1),
      "Bearer " + t + "%20",
      "Bearer " + repeated("%61", 3) + t.substr(3),
      "Bearer unnamed:" + t,
      "Bearer prometheus:" + t,
      "Bearer prometheus",
      "Bearer sha256:" + std::string(64, 'a'),
      "Bearer " + std::string(505, 'a'),
      "Bearer " + std::string(506, 'a'),
      "Bearer " + std::string(100'000, 'a'),
      "Bearer " + t + std::string(600, '='),
      "Bearer *",
      "Bearer .",
      "Bearer null",
      "*"};
  REQUIRE(malformed.size() >= 60);
  for (const std::string& value : malformed) {
    INFO("[" << value.substr(0, 80) << "]");
    const Admission admission = admit_with({{"Authorization", value}});
    CHECK(admission.status == 401);
    CHECK((admission.auth_failure == AuthFailure::kMalformed ||
           admission.auth_failure == AuthFailure::kWrong));
    CHECK(admission.close);
    CHECK(admission.route == Route::kNone);
    CHECK_FALSE(admission.head);
    CHECK_FALSE(admission.gzip);
    CHECK(admission.token_name.empty());
  }
}

TEST_CASE("the scheme and the header's name are taken in any case, the token is not") {
  for (const char* scheme : {"Bearer", "bearer", "BEARER", "bEaReR"}) {
    for (const char* name : {"Authorization", "authorization", "AUTHORIZATION"}) {
      CHECK(admit_with({{name, std::string(scheme) + " " + kToken}}).status == 200);
    }
  }
  std::string upper = kToken;
  for (char& c : upper) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  CHECK(admit_with({{"Authorization", "Bearer " + upper}}).status == 401);
}

TEST_CASE("exactly one Authorization is wanted, however the others are spelled or placed") {
  const std::string wrong = "Bearer 01234567890123456789";
  for (const char* second : {"Authorization", "authorization", "AUTHORIZATION", "Authorization ",
                             " Authorization", "Authorization\t"}) {
    for (const std::string& value : {kGood, wrong, std::string()}) {
      INFO("[" << second << "] " << value);
      CHECK(admit_with({{"Authorization", kGood}, {second, value}}).auth_failure ==
            AuthFailure::kMultiple);
      CHECK(admit_with({{second, value}, {"Authorization", kGood}}).status == 401);
      CHECK(admit_with({{"Authorization", kGood}, {"Host", "h"}, {second, value}}).status == 401);
    }
  }
  for (const char* alone : {"Authorization ", " Authorization", "Authorization\t"}) {
    CHECK(admit_with({{alone, kGood}}).auth_failure == AuthFailure::kMalformed);
  }
  for (const char* other : {"Proxy-Authorization", "X-Authorization", "Authorization2",
                            "Authorizatio", "X-Vault-Token", "Cookie", ""}) {
    CHECK(admit_with({{other, kGood}}).auth_failure == AuthFailure::kMissing);
  }
}

TEST_CASE("a request with so many headers that some may be lost is refused") {
  for (const bool first : {true, false}) {
    Headers headers;
    if (first) headers.emplace_back("Authorization", kGood);
    while (headers.size() < (first ? 62U : 61U)) headers.emplace_back("X-More", "1");
    if (!first) headers.emplace_back("Authorization", kGood);
    REQUIRE(headers.size() == 62);
    CHECK(admit_with(headers).status == 200);  // with its Host, 63
    headers.emplace_back("X-More", "1");
    const Admission admission = admit_with(headers);
    CHECK(admission.status == 401);
    CHECK(admission.auth_failure == AuthFailure::kMalformed);
  }
}

TEST_CASE("a connection ends where the client asks for it") {
  for (const char* value : {"close", "Close", "CLOSE", "keep-alive, close", "close, TE", "TE,close",
                            " close ", ",close,"}) {
    INFO(value);
    CHECK(admit_with({{"Authorization", kGood}, {"Connection", value}}).close);
  }
  for (const char* value : {"", "keep-alive", "closed", "disclose", "TE", "close-ish"}) {
    INFO(value);
    CHECK_FALSE(admit_with({{"Authorization", kGood}, {"Connection", value}}).close);
  }
  CHECK(
      admit_with({{"Authorization", kGood}, {"Connection", "close"}, {"Connection", "keep-alive"}})
          .close);
}

TEST_CASE("exactly one Host is wanted of who has a token, and in HTTP/1.0 at most one") {
  const auto status = [](const Headers& hosts, std::string_view version) {
    Headers headers = {{"Authorization", kGood}};
    headers.insert(headers.end(), hosts.begin(), hosts.end());
    const Admission admission = admit_exactly(headers, "GET", "/metrics", version);
    CHECK(admission.close == (admission.status != 200));
    return admission.status;
  };
  for (const char* host : {"h", "exporter.example.org:9825", "127.0.0.1", "[::1]:9825", " h "}) {
    CAPTURE(host);
    CHECK(status({{"Host", host}}, "1.1") == 200);
    CHECK(status({{"hOST", host}}, "1.0") == 200);
    CHECK(status({{"Host", host}, {"Host", host}}, "1.1") == 400);
    CHECK(status({{"Host", host}, {"host", "other"}}, "1.0") == 400);
  }
  CHECK(status({}, "1.0") == 200);
  for (const char* version : {"1.1", "1.2", "2.0", "0.9", "", "1", "1.00"}) {
    CHECK(status({}, version) == 400);
  }
  for (const char* host : {"", " ", "a b", "a,b", "http://h/", "h/metrics", "u@h", "h?x", "h#x",
                           "h\r", "h\\", "\xC3\xA9", "\"h\""}) {
    CAPTURE(host);
    CHECK(status({{"Host", host}}, "1.1") == 400);
    CHECK(status({{"Host", host}}, "1.0") == 400);
  }
  CHECK(admit_exactly({{"Authorization", "Bearer wrong"}}).status == 401);  // before the Host
  CHECK(admit_exactly({{"Authorization", kGood}}, "HEAD").head);
}

TEST_CASE("OpenMetrics is for who takes nothing else") {
  const std::vector<std::pair<const char*, bool>> rows = {
      {"", false},
      {"*/*", false},
      {"text/plain", false},
      {"application/openmetrics-text", true},
      {"application/openmetrics-text;version=1.0.0", true},
      {"application/openmetrics-text; version=1.0.0; charset=utf-8", true},
      {"APPLICATION/OpenMetrics-Text ; VERSION=1.0.0", true},
      {"application/openmetrics-text;version=0.0.1", false},
      {"application/openmetrics-text;version=2.0.0", false},
      {"application/openmetrics-text;version=2.0.0,application/openmetrics-text", true},
      {"application/openmetrics-text;q=0", false},
      {"application/openmetrics-text;version=1.0.0;q=0.001", true},
      {"application/openmetrics-text;q=nonsense", false},
      {"application/openmetrics-text,application/json", true},
      {"application/openmetrics-text,text/html", true},
      {"application/openmetrics-text,text/plain;q=0.1", false},
      {"application/openmetrics-text,text/plain;version=0.0.4;q=0", true},
      {"application/openmetrics-text,text/*;q=0.1", false},
      {"application/openmetrics-text,*/*;q=0.1", false},
      {"application/openmetrics-text,*/*;q=0", true},
      // The most telling range counts.
      {"application/openmetrics-text,text/plain;q=0,*/*", true},
      {"application/openmetrics-text,text/*;q=0,*/*", true},
      {"application/openmetrics-text,text/plain,text/*;q=0", false},
      {"application/openmetrics-text,text/plain;q=0,text/plain;version=0.0.4", false},
      {"application/openmetrics-texts", false},
      {"application/*", false},
      // What Prometheus asks with.
      {"application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;"
       "version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
       false},
  };
  for (const auto& [value, wanted] : rows) {
    CAPTURE(value);
    CHECK(accepts_open_metrics_only(value) == wanted);
    CHECK(admit_with({{"Authorization", kGood}, {"Accept", value}}).open_metrics == wanted);
  }
  CHECK_FALSE(admit_with({{"Authorization", kGood}}).open_metrics);
  CHECK_FALSE(admit_with({{"Authorization", kGood},
                          {"Accept", "application/openmetrics-text"},
                          {"Accept", "text/plain"}})
                  .open_metrics);
}

TEST_CASE("HEAD is told apart, on every path and whatever is wrong with it") {
  CHECK(admit_with({{"Authorization", kGood}}, "HEAD").head);
  CHECK(admit_with({{"Authorization", kGood}}, "HEAD", "/nothing").head);
  CHECK_FALSE(admit_with({{"Authorization", kGood}}, "GET").head);
  // RFC 9110 9.3.2: an answer to HEAD has no content, also when it is 400.
  CHECK(admit_with({{"Authorization", kGood}, {"Content-Length", "5"}}, "HEAD").head);
}

TEST_CASE("Accept-Encoding is read by RFC 9110") {
  const std::vector<std::pair<const char*, bool>> rows = {
      {"", false},
      {"gzip", true},
      {"GZIP", true},
      {"x-gzip", true},
      {"gzip, deflate, br", true},
      {"deflate,gzip", true},
      {"deflate , gzip ;q=0.5", true},
      {"identity", false},
      {"br", false},
      {"gzipped", false},
      {"gzi", false},
      {"*", true},
      {"*;q=0", false},
      {"*;q=0.001", true},
      {"gzip;q=0", false},
      {"gzip;q=0.0", false},
      {"gzip;q=0.000", false},
      {"gzip;q=0.001", true},
      {"gzip;q=1", true},
      {"gzip;q=1.000", true},
      {"gzip ; q=0", false},
      {"gzip; q=0", false},
      {"gzip;q=0, *", false},
      {"*, gzip;q=0", false},
      {"*;q=0, gzip", true},
      {"gzip, *;q=0", true},
      {"identity, *;q=0", false},
      {"identity;q=0.5, *;q=0.1", true},
      {",", false},
      {",,gzip,,", true},
      {"gzip;q=", false},
      {"gzip;q=x", false},
      {"gzip;q=-1", false},
      {";q=1", false},
      {"\tgzip\t", true},
  };
  for (const auto& [value, wanted] : rows) {
    INFO("[" << value << "]");
    CHECK(accepts_gzip(value) == wanted);
    CHECK(admit_with({{"Authorization", kGood}, {"Accept-Encoding", value}}).gzip == wanted);
  }
}

TEST_CASE("a weight is a weight in either case (RFC 9110 12.4.2: literals ignore case)") {
  CHECK_FALSE(accepts_gzip("gzip;Q=0"));
  CHECK(accepts_gzip("gzip;Q=0.5"));
}

TEST_CASE("several Accept-Encoding headers count as one list (RFC 9110 5.3)") {
  CHECK(
      admit_with({{"Authorization", kGood}, {"Accept-Encoding", "gzip"}, {"Accept-Encoding", "br"}})
          .gzip);
  CHECK_FALSE(
      admit_with(
          {{"Authorization", kGood}, {"Accept-Encoding", "gzip;q=0"}, {"Accept-Encoding", "*"}})
          .gzip);
}

TEST_CASE("a node has a path when it is configured, spelled as in the configuration") {
  for (const std::string node : {"prod/a", "prod/b.c", "lab/a"}) {
    const std::string path = "/metrics/nodes/" + node;
    const Admission admission = admit_with({{"Authorization", kGood}}, "GET", path);
    CHECK(admission.status == 200);
    CHECK(admission.route == Route::kNode);
    CHECK(admission.node == node);
  }
  for (const char* path : {"/metrics/nodes",
                           "/metrics/nodes/",
                           "/metrics/nodes/prod",
                           "/metrics/nodes/prod/",
                           "/metrics/nodes/prod/a/",
                           "/metrics/nodes/prod/a/b",
                           "/metrics/nodes//prod/a",
                           "/metrics/nodes/prod//a",
                           "/metrics/nodes/lab/b.c",
                           "/metrics/nodes/prod/bxc",
                           "/metrics/nodes/PROD/a",
                           "/metrics/nodes/prod/A",
                           "/metrics/nodes/prod/%61",
                           "/metrics/nodes/prod%2Fa",
                           "/metrics/nodes/prod%2fa",
                           "/metrics/nodes/prod/b%2Ec",
                           "/metrics/nodes/./prod/a",
                           "/metrics/nodes/x/../prod/a",
                           "/metrics/nodes/prod/a ",
                           "/metrics/nodes/prod/a?x",
                           "/metrics/nodesprod/a",
                           "/metrics/node/prod/a",
                           "/Metrics/nodes/prod/a",
                           "metrics/nodes/prod/a",
                           "prod/a"}) {
    CAPTURE(path);
    const Admission admission = admit_with({{"Authorization", kGood}}, "GET", path);
    CHECK(admission.status == 404);
    CHECK(admission.route == Route::kNone);
    CHECK(admission.node.empty());
  }
}

TEST_CASE("a certctl server has a path when it is configured, spelled as in the configuration") {
  const Headers good = {{"Authorization", kGood}};
  for (const std::string name : {"ca", "ca-2.b"}) {
    const std::string path = "/metrics/certctl/" + name;
    const Admission admission = admit_with(good, "GET", path);
    CHECK(admission.status == 200);
    CHECK(admission.route == Route::kCertctl);
    CHECK(admission.node == name);
    CHECK(admit_with(good, "POST", path).status == 405);
    CHECK(admit_with({}, "GET", path).status == 401);
  }
  for (const char* path :
       {"/metrics/certctl", "/metrics/certctl/", "/metrics/certctl/CA", "/metrics/certctl/ca/",
        "/metrics/certctl//ca", "/metrics/certctl/ca%2D2.b", "/metrics/certctl/ca-2xb",
        "/metrics/certctl/c", "/metrics/certctl/cab", "/metrics/certctl/./ca",
        "/metrics/certctl/prod/a", "/metrics/nodes/ca", "/metrics/nodes/certctl/ca",
        "/metrics/certctlca", "/metrics/certctl/ca?x", "/Metrics/certctl/ca", "ca"}) {
    CAPTURE(path);
    const Admission admission = admit_with(good, "GET", path);
    CHECK(admission.status == 404);
    CHECK(admission.route == Route::kNone);
    CHECK(admission.node.empty());
  }
}

TEST_CASE("each fixed path has its route, and no other spelling of it has one") {
  const Headers good = {{"Authorization", kGood}};
  for (const Route route : {Route::kMetrics, Route::kExporter, Route::kDiscovery,
                            Route::kDiscoveryCertctl, Route::kDiscoveryExporter}) {
    const std::string path(route_name(route));
    CHECK(admit_with(good, "GET", path).route == route);
    CHECK(admit_with(good, "GET", path + "/").status == 404);
    CHECK(admit_with(good, "GET", "/" + path).status == 404);
  }
  CHECK(admit_with(good, "GET", "other").status == 404);
  CHECK(admit_with(good, "GET", "/sd/nodes").status == 404);
}

TEST_CASE("names of routes and causes are the contract's") {
  CHECK(route_name(Route::kMetrics) == "/metrics");
  CHECK(route_name(Route::kNode) == "/metrics/nodes");
  CHECK(route_name(Route::kCertctl) == "/metrics/certctl");
  CHECK(route_name(Route::kExporter) == "/metrics/exporter");
  CHECK(route_name(Route::kDiscovery) == "/sd");
  CHECK(route_name(Route::kDiscoveryCertctl) == "/sd/certctl");
  CHECK(route_name(Route::kDiscoveryExporter) == "/sd/exporter");
  CHECK(route_name(Route::kNone) == "other");
  CHECK(auth_failure_name(AuthFailure::kMissing) == "missing");
  CHECK(auth_failure_name(AuthFailure::kMalformed) == "malformed");
  CHECK(auth_failure_name(AuthFailure::kMultiple) == "multiple");
  CHECK(auth_failure_name(AuthFailure::kWrong) == "wrong");
  CHECK(auth_failure_name(AuthFailure::kRateLimited) == "rate_limited");
}

TEST_CASE("no soup of headers gets in without the token") {
  std::mt19937 random(20'261'123);  // NOLINT: the same each time
  const std::vector<std::string> names = {"Authorization",
                                          "authorization",
                                          "Authorization ",
                                          "Proxy-Authorization",
                                          "Host",
                                          "Content-Length",
                                          "Connection",
                                          "Accept-Encoding",
                                          "X",
                                          ""};
  const std::vector<std::string> pieces = {"Bearer",
                                           "bearer",
                                           " ",
                                           "\t",
                                           ",",
                                           "Basic",
                                           "ABCDEFGHIJ",
                                           "abcdefghijklmnopqrstuvwxyz",
                                           "0",
                                           "0123456789",
                                           std::string(1, '\0'),
                                           "\n",
                                           "=",
                                           "\xff",
                                           "gzip",
                                           "close",
                                           "sha256:",
                                           "prometheus:"};
  std::size_t admitted = 0;
  for (int round = 0; round < 50'000; ++round) {
    Headers headers;
    for (std::size_t n = random() % 6; n > 0; --n) {
      std::string value;
      for (std::size_t parts = random() % 6; parts > 0; --parts) {
        value += pieces[random() % pieces.size()];
      }
      if (random() % 20 == 0) value = kGood;
      headers.emplace_back(names[random() % names.size()], value);
    }
    const Admission admission = admit_with(headers);
    if (admission.status == 401) continue;
    // Whoever came in had exactly one header of that name, and it was the scheme and the token.
    ++admitted;
    std::size_t authorizations = 0;
    for (const auto& [name, value] : headers) {
      std::string lower;
      for (const char c : name) {
        lower += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
      }
      if (lower.find("authorization") != 0) continue;
      ++authorizations;
      REQUIRE(value.size() == kGood.size());
      CHECK(value.substr(7) == kToken);
    }
    CHECK(authorizations == 1);
  }
  CHECK(admitted > 100);  // else this test proves nothing
}

}  // namespace bao_exporter
