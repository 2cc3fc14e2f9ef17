#include <ctime>
#include <set>

#include "catch.h"
#include "certctl/collector.h"
#include "support/certctl_server.h"

namespace bao_exporter::certctl {

namespace {

using namespace test;  // NOLINT(google-build-using-namespace): the server of this test

constexpr std::int64_t kNow = 1'795'392'902;  // 2026-11-23T00:15:02Z

ReadingOptions options(std::size_t soonest = 20) {
  return {soonest, WallTime(std::chrono::seconds(kNow))};
}

std::string time_at(std::int64_t seconds) {
  const std::time_t at = seconds;
  std::tm parts{};
  REQUIRE(::gmtime_r(&at, &parts) != nullptr);
  char text[32] = "";
  (void)std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S.25Z", &parts);
  return text;
}

std::string days(double ahead) { return time_at(kNow + static_cast<std::int64_t>(ahead * 86'400)); }

Json certificate(const std::string& id, const std::string& status, const std::string& expires) {
  return {{"id", id},
          {"name", "name-" + id},
          {"common_name", id + ".example.com"},
          {"sans", Json::array({id + ".example.com"})},
          {"environment", "production"},
          {"owner_id", "o-alice"},
          {"issuer_id", "iss-local"},
          {"status", status},
          {"expires_at", expires},
          {"tags", Json::object()},
          {"updated_at", days(-1)}};
}

Json job(const std::string& id, const std::string& type, const std::string& status,
         const std::string& scheduled = "2026-11-22T23:45:02.976524Z") {
  return {{"id", id}, {"type", type}, {"status", status}, {"scheduled_at", scheduled}};
}

Read good(CertctlCollector collector, CertctlServer& server,
          const ReadingOptions& with = options()) {
  Read read = read_all(collector, server, with);
  INFO((read.error ? read.error->detail : ""));
  REQUIRE_FALSE(read.error);
  return read;
}

Error bad(CertctlCollector collector, const std::string& json) {
  const auto error = begin_reading(collector, options())->take(json);
  REQUIRE(error);
  return *error;
}

std::string envelope(const std::string& row) {
  return R"({"data":[)" + row + R"(],"total":1,"page":1,"per_page":500})";
}

}  // namespace

TEST_CASE("each collector needs its own read permission") {
  CHECK(permission_for(CertctlCollector::kMetrics) == "metrics.read");
  CHECK(permission_for(CertctlCollector::kCertificates) == "cert.read");
  CHECK(permission_for(CertctlCollector::kHealthChecks) == "healthcheck.read");
  std::set<std::string_view> permissions;
  for (std::size_t i = 0; i < kCertctlCollectorCount; ++i) {
    permissions.insert(permission_for(static_cast<CertctlCollector>(i)));
  }
  CHECK(permissions.size() == kCertctlCollectorCount);
}

TEST_CASE("certificates are counted by state, issuer and environment") {
  CertctlServer server;
  Json other = certificate("d", "RenewalInProgress", days(40));
  other["issuer_id"] = "iss-acme";
  other["environment"] = "";
  server.tables["certificates"] = {certificate("a", "Active", days(40)),
                                   certificate("b", "active", days(40)),
                                   certificate("c", "Expired", days(-1)), other};
  const Read read = good(CertctlCollector::kCertificates, server);
  const Series series = series_of(read.counted.text);
  CHECK(series.at("certctl_state_certificates{status=\"Active\",issuer_id=\"iss-local\","
                  "environment=\"production\"}") == 2);
  CHECK(series.at("certctl_state_certificates{status=\"Expired\",issuer_id=\"iss-local\","
                  "environment=\"production\"}") == 1);
  CHECK(series.at("certctl_state_certificates{status=\"RenewalInProgress\","
                  "issuer_id=\"iss-acme\",environment=\"\"}") == 1);
  CHECK(server.requests ==
        std::vector<std::string>{"/api/v1/certificates?sort=name&fields=id,name,common_name,"
                                 "environment,owner_id,issuer_id,status,expires_at,updated_at&"
                                 "page=1&per_page=500"});
}

TEST_CASE("a certificate expires within a window when it is neither over nor expired") {
  CertctlServer server;
  server.tables["certificates"] = {certificate("past", "Active", days(-0.1)),
                                   certificate("now", "Active", time_at(kNow)),
                                   certificate("soon", "Expiring", days(0.1)),
                                   certificate("edge", "Active", days(7)),
                                   certificate("behind", "Active", days(7.1)),
                                   certificate("month", "Failed", days(30)),
                                   certificate("quarter", "Active", days(89)),
                                   certificate("far", "Active", days(91)),
                                   certificate("revoked", "Revoked", days(3)),
                                   certificate("archived", "Archived", days(3)),
                                   certificate("unset", "Pending", "0001-01-01T00:00:00Z")};
  const Series series = series_of(good(CertctlCollector::kCertificates, server).counted.text);
  CHECK(series.at("certctl_state_certificates_expiring{within=\"7d\"}") == 2);
  CHECK(series.at("certctl_state_certificates_expiring{within=\"30d\"}") == 4);
  CHECK(series.at("certctl_state_certificates_expiring{within=\"90d\"}") == 5);
}

TEST_CASE("the certificates that expire soonest are told, and no more of them than asked for") {
  CertctlServer server;
  server.tables["certificates"] = {
      certificate("e", "Active", days(5)),   certificate("b", "Active", days(2)),
      certificate("c", "Expiring", days(3)), certificate("a", "Expired", days(-1)),
      certificate("r", "Revoked", days(1)),  certificate("z", "Archived", days(1))};
  const auto told = [&](std::size_t soonest) {
    Series series;
    for (const auto& [name, value] :
         series_of(good(CertctlCollector::kCertificates, server, options(soonest)).counted.text)) {
      if (name.find("not_after") != std::string::npos) series[name] = value;
    }
    return series;
  };
  CHECK(told(2) ==
        Series{{"certctl_state_certificate_not_after_timestamp_seconds{name=\"name-b\","
                "common_name=\"b.example.com\",issuer_id=\"iss-local\",environment=\"production\","
                "owner_id=\"o-alice\"}",
                kNow + 2 * 86'400},
               {"certctl_state_certificate_not_after_timestamp_seconds{name=\"name-c\","
                "common_name=\"c.example.com\",issuer_id=\"iss-local\",environment=\"production\","
                "owner_id=\"o-alice\"}",
                kNow + 3 * 86'400}});
  CHECK(told(20).size() == 3);
  CHECK(told(0).empty());
}

TEST_CASE("of certificates that expire together the choice is by name, then id") {
  CertctlServer server;
  for (const char* id : {"9", "3", "7", "1"}) {
    Json row = certificate(id, "Active", days(2));
    row["name"] = id < std::string("5") ? "zeta" : "alpha";
    server.tables["certificates"].push_back(row);
  }
  const std::string text = good(CertctlCollector::kCertificates, server, options(3)).counted.text;
  const auto place = [&](const std::string& id) { return text.find(id + ".example.com"); };
  CHECK(place("7") < place("9"));
  CHECK(place("9") < place("1"));
  CHECK(place("3") == std::string::npos);
}

TEST_CASE("two certificates with the same five labels are one series, the sooner one's") {
  CertctlServer server;
  Json later = certificate("a", "Active", days(9));
  Json sooner = certificate("a", "Active", days(2));
  sooner["id"] = "b";
  server.tables["certificates"] = {later, sooner, certificate("c", "Active", days(10))};
  const Read read = good(CertctlCollector::kCertificates, server, options(2));
  const Series series = series_of(read.counted.text);
  const std::string name =
      "certctl_state_certificate_not_after_timestamp_seconds{name=\"name-a\","
      "common_name=\"a.example.com\",issuer_id=\"iss-local\",environment=\"production\","
      "owner_id=\"o-alice\"}";
  CHECK(series.at(name) == static_cast<double>(kNow + 2 * 86'400));
  CHECK(read.counted.text.find("c.example.com") != std::string::npos);
}

TEST_CASE("what certctl would say by its own rule, had it looked at all rows") {
  CertctlServer server;
  server.tables["certificates"] = {certificate("1", "Active", days(40)),
                                   certificate("2", "Active", days(-1)),
                                   certificate("3", "Expired", days(40)),
                                   certificate("4", "Revoked", days(-5)),
                                   certificate("5", "Failed", days(29.9)),
                                   certificate("6", "Archived", days(3)),
                                   certificate("7", "Expiring", days(31)),
                                   certificate("8", "revoked", days(5)),
                                   certificate("9", "Pending", "0001-01-01T00:00:00Z")};
  const auto upstream = good(CertctlCollector::kCertificates, server).counted.upstream;
  CHECK(upstream ==
        std::map<std::string, double, std::less<>>{{"certctl_certificate_total", 9},
                                                   {"certctl_certificate_active", 3},
                                                   {"certctl_certificate_expiring_soon", 2},
                                                   {"certctl_certificate_expired", 2},
                                                   {"certctl_certificate_revoked", 2}});
}

TEST_CASE("hostile texts in certificates come out as legal labels") {
  CertctlServer server;
  Json row = certificate("a", "weird\n\"status\\", days(2));
  row["name"] = std::string("n\0\r\n\"\\", 6);
  row["environment"] = std::string(100'000, 'x');
  row["owner_id"] = nullptr;
  row.erase("issuer_id");
  server.tables["certificates"] = {row};
  const std::string text = good(CertctlCollector::kCertificates, server).counted.text;
  CHECK(series_of(text).size() == 5);
  CHECK(text.find("status=\"Weird\\n\\\"status\\\\\"") != std::string::npos);
}

TEST_CASE("an empty certctl has zeros, not errors") {
  CertctlServer server;
  for (const char* name : {"certificates", "agents", "jobs", "issuers", "notifications"}) {
    server.tables[name] = {};
  }
  CHECK(series_of(good(CertctlCollector::kCertificates, server).counted.text) ==
        Series{{"certctl_state_certificates_expiring{within=\"7d\"}", 0},
               {"certctl_state_certificates_expiring{within=\"30d\"}", 0},
               {"certctl_state_certificates_expiring{within=\"90d\"}", 0}});
  CHECK(series_of(good(CertctlCollector::kAgents, server).counted.text) ==
        Series{{"certctl_state_agents{status=\"Online\"}", 0},
               {"certctl_state_agents{status=\"Offline\"}", 0},
               {"certctl_state_agents{status=\"Degraded\"}", 0},
               {"certctl_state_agents_without_heartbeat", 0}});
  CHECK(series_of(good(CertctlCollector::kJobs, server).counted.text).empty());
  CHECK(series_of(good(CertctlCollector::kIssuers, server).counted.text).empty());
  CHECK(good(CertctlCollector::kNotifications, server)
            .counted.upstream.at("certctl_notification_dead_total") == 0);
}

TEST_CASE("agents are counted by state; some never had a heartbeat, one had the oldest") {
  CertctlServer server;
  server.tables["agents"] = {
      {{"id", "1"}, {"status", "Online"}, {"last_heartbeat_at", time_at(kNow - 10)}},
      {{"id", "2"}, {"status", "offline"}, {"last_heartbeat_at", time_at(kNow - 9'999)}},
      {{"id", "3"}, {"status", "Online"}, {"last_heartbeat_at", nullptr}},
      {{"id", "4"}, {"status", "Online"}},
      {{"id", "5"}, {"status", "Online"}, {"last_heartbeat_at", "0001-01-01T00:00:00Z"}}};
  const Read read = good(CertctlCollector::kAgents, server);
  CHECK(series_of(read.counted.text) ==
        Series{{"certctl_state_agents{status=\"Online\"}", 4},
               {"certctl_state_agents{status=\"Offline\"}", 1},
               {"certctl_state_agents{status=\"Degraded\"}", 0},
               {"certctl_state_agent_oldest_heartbeat_timestamp_seconds", kNow - 9'999},
               {"certctl_state_agents_without_heartbeat", 3}});
  CHECK(read.counted.upstream.at("certctl_agent_total") == 5);
  CHECK(server.requests == std::vector<std::string>{"/api/v1/agents?page=1&per_page=500"});
}

TEST_CASE("heartbeats between two readings of many agents are no inconsistency") {
  CertctlServer server;
  for (int i = 0; i < 700; ++i) {
    server.tables["agents"].push_back({{"id", std::to_string(i)}, {"status", "Online"}});
  }
  int beat = 0;
  server.before_each_statement = [&] {
    for (Json& row : server.tables["agents"]) row["last_heartbeat_at"] = time_at(kNow + beat);
    ++beat;
  };
  const Read read = good(CertctlCollector::kAgents, server);
  CHECK(read.requests == 4);
  const Series series = series_of(read.counted.text);
  CHECK(series.at("certctl_state_agents{status=\"Online\"}") == 700);
  const double oldest = series.at("certctl_state_agent_oldest_heartbeat_timestamp_seconds");
  CHECK(oldest >= kNow);
  CHECK(oldest <= kNow + beat);
}

TEST_CASE("issuers are counted by kind, enabled and test result") {
  CertctlServer server;
  server.tables["issuers"] = {
      {{"id", "1"}, {"type", "ACME"}, {"enabled", true}, {"test_status", "success"}},
      {{"id", "2"}, {"type", "acme"}, {"enabled", true}, {"test_status", "Success"}},
      {{"id", "3"}, {"type", "NewCA"}, {"enabled", false}, {"test_status", ""}}};
  const Read read = good(CertctlCollector::kIssuers, server);
  CHECK(series_of(read.counted.text) ==
        Series{{"certctl_state_issuers{type=\"ACME\",enabled=\"true\",test_status=\"success\"}", 2},
               {"certctl_state_issuers{type=\"NewCA\",enabled=\"false\",test_status=\"untested\"}",
                1}});
  CHECK(read.counted.upstream.empty());
}

TEST_CASE("jobs are counted by kind and state in certctl's own spelling") {
  CertctlServer server;
  server.tables["jobs"] = {job("1", "renewal", "AwaitingApproval", time_at(kNow - 100)),
                           job("2", "Renewal", "AwaitingApproval", time_at(kNow - 300)),
                           job("3", "deployment", "Completed", time_at(kNow - 900)),
                           job("4", "issuance", "Failed", time_at(kNow - 901)),
                           job("5", "validation", "Running", time_at(kNow - 902)),
                           job("6", "Renewal", "Pending", time_at(kNow + 50)),
                           job("7", "Renewal", "Cancelled")};
  const Read read = good(CertctlCollector::kJobs, server);
  CHECK(series_of(read.counted.text) ==
        Series{{"certctl_state_jobs{type=\"Renewal\",status=\"AwaitingApproval\"}", 2},
               {"certctl_state_jobs{type=\"Deployment\",status=\"Completed\"}", 1},
               {"certctl_state_jobs{type=\"Issuance\",status=\"Failed\"}", 1},
               {"certctl_state_jobs{type=\"Validation\",status=\"Running\"}", 1},
               {"certctl_state_jobs{type=\"Renewal\",status=\"Pending\"}", 1},
               {"certctl_state_jobs{type=\"Renewal\",status=\"Cancelled\"}", 1},
               {"certctl_state_job_oldest_pending_timestamp_seconds", kNow - 300}});
  CHECK(read.counted.upstream ==
        std::map<std::string, double, std::less<>>{{"certctl_job_pending", 4},
                                                   {"certctl_job_completed_total", 1},
                                                   {"certctl_job_failed_total", 1}});
  CHECK_FALSE(read.costly);
  CHECK(read.requests == 1);
}

TEST_CASE("without a waiting job there is no oldest one") {
  CertctlServer server;
  server.tables["jobs"] = {job("1", "Renewal", "Running"), job("2", "Renewal", "Completed")};
  const Read read = good(CertctlCollector::kJobs, server);
  CHECK(read.counted.text.find("oldest") == std::string::npos);
}

TEST_CASE("up to 2,000 jobs are listed, and told to be costly") {
  CertctlServer server;
  for (int i = 0; i < 1'300; ++i) {
    server.tables["jobs"].push_back(job(std::to_string(i), "Renewal", "Completed"));
  }
  const Read read = good(CertctlCollector::kJobs, server);
  CHECK(read.requests == 6);
  CHECK(read.costly);
  CHECK(series_of(read.counted.text)
            .at("certctl_state_jobs{type=\"Renewal\",status=\"Completed\"}") == 1'300);
}

TEST_CASE("more jobs are counted by state and kind, those that wait are all read") {
  CertctlServer server;
  Table& jobs = server.tables["jobs"];
  for (int i = 0; i < 20'000; ++i) {
    jobs.push_back(
        job("c" + std::to_string(i), i % 4 == 0 ? "deployment" : "Renewal", "Completed"));
  }
  for (int i = 0; i < 700; ++i) {
    jobs.push_back(job("p" + std::to_string(i), "Renewal", "Pending", time_at(kNow - i)));
  }
  for (int i = 0; i < 30; ++i) jobs.push_back(job("f" + std::to_string(i), "issuance", "Failed"));
  std::reverse(jobs.begin(), jobs.end());
  const Read read = good(CertctlCollector::kJobs, server);
  CHECK(series_of(read.counted.text) ==
        Series{{"certctl_state_jobs{type=\"Renewal\",status=\"Completed\"}", 15'000},
               {"certctl_state_jobs{type=\"Deployment\",status=\"Completed\"}", 5'000},
               {"certctl_state_jobs{type=\"Renewal\",status=\"Pending\"}", 700},
               {"certctl_state_jobs{type=\"Issuance\",status=\"Failed\"}", 30},
               {"certctl_state_job_oldest_pending_timestamp_seconds", kNow - 699}});
  CHECK(read.costly);
  // The first page; Pending twice two pages; five small states; Completed, six kinds of it (two in
  // lower case were seen) and its total again; the first page again.
  CHECK(read.requests == 1 + 4 + 5 + 1 + 6 + 1 + 1);
}

TEST_CASE("jobs of a kind that nobody has heard of are told as other") {
  CertctlServer server;
  Table& jobs = server.tables["jobs"];
  for (int i = 0; i < 600; ++i) jobs.push_back(job("r" + std::to_string(i), "Renewal", "Failed"));
  for (int i = 0; i < 2'000; ++i) {
    jobs.push_back(job("c" + std::to_string(i), "Renewal", "Completed"));
  }
  for (int i = 0; i < 5; ++i) jobs.push_back(job("x" + std::to_string(i), "Scan", "Completed"));
  const Read read = good(CertctlCollector::kJobs, server);
  CHECK(series_of(read.counted.text) ==
        Series{{"certctl_state_jobs{type=\"Renewal\",status=\"Completed\"}", 2'000},
               {"certctl_state_jobs{type=\"other\",status=\"Completed\"}", 5},
               {"certctl_state_jobs{type=\"Renewal\",status=\"Failed\"}", 600}});
}

TEST_CASE("jobs of a state that no filter names are found by being missing") {
  CertctlServer server;
  Table& jobs = server.tables["jobs"];
  for (int i = 0; i < 2'500; ++i) {
    jobs.push_back(job("c" + std::to_string(i), "Renewal", "Completed"));
  }
  for (int i = 0; i < 5; ++i) jobs.push_back(job("x" + std::to_string(i), "Renewal", "paused"));
  const Read read = good(CertctlCollector::kJobs, server);
  CHECK(series_of(read.counted.text) ==
        Series{{"certctl_state_jobs{type=\"Renewal\",status=\"Completed\"}", 2'500},
               {"certctl_state_jobs{type=\"other\",status=\"Other\"}", 5}});
}

TEST_CASE("many jobs that never stop changing are inconsistent") {
  CertctlServer server;
  for (int i = 0; i < 2'500; ++i) {
    server.tables["jobs"].push_back(job("c" + std::to_string(i), "Renewal", "Completed"));
  }
  int next = 0;
  server.before_each_statement = [&] {
    server.tables["jobs"].push_back(job("n" + std::to_string(next++), "Renewal", "Completed"));
  };
  const Read read = read_all(CertctlCollector::kJobs, server);
  REQUIRE(read.error);
  CHECK(read.error->code == ErrorCode::kInconsistent);
  CHECK(read.error->detail.starts_with(
      "jobs: changed while they were counted, 4 times; at last: Completed went from "));
}

TEST_CASE("jobs that are not of the status asked for are refused: the filter was ignored") {
  CertctlServer server;
  for (int i = 0; i < 2'500; ++i) {
    server.tables["jobs"].push_back(job(std::to_string(i), "Renewal", "Completed"));
  }
  const auto reading = begin_reading(CertctlCollector::kJobs, options());
  const std::string everything = server.get(reading->request());
  REQUIRE_FALSE(reading->take(everything));
  const auto error = reading->take(everything);
  REQUIRE(error);
  CHECK(error->code == ErrorCode::kProtocol);
}

TEST_CASE("up to a page of notifications all are counted") {
  CertctlServer server;
  for (int i = 0; i < 499; ++i) {
    server.tables["notifications"].push_back({{"id", std::to_string(i)},
                                              {"status", i < 3    ? "dead"
                                                         : i < 10 ? "Pending"
                                                                  : "sent"}});
  }
  const Read read = good(CertctlCollector::kNotifications, server);
  CHECK(series_of(read.counted.text) ==
        Series{{"certctl_state_notifications{status=\"pending\"}", 7},
               {"certctl_state_notifications{status=\"sent\"}", 489},
               {"certctl_state_notifications{status=\"failed\"}", 0},
               {"certctl_state_notifications{status=\"dead\"}", 3},
               {"certctl_state_notifications{status=\"read\"}", 0}});
  CHECK(read.counted.upstream.at("certctl_notification_dead_total") == 3);
  CHECK_FALSE(read.costly);
  CHECK(read.requests == 1);
}

TEST_CASE("of more notifications only the unsettled ones are counted, all of them") {
  CertctlServer server;
  Table& rows = server.tables["notifications"];
  for (int i = 0; i < 3'000; ++i) rows.push_back({{"id", std::to_string(i)}, {"status", "sent"}});
  for (int i = 0; i < 612; ++i) {
    rows.push_back({{"id", "d" + std::to_string(i)}, {"status", "dead"}});
  }
  const Read read = good(CertctlCollector::kNotifications, server);
  CHECK(series_of(read.counted.text) ==
        Series{{"certctl_state_notifications{status=\"pending\"}", 0},
               {"certctl_state_notifications{status=\"failed\"}", 0},
               {"certctl_state_notifications{status=\"dead\"}", 612}});
  CHECK(read.counted.upstream.at("certctl_notification_dead_total") == 612);
  CHECK(read.costly);
  CHECK(read.requests == 1 + 2 * (1 + 1 + 2));
}

TEST_CASE("discovered certificates are what the summary says") {
  CertctlServer server;
  server.summaries["discovery-summary"] = {{"Unmanaged", 9}, {"dismissed", 1}, {"Ignored", 4}};
  const Read read = good(CertctlCollector::kDiscovery, server);
  CHECK(series_of(read.counted.text) ==
        Series{{"certctl_state_discovered_certificates{status=\"Unmanaged\"}", 9},
               {"certctl_state_discovered_certificates{status=\"Managed\"}", 0},
               {"certctl_state_discovered_certificates{status=\"Dismissed\"}", 1},
               {"certctl_state_discovered_certificates{status=\"Ignored\"}", 4}});
  CHECK(server.requests == std::vector<std::string>{"/api/v1/discovery-summary"});
  server.summaries["discovery-summary"] = Json::object();
  CHECK(series_of(good(CertctlCollector::kDiscovery, server).counted.text).size() == 3);
}

TEST_CASE("health checks are what the summary says, and what it does not name") {
  CertctlServer server;
  server.summaries["health-checks/summary"] = {{"healthy", 5}, {"degraded", 1},
                                               {"down", 2},    {"cert_mismatch", 0},
                                               {"unknown", 1}, {"total", 12}};
  const Series series = series_of(good(CertctlCollector::kHealthChecks, server).counted.text);
  CHECK(series.at("certctl_state_health_checks{status=\"healthy\"}") == 5);
  CHECK(series.at("certctl_state_health_checks{status=\"cert_mismatch\"}") == 0);
  CHECK(series.at("certctl_state_health_checks{status=\"other\"}") == 3);
  CHECK(series.size() == 6);
}

TEST_CASE("a summary that cannot be is refused with its place") {
  const auto told = [](CertctlCollector collector, const std::string& json) {
    const Error error = bad(collector, json);
    CHECK(error.code == ErrorCode::kProtocol);
    return error.detail;
  };
  using enum CertctlCollector;
  CHECK(told(kDiscovery, "null") == "discovered certificates: the answer is null, not an object");
  CHECK(told(kDiscovery, R"({"Managed":-1})") ==
        "discovered certificates: the answer.Managed is not a count");
  CHECK(told(kDiscovery, R"({"Managed":1,"Managed":2})") ==
        "discovered certificates: an object of its JSON has a key twice");
  CHECK(told(kHealthChecks, R"({"healthy":1})") == "health checks: the answer.total is missing");
  CHECK(told(kHealthChecks, R"({"healthy":2,"total":1})") ==
        "health checks: total is less than its parts");
  CHECK(told(kHealthChecks, R"({"healthy":"2","total":1})") ==
        "health checks: the answer.healthy is not a count");
}

TEST_CASE("a row that cannot be is refused with its place") {
  using enum CertctlCollector;
  const auto told = [](CertctlCollector collector, const std::string& row) {
    const Error error = bad(collector, envelope(row));
    CHECK(error.code == ErrorCode::kProtocol);
    return error.detail;
  };
  CHECK(told(kCertificates, R"({"id":"a","status":"Active","expires_at":"tomorrow"})") ==
        "certificates: data[0].expires_at is no time (RFC 3339)");
  CHECK(told(kCertificates, R"({"id":"a","expires_at":null})") ==
        "certificates: data[0].status is missing");
  CHECK(told(kCertificates, R"({"id":"a","status":"Active","name":{"x":1}})") ==
        "certificates: data[0].name is an object, not a string");
  CHECK(told(kAgents, R"({"id":"a","status":"Online","last_heartbeat_at":5})") ==
        "agents: data[0].last_heartbeat_at is a number, not a string");
  CHECK(told(kIssuers, R"({"id":"a","type":"ACME","enabled":"true"})") ==
        "issuers: data[0].enabled is a string, not true or false");
  CHECK(told(kIssuers, R"({"id":"a","type":"ACME"})") == "issuers: data[0].enabled is missing");
  CHECK(told(kJobs, R"({"id":"a","type":null,"status":"Failed"})") ==
        "jobs: data[0].type is missing");
  CHECK(told(kNotifications, R"({"status":"dead"})") == "notifications: data[0].id is missing");
}

TEST_CASE("requests for 332, 1,000 and 10,332 certificates") {
  for (const auto& [rows, requests] :
       {std::pair{332U, 1U}, {499U, 1U}, {500U, 2U}, {501U, 4U}, {1'000U, 4U}, {10'332U, 42U}}) {
    CertctlServer server;
    for (std::size_t i = 0; i < rows; ++i) {
      server.tables["certificates"].push_back(
          certificate(std::to_string(i), i % 3 == 0 ? "Expired" : "Active", days(40)));
    }
    const Read read = good(CertctlCollector::kCertificates, server);
    CHECK(read.requests == requests);
    CHECK(read.counted.upstream.at("certctl_certificate_total") == rows);
    const std::size_t expired = (rows + 2) / 3;
    CHECK(read.counted.upstream.at("certctl_certificate_expired") == static_cast<double>(expired));
  }
}

TEST_CASE("an inventory at 1,000 certificates takes ten requests, besides auth/me and version") {
  CertctlServer server;
  for (int i = 0; i < 1'000; ++i) {
    server.tables["certificates"].push_back(certificate(std::to_string(i), "Active", days(40)));
  }
  for (const char* name : {"agents", "jobs", "issuers", "notifications"}) server.tables[name] = {};
  server.summaries["discovery-summary"] = Json::object();
  server.summaries["health-checks/summary"] = {{"total", 0}};
  std::size_t requests = 0;
  for (std::size_t i = 0; i < kCertctlCollectorCount; ++i) {
    const auto collector = static_cast<CertctlCollector>(i);
    if (collector != CertctlCollector::kMetrics) requests += good(collector, server).requests;
  }
  CHECK(requests == 10);
}

}  // namespace bao_exporter::certctl
