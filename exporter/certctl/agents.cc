// Agents: some of certctl's are of its own making and never send a heartbeat (facts/certctl.md B6).
#include <algorithm>

#include "certctl/collectors.h"
#include "certctl/list_reading.h"
#include "certctl/tally.h"

namespace bao_exporter::certctl {

namespace {

struct Agent {
  std::string status;
  std::optional<std::int64_t> heartbeat;
  // Not the time of the heartbeat: of 500 agents one has another with each page.
  friend bool operator==(const Agent& a, const Agent& b) {
    return a.status == b.status && a.heartbeat.has_value() == b.heartbeat.has_value();
  }
};

using Rows = ListReader<Agent>::Rows;

Agent read_agent(Fields& row) {
  return {normalised(label_text(row.word("status")), kAgentStatuses),
          row.time("last_heartbeat_at")};
}

void write_heartbeats(StateText& text, const Rows& rows) {
  std::size_t without = 0;
  std::optional<std::int64_t> oldest;
  for (const auto& [id, row] : rows) {
    if (!row.heartbeat) {
      ++without;
    } else {
      oldest = std::min(oldest.value_or(*row.heartbeat), *row.heartbeat);
    }
  }
  if (oldest) {
    text.gauge("certctl_state_agent_oldest_heartbeat_timestamp_seconds",
               "Last heartbeat of the agent that has been silent longest.");
    text.sample({}, static_cast<double>(*oldest));
  }
  text.gauge("certctl_state_agents_without_heartbeat",
             "Agents that never sent a heartbeat, such as those of the server itself.");
  text.sample({}, static_cast<double>(without));
}

Counted count(const Rows& rows, const ReadingOptions& /*options*/) {
  Tally<1> statuses;
  statuses.add_all(kAgentStatuses);
  for (const auto& [id, row] : rows) statuses.add({row.status});
  StateText text;
  text.gauge("certctl_state_agents", "Agents by state.");
  statuses.write(text, {"status"});
  write_heartbeats(text, rows);
  return {text.take(), {{"certctl_agent_total", static_cast<double>(rows.size())}}};
}

}  // namespace

std::unique_ptr<Reading> read_agents(const ReadingOptions& options) {
  return std::make_unique<ListReading<Agent>>(ListPlan{"agents", {"/api/v1/agents?"}}, read_agent,
                                              count, options);
}

}  // namespace bao_exporter::certctl
