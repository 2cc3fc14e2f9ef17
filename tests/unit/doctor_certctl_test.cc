// What the doctor says of a certctl server.
#include <nlohmann/json.hpp>

#include "bao_exporter/doctor.h"
#include "catch.h"
#include "certctl/remedies.h"
#include "support/evidence.h"

namespace bao_exporter {

using namespace test;  // NOLINT(google-build-using-namespace): the helpers of this test

namespace {

CollectorEvidence collector(CertctlCollector which, const std::string& permission) {
  CollectorEvidence one;
  one.collector = which;
  one.permission = permission;
  one.may = true;
  one.error = {ErrorCode::kOk, {}};
  if (which != CertctlCollector::kMetrics) one.requests = 1;
  return one;
}

CertctlEvidence healthy() {
  CertctlEvidence server;
  server.config.name = "pki";
  server.config.api_key_file = "/etc/bao/certctl.key";
  server.config.ca_file = "/etc/bao/certctl-ca.pem";
  server.address = good_address(8443);
  server.ready.emplace(true);
  server.version = "2.1.7";
  server.key.emplace(KeyEvidence{19, ""});
  server.collectors = {collector(CertctlCollector::kMetrics, "metrics.read"),
                       collector(CertctlCollector::kCertificates, "cert.read"),
                       collector(CertctlCollector::kJobs, "job.read")};
  server.metrics = state_of({std::nullopt, exposition(small_body("1")), std::nullopt}).latest.part;
  server.counts = {{"certctl_certificate_total", 40, 40, false}};
  server.requests = 6;
  server.inventory_seconds = 0.2;
  return server;
}

void fail_all(CertctlEvidence& server, const Error& error) {
  for (CollectorEvidence& one : server.collectors) {
    one.error = error;
    one.requests = 0;
  }
  server.metrics = nullptr;
  server.counts.clear();
}

DoctorReport report_of(CertctlEvidence server) {
  Evidence evidence;
  evidence.now = kNow;
  evidence.certctls.push_back(std::move(server));
  return examine(evidence);
}

std::vector<Finding> findings(CertctlEvidence server, const std::string& check) {
  std::vector<Finding> found;
  for (const Finding& one : report_of(std::move(server)).certctls.at(0).findings) {
    if (one.check == check) found.push_back(one);
  }
  return found;
}

Finding the(CertctlEvidence server, const std::string& check) {
  const std::vector<Finding> found = findings(std::move(server), check);
  CAPTURE(check);
  REQUIRE(found.size() == 1);
  return found.front();
}

// The checks that are not OK, in their order.
std::vector<std::string> bad(CertctlEvidence server) {
  std::vector<std::string> names;
  for (const Finding& one : report_of(std::move(server)).certctls.at(0).findings) {
    if (one.result != CheckResult::kOk) names.push_back(one.check);
  }
  return names;
}

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("a certctl server that is well has every check in order, and all are OK") {
  Names checks;
  for (const Finding& one : report_of(healthy()).certctls.at(0).findings) {
    checks.push_back(one.check);
  }
  CHECK(checks == Names{"dns", "tcp", "tls", "ready", "key", "permission", "collectors", "metrics",
                        "inventory", "counts", "rate"});
  CHECK(bad(healthy()).empty());
  check_ok(the(healthy(), "ready"), "version 2.1.7");
  check_ok(the(healthy(), "permission"), "19 permissions");
  check_ok(the(healthy(), "collectors"), "allowed: metrics, certificates, jobs");
}

TEST_CASE("a server that cannot be reached has no line but that of its address") {
  CertctlEvidence server = healthy();
  server.address.connected_to.clear();
  server.address.tls.reset();
  server.address.failure =
      Error{ErrorCode::kConnect, "Failed to connect to 10.0.0.10 port 8443 (Connection refused)"};
  CHECK(bad(server) == Names{"tcp"});
  check_fail(the(server, "tcp"), ErrorCode::kConnect, "10.0.0.10:8443: connection refused",
             "start certctl");
  CHECK(findings(server, "ready").empty());
}

TEST_CASE("the name of certctl's bootstrap certificate is what server_name is to be set to") {
  CertctlEvidence server = healthy();
  server.address.failure = Error{ErrorCode::kTls, "no alternative certificate subject name"};
  server.address.tls->certificate.names = {"certctl-server", "localhost"};
  server.address.tls->name_matches = false;
  check_fail(the(server, "tls"), ErrorCode::kTls,
             "the certificate is for certctl-server, localhost, not for 10.0.0.10",
             "set server_name = \"certctl-server\" if that is this server");
}

TEST_CASE("words about a certctl server's certificate do not speak of nodes or OpenBao") {
  CertctlEvidence server = healthy();
  server.address.tls = good_certificate(2);
  check_warn(the(server, "tls"), std::nullopt, "2 days left", "reload certctl (SIGHUP)");
  server.address.failure = Error{ErrorCode::kTls, "unable to get local issuer certificate"};
  server.address.tls->chain = ChainFault::kUnknownAuthority;
  check_fail(the(server, "tls"), ErrorCode::kTls, "(/etc/bao/certctl-ca.pem) does not have",
             "is certctl's authority");
  for (std::size_t code = 0; code < kErrorCodeCount; ++code) {
    CHECK_FALSE(certctl::remedy_for(static_cast<ErrorCode>(code)).empty());
  }
}

TEST_CASE("a key that certctl does not know is told once, and apart from one that may not") {
  CertctlEvidence server = healthy();
  const Error rejected{ErrorCode::kTokenRejected, "HTTP 401: the API key is not known"};
  server.key.emplace(rejected);
  fail_all(server, rejected);
  CHECK(bad(server) == Names{"key"});
  check_fail(the(server, "key"), ErrorCode::kTokenRejected, "/etc/bao/certctl.key",
             "CERTCTL_API_KEYS_NAMED");
  CHECK(findings(server, "permission").empty());
  // auth/me was answered, and the key was taken away before the lists.
  server.key.emplace(KeyEvidence{19, ""});
  CHECK(bad(server) == Names{"key"});
}

TEST_CASE("a list that the key may not read is a warning, or a failure where it is asked for") {
  CertctlEvidence server = healthy();
  server.collectors[2].may = false;
  server.collectors[2].error = {ErrorCode::kForbidden, "the key lacks job.read"};
  CHECK(bad(server) == Names{"collectors"});
  check_warn(the(server, "collectors"), ErrorCode::kForbidden, "not allowed: jobs (job.read)",
             "collectors = [\"metrics\", \"certificates\"]");
  server.config.auto_collectors = false;
  check_fail(the(server, "collectors"), ErrorCode::kForbidden, "jobs (job.read)",
             "leave them out of collectors");
}

TEST_CASE("metrics that the key may not read are a failure in any case") {
  CertctlEvidence server = healthy();
  server.collectors[0].may = false;
  server.collectors[0].error = {ErrorCode::kForbidden, "the key lacks metrics.read"};
  server.metrics = nullptr;
  check_fail(the(server, "collectors"), ErrorCode::kForbidden, "metrics (metrics.read)", "add");
  CHECK(bad(server) == Names{"collectors"});
}

TEST_CASE("a key that may write is a warning, and a failure where it is refused") {
  CertctlEvidence server = healthy();
  server.key.emplace(KeyEvidence{21, "admin, cert.write"});
  check_warn(the(server, "permission"), ErrorCode::kTokenExcess, "admin, cert.write", ".read");
  server.config.refuse_excess = true;
  fail_all(server, {ErrorCode::kTokenExcess, "the key may do more than read"});
  CHECK(bad(server) == Names{"permission"});
  check_fail(the(server, "permission"), ErrorCode::kTokenExcess, "it is not used", ".read");
  CHECK(findings(server, "collectors").empty());
}

TEST_CASE("a database that is down is told once, whatever the keyed requests answered") {
  CertctlEvidence server = healthy();
  server.ready.emplace(false);
  server.key.emplace(Error{ErrorCode::kServerError, "HTTP 500: the server failed to answer"});
  fail_all(server, {ErrorCode::kDatabaseDown, "/ready says so"});
  CHECK(bad(server) == Names{"ready"});
  check_fail(the(server, "ready"), ErrorCode::kDatabaseDown, "database", "PostgreSQL");
}

TEST_CASE("too many requests are a warning when they pass, and the one failure when they do not") {
  CertctlEvidence server = healthy();
  server.limited = 2;
  check_warn(the(server, "rate"), ErrorCode::kRateLimited, "2 of 6 requests got HTTP 429",
             "by address, not by key");
  const Error limited{ErrorCode::kRateLimited, "HTTP 429: too many requests from here"};
  server.ready.emplace(limited);
  server.key.emplace(limited);
  fail_all(server, limited);
  CHECK(bad(server) == Names{"rate"});
  check_fail(the(server, "rate"), ErrorCode::kRateLimited, "429", "CERTCTL_RATE_LIMIT_RPS");
}

TEST_CASE("lists that failed alike have one line, others one each") {
  CertctlEvidence server = healthy();
  server.collectors[1].error = {ErrorCode::kTimeout, "timed out"};
  server.collectors[2].error = {ErrorCode::kTimeout, "timed out"};
  check_fail(the(server, "inventory"), ErrorCode::kTimeout, "certificates, jobs: timed out",
             "locked");
  server.collectors[2].error = {ErrorCode::kInconsistent, "changed four times"};
  CHECK(findings(server, "inventory").size() == 2);
}

TEST_CASE("a list that is switched off at the server is no failure") {
  CertctlEvidence server = healthy();
  server.collectors[2].switched_off = true;
  server.collectors[2].error = {ErrorCode::kNotPolled, {}};
  CHECK(bad(server).empty());
  check_ok(the(server, "collectors"), "switched off at the server: jobs");
}

TEST_CASE("what an inventory costs is told in requests, and in audit rows a day") {
  CertctlEvidence server = healthy();
  server.collectors[1].requests = 4;
  server.collectors[2].requests = 8;
  server.collectors[2].inventories = 4;  // large: every fourth time
  const std::string words = the(server, "inventory").finding;
  CHECK(has(words, "13 requests with the key in 200 ms (certificates 4, jobs 8)"));
  // 1,440 of the metrics, and 96 times auth/me, the certificates and a fourth of the jobs.
  CHECK(has(words, "make 2112 rows a day"));
}

TEST_CASE("counts that differ are named, with both of them") {
  CertctlEvidence server = healthy();
  server.counts.push_back({"certctl_certificate_expired", 3, 103, true});
  CHECK(bad(server) == Names{"counts"});
  const Finding finding = the(server, "counts");
  check_warn(finding, std::nullopt,
             "lies about certctl_certificate_expired (it says 3, its lists have 103)",
             "certctl_state_*");
  CHECK_FALSE(has(finding.finding, "certificate_total"));
  server.counts.clear();
  CHECK(findings(server, "counts").empty());
}

TEST_CASE("without auth/me what the key may do is a warning, and the lists tell the rest") {
  CertctlEvidence server = healthy();
  server.key.emplace(Error{ErrorCode::kNotFound, "HTTP 404: nothing at this path"});
  server.collectors[2].error = {ErrorCode::kForbidden, "HTTP 403: the API key lacks it"};
  CHECK(bad(server) == Names{"permission", "inventory"});
}

TEST_CASE("text and JSON have the certctl servers after the nodes") {
  DoctorReport report;
  report.nodes.push_back({"prod", "a", {{"dns", CheckResult::kOk, std::nullopt, "fine", ""}}});
  report.certctls.push_back(
      {"pki", {{"key", CheckResult::kFail, ErrorCode::kTokenRejected, "no", "write it"}}});
  CHECK(report.result() == CheckResult::kFail);
  CHECK(doctor_text(report) ==
        "NODE    CHECK  RESULT  FINDING\n"
        "prod/a  dns    OK      fine\n"
        "pki     key    FAIL    no [token_rejected] -> write it\n"
        "FAIL: 1 OK, 0 WARN, 1 FAIL\n");
  const auto json = nlohmann::json::parse(doctor_json(report));
  CHECK(json["certctls"][0]["certctl"] == "pki");
  CHECK(json["certctls"][0]["checks"][0]["reason"] == "token_rejected");
  CHECK(json["result"] == "FAIL");
}

TEST_CASE("bytes of a certctl server reach no terminal as they are") {
  CertctlEvidence server = healthy();
  server.version = "2\x1b[2J";
  server.key.emplace(KeyEvidence{1, "x\n.write"});
  const std::string text = doctor_text(report_of(server));
  CHECK(has(text, "2\\x1b[2J"));
  CHECK(has(text, "x\\x0a.write"));
}

}  // namespace bao_exporter
