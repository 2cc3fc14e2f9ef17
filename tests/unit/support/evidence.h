// What a doctor's run has seen, made up, and what it says of it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../catch.h"
#include "answers.h"
#include "bao_exporter/doctor.h"

namespace bao_exporter::test {

inline constexpr std::int64_t kNow = 1'795'392'000;  // what the health answers of the support say
inline constexpr std::int64_t kDay = 86'400;

// --- evidence, in the shapes that the machinery gives it -----------------------------

inline std::string body_of(const std::string& core_active, std::int64_t age,
                           bool unseal_series = true) {
  std::string body = small_body(core_active, "raft-1");
  if (unseal_series) {
    body +=
        "# TYPE vault_core_post_unseal summary\nvault_core_post_unseal_sum 31\n"
        "vault_core_post_unseal_count 1\n";
  }
  return body + "# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds " +
         std::to_string(kNow - age) + "\n";
}

inline NodeState state_of(PollAnswers answers, bool second_look = false) {
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

inline TlsFindings good_certificate(std::int64_t days = 90) {
  TlsFindings findings;
  findings.handshake = Handshake::kCertificate;
  findings.certificate = {
      {"openbao-0.test", "10.0.0.10"}, "Our authority", kNow - kDay, kNow + days * kDay};
  findings.name_matches = true;
  return findings;
}

inline AddressEvidence good_address(std::uint16_t port = 8200) {
  AddressEvidence address;
  address.url = {"https", "10.0.0.10", port, ""};
  address.connected_to = "10.0.0.10";
  address.verified_name = "10.0.0.10";
  address.tls = good_certificate();
  return address;
}

inline NodeEvidence node_of(const std::string& name, PollAnswers answers,
                            bool second_look = false) {
  NodeEvidence node;
  node.name = name;
  node.api = good_address();
  node.token_from = "/etc/bao/token";
  node.state = state_of(std::move(answers), second_look);
  node.poll_began = static_cast<double>(kNow) + 0.2;
  node.poll_ended = static_cast<double>(kNow) + 0.4;
  return node;
}

inline NodeEvidence active_node(const std::string& name = "a", std::int64_t age = 3 * 3'600) {
  return node_of(name, {health_active(), exposition(body_of("1", age)), std::nullopt});
}
inline NodeEvidence standby_node(const std::string& name = "b") {
  return node_of(name, {health_standby(), exposition(body_of("0", 3 * 3'600)), std::nullopt});
}
inline NodeEvidence refused_node(Answer metrics, const std::string& name = "a") {
  return node_of(name, {health_active(), std::move(metrics), std::nullopt});
}

// A node that gives no answer at its one address.
inline NodeEvidence failing_node(const Error& error, bool connected) {
  NodeEvidence node = node_of("a", {failed(error.code, error.detail), std::nullopt, std::nullopt});
  node.api->failure = error;
  node.health_problem = error;
  if (!connected) node.api->connected_to.clear();
  node.api->tls.reset();
  return node;
}

inline Capabilities capabilities_of(const std::string& metrics,
                                    const std::string& others = "deny") {
  return {{"sys/metrics", {metrics}},
          {"sys/mounts", {others}},
          {"sys/seal", {others}},
          {"kv/data/x", {others}},
          {"auth/token/create", {others}}};
}

inline Evidence evidence_of(std::vector<NodeEvidence> nodes) {
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

inline std::vector<Finding> all_of(const DoctorReport& report, const std::string& node,
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

inline Finding the(const DoctorReport& report, const std::string& node, const std::string& check) {
  const std::vector<Finding> found = all_of(report, node, check);
  INFO(doctor_text(report));
  CAPTURE(node, check);
  REQUIRE(found.size() == 1);
  return found.front();
}
inline Finding the(NodeEvidence node, const std::string& check) {
  const std::string name = node.name;
  return the(examine(evidence_of({std::move(node)})), name, check);
}

inline bool silent_on(NodeEvidence node, const std::string& check) {
  const std::string name = node.name;
  return all_of(examine(evidence_of({std::move(node)})), name, check).empty();
}

inline bool has(const std::string& text, std::string_view words) {
  return text.find(words) != std::string::npos;
}

inline void check_ok(const Finding& finding, const std::string& words) {
  INFO(finding.finding);
  CHECK(finding.result == CheckResult::kOk);
  CHECK_FALSE(finding.reason.has_value());
  CHECK(finding.remedy.empty());
  CHECK(has(finding.finding, words));
}

inline void check_bad(const Finding& finding, CheckResult result, std::optional<ErrorCode> reason,
                      const std::string& words, const std::string& remedy) {
  INFO(finding.finding << " -> " << finding.remedy);
  CHECK(finding.result == result);
  CHECK(finding.reason == reason);
  CHECK(has(finding.finding, words));
  CHECK(has(finding.remedy, remedy));
}
inline void check_fail(const Finding& finding, std::optional<ErrorCode> reason,
                       const std::string& words, const std::string& remedy) {
  check_bad(finding, CheckResult::kFail, reason, words, remedy);
}
inline void check_warn(const Finding& finding, std::optional<ErrorCode> reason,
                       const std::string& words, const std::string& remedy) {
  check_bad(finding, CheckResult::kWarn, reason, words, remedy);
}

}  // namespace bao_exporter::test
