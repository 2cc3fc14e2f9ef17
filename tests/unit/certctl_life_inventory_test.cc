// The inventory lane of one certctl server: what the key may do, then one list after the other.
#include "catch.h"
#include "support/certctl_life_driver.h"

namespace bao_exporter::certctl {

namespace {

using namespace test;  // NOLINT(google-build-using-namespace): the driver of this test

constexpr minutes kInventory{15};
const std::vector<std::string> kWhole = {
    kPowersPath, kVersionPath, kCertificatesPath,       kAgentsPath,
    kJobsPath,   kIssuersPath, "/api/v1/notifications", "/api/v1/discovery-summary",
    kHealthPath};

std::string detail_of(const LifeDriver& certctl, NoteKind kind) {
  for (const Note& note : certctl.notes) {
    if (note.kind == kind) return note.error.detail;
  }
  return "no such note";
}

}  // namespace

TEST_CASE("certctl: an inventory asks for the powers, the version, and each list") {
  const LifeDriver certctl = running();
  CHECK(certctl.paths(Lane::kInventory) == kWhole);
  CHECK(certctl.ups() == kCertctlCollectorCount);
  CHECK(certctl.tells("certctl_state_info{version=\"2.1.7\"} 1\n"));
  CHECK(certctl.tells("certctl_state_issuers{"));
  CHECK(detail_of(certctl, NoteKind::kInventory) == "9 requests in 0.090 s");
  CHECK(certctl.notes.size() == 1);
}

TEST_CASE("certctl: inventories come at their interval") {
  LifeDriver certctl = running();
  certctl.pass(hours(2));
  CHECK(certctl.times(kPowersPath).size() == 9);
  for (const Milliseconds at : certctl.times(kPowersPath)) CHECK(at % kInventory == seconds(0));
}

TEST_CASE("certctl: a day at the defaults is at most 2,880 audit rows") {
  LifeDriver certctl = running();
  for (int i = 0; i < 997; ++i) certctl.server.add_certificate(std::to_string(i));
  certctl.pass(kInventory);
  const std::size_t from = certctl.sent.size();
  certctl.pass(hours(24));
  CHECK(certctl.keyed(from) <= 2'880);
  CHECK(certctl.ups() == kCertctlCollectorCount);
}

TEST_CASE("certctl: a list that fails is alone in that, and back after the next good poll") {
  LifeDriver certctl = running();
  const std::string failing = GENERATE(std::string(kCertificatesPath), std::string(kAgentsPath));
  const Collector which = failing == kAgentsPath ? Collector::kAgents : Collector::kCertificates;
  certctl.server.instead[failing] = json(200, R"({"data":"no list"})");
  certctl.pass(kInventory);
  CHECK(certctl.ups() == kCertctlCollectorCount - 1);
  CHECK(certctl.reason(which) == ErrorCode::kProtocol);
  const std::string name(certctl_collector_name(which));
  CHECK(certctl.tells("collector_up{collector=\"" + name + "\"} 0\n"));
  CHECK(certctl.tells("last_reason{collector=\"" + name + "\",reason=\"protocol\"} 1\n"));
  CHECK(certctl.tells("last_success_timestamp_seconds{collector=\"" + name + "\"} "));
  CHECK_FALSE(certctl.tells("certctl_state_" + name + "{"));

  certctl.server.instead.clear();
  const std::size_t from = certctl.sent.size();
  certctl.pass(minutes(1));
  CHECK(certctl.paths(Lane::kInventory, from) == std::vector<std::string>{failing});
  CHECK(certctl.ups() == kCertctlCollectorCount);
  CHECK(certctl.notes_of(NoteKind::kFailed) == 1);
  CHECK(certctl.notes_of(NoteKind::kRecovered, which) == 1);
}

TEST_CASE("certctl: a list that goes on failing is tried ever more rarely") {
  LifeDriver certctl = running();
  certctl.server.instead[kAgentsPath] = json(200, "[]");
  certctl.pass(kInventory);
  const std::size_t from = certctl.sent.size();
  certctl.pass(hours(1));
  const std::size_t early = certctl.count(kAgentsPath, from);
  CHECK(early >= 6);
  CHECK(early <= 12);
  certctl.pass(hours(5));
  const std::size_t later = certctl.sent.size();
  certctl.pass(hours(4));
  CHECK(certctl.count(kAgentsPath, later) <= 33);
  CHECK(certctl.notes_of(NoteKind::kFailed) == 1);
}

TEST_CASE("certctl: two timeouts in a row end the inventory") {
  LifeDriver certctl = running();
  certctl.server.silent = {kCertificatesPath, kAgentsPath, kJobsPath, kMetricsPath};
  const std::size_t from = certctl.sent.size();
  certctl.pass(kInventory + minutes(1));
  CHECK(certctl.count(kCertificatesPath, from) == 1);
  CHECK(certctl.count(kAgentsPath, from) == 1);
  CHECK(certctl.count(kJobsPath, from) == 0);
  CHECK(certctl.reason(Collector::kJobs) == ErrorCode::kTimeout);
}

TEST_CASE("certctl: one locked table does not cost the others theirs") {
  LifeDriver certctl = running();
  certctl.server.silent = {kAgentsPath};
  certctl.pass(kInventory + minutes(1));
  CHECK(certctl.reason(Collector::kAgents) == ErrorCode::kTimeout);
  CHECK(certctl.ups() == kCertctlCollectorCount - 1);
  certctl.server.silent.clear();
  certctl.pass(minutes(2));
  CHECK(certctl.ups() == kCertctlCollectorCount);
}

TEST_CASE("certctl: a server that goes away ends the inventory, for all that is left of it") {
  LifeDriver certctl = running();
  certctl.server.instead[kJobsPath] = failed(ErrorCode::kReset);
  certctl.server.instead[kMetricsPath] = failed(ErrorCode::kReset);
  const std::size_t from = certctl.sent.size();
  certctl.pass(kInventory);
  CHECK(certctl.count(kIssuersPath, from) == 0);
  CHECK(certctl.up(Collector::kAgents));
  CHECK(certctl.reason(Collector::kJobs) == ErrorCode::kReset);
  CHECK(certctl.reason(Collector::kIssuers) == ErrorCode::kReset);
  CHECK(certctl.reason(Collector::kHealthChecks) == ErrorCode::kReset);
  certctl.pass(minutes(10));
  CHECK(certctl.count(kIssuersPath, from) == 0);
  certctl.server.instead.clear();
  certctl.pass(minutes(1));
  CHECK(certctl.ups() == kCertctlCollectorCount);
}

TEST_CASE("certctl: after the server was away, however long, all is back with the next poll") {
  LifeDriver certctl = running();
  certctl.server.instead[""] = failed(ErrorCode::kConnect);
  certctl.pass(hours(7));
  CHECK(certctl.ups() == 0);
  CHECK(certctl.notes_of(NoteKind::kFailed) == kCertctlCollectorCount);
  certctl.server.instead.clear();
  certctl.pass(minutes(1) + seconds(5));
  CHECK(certctl.ups() == kCertctlCollectorCount);
}

TEST_CASE("certctl: a list with 500 is the database's failure where /ready says so") {
  LifeDriver certctl = running();
  certctl.server.instead[kIssuersPath] = internal_error();
  SECTION("ready: that list's only") {
    certctl.pass(kInventory);
    CHECK(certctl.reason(Collector::kIssuers) == ErrorCode::kServerError);
    CHECK(certctl.ups() == kCertctlCollectorCount - 1);
  }
  SECTION("not ready: all that is left") {
    certctl.before_answer = [&] {
      if (certctl.sent.back().order.path.starts_with(kIssuersPath)) {
        certctl.server.instead[kReadyPath] = database_down();
      }
    };
    certctl.pass(kInventory);
    CHECK(certctl.reason(Collector::kIssuers) == ErrorCode::kDatabaseDown);
    CHECK(certctl.reason(Collector::kDiscovery) == ErrorCode::kDatabaseDown);
    CHECK(certctl.up(Collector::kCertificates));
  }
}

TEST_CASE("certctl: with its database down the powers' 500 is told as that") {
  LifeDriver certctl = running();
  certctl.server.instead["/api/v1/"] = internal_error();
  certctl.server.instead[kReadyPath] = database_down();
  certctl.pass(kInventory);
  for (std::size_t i = 0; i < kCertctlCollectorCount; ++i) {
    CHECK(certctl.reason(static_cast<Collector>(i)) == ErrorCode::kDatabaseDown);
  }
  certctl.server.instead.clear();
  certctl.pass(minutes(1));
  CHECK(certctl.ups() == kCertctlCollectorCount);
}

TEST_CASE("certctl: a limited list is asked for again, five times") {
  LifeDriver certctl = running();
  const std::size_t from = certctl.sent.size();
  SECTION("and is good when that ends") {
    certctl.server.instead[kAgentsPath] = rate_limited(2);
    certctl.before_answer = [&] {
      if (certctl.count(kAgentsPath, from) == 5) certctl.server.instead.clear();
    };
    certctl.pass(kInventory + seconds(30));
    CHECK(certctl.count(kAgentsPath, from) == 5);
    CHECK(certctl.ups() == kCertctlCollectorCount);
    CHECK(certctl.notes_of(NoteKind::kFailed) == 0);
  }
  SECTION("then the inventory ends") {
    certctl.server.instead[kAgentsPath] = rate_limited(100);
    certctl.pass(kInventory);
    CHECK(certctl.count(kAgentsPath, from) == 1);
    certctl.pass(minutes(2) + seconds(35));
    CHECK(certctl.count(kAgentsPath, from) == 6);
    const auto times = certctl.times(kAgentsPath);
    CHECK(times.back() - times[times.size() - 2] == seconds(30) + Milliseconds(10));
    CHECK(certctl.reason(Collector::kAgents) == ErrorCode::kRateLimited);
    CHECK(certctl.reason(Collector::kIssuers) == ErrorCode::kRateLimited);
    CHECK(certctl.up(Collector::kCertificates));
  }
  SECTION("the powers too") {
    certctl.server.instead[kPowersPath] = rate_limited(2);
    certctl.before_answer = [&] {
      if (certctl.count(kPowersPath, from) == 3) certctl.server.instead.clear();
    };
    certctl.pass(kInventory + seconds(10));
    CHECK(certctl.ups() == kCertctlCollectorCount);
    CHECK(certctl.notes_of(NoteKind::kFailed) == 0);
  }
}

TEST_CASE("certctl: a list that changes all the time is inconsistent, and its families end") {
  LifeDriver certctl = running();
  for (int i = 0; i < 600; ++i) certctl.server.add_certificate("more-" + std::to_string(i));
  int rows = 0;
  certctl.server.lists.before_each_statement = [&] {
    certctl.server.add_certificate("new-" + std::to_string(++rows));
  };
  certctl.pass(kInventory);
  CHECK(certctl.reason(Collector::kCertificates) == ErrorCode::kInconsistent);
  CHECK_FALSE(certctl.tells("certctl_state_certificates{"));
  CHECK(certctl.ups() == kCertctlCollectorCount - 1);
}

TEST_CASE("certctl: a list has half the inventory's interval") {
  CertctlConfig config = certctl_config();
  config.inventory_interval = seconds(80);
  LifeDriver certctl(config);
  for (int i = 0; i < 3'000; ++i) certctl.server.add_certificate(std::to_string(i));
  certctl.latency = seconds(9);  // 7 pages, twice
  certctl.key();
  certctl.pass(seconds(18) + seconds(39));
  CHECK(certctl.reason(Collector::kCertificates) == ErrorCode::kNotPolled);
  certctl.pass(seconds(2));
  CHECK(certctl.reason(Collector::kCertificates) == ErrorCode::kTimeout);
}

TEST_CASE("certctl: costly lists are read at every sixth inventory") {
  LifeDriver certctl;
  certctl.server.add_jobs(600);
  certctl.key();
  certctl.pass(hours(4) + seconds(5));
  CHECK(certctl.count("/api/v1/jobs?page=1&") == 2 * 3);  // two readings each
  CHECK(certctl.count(kIssuersPath) == 17);
  CHECK(certctl.up(Collector::kJobs));

  SECTION("but when one failed it is tried again as any") {
    certctl.server.instead[kJobsPath] = json(200, "[]");
    certctl.pass(hours(1));
    CHECK(certctl.reason(Collector::kJobs) == ErrorCode::kProtocol);
    certctl.server.instead.clear();
    certctl.pass(kInventory);
    CHECK(certctl.up(Collector::kJobs));
    const std::size_t from = certctl.sent.size();
    certctl.pass(minutes(44));
    CHECK(certctl.count(kJobsPath, from) == 0);
  }
}

TEST_CASE("certctl: health checks that are switched off are told once, and left out") {
  LifeDriver certctl;
  certctl.server.instead[kHealthPath] = internal_error();
  certctl.key();
  certctl.pass(seconds(5));
  CHECK(certctl.notes_of(NoteKind::kSwitchedOff, Collector::kHealthChecks) == 1);
  CHECK(certctl.notes_of(NoteKind::kFailed) == 0);
  CHECK_FALSE(certctl.tells("health_checks"));
  certctl.pass(hours(24));
  CHECK(certctl.count(kHealthPath) <= 5);
  CHECK(certctl.count(kHealthPath) >= 4);
  CHECK(certctl.notes_of(NoteKind::kSwitchedOff) == 1);

  SECTION("they are found when they are switched on") {
    certctl.server.instead.clear();
    certctl.pass(hours(6) + minutes(1));
    CHECK(certctl.up(Collector::kHealthChecks));
    CHECK(certctl.tells("certctl_state_health_checks{status=\"healthy\"} 1"));
    // And off again: that is news.
    certctl.server.instead[kHealthPath] = internal_error();
    certctl.pass(kInventory);
    CHECK(certctl.notes_of(NoteKind::kSwitchedOff) == 2);
    CHECK_FALSE(certctl.tells("health_checks"));
  }
  SECTION("at once with another key") {
    certctl.server.instead.clear();
    certctl.key();
    certctl.pass(seconds(5));
    CHECK(certctl.up(Collector::kHealthChecks));
  }
}

TEST_CASE("certctl: health checks that were asked for by name fail like any") {
  LifeDriver certctl(certctl_config({Collector::kMetrics, Collector::kHealthChecks}));
  certctl.server.instead[kHealthPath] = internal_error();
  certctl.key();
  certctl.pass(seconds(5));
  CHECK(certctl.reason(Collector::kHealthChecks) == ErrorCode::kServerError);
  CHECK(certctl.tells("collector_up{collector=\"health_checks\"} 0"));
  CHECK(certctl.notes_of(NoteKind::kSwitchedOff) == 0);
}

TEST_CASE("certctl: a database that is down does not switch health checks off") {
  LifeDriver certctl = running();
  certctl.server.instead[kHealthPath] = internal_error();
  certctl.before_answer = [&] {
    if (certctl.sent.back().order.path.starts_with(kHealthPath)) {
      certctl.server.instead[kReadyPath] = database_down();
    }
  };
  certctl.pass(kInventory);
  CHECK(certctl.reason(Collector::kHealthChecks) == ErrorCode::kDatabaseDown);
  CHECK(certctl.notes_of(NoteKind::kSwitchedOff) == 0);
}

TEST_CASE("certctl: without its version a server is told without") {
  LifeDriver certctl;
  certctl.server.instead[kVersionPath] = plain(404, "404 page not found");
  certctl.key();
  certctl.pass(seconds(5));
  CHECK(certctl.ups() == kCertctlCollectorCount);
  CHECK_FALSE(certctl.tells("certctl_state_info"));
}

}  // namespace bao_exporter::certctl
