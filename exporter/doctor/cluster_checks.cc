// What can only be said of a cluster as a whole.
#include <algorithm>
#include <chrono>
#include <map>

#include "doctor/checks.h"

namespace bao_exporter::doctor {

namespace {

void check_login(const ClusterEvidence& cluster, Findings& out) {
  if (!cluster.login) return;
  const LoginEvidence& login = *cluster.login;
  if (login.used_up) {
    return out.warn("login",
                    "not tried: secret_id_file holds a wrapped secret id, which works once",
                    "look at bao_token_logins_total of the running exporter");
  }
  if (login.failure) return out.fail("login", login.failure->code, login.failure->detail);
  const std::string words =
      "by " + login.method + ": a token for " +
      duration_words(std::chrono::duration_cast<std::chrono::seconds>(login.grant.ttl).count()) +
      (login.grant.renewable ? ", renewable" : ", not renewable");
  if (login.revoked) return out.ok("login", words + "; it was revoked afterwards");
  out.warn("login", words + "; it could not be revoked afterwards",
           "nothing, if it ends soon; else revoke it: bao token revoke -accessor ACCESSOR");
}

// What is done about a token that may too much.
std::string anew(const ClusterEvidence& cluster) {
  const std::string policy =
      "with this policy alone: path \"sys/metrics\" { capabilities = [\"read\"] }";
  if (cluster.login) return "make the role give tokens " + policy + " (`bao-exporter policy`)";
  return "make a token " + policy +
         "; write it to openbao.auth.token_file; then revoke the old one";
}

void check_what_it_may(const ClusterEvidence& cluster, const CapabilityVerdict& verdict,
                       Findings& out) {
  constexpr std::string_view kCheck = "capability";
  const auto too_much = [&](bool refused, const std::string& finding) {
    if (refused) return out.fail(kCheck, finding, anew(cluster), ErrorCode::kTokenExcess);
    out.warn(kCheck, finding, anew(cluster), ErrorCode::kTokenExcess);
  };
  if (verdict.root) return too_much(!cluster.is_demo, "it is a root token: it may do everything");
  if (!verdict.reads_metrics) {
    return out.fail(kCheck, ErrorCode::kForbidden, "it may not read sys/metrics");
  }
  if (!verdict.excess.empty()) {
    std::string words;
    for (const std::string& path : verdict.excess) words += (words.empty() ? "" : "; ") + path;
    return too_much(cluster.refuse_excess, "it may do more than read metrics: " + words);
  }
  out.ok(kCheck, "it may read sys/metrics, and nothing else that was asked for");
}

bool forbidden_at_a_node(const ClusterEvidence& cluster) {
  return std::any_of(cluster.nodes.begin(), cluster.nodes.end(), [](const NodeEvidence& node) {
    return node.state.reason == ErrorCode::kForbidden;
  });
}

void check_capability(const ClusterEvidence& cluster, Findings& out) {
  if (!cluster.capabilities) return;
  const Result<Capabilities>& capabilities = *cluster.capabilities;
  if (capabilities.ok()) {
    const CapabilityVerdict verdict = judge_capabilities(capabilities.value());
    if (!verdict.reads_metrics && forbidden_at_a_node(cluster)) return;  // its token line says it
    return check_what_it_may(cluster, verdict, out);
  }
  const Error& error = capabilities.error();
  if (error.code == ErrorCode::kForbidden) {
    return out.warn("capability", "cannot be asked: the token has no default policy",
                    "nothing, if you know its policies; else add to them: path "
                    "\"sys/capabilities-self\" { capabilities = [\"update\"] }");
  }
  if (error.code == ErrorCode::kTokenRejected || error.code == ErrorCode::kStandbyRejected) return;
  if (error.code == ErrorCode::kStandbyRedirect) {
    return out.warn(
        "capability",
        "cannot be asked now: the standby passes the question on, and no node is active",
        "run the doctor again when one is");
  }
  out.warn("capability", "cannot be asked: " + error.detail, std::string(reason_remedy(error.code)),
           error.code);
}

// No node is active, as far as they were asked.
void check_none_active(const ClusterEvidence& cluster, Findings& out) {
  std::size_t standby = 0;
  bool failed = true;  // all nodes, each with a line of its own
  std::vector<std::string> silent;
  for (const NodeEvidence& node : cluster.nodes) {
    const Role role = node.state.role;
    if (role == Role::kStandby) ++standby;
    if (role == Role::kUnreachable || role == Role::kUnknown) silent.push_back(node.name);
    failed = failed && node.state.reason != ErrorCode::kOk;
  }
  const std::size_t listed = cluster.nodes.size();
  const std::size_t answering = listed - silent.size();
  if (answering == 0) {
    if (failed) return;
    return out.fail("active", "no node tells its role",
                    "set api_url to the API listener of each node");
  }
  if (standby == listed) {
    return out.fail("active",
                    listed == 1 ? "the one listed node is standby"
                                : "all " + std::to_string(listed) + " listed nodes are standby",
                    "list the active node, too; during a failover wait some seconds");
  }
  out.fail("active",
           "none of the " + std::to_string(answering) + " that answer is active" +
               (silent.empty() ? "" : "; no answer from: " + list_words(silent)),
           "first do what their lines say; then: more than half of the nodes must be up and "
           "unsealed");
}

void check_active(const ClusterEvidence& cluster, Findings& out) {
  std::vector<std::string> active;
  for (const NodeEvidence& node : cluster.nodes) {
    if (node.state.role == Role::kActive) active.push_back(node.name);
  }
  if (active.size() == 1) return out.ok("active", active.front() + " is the active node");
  if (active.empty()) return check_none_active(cluster, out);
  out.fail("active", list_words(active) + " all say that they are active, twice",
           "compare sys/leader of each: cut off or hanging ones must be stopped; two clusters "
           "need two [[openbao]] entries");
}

void check_count(const ClusterEvidence& cluster, Findings& out) {
  const std::size_t listed = cluster.nodes.size();
  const std::string words = std::to_string(listed) + (listed == 1 ? " node" : " nodes") + " listed";
  if (static_cast<std::size_t>(cluster.expected_nodes) == listed) return out.ok("nodes", words);
  out.warn("nodes", words + ", " + std::to_string(cluster.expected_nodes) + " expected",
           "list every node of the cluster, or correct expected_nodes");
}

std::string grouped_words(const std::map<std::string, std::vector<std::string>>& groups) {
  std::string words;
  for (const auto& [what, nodes] : groups) {
    words += (words.empty() ? "" : "; ") + what + " on " + list_words(nodes);
  }
  return words;
}

void check_versions(const ClusterEvidence& cluster, Findings& out) {
  std::map<std::string, std::vector<std::string>> nodes_of;
  for (const NodeEvidence& node : cluster.nodes) {
    const auto& health = node.state.latest.health;
    if (health && !health->version.empty()) nodes_of[health->version].push_back(node.name);
  }
  if (nodes_of.empty()) return;
  if (nodes_of.size() == 1) return out.ok("versions", "all of them run " + nodes_of.begin()->first);
  out.warn("versions", grouped_words(nodes_of),
           "finish the upgrade: nodes of one version have the same families and types");
}

void check_names(const ClusterEvidence& cluster, Findings& out) {
  std::map<std::string, std::vector<std::string>> known;
  std::map<std::string, std::vector<std::string>> foreign;
  for (const NodeEvidence& node : cluster.nodes) {
    const BodyFacts& facts = node.state.latest.facts;
    if (node.state.latest.part == nullptr || facts.prefix.empty()) continue;
    (facts.has_odd_names() ? foreign : known)[facts.prefix].push_back(node.name);
  }
  if (!foreign.empty()) {
    return out.warn("names", "names of metrics begin with " + grouped_words(foreign),
                    "set disable_hostname = true in the telemetry stanza (or metrics_prefix to "
                    "vault or openbao): rules and dashboards look for vault_ or openbao_");
  }
  if (known.size() > 1) {
    return out.warn("names", "names of metrics begin with " + grouped_words(known),
                    "set the same metrics_prefix on all nodes");
  }
  if (!known.empty()) out.ok("names", "names of metrics begin with " + known.begin()->first);
}

}  // namespace

std::vector<Finding> check_cluster(const ClusterEvidence& cluster) {
  Findings out;
  check_login(cluster, out);
  check_capability(cluster, out);
  check_active(cluster, out);
  check_count(cluster, out);
  check_versions(cluster, out);
  check_names(cluster, out);
  return out.take();
}

}  // namespace bao_exporter::doctor
