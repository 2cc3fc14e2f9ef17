// health to identity of one node.
#include <algorithm>
#include <array>
#include <cmath>

#include "doctor/checks.h"

namespace bao_exporter::doctor {

namespace {

constexpr std::int64_t kClockSecondsMax = 2;

template <std::size_t N>
bool one_of(ErrorCode code, const std::array<ErrorCode, N>& list) {
  return std::find(list.begin(), list.end(), code) != list.end();
}

bool is_about_token(ErrorCode code) {
  return one_of(code, std::array{ErrorCode::kTokenRejected, ErrorCode::kStandbyRejected,
                                 ErrorCode::kForbidden});
}

bool is_about_identity(ErrorCode code) {
  return one_of(code, std::array{ErrorCode::kIdentityMismatch, ErrorCode::kIdentityChanged,
                                 ErrorCode::kDuplicateNode, ErrorCode::kSuperseded});
}

// What is known of one node while its checks go on.
struct Patient {
  const NodeEvidence& node;
  const ClusterEvidence& cluster;
  const Evidence& all;
  bool api_reached = false;
  bool metrics_reached = false;
  bool told = false;  // a line has the node's reason

  [[nodiscard]] const Outcome& latest() const { return node.state.latest; }
  [[nodiscard]] ErrorCode reason() const { return node.state.reason; }
  [[nodiscard]] const std::string& detail() const { return node.state.detail; }
};

void check_health(Patient& patient, Findings& out) {
  const NodeEvidence& node = patient.node;
  if (!node.api) {
    return out.ok("health", "not asked: the node has no api_url, its metrics tell its role");
  }
  if (!patient.api_reached) return;
  if (node.health_problem) {
    const Error& error = *node.health_problem;
    patient.told = patient.told || error.code == patient.reason();
    const std::string remedy = error.code == ErrorCode::kProtocol
                                   ? "api_url must be the node's API listener, not a metrics_only "
                                     "one or a proxy"
                                   : std::string(reason_remedy(error.code));
    return out.fail("health", error.detail, remedy, error.code);
  }
  if (!patient.latest().health) return;
  const Health& health = *patient.latest().health;
  const Role role = health.role();
  const std::string words = std::string(role_name(role)) + ", version " + health.version;
  if (role == Role::kSealed || role == Role::kUninitialized) {
    const ErrorCode code = role == Role::kSealed ? ErrorCode::kSealed : ErrorCode::kUninitialized;
    patient.told = patient.told || patient.reason() == code;
    return out.fail("health", code, words);
  }
  out.ok("health", words);
}

// Nothing that it said could be about the token.
bool could_not_judge(const Patient& patient) {
  const Role role = patient.node.state.role;
  return !patient.metrics_reached || role == Role::kUnreachable || role == Role::kSealed ||
         role == Role::kUninitialized ||
         one_of(patient.reason(), std::array{ErrorCode::kSealed, ErrorCode::kUninitialized});
}

// OpenBao looks at the token first, then whether it keeps metrics.
bool took_token(const Patient& patient) {
  return patient.latest().part != nullptr || patient.reason() == ErrorCode::kTelemetryDisabled;
}

void check_token(Patient& patient, Findings& out) {
  if (could_not_judge(patient)) return;
  const std::string& from = patient.node.token_from;
  if (patient.reason() == ErrorCode::kLoginFailed) {
    patient.told = true;  // the cluster's line says it
    return;
  }
  if (from.empty()) {
    if (!is_about_token(patient.reason())) return out.ok("token", "no token is sent");
    patient.told = true;
    return out.fail("token", "no token is sent, and the node asks for one: " + patient.detail(),
                    "set metrics_auth = \"token\" and an openbao.auth.token_file, or metrics_url "
                    "to a listener with unauthenticated_metrics_access",
                    patient.reason());
  }
  if (is_about_token(patient.reason())) {
    patient.told = true;
    return out.fail("token", patient.reason(), from + ": " + patient.detail());
  }
  out.ok("token", (patient.cluster.login ? from : from + " can be read") +
                      (took_token(patient) ? ", and the node takes it"
                                           : "; the node did not get to judge it"));
}

void check_metrics(const Patient& patient, Findings& out) {
  if (!patient.metrics_reached || patient.told || is_about_identity(patient.reason())) return;
  if (patient.reason() == ErrorCode::kTelemetryDisabled) return;  // retention says it
  if (patient.reason() != ErrorCode::kOk) {
    return out.fail("metrics", patient.reason(), patient.detail());
  }
  const auto& part = patient.latest().part;
  if (part == nullptr) {
    return out.ok("metrics", "not asked: only the active node is, by this cluster's profile");
  }
  out.ok("metrics", std::to_string(part->samples()) + " samples of " +
                        std::to_string(part->families().size()) + " families, from " +
                        std::to_string(part->body_bytes()) + " bytes");
}

// Whole seconds that the node's clock is ahead of ours for certain: it was read at some moment
// while the poll went on.
std::int64_t clock_offset(const NodeEvidence& node, std::int64_t server_time) {
  const auto began = static_cast<std::int64_t>(std::floor(node.poll_began));
  const auto ended = static_cast<std::int64_t>(std::floor(node.poll_ended));
  if (server_time > ended) return server_time - ended;
  return server_time < began ? server_time - began : 0;
}

void check_clock(const Patient& patient, Findings& out) {
  const std::optional<Health>& health = patient.latest().health;
  if (!health || health->server_time == 0) return;
  const std::int64_t offset = clock_offset(patient.node, health->server_time);
  if (offset == 0) return out.ok("clock", "agrees with ours");
  const std::string words =
      duration_words(std::abs(offset)) + (offset > 0 ? " ahead of ours" : " behind ours");
  if (std::abs(offset) <= kClockSecondsMax) return out.ok("clock", words);
  out.warn("clock", words, "set both clocks by NTP (chronyc tracking, timedatectl)");
}

std::string identity_words(const Patient& patient) {
  const Outcome& latest = patient.latest();
  std::string words = std::string(role_name(patient.node.state.role)) + " (told by " +
                      std::string(role_source_name(latest.role_source)) + ")";
  if (!latest.facts.peer_id.empty()) words += ", peer_id " + latest.facts.peer_id;
  if (latest.health && !latest.health->cluster_id.empty()) {
    words += ", cluster " + latest.health->cluster_name + " " + latest.health->cluster_id;
  }
  return words;
}

void check_identity(const Patient& patient, Findings& out) {
  if (is_about_identity(patient.reason())) {
    const std::string& detail = patient.detail();
    const bool old = patient.reason() == ErrorCode::kSuperseded;
    return out.fail("identity", patient.reason(),
                    old              ? "it says active, and another node has a newer term"
                    : detail.empty() ? "not the node that it should be"
                                     : detail);
  }
  const Role role = patient.node.state.role;
  if (role == Role::kSealed || role == Role::kUninitialized) return;  // health says it
  if (role == Role::kUnreachable || (!patient.api_reached && !patient.metrics_reached)) return;
  if (patient.latest().disagreement) {
    return out.fail("identity",
                    "health says " + std::string(role_name(role)) +
                        ", core_active in its metrics says otherwise, twice",
                    "compare sys/leader of the node; is metrics_url another node's address?");
  }
  if (role == Role::kUnknown) {
    return out.warn("identity", "neither sys/health nor core_active tells its role",
                    "set api_url to the node's API listener");
  }
  out.ok("identity", identity_words(patient));
}

}  // namespace

std::vector<Finding> check_node(const NodeEvidence& node, const ClusterEvidence& cluster,
                                const Evidence& all) {
  Findings out;
  Patient patient{node, cluster, all};
  const Surroundings around{&cluster, cluster.ca_file, all.poll.timeout, all.now};
  if (node.api) patient.api_reached = check_address(*node.api, around, out);
  patient.metrics_reached = patient.api_reached;
  if (node.metrics) patient.metrics_reached = check_address(*node.metrics, around, out);
  check_health(patient, out);
  check_token(patient, out);
  check_metrics(patient, out);
  check_retention(node, all, out);
  check_clock(patient, out);
  check_identity(patient, out);
  return out.take();
}

}  // namespace bao_exporter::doctor
