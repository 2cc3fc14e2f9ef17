// What OpenBao's bodies mean: the facts in them, their labels, their leader-only families.
#include <string>
#include <string_view>

#include "bao_exporter/outcome.h"
#include "catch.h"
#include "support/answers.h"
#include "support/outcomes.h"

namespace bao_exporter {

using namespace test;  // NOLINT(google-build-using-namespace): the answers of this test

TEST_CASE("with the host's name in its gauges a node is known all the same") {
  const std::string body =
      "# TYPE vault_host_1_core_active gauge\nvault_host_1_core_active 0\n"
      "# TYPE vault_host_1_core_unsealed gauge\nvault_host_1_core_unsealed{cluster=\"x\"} 1\n"
      "# TYPE vault_host_1_autopilot_healthy gauge\nvault_host_1_autopilot_healthy 1\n"
      "# TYPE vault_host_1_raft_storage_stats_term gauge\n"
      "vault_host_1_raft_storage_stats_term{peer_id=\"1\"} 7\n"
      "# TYPE vault_expire_num_leases gauge\nvault_expire_num_leases 1\n"
      "# TYPE vault_token_lookup_count counter\nvault_token_lookup_count 1\n";
  const Outcome outcome = judge_poll({std::nullopt, exposition(body), std::nullopt}, options());
  CHECK(outcome.role == Role::kStandby);
  CHECK(outcome.facts.prefix == "vault_host_1_");
  CHECK(outcome.facts.peer_id == "1");
  REQUIRE(outcome.part != nullptr);
  CHECK(dropped(*outcome.part, DropCause::kLeaderOnly) == 2);
  const std::string lines = all_lines(*outcome.part);
  CHECK(lines.find("vault_host_1_core_unsealed{" + kIdentity +
                   ",seal_state_source=\"cluster\"} 1\n") != std::string::npos);
}

TEST_CASE("the process behind a body is told by its start and its last garbage collection") {
  const auto facts_of = [](const std::string& text) {
    const auto parsed = parse(text, ParseLimits{}, 42);
    REQUIRE(parsed.ok());
    return read_body_facts(parsed.value());
  };
  const std::string start = "process_start_time_seconds 1.79539e+09\n";
  const std::string collected = "go_memstats_last_gc_time_seconds 1.7953901e+09\n";
  CHECK(facts_of(start + collected).process_print == "1.79539e+09/1.7953901e+09");
  CHECK(facts_of(start + collected).process_start == 1.79539e+09);
  CHECK(facts_of(start + "go_memstats_last_gc_time_seconds 0\n").process_print.empty());
  CHECK(facts_of(collected).process_print.empty());
  CHECK_FALSE(facts_of("process_start_time_seconds NaN\n" + collected).process_start.has_value());
}

TEST_CASE("core_active and peer_id are read under both prefixes, and from nothing else") {
  const auto facts_of = [](const std::string& text) {
    const auto parsed = parse(text, ParseLimits{}, 1);
    REQUIRE(parsed.ok());
    return read_body_facts(parsed.value());
  };
  CHECK(facts_of("vault_core_active 1\n").core_active == true);
  CHECK(facts_of("openbao_core_active{cluster=\"x\"} 0\n").core_active == false);
  CHECK(facts_of("vault_core_active 0\nvault_core_active{cluster=\"x\"} 1\n").core_active == true);
  CHECK_FALSE(facts_of("vault_core_unsealed 1\n").core_active.has_value());
  CHECK_FALSE(facts_of("core_active 1\n").core_active.has_value());
  CHECK(facts_of("myvault_core_active 1\n").core_active == true);
  CHECK(facts_of("myvault_core_active 1\n").prefix == "myvault_");
  CHECK_FALSE(facts_of("vault_core_active NaN\n").core_active.has_value());
  CHECK_FALSE(facts_of("# TYPE vault_core_active gauge\n").core_active.has_value());

  CHECK(facts_of("vault_raft_storage_stats_applied_index{peer_id=\"n1\"} 4\n").peer_id == "n1");
  CHECK(facts_of("openbao_raft_storage_stats_commit_index{cluster=\"c\",peer_id=\"n2\"} 4\n")
            .peer_id == "n2");
  CHECK(facts_of("vault_raft_storage_stats_fsm_pending{peer_id=\"a\\\"b\\\\c\\nd\"} 4\n").peer_id ==
        "a\"b\\c\nd");
  // Gauges about other peers carry peer_id too.
  CHECK(facts_of("vault_raft_storage_follower_last_heartbeat_ms{peer_id=\"other\"} 4\n").peer_id ==
        "");
  CHECK(facts_of("vault_raft_storage_stats_applied_index 4\n").peer_id == "");
}

TEST_CASE("exactly the leader-only families are leader-only") {
  const auto leader_only = [](std::string_view name, MetricType type = MetricType::kGauge) {
    Family family;
    family.name = name;
    family.type = type;
    return is_leader_only(family);
  };
  for (const std::string prefix : {"vault_", "openbao_"}) {
    for (const char* name : {"autopilot_healthy",
                             "autopilot_failure_tolerance",
                             "autopilot_node_healthy",
                             "raft_peers",
                             "raft_leader_lastContact",
                             "raft_leader_dispatchLog",
                             "raft_replication_heartbeat",
                             "raft_replication_appendEntries_rpc_openbao_1",
                             "raft_commitNumLogs",
                             "raft_storage_follower_applied_index_delta",
                             "raft_storage_follower_last_heartbeat_ms",
                             "expire_num_leases",
                             "expire_num_irrevocable_leases",
                             "expire_leases_by_expiration",
                             "token_count",
                             "token_count_by_policy",
                             "token_count_by_auth",
                             "token_count_by_ttl",
                             "identity_entity_count",
                             "identity_entity_alias_count",
                             "secret_kv_count",
                             "core_mount_table_num_entries",
                             "core_mount_table_size"}) {
      INFO(prefix << name);
      CHECK(leader_only(prefix + name));
    }
    for (const char* name : {"core_active",
                             "core_unsealed",
                             "core_handle_request",
                             "token_create",
                             "token_lookup",
                             "token_creation",
                             "raft_apply",
                             "raft_commitTime",
                             "raft_storage_stats_applied_index",
                             "raft_rpc_appendEntries",
                             "raft_state_follower",
                             "expire_job_manager_total_jobs",
                             "expire_fetch_lease_times",
                             "identity_upsert_entity_txn",
                             "secret_lease_creation",
                             "secret_kv_counter",
                             "runtime_num_goroutines",
                             "raft_peers_more",
                             "core_mounttable",
                             "ha_rpc_client_echo"}) {
      INFO(prefix << name);
      CHECK_FALSE(leader_only(prefix + name));
    }
    // Counters of that shape are a node's own.
    CHECK_FALSE(leader_only(prefix + "identity_entity_count", MetricType::kCounter));
  }
  CHECK_FALSE(leader_only("autopilot_healthy"));
  CHECK_FALSE(leader_only("go_goroutines"));
  CHECK_FALSE(leader_only("vaultautopilot_healthy"));
}

TEST_CASE("the body of an active node is relabelled as the contract says, values untouched") {
  const Outcome outcome = judge_poll(
      {health_active(), exposition(std::string(kRealisticBody)), std::nullopt}, options());
  REQUIRE(outcome.reason == ErrorCode::kOk);
  const std::string expected =
      R"(go_goroutines{cluster="prod",node_name="a"} 231
vault_autopilot_healthy{cluster="prod",node_name="a"} 1
vault_core_active{cluster="prod",node_name="a"} 1
vault_core_handle_request{cluster="prod",node_name="a",quantile="0.5"} NaN
vault_core_handle_request{cluster="prod",node_name="a",quantile="0.99"} NaN
vault_core_handle_request_sum{cluster="prod",node_name="a"} 12.500
vault_core_handle_request_count{cluster="prod",node_name="a"} 3
vault_core_unsealed{cluster="prod",node_name="a",seal_state_source="startup"} 0
vault_core_unsealed{cluster="prod",node_name="a",seal_state_source="cluster"} 1
vault_pki_issue{cluster="prod",node_name="a",openbao_namespace="root",role="web \"a\""} 5e+00
vault_strange{cluster="prod",node_name="a",exported_instance="evil",exported_exported_job="x",exported___meta="y",exported_job="z",exported_openbao_namespace="q",openbao_namespace="root"} 4
vault_strange{cluster="prod",node_name="a",exported_node_name="evil",exported_node_role="active",exported_scrape_profile="x",exported_pod="p",exported_certctl="c",exported_seal_state_source="s"} 5
vault_token_count{cluster="prod",node_name="a",openbao_namespace="root"} 11
vault_twice{cluster="prod",node_name="a"} 2
)";
  CHECK(all_lines(*outcome.part) == expected);
  CHECK(dropped(*outcome.part, DropCause::kReservedName) == 2);
  CHECK(dropped(*outcome.part, DropCause::kDuplicateAfterRelabel) == 1);
  CHECK(dropped(*outcome.part, DropCause::kLeaderOnly) == 0);
  CHECK(outcome.part->samples() == 14);
}

