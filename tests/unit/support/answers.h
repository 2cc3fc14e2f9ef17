// What OpenBao nodes answer, in the shapes that 2.7.2 gives them.
#pragma once

#include <string>
#include <utility>

#include "bao_exporter/answer.h"

namespace bao_exporter::test {

inline Answer answer(int status, std::string content_type, std::string body) {
  Answer made;
  made.status = status;
  made.content_type = std::move(content_type);
  made.body = std::move(body);
  return made;
}

inline Answer json(int status, std::string body) {
  return answer(status, "application/json", std::move(body));
}

inline Answer plain(int status, std::string body) {
  return answer(status, "text/plain; charset=utf-8", std::move(body));
}

inline Answer failed(ErrorCode code, std::string detail = "made by the test") {
  Answer made;
  made.failure = Error{code, std::move(detail)};
  return made;
}

inline Answer health_active(const std::string& version = "2.7.2") {
  return json(200, R"({"initialized":true,"sealed":false,"standby":false,)"
                   R"("replication_performance_mode":"primary","replication_dr_mode":"disabled",)"
                   R"("server_time_utc":1795392000,"version":")" +
                       version + R"(","cluster_name":"lab","cluster_id":"5f2c-77"})" + "\n");
}

inline Answer health_standby(const std::string& version = "2.7.2") {
  return json(429, R"({"initialized":true,"sealed":false,"standby":true,)"
                   R"("replication_performance_mode":"primary","replication_dr_mode":"disabled",)"
                   R"("server_time_utc":1795392000,"version":")" +
                       version + R"(","cluster_name":"lab","cluster_id":"5f2c-77"})" + "\n");
}

inline Answer health_sealed() {
  return json(503, R"({"initialized":true,"sealed":true,"standby":true,)"
                   R"("replication_performance_mode":"unknown","replication_dr_mode":"unknown",)"
                   R"("server_time_utc":1795392000,"version":"2.7.2"})"
                   "\n");
}

inline Answer health_uninitialized() {
  return json(501, R"({"initialized":false,"sealed":true,"standby":true,)"
                   R"("replication_performance_mode":"unknown","replication_dr_mode":"unknown",)"
                   R"("server_time_utc":1795392000,"version":"2.7.2"})"
                   "\n");
}

inline Answer leader_self(const std::string& active_time) {
  return json(200, R"({"ha_enabled":true,"is_self":true,"active_time":")" + active_time +
                       R"(","leader_address":"https://10.0.0.10:8200",)"
                       R"("leader_cluster_address":"https://10.0.0.10:8201",)"
                       R"("raft_committed_index":131,"raft_applied_index":131})"
                       "\n");
}

inline Answer leader_other() {
  return json(200, R"({"ha_enabled":true,"is_self":false,"active_time":"0001-01-01T00:00:00Z",)"
                   R"("leader_address":"https://10.0.0.10:8200","raft_committed_index":131})"
                   "\n");
}

inline Answer exposition(std::string body) {
  return answer(200, "text/plain; version=0.0.4; charset=utf-8", std::move(body));
}

// A small body of a node that says `core_active` of itself.
inline std::string small_body(const std::string& core_active, const std::string& peer = "") {
  std::string body;
  if (!core_active.empty()) {
    body +=
        "# HELP vault_core_active vault_core_active\n# TYPE vault_core_active gauge\n"
        "vault_core_active{cluster=\"lab\"} " +
        core_active + "\n";
  }
  body +=
      "# HELP vault_core_unsealed vault_core_unsealed\n# TYPE vault_core_unsealed gauge\n"
      "vault_core_unsealed{cluster=\"lab\"} 1\n";
  if (!peer.empty()) {
    body +=
        "# HELP vault_raft_storage_stats_applied_index vault_raft_storage_stats_applied_index\n"
        "# TYPE vault_raft_storage_stats_applied_index gauge\n"
        "vault_raft_storage_stats_applied_index{peer_id=\"" +
        peer + "\"} 131\n";
  }
  return body;
}

// The refusals of the status table.
inline constexpr const char* kDenied = R"({"errors":["permission denied"]})";
inline constexpr const char* kNoPolicy =
    R"({"errors":["1 error occurred:\n\t* permission denied\n\n"]})";
inline constexpr const char* kCannotForward = R"({"errors":["cannot forward local-only request"]})";
inline constexpr const char* kVaultSealed = R"({"errors":["Vault is sealed"]})";
inline constexpr const char* kInNamespaces =
    R"({"errors":["operation unavailable in namespaces"]})";

}  // namespace bao_exporter::test
