#include "bao_exporter/doctor.h"

#include <nlohmann/json.hpp>

#include "catch.h"
#include "support/answers.h"

namespace bao_exporter {

namespace {

using namespace test;  // NOLINT(google-build-using-namespace): the helpers of this test

constexpr std::int64_t kNow = 1'795'392'000;  // what the health answers of the support say
constexpr std::int64_t kDay = 86'400;

// --- evidence, in the shapes that the machinery gives it -----------------------------

std::string body_of(const std::string& core_active, std::int64_t age, bool unseal_series = true) {
  std::string body = small_body(core_active, "raft-1");
  if (unseal_series) {
    body +=
        "# TYPE vault_core_post_unseal summary\nvault_core_post_unseal_sum 31\n"
        "vault_core_post_unseal_count 1\n";
  }
  return body + "# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds " +
         std::to_string(kNow - age) + "\n";
}

NodeState state_of(PollAnswers answers, bool second_look = false) {
  OutcomeOptions options;
  options.identity = R"(cluster="prod",node_name="a")";
  options.second_look = second_look;
  NodeState state;
  state.latest = judge_poll(std::move(answers), options);
  state.role = state.latest.role;
  state.reason = state.latest.reason;
  state.detail = state.latest.detail;
  state.polled = true;
  return state;
}

TlsFindings good_certificate(std::int64_t days = 90) {
  TlsFindings findings;
  findings.handshake = Handshake::kCertificate;
  findings.certificate = {
      {"openbao-0.test", "10.0.0.10"}, "Our authority", kNow - kDay, kNow + days * kDay};
  findings.name_matches = true;
  return findings;
}

AddressEvidence good_address(std::uint16_t port = 8200) {
  AddressEvidence address;
  address.url = {"https", "10.0.0.10", port, ""};
  address.connected_to = "10.0.0.10";
  address.verified_name = "10.0.0.10";
  address.tls = good_certificate();
  return address;
}

NodeEvidence node_of(const std::string& name, PollAnswers answers, bool second_look = false) {
  NodeEvidence node;
  node.name = name;
  node.api = good_address();
  node.token_from = "/etc/bao/token";
  node.state = state_of(std::move(answers), second_look);
  node.poll_began = static_cast<double>(kNow) + 0.2;
  node.poll_ended = static_cast<double>(kNow) + 0.4;
  return node;
}

NodeEvidence active_node(const std::string& name = "a", std::int64_t age = 3 * 3'600) {
  return node_of(name, {health_active(), exposition(body_of("1", age)), std::nullopt});
}
NodeEvidence standby_node(const std::string& name = "b") {
  return node_of(name, {health_standby(), exposition(body_of("0", 3 * 3'600)), std::nullopt});
}
NodeEvidence refused_node(Answer metrics, const std::string& name = "a") {
  return node_of(name, {health_active(), std::move(metrics), std::nullopt});
}

// A node that gives no answer at its one address.
NodeEvidence failing_node(const Error& error, bool connected) {
  NodeEvidence node = node_of("a", {failed(error.code, error.detail), std::nullopt, std::nullopt});
  node.api->failure = error;
  node.health_problem = error;
  if (!connected) node.api->connected_to.clear();
  node.api->tls.reset();
  return node;
}

Capabilities capabilities_of(const std::string& metrics, const std::string& others = "deny") {
  return {{"sys/metrics", {metrics}},
          {"sys/mounts", {others}},
          {"sys/seal", {others}},
          {"kv/data/x", {others}},
          {"auth/token/create", {others}}};
}

Evidence evidence_of(std::vector<NodeEvidence> nodes) {
  Evidence evidence;
  evidence.now = kNow;
  ClusterEvidence cluster;
  cluster.name = "prod";
  cluster.ca_file = "/etc/bao/ca.pem";
  cluster.expected_nodes = static_cast<int>(nodes.size());
  cluster.nodes = std::move(nodes);
  cluster.capabilities.emplace(capabilities_of("read"));
  evidence.clusters.push_back(std::move(cluster));
  return evidence;
}

// --- what the doctor says of it ------------------------------------------------------

std::vector<Finding> all_of(const DoctorReport& report, const std::string& node,
                            const std::string& check) {
  std::vector<Finding> found;
  for (const Examined& one : report.nodes) {
    if (one.node != node) continue;
    for (const Finding& finding : one.findings) {
      if (finding.check == check) found.push_back(finding);
    }
  }
  return found;
}

Finding the(const DoctorReport& report, const std::string& node, const std::string& check) {
  const std::vector<Finding> found = all_of(report, node, check);
  INFO(doctor_text(report));
  CAPTURE(node, check);
  REQUIRE(found.size() == 1);
  return found.front();
}
Finding the(NodeEvidence node, const std::string& check) {
  const std::string name = node.name;
  return the(examine(evidence_of({std::move(node)})), name, check);
}

bool silent_on(NodeEvidence node, const std::string& check) {
  const std::string name = node.name;
  return all_of(examine(evidence_of({std::move(node)})), name, check).empty();
}

bool has(const std::string& text, std::string_view words) {
  return text.find(words) != std::string::npos;
}

void check_ok(const Finding& finding, const std::string& words) {
  INFO(finding.finding);
  CHECK(finding.result == CheckResult::kOk);
  CHECK_FALSE(finding.reason.has_value());
  CHECK(finding.remedy.empty());
  CHECK(has(finding.finding, words));
}

void check_bad(const Finding& finding, CheckResult result, std::optional<ErrorCode> reason,
               const std::string& words, const std::string& remedy) {
  INFO(finding.finding << " -> " << finding.remedy);
  CHECK(finding.result == result);
  CHECK(finding.reason == reason);
  CHECK(has(finding.finding, words));
  CHECK(has(finding.remedy, remedy));
}
void check_fail(const Finding& finding, std::optional<ErrorCode> reason, const std::string& words,
                const std::string& remedy) {
  check_bad(finding, CheckResult::kFail, reason, words, remedy);
}
void check_warn(const Finding& finding, std::optional<ErrorCode> reason, const std::string& words,
                const std::string& remedy) {
  check_bad(finding, CheckResult::kWarn, reason, words, remedy);
}

}  // namespace

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

// --- dns, tcp, tls -------------------------------------------------------------------

TEST_CASE("a name without address is the dns check's, and no other line repeats it") {
  const Error error{ErrorCode::kDns, "Could not resolve host: openbao-0.example"};
  NodeEvidence node = failing_node(error, false);
  node.api->url.host = "openbao-0.example";
  check_fail(the(node, "dns"), ErrorCode::kDns, "openbao-0.example has no address", "nameserver");
  for (const char* check : {"tcp", "tls", "health", "metrics", "retention", "clock", "identity"}) {
    CAPTURE(check);
    CHECK(silent_on(node, check));
  }
}

TEST_CASE("a name that has an address is told with it") {
  NodeEvidence node = active_node();
  node.api->url.host = "openbao-0.example";
  check_ok(the(node, "dns"), "openbao-0.example is 10.0.0.10");
}

TEST_CASE("a refused connection and a silent address are the tcp check's") {
  const auto with = [](const std::string& system_words) {
    return failing_node(
        {ErrorCode::kConnect, "Failed to connect to 10.0.0.10 port 8200 (" + system_words + ")"},
        false);
  };
  const NodeEvidence refused = with("Connection refused");
  const Finding finding = the(refused, "tcp");
  check_fail(finding, ErrorCode::kConnect, "10.0.0.10:8200: connection refused",
             "start OpenBao, or correct the port");
  CHECK_FALSE(has(finding.remedy, "NetworkPolicy"));
  check_fail(the(with("No route to host"), "tcp"), ErrorCode::kConnect,
             "10.0.0.10:8200: No route to host", "NetworkPolicy");
  check_fail(the(failing_node({ErrorCode::kTimeout, "timed out"}, false), "tcp"),
             ErrorCode::kTimeout, "no connection within 8 s", "firewall");
  CHECK(silent_on(refused, "tls"));
  CHECK(silent_on(refused, "metrics"));
}

TEST_CASE("an address that was only tried is not taken for a connection") {
  NodeEvidence node = failing_node({ErrorCode::kTimeout, "timed out"}, true);
  node.api->tls.emplace();  // the probe did not get through either
  check_fail(the(node, "tcp"), ErrorCode::kTimeout, "no connection within", "firewall");
}

TEST_CASE("a certificate that ends soon is a warning, with its days") {
  NodeEvidence node = active_node();
  node.api->tls = good_certificate(7);
  check_ok(the(node, "tls"), "openbao-0.test, 10.0.0.10 verifies and ends on 2026-11-30, 7 days");
  node.api->tls = good_certificate(6);
  check_warn(the(node, "tls"), std::nullopt, "6 days left", "renew");
  node.api->tls = good_certificate(1);
  check_warn(the(node, "tls"), std::nullopt, "1 day left", "renew");
}

TEST_CASE("a certificate that does not verify says in words why, and what to do") {
  NodeEvidence node = failing_node({ErrorCode::kTls, "curl's words"}, true);
  const auto with = [&](ChainFault chain, bool name_matches) {
    NodeEvidence changed = node;
    changed.api->tls = good_certificate();
    changed.api->tls->chain = chain;
    changed.api->tls->name_matches = name_matches;
    changed.api->url.host = changed.api->verified_name = "bao.example";
    return changed;
  };
  check_fail(the(with(ChainFault::kUnknownAuthority, true), "tls"), ErrorCode::kTls,
             "signed by \"Our authority\", an authority that ca_file (/etc/bao/ca.pem) does not",
             "if \"Our authority\" is your nodes' authority, put its certificate into ca_file");
  check_fail(the(with(ChainFault::kSelfSigned, true), "tls"), ErrorCode::kTls, "signed by itself",
             "ca_file");
  check_fail(the(with(ChainFault::kNotYetValid, true), "tls"), ErrorCode::kTls,
             "not valid before 2026-11-22", "clock");
  check_fail(the(with(ChainFault::kNone, false), "tls"), ErrorCode::kTls,
             "is for openbao-0.test, 10.0.0.10, not for bao.example",
             "server_name = \"openbao-0.test\"");
  const Finding both = the(with(ChainFault::kUnknownAuthority, false), "tls");
  check_fail(both, ErrorCode::kTls, "signed by", "ca_file");
  check_fail(both, ErrorCode::kTls, "not for bao.example", "server_name");

  NodeEvidence old = with(ChainFault::kExpired, true);
  old.api->tls->certificate.not_after = kNow - 3 * kDay;
  check_fail(the(old, "tls"), ErrorCode::kTls, "expired on 2026-11-20, 3 days ago", "renew");
  check_fail(the(with(ChainFault::kExpired, true), "tls"), ErrorCode::kTls, "an authority above",
             "authority");
  for (const char* check : {"health", "metrics", "identity"}) CHECK(silent_on(old, check));
}

TEST_CASE("a certificate for addresses only is not proposed as server_name") {
  NodeEvidence node = failing_node({ErrorCode::kTls, "curl's words"}, true);
  node.api->tls = good_certificate();
  node.api->tls->certificate.names = {"10.0.0.99", "*.example"};
  node.api->tls->name_matches = false;
  const Finding finding = the(node, "tls");
  check_fail(finding, ErrorCode::kTls, "not for 10.0.0.10", "make a certificate");
  CHECK_FALSE(has(finding.remedy, "server_name"));
}

TEST_CASE("a server_name that is not in the certificate is to be taken out where the address is") {
  NodeEvidence node = failing_node({ErrorCode::kTls, "curl's words"}, true);
  node.api->tls = good_certificate();
  node.api->tls->name_matches = false;
  node.api->verified_name = "bao.example";
  const Finding finding = the(node, "tls");
  check_fail(finding, ErrorCode::kTls, "not for bao.example",
             "take server_name out: the certificate has 10.0.0.10");
  CHECK_FALSE(has(finding.remedy, "set server_name"));
}

TEST_CASE("the name that is proposed as server_name is this node's alone, where it has one") {
  NodeEvidence node = failing_node({ErrorCode::kTls, "curl's words"}, true);
  node.name = "b";
  node.api->tls = good_certificate();
  node.api->tls->name_matches = false;
  const auto remedy_with = [&](std::vector<std::string> names) {
    NodeEvidence changed = node;
    changed.api->tls->certificate.names = std::move(names);
    NodeEvidence other = active_node();
    other.api->tls->certificate.names = {"localhost", "openbao.test", "openbao-0.test"};
    return the(examine(evidence_of({other, changed})), "b", "tls").remedy;
  };
  CHECK(has(remedy_with({"localhost", "openbao.test", "openbao-1.test"}),
            "server_name = \"openbao-1.test\""));
  CHECK(has(remedy_with({"localhost", "openbao.test"}), "server_name = \"openbao.test\""));
  CHECK_FALSE(has(remedy_with({"localhost"}), "server_name"));
}

TEST_CASE("a server that does not do TLS is told by what it does") {
  const auto with = [](Handshake handshake, ErrorCode code) {
    NodeEvidence node = failing_node({code, "curl's words"}, true);
    node.api->tls.emplace();
    node.api->tls->handshake = handshake;
    node.api->tls->words = "wrong version number";
    return the(node, "tls");
  };
  check_fail(with(Handshake::kPlainHttp, ErrorCode::kTls), ErrorCode::kTls, "plain HTTP",
             "correct the port");
  check_fail(with(Handshake::kSilent, ErrorCode::kTimeout), ErrorCode::kTimeout,
             "does not answer the TLS handshake within 8 s", "hangs");
  check_fail(with(Handshake::kClosed, ErrorCode::kReset), ErrorCode::kReset, "closes", "port");
  check_fail(with(Handshake::kNotTls, ErrorCode::kTls), ErrorCode::kTls, "wrong version number",
             "TLS 1.2");
}

TEST_CASE("a good certificate and a handshake that fails is about ours") {
  NodeEvidence node = failing_node({ErrorCode::kTls, "tlsv13 alert certificate required"}, true);
  node.api->tls = good_certificate();
  check_fail(the(node, "tls"), ErrorCode::kTls, "client certificate", "client_cert_file");
}

TEST_CASE("a second handshake that fails after a good poll is a warning") {
  NodeEvidence node = active_node();
  node.api->tls->handshake = Handshake::kClosed;
  check_warn(the(node, "tls"), std::nullopt, "a second handshake was not", "again");
}

TEST_CASE("plain HTTP of a demo is OK") {
  NodeEvidence node = active_node();
  node.api->url.scheme = "http";
  node.api->tls.reset();
  check_ok(the(node, "tls"), "plain HTTP (demo)");
}

TEST_CASE("two addresses of a node have lines of their own") {
  NodeEvidence node = active_node();
  node.metrics = good_address(8202);
  const DoctorReport report = examine(evidence_of({node}));
  for (const char* check : {"dns", "tcp", "tls"}) CHECK(all_of(report, "a", check).size() == 2);
  CHECK(has(all_of(report, "a", "tcp")[0].finding, ":8200"));
  CHECK(has(all_of(report, "a", "tcp")[1].finding, ":8202"));
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