TEST_CASE("a node that is not active shows no leader-only family, unless that is wanted") {
  std::string body(kRealisticBody);
  const std::string active = "vault_core_active{cluster=\"lab\"} 1";
  body.replace(body.find(active), active.size(), "vault_core_active{cluster=\"lab\"} 0");
  for (const Answer& health : {health_standby(), health_sealed()}) {
    const Outcome outcome = judge_poll({health, exposition(body), std::nullopt}, options());
    REQUIRE(outcome.part != nullptr);
    CHECK(all_lines(*outcome.part).find("vault_autopilot") == std::string::npos);
    CHECK(all_lines(*outcome.part).find("vault_token_count") == std::string::npos);
    CHECK(all_lines(*outcome.part).find("vault_pki_issue") != std::string::npos);
    CHECK(dropped(*outcome.part, DropCause::kLeaderOnly) == 2);
  }
  OutcomeOptions all = options();
  all.leader_only_from_active = false;
  const Outcome kept = judge_poll({health_standby(), exposition(body), std::nullopt}, all);
  REQUIRE(kept.part != nullptr);
  CHECK(all_lines(*kept.part).find("vault_autopilot_healthy") != std::string::npos);
  CHECK(dropped(*kept.part, DropCause::kLeaderOnly) == 0);
}

