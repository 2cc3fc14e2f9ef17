#include "bao_exporter/doctor.h"

#include <nlohmann/json.hpp>

#include "catch.h"
#include "support/answers.h"
#include "support/evidence.h"

namespace bao_exporter {

using namespace test;  // NOLINT(google-build-using-namespace): the helpers of this test

TEST_CASE("a healthy cluster has every check of each node in order, and all are OK") {
  const DoctorReport report = examine(evidence_of({active_node(), standby_node()}));
  INFO(doctor_text(report));
  CHECK(report.result() == CheckResult::kOk);
  REQUIRE(report.nodes.size() == 3);
  const std::vector<std::string> wanted = {"dns",     "tcp",       "tls",   "health",  "token",
                                           "metrics", "retention", "clock", "identity"};
  for (const std::size_t node : {0, 1}) {
    std::vector<std::string> checks;
    for (const Finding& finding : report.nodes[node].findings) checks.push_back(finding.check);
    CHECK(checks == wanted);
  }
  CHECK(report.nodes[2].node == "-");
  check_ok(the(report, "-", "capability"), "nothing else");
  check_ok(the(report, "-", "active"), "a is the active node");
  check_ok(the(report, "-", "nodes"), "2 nodes listed");
  check_ok(the(report, "-", "versions"), "2.7.2");
  check_ok(the(report, "-", "names"), "vault_");
  check_ok(the(report, "a", "metrics"), "6 samples of 5 families");
  check_ok(the(report, "a", "identity"), "active (told by health), peer_id raft-1, cluster lab");
  check_ok(the(report, "b", "identity"), "standby");
}

TEST_CASE("every reason has a remedy") {
  for (std::size_t code = 0; code < kErrorCodeCount; ++code) {
    CHECK_FALSE(reason_remedy(static_cast<ErrorCode>(code)).empty());
  }
}

// --- health --------------------------------------------------------------------------

TEST_CASE("a sealed and an uninitialized node fail at health, and nowhere else") {
  NodeEvidence sealed = node_of("a", {health_sealed(), json(503, kVaultSealed), std::nullopt});
  check_fail(the(sealed, "health"), ErrorCode::kSealed, "sealed, version 2.7.2", "unseal it");
  CHECK(silent_on(sealed, "metrics"));
  CHECK(silent_on(sealed, "retention"));
  CHECK(silent_on(sealed, "token"));
  CHECK(silent_on(sealed, "identity"));
  NodeEvidence fresh =
      node_of("a", {health_uninitialized(), json(503, kVaultSealed), std::nullopt});
  check_fail(the(fresh, "health"), ErrorCode::kUninitialized, "uninitialized", "join it");
  CHECK(silent_on(fresh, "metrics"));
  CHECK(silent_on(fresh, "token"));
}

TEST_CASE("a sealed node without api_url is told by its metrics") {
  NodeEvidence node = node_of("a", {std::nullopt, json(503, kVaultSealed), std::nullopt});
  node.metrics = node.api;
  node.api.reset();
  check_ok(the(node, "health"), "no api_url");
  check_fail(the(node, "metrics"), ErrorCode::kSealed, "sealed", "unseal it");
  CHECK(silent_on(node, "token"));
  check_warn(the(node, "identity"), std::nullopt, "neither", "api_url");
}

TEST_CASE("an api_url that answers no health is told, also when the metrics are good") {
  NodeEvidence node = node_of("a", {plain(404, "this listener only serves the metrics endpoint"),
                                    exposition(body_of("1", 7'200)), std::nullopt});
  node.health_problem = Error{ErrorCode::kProtocol, "sys/health: HTTP 404 without JSON"};
  check_fail(the(node, "health"), ErrorCode::kProtocol, "HTTP 404", "API listener");
  check_ok(the(node, "metrics"), "samples");
  check_ok(the(node, "identity"), "active (told by core_active)");
  CHECK(silent_on(node, "clock"));
}

TEST_CASE("a node that goes silent after its handshake fails at health") {
  NodeEvidence node = failing_node({ErrorCode::kTimeout, "timed out"}, true);
  node.api->tls = good_certificate();
  check_ok(the(node, "tls"), "verifies");
  check_fail(the(node, "health"), ErrorCode::kTimeout, "timed out", "load");
  CHECK(silent_on(node, "metrics"));
  CHECK(silent_on(node, "token"));
}

// --- token and capability ------------------------------------------------------------

TEST_CASE("what the node makes of the token is the token check's, with its reason") {
  struct Row {
    Answer answer;
    ErrorCode reason;
    std::string remedy;
  };
  const std::vector<Row> rows = {
      {json(403, kDenied), ErrorCode::kTokenRejected, "bao token create"},
      {json(403, kNoPolicy), ErrorCode::kForbidden, "path \"sys/metrics\""},
      {json(400, kCannotForward), ErrorCode::kStandbyRejected, "token_file"},
  };
  for (const Row& row : rows) {
    const NodeEvidence node = refused_node(row.answer);
    check_fail(the(node, "token"), row.reason, "/etc/bao/token", row.remedy);
    CHECK(silent_on(node, "metrics"));
  }
}

TEST_CASE("without a token none is sent, and a node that wants one is told so") {
  NodeEvidence node = active_node();
  node.token_from.clear();
  check_ok(the(node, "token"), "no token is sent");
  NodeEvidence refused = refused_node(json(403, kDenied));
  refused.token_from.clear();
  check_fail(the(refused, "token"), ErrorCode::kTokenRejected, "asks for one", "metrics_auth");
}

TEST_CASE("what the token may do is one finding of the cluster") {
  const auto with = [](Result<Capabilities> capabilities) {
    Evidence evidence = evidence_of({active_node()});
    evidence.clusters[0].capabilities.emplace(std::move(capabilities));
    const DoctorReport report = examine(evidence);
    CHECK(all_of(report, "a", "capability").empty());
    return the(report, "-", "capability");
  };
  check_ok(with(capabilities_of("read")), "nothing else");
  check_fail(with(capabilities_of("root", "root")), ErrorCode::kTokenExcess, "root token",
             "write it to openbao.auth.token_file; then revoke the old one");
  check_fail(with(capabilities_of("list")), ErrorCode::kForbidden, "may not read sys/metrics",
             "capabilities = [\"read\"]");
  check_fail(with(capabilities_of("deny")), ErrorCode::kForbidden, "may not read", "path");
  Capabilities more = capabilities_of("read");
  more["sys/mounts"] = {"read"};
  more["kv/data/x"] = {"create", "update"};
  check_warn(with(more), ErrorCode::kTokenExcess, "kv/data/x: create, update", "this policy alone");
  check_warn(with(more), ErrorCode::kTokenExcess, "sys/mounts: read", "then revoke the old one");
  check_warn(with(Error{ErrorCode::kForbidden, "HTTP 403"}), std::nullopt, "no default policy",
             "capabilities-self");
  check_warn(with(Error{ErrorCode::kTimeout, "timed out"}), ErrorCode::kTimeout, "timed out",
             "load");
}

TEST_CASE(
    "capabilities that nobody was asked for, or that a refused token asked for, have no line") {
  Evidence evidence = evidence_of({active_node()});
  evidence.clusters[0].capabilities.reset();
  CHECK(all_of(examine(evidence), "-", "capability").empty());
  evidence = evidence_of({refused_node(json(403, kDenied))});
  evidence.clusters[0].capabilities.emplace(Error{ErrorCode::kTokenRejected, "HTTP 403"});
  CHECK(all_of(examine(evidence), "-", "capability").empty());
}

TEST_CASE("a token without policy is told by the nodes that refused it, and not again") {
  Evidence evidence = evidence_of({refused_node(json(403, kNoPolicy))});
  evidence.clusters[0].capabilities.emplace(capabilities_of("deny"));
  CHECK(all_of(examine(evidence), "-", "capability").empty());
  evidence.clusters[0].capabilities.emplace(capabilities_of("deny", "update"));
  CHECK(all_of(examine(evidence), "-", "capability").empty());
}

TEST_CASE("a question that a standby passes on to nobody is to be asked again") {
  Evidence evidence = evidence_of({standby_node()});
  evidence.clusters[0].capabilities.emplace(Error{ErrorCode::kStandbyRedirect, "HTTP 307"});
  check_warn(the(examine(evidence), "-", "capability"), std::nullopt, "no node is active",
             "run the doctor again when one is");
}

TEST_CASE("whether the token of the doctor's own login was revoked is told as it is") {
  Evidence evidence = evidence_of({active_node()});
  LoginEvidence& login = evidence.clusters[0].login.emplace();
  login.method = "approle";
  login.grant.ttl = std::chrono::hours(1);
  login.revoked = true;
  check_ok(the(examine(evidence), "-", "login"), "it was revoked afterwards");
  login.revoked = false;
  check_warn(the(examine(evidence), "-", "login"), std::nullopt, "could not be revoked",
             "bao token revoke -accessor");
}

// --- metrics and retention -----------------------------------------------------------

TEST_CASE("a body that cannot be served is told with its reason and remedy") {
  check_fail(
      the(refused_node(plain(403, "metrics endpoint is disabled for this listener")), "metrics"),
      ErrorCode::kMetricsDisabled, "disallow_metrics", "metrics_url");
  check_fail(the(refused_node(json(307, "")), "metrics"), ErrorCode::kStandbyRedirect, "307",
             "metrics_only");
  check_fail(the(refused_node(exposition("vault_core_active{\n")), "metrics"),
             ErrorCode::kMalformed, "line 1", "report it");
  check_fail(the(refused_node(failed(ErrorCode::kTimeout, "timed out")), "metrics"),
             ErrorCode::kTimeout, "timed out", "load");
}

TEST_CASE("a standby that is not asked for metrics is well") {
  NodeEvidence node = standby_node();
  node.state.latest.part = nullptr;  // as profile active makes it
  check_ok(the(node, "metrics"), "not asked: only the active node");
  check_ok(the(node, "token"), "did not get to judge");
  CHECK(silent_on(node, "retention"));
}

TEST_CASE("telemetry that is off fails at retention") {
  const NodeEvidence node = refused_node(plain(400, "prometheus is not enabled"));
  check_fail(the(node, "retention"), ErrorCode::kTelemetryDisabled, "is 0",
             "prometheus_retention_time");
  CHECK(silent_on(node, "metrics"));
  check_ok(the(node, "token"), "the node takes it");
}

TEST_CASE("series of the unseal that are still there say how long series are kept") {
  NodeEvidence node = active_node("a", 5 * 3'600);
  check_ok(the(node, "retention"), "not known; at least 5 h, if it was unsealed when it started");
  // The active node wrote them at the latest when it became active.
  node.state.latest.active_time = (kNow - 3'600) * 1'000'000'000;
  check_ok(the(node, "retention"), "at least 60 min");
  CHECK_FALSE(has(the(node, "retention").finding, "if"));
  check_ok(the(active_node("a", 10), "retention"), "not known yet, 10 s after its start");
}

TEST_CASE("series of the unseal that are gone from a young active node are a warning") {
  const auto without = [](std::int64_t age, const Answer& health, const char* active) {
    return the(node_of("a", {health, exposition(body_of(active, age, false)), std::nullopt}),
               "retention");
  };
  check_warn(without(600, health_active(), "1"), std::nullopt, "below 10 min", "15 s");
  check_ok(without(25 * 3'600, health_active(), "1"), "not known");
  // Not every standby writes them.
  check_ok(without(600, health_standby(), "0"), "not known");
}

TEST_CASE("a body without process start tells nothing of the retention") {
  check_ok(
      the(node_of("a", {health_active(), exposition(small_body("1")), std::nullopt}), "retention"),
      "no process_start_time_seconds");
}

// --- clock and identity --------------------------------------------------------------

TEST_CASE("a clock that differs by more than two seconds is a warning, either way") {
  const auto with = [](double began, double ended) {
    NodeEvidence node = active_node();
    node.poll_began = static_cast<double>(kNow) + began;
    node.poll_ended = static_cast<double>(kNow) + ended;
    return the(node, "clock");
  };
  check_ok(with(0.2, 0.4), "agrees");
  check_ok(with(-0.4, 6.0), "agrees");  // a slow poll is no wrong clock
  check_ok(with(-2.0, -1.5), "2 s ahead of ours");
  check_warn(with(-3.0, -2.5), std::nullopt, "3 s ahead of ours", "NTP");
  check_ok(with(2.9, 3.1), "2 s behind ours");
  check_warn(with(43.1, 43.2), std::nullopt, "43 s behind ours", "NTP");
}

TEST_CASE("verdicts on whose body it is fail at identity") {
  for (const ErrorCode code :
       {ErrorCode::kIdentityMismatch, ErrorCode::kIdentityChanged, ErrorCode::kDuplicateNode}) {
    NodeEvidence node = standby_node("a");
    node.state.role = Role::kUnknown;
    node.state.reason = code;
    node.state.detail = "peer_id raft-1 is that of prod/b";
    check_fail(the(node, "identity"), code, "peer_id raft-1", std::string(reason_remedy(code)));
    CHECK(silent_on(node, "metrics"));
  }
  NodeEvidence old = active_node();
  old.state.role = Role::kUnknown;
  old.state.reason = ErrorCode::kSuperseded;
  check_fail(the(old, "identity"), ErrorCode::kSuperseded, "newer term", "failover");
}

TEST_CASE("a standby with somebody else's body is told with what contradicts") {
  const NodeEvidence node = node_of(
      "a", {health_standby(), exposition(body_of("1", 7'200)), std::nullopt}, /*second_look=*/true);
  check_fail(the(node, "identity"), ErrorCode::kIdentityMismatch, "somebody else's", "address");
}

TEST_CASE("a disagreement that is served all the same fails without a reason") {
  const NodeEvidence node = node_of(
      "a", {health_active(), exposition(body_of("0", 7'200)), std::nullopt}, /*second_look=*/true);
  check_fail(the(node, "identity"), std::nullopt, "health says active", "sys/leader");
}

// --- the cluster ---------------------------------------------------------------------

TEST_CASE("a cluster without active node fails by what its nodes said") {
  const auto without_active = [](std::vector<NodeEvidence> nodes) {
    return the(examine(evidence_of(std::move(nodes))), "-", "active");
  };
  check_fail(without_active({standby_node("a"), standby_node("b")}), std::nullopt,
             "all 2 listed nodes are standby", "list the active node, too");
  check_fail(without_active({standby_node()}), std::nullopt, "the one listed node is standby",
             "list the active node, too");
  const NodeEvidence down = failing_node({ErrorCode::kConnect, "refused"}, false);
  check_fail(without_active({down, standby_node()}), std::nullopt,
             "none of the 1 that answer is active; no answer from: a", "do what their lines say");
  const Finding sealed = without_active(
      {node_of("a", {health_sealed(), json(503, kVaultSealed), std::nullopt}), standby_node()});
  check_fail(sealed, std::nullopt, "none of the 2 that answer is active", "more than half");
  CHECK_FALSE(has(sealed.finding, "not asked"));
}

TEST_CASE("whether a node is active is not said when none answered, and each says why") {
  const NodeEvidence down = failing_node({ErrorCode::kConnect, "refused"}, false);
  const DoctorReport report = examine(evidence_of({down}));
  CHECK(all_of(report, "-", "active").empty());
  CHECK(report.result() == CheckResult::kFail);
  NodeEvidence untold = active_node();
  untold.state.role = Role::kUnknown;
  check_fail(the(examine(evidence_of({untold})), "-", "active"), std::nullopt,
             "no node tells its role", "api_url");
}

TEST_CASE("more than one active node fails for the cluster") {
  check_fail(the(examine(evidence_of({active_node("a"), active_node("b")})), "-", "active"),
             std::nullopt, "a, b all say", "sys/leader");
}

TEST_CASE("fewer nodes than expected are a warning") {
  Evidence evidence = evidence_of({active_node()});
  evidence.clusters[0].expected_nodes = 3;
  check_warn(the(examine(evidence), "-", "nodes"), std::nullopt, "1 node listed, 3 expected",
             "expected_nodes");
}

TEST_CASE("different versions are a warning that names who runs which") {
  NodeEvidence older =
      node_of("b", {health_standby("2.6.3"), exposition(body_of("0", 7'200)), std::nullopt});
  check_warn(the(examine(evidence_of({active_node(), older})), "-", "versions"), std::nullopt,
             "2.6.3 on b; 2.7.2 on a", "upgrade");
}

TEST_CASE("names with a hostname or another prefix are a warning, with what they begin with") {
  const std::string renamed =
      "# TYPE vault_host_7_core_active gauge\nvault_host_7_core_active 1\n"
      "# TYPE vault_host_7_core_unsealed gauge\nvault_host_7_core_unsealed 1\n";
  NodeEvidence node = node_of("b", {health_active(), exposition(renamed), std::nullopt});
  check_warn(the(examine(evidence_of({active_node(), node})), "-", "names"), std::nullopt,
             "vault_host_7_ on b", "disable_hostname");
  const std::string other =
      "# TYPE openbao_core_unsealed gauge\nopenbao_core_unsealed 1\n"
      "# TYPE openbao_core_active gauge\nopenbao_core_active 0\n";
  NodeEvidence mixed = node_of("b", {health_standby(), exposition(other), std::nullopt});
  check_warn(the(examine(evidence_of({active_node(), mixed})), "-", "names"), std::nullopt,
             "openbao_ on b; vault_ on a", "metrics_prefix");
  CHECK(all_of(examine(evidence_of({refused_node(json(403, kDenied))})), "-", "names").empty());
}

// --- how it is printed ---------------------------------------------------------------

TEST_CASE("the text is a line for each finding, aligned, with reason and remedy, and a sum") {
  DoctorReport report;
  report.nodes.push_back(
      {"prod",
       "a",
       {{"dns", CheckResult::kOk, std::nullopt, "fine", ""},
        {"capability", CheckResult::kFail, ErrorCode::kForbidden, "no", "do it"}}});
  report.nodes.push_back({"prod", "-", {{"nodes", CheckResult::kWarn, std::nullopt, "2", "list"}}});
  CHECK(report.result() == CheckResult::kFail);
  CHECK(doctor_text(report) ==
        "NODE    CHECK       RESULT  FINDING\n"
        "prod/a  dns         OK      fine\n"
        "prod/a  capability  FAIL    no [forbidden] -> do it\n"
        "prod/-  nodes       WARN    2 -> list\n"
        "FAIL: 1 OK, 1 WARN, 1 FAIL\n");
  CHECK(doctor_json(report) ==
        R"({"nodes":[{"cluster":"prod","node":"a","checks":[)"
        R"({"check":"dns","result":"OK","finding":"fine"},)"
        R"({"check":"capability","result":"FAIL","reason":"forbidden","finding":"no",)"
        R"("remedy":"do it"}]},{"cluster":"prod","node":"-","checks":[)"
        R"({"check":"nodes","result":"WARN","finding":"2","remedy":"list"}]}],"result":"FAIL"})"
        "\n");
}

TEST_CASE("bytes of a node reach neither a terminal nor JSON as they are") {
  NodeEvidence node = active_node();
  node.api->tls->certificate.names = {"evil\x1b[2J\n\xff"};
  const DoctorReport report = examine(evidence_of({node}));
  CHECK(has(doctor_text(report), "evil\\x1b[2J\\x0a\\xff"));
  CHECK(nlohmann::json::parse(doctor_json(report))["result"] == "OK");
}

}  // namespace bao_exporter
