// What a body tells of prometheus_retention_time: OpenBao itself tells it nowhere.
//
// Known: a series that is not written for that long is gone from the body. core_unseal is written
// when a key to unseal is given, core_post_unseal when a node becomes active or begins to serve
// reads as a standby. So on an active node core_post_unseal was written, after its process began;
// when it is gone, the retention is shorter than the age of the process. That they are there says
// how long they were kept only where the moment is known: on an active node by active_time.
#include <algorithm>

#include "doctor/checks.h"

namespace bao_exporter::doctor {

namespace {

constexpr std::int64_t kDefaultRetention = 24 * 3'600;  // OpenBao's own
constexpr std::int64_t kNanoseconds = 1'000'000'000;

bool has_unseal_series(const NodePart& part) {
  return std::any_of(part.families().begin(), part.families().end(), [](const FamilyPart& family) {
    return family.name.ends_with("_core_unseal") || family.name.ends_with("_core_post_unseal");
  });
}

}  // namespace

void check_retention(const NodeEvidence& node, const Evidence& all, Findings& out) {
  const Outcome& latest = node.state.latest;
  if (node.state.reason == ErrorCode::kTelemetryDisabled) {
    return out.fail("retention", ErrorCode::kTelemetryDisabled,
                    "prometheus_retention_time is 0: the node keeps no metrics");
  }
  const Role role = node.state.role;
  if (latest.part == nullptr || (role != Role::kActive && role != Role::kStandby)) return;
  const std::optional<double> process_start = latest.facts.process_start;
  if (!process_start) {
    return out.ok("retention", "not known: the body has no process_start_time_seconds");
  }
  const std::int64_t now = latest.health && latest.health->server_time > 0
                               ? latest.health->server_time
                               : static_cast<std::int64_t>(node.poll_ended);
  const std::int64_t age = now - static_cast<std::int64_t>(*process_start);
  const std::int64_t interval =
      std::chrono::duration_cast<std::chrono::seconds>(all.poll.interval).count();
  const std::string since_start = duration_words(age) + " after its start";
  if (!has_unseal_series(*latest.part)) {
    if (role != Role::kActive || age >= kDefaultRetention) {
      return out.ok("retention",
                    "not known: what it wrote when it was unsealed is not there, " + since_start);
    }
    return out.warn("retention",
                    "below " + duration_words(age) +
                        ": what it wrote when it became active is gone, " + since_start,
                    "it must be well above poll.interval (" + duration_words(interval) +
                        "), or series vanish between polls: raise prometheus_retention_time in "
                        "the node's telemetry stanza (OpenBao's own is 24h)");
  }
  if (age <= interval) return out.ok("retention", "not known yet, " + since_start);
  if (role == Role::kActive && latest.active_time) {
    const std::int64_t kept = std::min(age, now - *latest.active_time / kNanoseconds);
    if (kept > interval) return out.ok("retention", "at least " + duration_words(kept));
  }
  out.ok("retention",
         "not known; at least " + duration_words(age) + ", if it was unsealed when it started");
}

}  // namespace bao_exporter::doctor
