#include "bao_exporter/node_poll.h"

#include "bao_exporter/outcome.h"

namespace bao_exporter {

namespace {

// Whoever could not be reached for health is not asked for metrics at the same address: the reason
// is known, and the deadline may be spent.
bool unreachable(const Answer& answer) { return !answer.answered(); }

// Its JSON, not its status: that is what the role is read from.
bool says_active(const Answer& answer) {
  const Result<Health> health = read_health(answer);
  return health.ok() && health.value().role() == Role::kActive;
}

}  // namespace

PollQuestion NodePoll::start() const {
  return has_api_ ? PollQuestion::kHealth : PollQuestion::kMetrics;
}

std::optional<PollQuestion> NodePoll::step(Answer answer) {
  if (has_api_ && !answers_.health) {
    answers_.health = std::move(answer);
    if (same_origin_ && unreachable(*answers_.health)) return std::nullopt;
    if (active_only_ && !says_active(*answers_.health)) return std::nullopt;
    return PollQuestion::kMetrics;
  }
  if (!answers_.metrics) {
    answers_.metrics = std::move(answer);
    const bool active =
        answers_.health && answers_.health->answered() && answers_.health->status == 200;
    if (!active) return std::nullopt;
    return PollQuestion::kLeader;
  }
  answers_.leader = std::move(answer);
  return std::nullopt;
}

}  // namespace bao_exporter