TEST_CASE("a node whose role is not known shows no leader-only family either") {
  const Outcome outcome = judge_poll(
      {std::nullopt, exposition("vault_autopilot_healthy 1\n"), std::nullopt}, options());
  CHECK(outcome.role == Role::kUnknown);
  REQUIRE(outcome.part != nullptr);
  CHECK(outcome.part->samples() == 0);
}

TEST_CASE("both prefixes give the seal state its source") {
  const Outcome outcome = judge_poll(
      {std::nullopt,
       exposition(
           "openbao_core_unsealed{cluster=\"c\"} 1\nvault_core_unsealed_x{cluster=\"c\"} 1\n"),
       std::nullopt},
      options());
  REQUIRE(outcome.part != nullptr);
  CHECK(all_lines(*outcome.part) == "openbao_core_unsealed{" + kIdentity +
                                        ",seal_state_source=\"cluster\"} 1\n" +
                                        "vault_core_unsealed_x{" + kIdentity + "} 1\n");
}

TEST_CASE("role_label = samples puts the role on every sample, the default on none") {
  OutcomeOptions samples = options();
  samples.role_on_samples = true;
  const Outcome with = judge_poll(
      {health_standby(), exposition("a 1\nb{node_role=\"x\"} 2\n"), std::nullopt}, samples);
  REQUIRE(with.part != nullptr);
  CHECK(all_lines(*with.part) == "a{" + kIdentity + ",node_role=\"standby\"} 1\nb{" + kIdentity +
                                     ",node_role=\"standby\",exported_node_role=\"x\"} 2\n");
  const Outcome without =
      judge_poll({health_standby(), exposition("a 1\n"), std::nullopt}, options());
  REQUIRE(without.part != nullptr);
  CHECK(all_lines(*without.part) == "a{" + kIdentity + "} 1\n");
}

}  // namespace bao_exporter
