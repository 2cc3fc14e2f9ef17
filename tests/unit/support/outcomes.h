// One poll judged as the book would, and what came of it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "bao_exporter/outcome.h"

namespace bao_exporter::test {

inline const std::string kIdentity = R"(cluster="prod",node_name="a")";

inline OutcomeOptions options(bool second_look = false) {
  OutcomeOptions made;
  made.hash_seed = 42;
  made.identity = kIdentity;
  made.second_look = second_look;
  return made;
}

inline std::string all_lines(const NodePart& part) {
  std::string out;
  for (const FamilyPart& family : part.families()) out += family.lines;
  return out;
}

inline std::uint64_t dropped(const NodePart& part, DropCause cause) {
  return part.dropped()[static_cast<std::size_t>(cause)];
}

// Of an active node, with everything that relabelling is about.
inline constexpr std::string_view kRealisticBody =
    R"(# HELP go_goroutines Number of goroutines that currently exist.
# TYPE go_goroutines gauge
go_goroutines 231
# HELP vault_core_active vault_core_active
# TYPE vault_core_active gauge
vault_core_active{cluster="lab"} 1
# HELP vault_core_unsealed vault_core_unsealed
# TYPE vault_core_unsealed gauge
vault_core_unsealed 0
vault_core_unsealed{cluster="lab"} 1
# HELP vault_token_count vault_token_count
# TYPE vault_token_count gauge
vault_token_count{cluster="lab",namespace="root"} 11
# HELP vault_autopilot_healthy vault_autopilot_healthy
# TYPE vault_autopilot_healthy gauge
vault_autopilot_healthy 1
# HELP vault_pki_issue vault_pki_issue
# TYPE vault_pki_issue counter
vault_pki_issue{cluster="lab",namespace="root",role="web \"a\""} 5e+00
# HELP vault_core_handle_request vault_core_handle_request
# TYPE vault_core_handle_request summary
vault_core_handle_request{quantile="0.5"} NaN
vault_core_handle_request{quantile="0.99"} NaN
vault_core_handle_request_sum 12.500
vault_core_handle_request_count 3
# HELP vault_twice vault_twice
# TYPE vault_twice gauge
vault_twice 1
vault_twice{cluster="lab"} 2
# HELP vault_strange vault_strange
# TYPE vault_strange gauge
vault_strange{instance="evil",job="x",__meta="y",exported_job="z",openbao_namespace="q",namespace="root"} 4 1795392000000
vault_strange{node_name="evil",node_role="active",scrape_profile="x",pod="p",certctl="c",seal_state_source="s"} 5
# HELP bao_node_up Not yours.
# TYPE bao_node_up gauge
bao_node_up 1
# HELP bao_exporter_build_info Not yours.
# TYPE bao_exporter_build_info gauge
bao_exporter_build_info 1
)";

}  // namespace bao_exporter::test
