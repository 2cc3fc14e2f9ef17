// What a poll of an OpenBao node means: one pure function from what came back to role, reason and
// samples. Source: the status table measured on OpenBao 2.7.2 (every row is a test in
// tests/unit/outcome_test.cc), and the source of OpenBao for the older ones.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "bao_exporter/node_part.h"
#include "bao_exporter/node_poll.h"
#include "bao_exporter/role.h"

namespace bao_exporter {

// The answer of sys/health.
struct Health {
  bool initialized = false;
  bool sealed = false;
  bool standby = false;
  std::string version;
  std::string cluster_name;  // empty while sealed
  std::string cluster_id;
  std::int64_t server_time = 0;  // seconds since 1970; 0: not told

  [[nodiscard]] Role role() const;
};
[[nodiscard]] Result<Health> read_health(const Answer& answer);

// When the answering node became active, nanoseconds since 1970, as sys/leader of that node tells;
// nullopt when it does not call itself the leader or the answer cannot be read.
[[nodiscard]] std::optional<std::int64_t> read_active_time(const Answer& answer);

// Success, or why the answer to sys/metrics holds no exposition.
[[nodiscard]] std::optional<Error> judge_metrics(const Answer& answer);

// What a body says about the node that made it.
struct BodyFacts {
  std::optional<bool> core_active;  // absent is "not told", never "standby"
  // False only where every sample says so: the one of the start (0, without a cluster's name) stays
  // for a while beside the real one.
  std::optional<bool> core_unsealed;
  std::string peer_id;  // raft id; empty without raft
  // What its gauges begin with: "vault_", "openbao_", or else the node has its host's name in them
  // ("vault_HOST_") or a metrics_prefix of its own. Found from *_core_active, else *_core_unsealed.
  // Empty: not known.
  std::string prefix;
  [[nodiscard]] bool has_odd_names() const {
    return !prefix.empty() && prefix != "vault_" && prefix != "openbao_";
  }
  std::optional<double> process_start;  // seconds since 1970, by the node's clock
  // Start of the process and time of its last garbage collection: equal in two bodies only when one
  // process made both. Empty: not told.
  std::string process_print;
};
[[nodiscard]] BodyFacts read_body_facts(const Exposition& exposition);
// The families that it looks at.
[[nodiscard]] bool tells_facts(const Family& family);

struct OutcomeOptions {
  ParseLimits limits;
  std::uint64_t hash_seed = 0;
  std::string identity;  // rendered identity labels, without node_role
  bool role_on_samples = false;
  bool leader_only_from_active = true;
  std::shared_ptr<const Relabel> relabel;  // null: no rules
  bool active_only = false;                // profile active: samples of the active node only
  bool second_look = false;  // this poll was made because the one before contradicted itself

  // Who makes the node's parts; null: nobody in particular. `previous`, which may be null, is one
  // of them: what did not change since is not read again.
  PartBuilder* parts = nullptr;
  const NodePart* previous = nullptr;
  // What the body will probably say of the node; otherwise it is rendered twice.
  Role expected_role = Role::kUnknown;
  std::string expected_prefix;
};

struct Outcome {
  Role role = Role::kUnknown;
  RoleSource role_source = RoleSource::kNone;
  ErrorCode reason = ErrorCode::kNotPolled;
  std::string detail;  // for the log; empty when reason is ok
  // Health and body contradict each other: ask again before anybody is accused.
  bool ask_again = false;
  bool disagreement = false;
  bool claims_active = false;
  std::optional<std::int64_t> active_time;
  std::shared_ptr<const NodePart> part;  // null: no samples
  std::optional<Health> health;
  BodyFacts facts;  // empty without a body
  std::optional<std::int64_t> certificate_not_after;
};

[[nodiscard]] Outcome judge_poll(PollAnswers answers, const OutcomeOptions& options);

// How OpenBao's labels become ours, and which families only an active node may show.
[[nodiscard]] RelabelPlan openbao_relabel_plan(std::string identity, Role role,
                                               bool leader_only_from_active,
                                               const std::string& prefix = {});

// True for the families that only the active node of a fresh cluster has, and that an ex-active
// keeps showing for hours: dropped from nodes that are not active.
[[nodiscard]] bool is_leader_only(const Family& family, std::string_view prefix = {});

}  // namespace bao_exporter
