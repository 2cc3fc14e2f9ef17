// What one certctl server's key may do, and what becomes of it.
#include "catch.h"
#include "support/certctl_life_driver.h"

namespace bao_exporter::certctl {

namespace {

using namespace test;  // NOLINT(google-build-using-namespace): the driver of this test

constexpr minutes kInventory{15};
constexpr minutes kInterval{1};

CertctlConfig refusing(CertctlConfig config = certctl_config()) {
  config.refuse_excess = true;
  return config;
}

LifeDriver with_metrics_read_only() {
  LifeDriver certctl;
  certctl.server.permissions = {"metrics.read"};
  certctl.key();
  certctl.pass(seconds(5));
  return certctl;
}

}  // namespace

TEST_CASE("certctl: a key with metrics.read only is used for the metrics only") {
  LifeDriver certctl = with_metrics_read_only();
  CHECK(certctl.up(Collector::kMetrics));
  CHECK(certctl.ups() == 1);
  CHECK(certctl.reason(Collector::kHealthChecks) == ErrorCode::kForbidden);
  CHECK(certctl.tells("last_reason{collector=\"agents\",reason=\"forbidden\"} 1"));
  CHECK(certctl.notes_of(NoteKind::kFailed) == kCertctlCollectorCount - 1);
  const std::size_t from = certctl.sent.size();
  certctl.pass(hours(24));
  CHECK(certctl.keyed(from) == 24 * 60 + 24 * 4);  // metrics, and what the key may do
  CHECK(certctl.notes_of(NoteKind::kFailed) == kCertctlCollectorCount - 1);
}

TEST_CASE("certctl: collectors without permission come back when it is given") {
  LifeDriver certctl = with_metrics_read_only();
  certctl.server.permissions.insert("issuer.read");
  SECTION("at the next inventory") { certctl.pass(kInventory); }
  SECTION("at the first inventory that learns of it") {
    certctl.server.silent.insert(kPowersPath);
    certctl.pass(kInventory);
    certctl.server.silent.clear();
    certctl.pass(kInventory);
  }
  SECTION("with another key") {
    certctl.key();
    certctl.pass(seconds(5));
  }
  CHECK(certctl.up(Collector::kIssuers));
  CHECK(certctl.ups() == 2);
}

TEST_CASE("certctl: a list with 403 is left alone until the key or what it may do changes") {
  LifeDriver certctl = running();
  certctl.server.instead[kAgentsPath] = not_permitted();
  certctl.pass(kInventory);
  CHECK(certctl.reason(Collector::kAgents) == ErrorCode::kForbidden);
  CHECK(certctl.ups() == kCertctlCollectorCount - 1);
  const std::size_t from = certctl.sent.size();
  certctl.pass(minutes(14));
  CHECK(certctl.count(kAgentsPath, from) == 0);

  SECTION("though auth/me has the permission all the time") {
    certctl.pass(hours(4));
    CHECK(certctl.count(kAgentsPath, from) == 0);
    CHECK(certctl.notes_of(NoteKind::kFailed) == 1);
    certctl.server.instead.clear();
    certctl.key();
    certctl.pass(seconds(5));
    CHECK(certctl.up(Collector::kAgents));
  }
  SECTION("and it comes back when auth/me had it no more, and has it again") {
    certctl.server.permissions.erase("agent.read");
    certctl.pass(kInventory);
    certctl.server.instead.clear();
    certctl.server.permissions.insert("agent.read");
    certctl.pass(kInventory);
    CHECK(certctl.up(Collector::kAgents));
  }
  SECTION("where they have it no more, not at all") {
    certctl.server.permissions.erase("agent.read");
    certctl.pass(hours(4));
    CHECK(certctl.count(kAgentsPath, from) == 0);
  }
}

TEST_CASE("certctl: a permission that is taken away ends the collector's families") {
  LifeDriver certctl = running();
  CHECK(certctl.tells("certctl_state_certificates{"));
  certctl.server.permissions.erase("cert.read");
  certctl.pass(kInventory);
  CHECK(certctl.reason(Collector::kCertificates) == ErrorCode::kForbidden);
  CHECK_FALSE(certctl.tells("certctl_state_certificates{"));
}

TEST_CASE("certctl: a collector that is listed needs its permission all the same") {
  LifeDriver certctl(certctl_config({Collector::kMetrics, Collector::kJobs}));
  certctl.server.permissions.erase("job.read");
  certctl.key();
  certctl.pass(hours(1));
  CHECK(certctl.reason(Collector::kJobs) == ErrorCode::kForbidden);
  CHECK(certctl.count(kJobsPath) == 0);
}

TEST_CASE("certctl: a key that is rejected costs one request in each interval") {
  LifeDriver certctl = running();
  certctl.server.key_known = false;
  certctl.pass(kInterval);
  CHECK(certctl.notes_of(NoteKind::kKeyRejected) == 1);
  for (std::size_t i = 0; i < kCertctlCollectorCount; ++i) {
    CHECK(certctl.reason(static_cast<Collector>(i)) == ErrorCode::kTokenRejected);
  }
  CHECK(certctl.life.upstream() == nullptr);
  const std::size_t from = certctl.sent.size();
  certctl.pass(hours(10));
  CHECK(certctl.keyed(from) == 600);
  CHECK(certctl.count(kMetricsPath, from) == 600);
  CHECK(certctl.notes_of(NoteKind::kKeyRejected) == 1);

  SECTION("known again, all is read once") {
    certctl.server.key_known = true;
    const std::size_t then = certctl.sent.size();
    certctl.pass(kInterval + seconds(5));
    CHECK(certctl.ups() == kCertctlCollectorCount);
    CHECK(certctl.count(kPowersPath, then) == 1);
    CHECK(certctl.count(kCertificatesPath, then) == 1);
    CHECK(certctl.notes_of(NoteKind::kRecovered) == kCertctlCollectorCount);
  }
  SECTION("known again, that is known though the metrics are broken") {
    certctl.server.key_known = true;
    certctl.server.instead[kMetricsPath] = GENERATE(internal_error(), exposition("no metrics"));
    certctl.pass(kInterval + seconds(5));
    CHECK(certctl.ups() == kCertctlCollectorCount - 1);
  }
  SECTION("another key begins anew") {
    certctl.server.key_known = true;
    certctl.key();
    certctl.pass(seconds(5));
    CHECK(certctl.ups() == kCertctlCollectorCount);
  }
}

TEST_CASE("certctl: a key that was never known costs as little") {
  LifeDriver certctl(GENERATE(certctl_config(), refusing(),
                              certctl_config({Collector::kCertificates}),
                              refusing(certctl_config({Collector::kMetrics}))));
  certctl.server.key_known = false;
  certctl.key();
  certctl.pass(kInterval - seconds(1));
  CHECK(certctl.keyed() <= 2);
  CHECK(certctl.notes_of(NoteKind::kKeyRejected) == 1);
  const std::size_t from = certctl.sent.size();
  certctl.pass(hours(1));
  CHECK(certctl.keyed(from) == 60);
  CHECK(certctl.notes_of(NoteKind::kKeyRejected) == 1);
  CHECK(certctl.ups() == 0);
  CHECK(certctl.tells("reason=\"token_rejected\"} 1"));
  CHECK_FALSE(certctl.tells("reason=\"not_polled\"}"));

  certctl.server.key_known = true;  // the server has been restarted with it
  certctl.pass(2 * kInterval + seconds(5));
  CHECK(certctl.ups() == certctl.notes_of(NoteKind::kRecovered));
  CHECK(certctl.ups() >= 1);
  CHECK_FALSE(certctl.tells("reason=\"token_rejected\"} 1"));
}

TEST_CASE("certctl: a key that is rejected in the middle of an inventory ends it") {
  LifeDriver certctl = running();
  certctl.before_answer = [&] {
    if (certctl.sent.back().order.path.starts_with(kJobsPath)) certctl.server.key_known = false;
  };
  certctl.pass(kInventory + seconds(5));
  CHECK(certctl.reason(Collector::kCertificates) == ErrorCode::kTokenRejected);
  CHECK(certctl.life.reason() == ErrorCode::kTokenRejected);
  CHECK(certctl.life.upstream() == nullptr);
  CHECK_FALSE(certctl.tells("certctl_state_certificates{"));
}

TEST_CASE("certctl: another key drops what is under way, and asks for everything") {
  LifeDriver certctl = running();
  certctl.latency = seconds(3);
  certctl.pass(kInventory);
  const std::size_t from = certctl.sent.size();
  certctl.key();
  CHECK(certctl.paths(Lane::kInventory, from) == std::vector<std::string>{kPowersPath});
  certctl.pass(seconds(40));
  CHECK(certctl.count(kMetricsPath, from) == 1);
  CHECK(certctl.count(kPowersPath, from) == 1);
  CHECK(certctl.ups() == kCertctlCollectorCount);
}

TEST_CASE("certctl: what was known stays told while another key is tried") {
  LifeDriver certctl = running();
  certctl.latency = seconds(1);
  certctl.key();
  certctl.pass(Milliseconds(1'500));
  CHECK(certctl.ups() == kCertctlCollectorCount);
  CHECK(certctl.tells("certctl_state_certificates{"));
}

TEST_CASE("certctl: with another key a list that kept failing is tried as if new") {
  LifeDriver certctl = running();
  certctl.server.instead[kAgentsPath] = json(200, "[]");
  certctl.pass(hours(8));
  certctl.key();
  certctl.pass(seconds(30));
  const std::size_t from = certctl.sent.size();
  certctl.pass(minutes(4));
  CHECK(certctl.count(kAgentsPath, from) >= 2);
}

TEST_CASE("certctl: a key that may do more than read is told, and used") {
  LifeDriver certctl;
  certctl.server.permissions.insert("cert.write");
  certctl.server.admin = true;
  certctl.key();
  certctl.pass(hours(2));
  CHECK(certctl.ups() == kCertctlCollectorCount);
  CHECK(certctl.life.excess() == 2);
  REQUIRE(certctl.notes_of(NoteKind::kExcess) == 1);

  SECTION("more of it is told, less to nothing is not") {
    certctl.server.permissions.insert("job.write");
    certctl.pass(kInventory);
    CHECK(certctl.notes_of(NoteKind::kExcess) == 2);
    certctl.server.permissions.erase("job.write");
    certctl.server.permissions.erase("cert.write");
    certctl.server.admin = false;
    certctl.pass(kInventory);
    CHECK(certctl.notes_of(NoteKind::kExcess) == 2);
    CHECK(certctl.life.excess() == 0);
  }
  SECTION("not again after the powers could not be read") {
    certctl.server.instead[kPowersPath] = json(200, "[]");
    certctl.pass(kInventory);
    certctl.server.instead.clear();
    certctl.pass(kInventory);
    CHECK(certctl.life.excess() == 2);
    CHECK(certctl.notes_of(NoteKind::kExcess) == 1);
  }
}

TEST_CASE("certctl: a key that may do more than read is not used where that is refused") {
  LifeDriver certctl(refusing());
  certctl.server.permissions.insert("cert.write");
  certctl.key();
  certctl.pass(hours(24));
  CHECK(certctl.keyed() == 1);  // what it may do
  CHECK(certctl.count(kReadyPath) > 1'000);
  CHECK(certctl.ups() == 0);
  CHECK(certctl.life.reason() == ErrorCode::kTokenExcess);
  CHECK(certctl.reason(Collector::kJobs) == ErrorCode::kTokenExcess);
  CHECK(certctl.notes_of(NoteKind::kRefused) == 1);
  CHECK(certctl.life.excess() == 1);
  CHECK(certctl.life.upstream() == nullptr);

  SECTION("another one is") {
    certctl.server.permissions.erase("cert.write");
    certctl.key();
    certctl.pass(seconds(5));
    CHECK(certctl.ups() == kCertctlCollectorCount);
  }
}

TEST_CASE("certctl: a key that comes to more than reading is refused from then on") {
  LifeDriver certctl(refusing());
  certctl.key();
  certctl.pass(seconds(5));
  CHECK(certctl.ups() == kCertctlCollectorCount);
  certctl.server.permissions.insert("cert.write");
  certctl.pass(kInventory);
  const std::size_t from = certctl.sent.size();
  certctl.pass(hours(3));
  CHECK(certctl.keyed(from) == 0);
  CHECK(certctl.life.upstream() == nullptr);
  CHECK_FALSE(certctl.tells("certctl_state_certificates{"));
}

TEST_CASE("certctl: where excess is refused, a key of unknown powers is not used") {
  LifeDriver certctl(refusing());
  certctl.server.instead[kPowersPath] = GENERATE(plain(404, "404"), json(200, "[]"));
  certctl.key();
  certctl.pass(hours(2));
  CHECK(certctl.keyed() == certctl.count(kPowersPath));
  CHECK(certctl.ups() == 0);
  CHECK(certctl.life.reason() != ErrorCode::kNotPolled);
  certctl.server.instead.clear();
  certctl.pass(kInventory + kInterval);
  CHECK(certctl.ups() == kCertctlCollectorCount);
}

TEST_CASE("certctl: without auth/me each list says for itself") {
  LifeDriver certctl;
  certctl.server.instead[kPowersPath] = plain(404, "404 page not found");
  certctl.server.instead[kJobsPath] = not_permitted();
  certctl.key();
  certctl.pass(seconds(5));
  CHECK(certctl.ups() == kCertctlCollectorCount - 1);
  CHECK(certctl.reason(Collector::kJobs) == ErrorCode::kForbidden);
  CHECK_FALSE(certctl.life.excess());
  const std::size_t from = certctl.sent.size();
  certctl.pass(hours(2));
  CHECK(certctl.count(kJobsPath, from) == 0);
  CHECK(certctl.count(kPowersPath, from) == 8);
}

TEST_CASE("certctl: powers that cannot be read are asked for ever more rarely") {
  LifeDriver certctl(GENERATE(certctl_config(), certctl_config({Collector::kMetrics})));
  certctl.server.instead[kPowersPath] = json(200, "[]");
  certctl.key();
  certctl.pass(hours(4));
  CHECK(certctl.up(Collector::kMetrics));
  const std::size_t from = certctl.sent.size();
  certctl.pass(hours(4));
  CHECK(certctl.count(kPowersPath, from) <= 33);
  certctl.server.instead.clear();
  certctl.pass(kInventory + kInterval);
  CHECK(certctl.life.excess() == 0);
  CHECK(certctl.reason(Collector::kJobs) ==
        (certctl.ups() == 1 ? ErrorCode::kNotPolled : ErrorCode::kOk));
}

}  // namespace bao_exporter::certctl
