// The metrics lane of one certctl server: /ready, then its exposition.
#include "catch.h"
#include "support/certctl_life_driver.h"
#include "support/relabelling.h"

namespace bao_exporter::certctl {

namespace {

using namespace test;  // NOLINT(google-build-using-namespace): the driver of this test

constexpr seconds kInterval{60};

}  // namespace

TEST_CASE("certctl: nothing is asked before there is a key or word of it") {
  LifeDriver certctl;
  certctl.pass(hours(1));
  CHECK(certctl.sent.empty());
  CHECK(certctl.changes == 0);
}

TEST_CASE("certctl: a poll asks /ready without the key, then the metrics with it") {
  const LifeDriver certctl = running();
  CHECK(certctl.paths(Lane::kMetrics) == std::vector<std::string>{kReadyPath, kMetricsPath});
  CHECK(certctl.count(kReadyPath) == 1);
  for (const auto& [at, order] : certctl.sent) {
    const bool open = order.path == kReadyPath || order.path == kVersionPath;
    CHECK(order.with_key == !open);
  }
  CHECK(certctl.up(Collector::kMetrics));
  CHECK(certctl.life.reason() == ErrorCode::kOk);
  CHECK(certctl.life.upstream() != nullptr);
  CHECK(certctl.tells("certctl_state_ready 1\n"));
}

TEST_CASE("certctl: new relabel rules are in force with the next metrics, and not for the state") {
  LifeDriver certctl = running();
  RelabelRule rule;
  rule.target_label = "by_rule";
  rule.replacement = "x";
  certctl.life.relabel(ready({rule}));
  CHECK(all_lines(*certctl.life.upstream()).find("by_rule") == std::string::npos);
  certctl.pass(std::chrono::minutes(2));
  REQUIRE(certctl.life.upstream() != nullptr);
  CHECK(all_lines(*certctl.life.upstream()).find(",by_rule=\"x\"") != std::string::npos);
  CHECK(certctl.life.state_text().find("by_rule") == std::string::npos);
  certctl.life.relabel(nullptr);
  certctl.pass(std::chrono::minutes(2));
  CHECK(all_lines(*certctl.life.upstream()).find("by_rule") == std::string::npos);
}

TEST_CASE("certctl: the first poll waits until it is known what the key may do") {
  LifeDriver certctl;
  certctl.server.silent.insert(kPowersPath);
  certctl.key();
  certctl.pass(seconds(19));
  CHECK(certctl.count(kReadyPath) == 0);
  certctl.pass(seconds(2));
  CHECK(certctl.count(kMetricsPath) == 1);
}

TEST_CASE("certctl: polls are on a grid, however long each takes") {
  LifeDriver certctl;
  certctl.latency = Milliseconds(3'000);
  certctl.key();
  certctl.pass(minutes(4));
  const auto polls = certctl.times(kReadyPath);
  REQUIRE(polls.size() >= 4);
  for (std::size_t i = 1; i < polls.size(); ++i) CHECK(polls[i] == i * kInterval);
}

TEST_CASE("certctl: polls that were missed are not made up for") {
  LifeDriver certctl = running();
  const std::size_t before = certctl.count(kReadyPath);
  certctl.time += minutes(10) + seconds(30);  // the machine slept
  certctl.pass(seconds(5));
  CHECK(certctl.count(kReadyPath) == before + 1);
  certctl.pass(minutes(5));
  for (const Milliseconds at : certctl.times(kReadyPath)) {
    if (at > minutes(11)) CHECK(at % kInterval == Milliseconds(0));
  }
}

TEST_CASE("certctl: /ready with 503 is the database's failure, and the key stays at home") {
  LifeDriver certctl = running();
  certctl.server.instead[kReadyPath] = database_down();
  const std::size_t metrics = certctl.count(kMetricsPath);
  certctl.pass(kInterval);
  CHECK(certctl.life.reason() == ErrorCode::kDatabaseDown);
  CHECK(certctl.count(kMetricsPath) == metrics);
  CHECK(certctl.life.upstream() == nullptr);
  CHECK(certctl.tells("certctl_state_ready 0\n"));
  CHECK(certctl.notes_of(NoteKind::kFailed, Collector::kMetrics) == 1);
  certctl.pass(5 * kInterval);
  CHECK(certctl.notes_of(NoteKind::kFailed, Collector::kMetrics) == 1);
  certctl.server.instead.clear();
  certctl.pass(kInterval);
  CHECK(certctl.life.reason() == ErrorCode::kOk);
  CHECK(certctl.life.upstream() != nullptr);
  CHECK(certctl.notes_of(NoteKind::kRecovered, Collector::kMetrics) == 1);
}

TEST_CASE("certctl: metrics with 500 are asked about at /ready") {
  LifeDriver certctl = running();
  certctl.server.instead[kMetricsPath] = internal_error();
  const std::size_t from = certctl.sent.size();
  certctl.pass(kInterval);
  CHECK(certctl.paths(Lane::kMetrics, from) ==
        std::vector<std::string>{kReadyPath, kMetricsPath, kReadyPath});
  CHECK(certctl.life.reason() == ErrorCode::kServerError);
  CHECK(certctl.tells("certctl_state_ready 1\n"));

  SECTION("where it is the database it says so") {
    certctl.before_answer = [&] {
      if (certctl.sent.back().order.path == kMetricsPath) {
        certctl.server.instead[kReadyPath] = database_down();
      }
    };
    certctl.pass(kInterval);
    CHECK(certctl.life.reason() == ErrorCode::kDatabaseDown);
    CHECK(certctl.tells("certctl_state_ready 0\n"));
  }
}

TEST_CASE("certctl: a server that cannot be reached is not ready, for that reason") {
  LifeDriver certctl = running();
  certctl.server.instead[""] = failed(ErrorCode::kTls);
  certctl.pass(kInterval);
  CHECK(certctl.life.reason() == ErrorCode::kTls);
  CHECK(certctl.tells("certctl_state_ready 0\n"));
  CHECK(certctl.tells("last_reason{collector=\"metrics\",reason=\"tls\"} 1"));
}

TEST_CASE("certctl: a poll that hangs ends with the timeout, and the next one is on time") {
  LifeDriver certctl = running();
  certctl.server.silent.insert(kMetricsPath);
  certctl.pass(seconds(55) + seconds(19));
  CHECK(certctl.life.reason() == ErrorCode::kOk);
  certctl.pass(seconds(2));
  CHECK(certctl.life.reason() == ErrorCode::kTimeout);
  certctl.server.silent.clear();
  certctl.pass(seconds(45));
  CHECK(certctl.life.reason() == ErrorCode::kOk);
  CHECK(certctl.times(kReadyPath).back() == 2 * kInterval);
}

TEST_CASE("certctl: metrics that are no exposition are never told") {
  LifeDriver certctl = running();
  certctl.server.instead[kMetricsPath] = exposition("certctl_certificate_total 3\ncertctl_cert");
  certctl.pass(kInterval);
  CHECK(certctl.life.reason() != ErrorCode::kOk);
  CHECK(certctl.life.upstream() == nullptr);
  certctl.server.instead[kMetricsPath] = json(200, "{}");
  certctl.pass(kInterval);
  CHECK(certctl.life.reason() == ErrorCode::kProtocol);
}

TEST_CASE("certctl: metrics with 403 are left alone until the key changes") {
  LifeDriver certctl = running();
  certctl.server.permissions.erase("metrics.read");
  certctl.server.instead[kMetricsPath] = not_permitted();
  certctl.pass(kInterval);
  CHECK(certctl.life.reason() == ErrorCode::kForbidden);
  const std::size_t metrics = certctl.count(kMetricsPath);
  const std::size_t ready = certctl.count(kReadyPath);
  certctl.pass(hours(1));
  CHECK(certctl.count(kMetricsPath) == metrics);
  CHECK(certctl.count(kReadyPath) == ready + 60);
  CHECK(certctl.notes_of(NoteKind::kFailed, Collector::kMetrics) == 1);
  certctl.server.permissions.insert("metrics.read");
  certctl.server.instead.clear();
  certctl.key();
  certctl.pass(seconds(5));
  CHECK(certctl.life.reason() == ErrorCode::kOk);
}

TEST_CASE("certctl: limited metrics are asked for again after Retry-After") {
  LifeDriver certctl = running();
  certctl.server.instead[kMetricsPath] = rate_limited(7);
  certctl.pass(seconds(56));
  const std::size_t before = certctl.count(kMetricsPath);
  certctl.pass(Milliseconds(5'900));
  CHECK(certctl.count(kMetricsPath) == before);
  certctl.server.instead.clear();
  certctl.pass(Milliseconds(1'000));
  CHECK(certctl.count(kMetricsPath) == before + 1);
  CHECK(certctl.life.reason() == ErrorCode::kOk);
  CHECK(certctl.notes_of(NoteKind::kFailed) == 0);
}

TEST_CASE("certctl: limited metrics are asked for five times more, and not past the deadline") {
  LifeDriver certctl = running();
  const std::size_t before = certctl.count(kMetricsPath);
  SECTION("five times") {
    certctl.server.instead[kMetricsPath] = rate_limited(std::nullopt);
    certctl.pass(seconds(85));
    CHECK(certctl.count(kMetricsPath) == before + 6);
  }
  SECTION("within the deadline") {
    certctl.server.instead[kMetricsPath] = rate_limited(8);
    certctl.pass(seconds(85));
    CHECK(certctl.count(kMetricsPath) == before + 3);
  }
  SECTION("a wait that is too long is not begun") {
    certctl.server.instead[kMetricsPath] = rate_limited(3'600);
    certctl.pass(seconds(85));
    CHECK(certctl.count(kMetricsPath) == before + 1);
  }
  SECTION("a wait of nothing is a second") {
    certctl.server.instead[kMetricsPath] = rate_limited(0);
    certctl.pass(seconds(85));
    CHECK(certctl.count(kMetricsPath) == before + 6);
  }
  CHECK(certctl.life.reason() == ErrorCode::kRateLimited);
  certctl.server.instead.clear();
  certctl.pass(kInterval);
  CHECK(certctl.life.reason() == ErrorCode::kOk);
}

TEST_CASE("certctl: it is told first when both lanes have ended once") {
  LifeDriver certctl;
  certctl.latency = Milliseconds(300);
  certctl.key();
  while (!certctl.life.is_ready_to_tell()) REQUIRE(certctl.step(seconds(30)));
  CHECK(certctl.changes == 1);
  CHECK(certctl.ups() == kCertctlCollectorCount);
}

TEST_CASE("certctl: it is told first after five seconds where an inventory takes long") {
  LifeDriver certctl;
  certctl.server.silent.insert(kAgentsPath);
  certctl.key();
  certctl.pass(Milliseconds(4'900));
  CHECK(certctl.changes == 0);
  certctl.pass(Milliseconds(200));
  CHECK(certctl.changes == 1);
  CHECK(certctl.up(Collector::kMetrics));
  CHECK_FALSE(certctl.tells("collector_up{collector=\"agents\"}"));
  certctl.pass(seconds(30));
  CHECK(certctl.tells("collector_up{collector=\"agents\"} 0"));
}

TEST_CASE("certctl: where nothing is known after five seconds, the first lane's end is told") {
  LifeDriver certctl;
  certctl.server.silent.insert("");
  certctl.key();
  certctl.pass(seconds(19));
  CHECK(certctl.changes == 0);
  certctl.pass(seconds(2));
  CHECK(certctl.changes == 1);
  CHECK(certctl.reason(Collector::kCertificates) == ErrorCode::kTimeout);
}

TEST_CASE("certctl: without a key all collectors say so, at once and for good") {
  LifeDriver certctl;
  certctl.no_key();
  CHECK(certctl.changes == 1);
  CHECK(certctl.life.reason() == ErrorCode::kTokenUnreadable);
  CHECK(certctl.tells("last_reason{collector=\"certificates\",reason=\"token_unreadable\"} 1"));
  CHECK(certctl.notes_of(NoteKind::kFailed) == kCertctlCollectorCount);

  SECTION("/ready needs none, and tells that the exporter is alive") {
    certctl.pass(3 * kInterval);
    CHECK(certctl.changes == 4);  // so what is told does not become overdue
    CHECK(certctl.keyed() == 0);
    CHECK(certctl.tells("certctl_state_ready 1\n"));
    CHECK(certctl.life.reason() == ErrorCode::kTokenUnreadable);
    certctl.server.instead[kReadyPath] = database_down();
    certctl.pass(kInterval);
    CHECK(certctl.tells("certctl_state_ready 0\n"));
    CHECK(certctl.life.reason() == ErrorCode::kTokenUnreadable);
    CHECK(certctl.notes_of(NoteKind::kFailed) == kCertctlCollectorCount);
  }
  SECTION("it all begins with the key") {
    certctl.pass(kInterval);
    certctl.key();
    certctl.pass(seconds(5));
    CHECK(certctl.ups() == kCertctlCollectorCount);
    CHECK(certctl.notes_of(NoteKind::kRecovered) == kCertctlCollectorCount);
  }
}

TEST_CASE("certctl: a collector that is not listed is neither asked nor told") {
  LifeDriver certctl(certctl_config({Collector::kCertificates, Collector::kIssuers}));
  certctl.key();
  certctl.pass(minutes(20));
  CHECK(certctl.count(kMetricsPath) == 0);
  CHECK(certctl.count(kAgentsPath) == 0);
  CHECK(certctl.count(kReadyPath) == 21);
  CHECK(certctl.count(kIssuersPath) == 2);
  CHECK(certctl.ups() == 2);
  CHECK_FALSE(certctl.tells("collector=\"metrics\""));
  CHECK(certctl.life.upstream() == nullptr);
  CHECK(certctl.life.reason() == ErrorCode::kOk);
}

TEST_CASE("certctl: SIGHUP asks at once what waits, and nothing twice") {
  LifeDriver certctl = running();
  const std::size_t from = certctl.sent.size();
  certctl.try_now();
  certctl.pass(seconds(5));
  CHECK(certctl.count(kMetricsPath, from) == 1);
  CHECK(certctl.count(kPowersPath, from) == 1);
  certctl.pass(minutes(14));
  CHECK(certctl.count(kPowersPath, from) == 1);

  SECTION("an inventory that is under way is not followed by another") {
    certctl.latency = seconds(1);
    certctl.key();
    certctl.pass(Milliseconds(3'500));
    const std::size_t before = certctl.sent.size();
    certctl.try_now();
    certctl.pass(seconds(40));
    CHECK(certctl.count(kPowersPath, before) == 0);
  }
}

TEST_CASE("certctl: with another count than its lists' it is told, until they agree") {
  LifeDriver certctl;
  certctl.server.more_certificates_told = 5;
  certctl.key();
  certctl.pass(seconds(65));
  CHECK(certctl.tells("count_mismatch{family=\"certctl_certificate_total\"} 1"));
  REQUIRE(certctl.notes_of(NoteKind::kMismatch) == 1);
  certctl.pass(hours(1));
  CHECK(certctl.notes_of(NoteKind::kMismatch) == 1);
  certctl.server.more_certificates_told = 0;
  certctl.pass(minutes(32));
  CHECK(certctl.tells("count_mismatch{family=\"certctl_certificate_total\"} 0"));
}

TEST_CASE("certctl: rows that came between its count and ours are no mismatch") {
  LifeDriver certctl = running();
  certctl.pass(minutes(14) + seconds(30));
  certctl.server.add_certificate("d");
  certctl.pass(seconds(40));  // the inventory
  certctl.server.add_certificate("e");
  certctl.pass(minutes(2));
  CHECK(certctl.tells("count_mismatch{family=\"certctl_certificate_total\"} 0"));
  CHECK(
      certctl.tells("certctl_state_certificates{status=\"Active\",issuer_id=\"iss\","
                    "environment=\"production\"} 4"));
  CHECK(certctl.notes_of(NoteKind::kMismatch) == 0);
}

TEST_CASE("certctl: a mismatch of a collector that fails is told no more") {
  LifeDriver certctl;
  certctl.server.more_certificates_told = 5;
  certctl.key();
  certctl.pass(seconds(65));
  certctl.server.instead[kCertificatesPath] = json(200, "[]");
  certctl.pass(minutes(15));
  CHECK(certctl.reason(Collector::kCertificates) == ErrorCode::kProtocol);
  CHECK_FALSE(certctl.tells("count_mismatch{"));
}

}  // namespace bao_exporter::certctl
