#include "bao_exporter/node_poll.h"

namespace bao_exporter {

namespace {

// Whoever could not be reached for health is not asked for metrics at the same address: the reason
// is known, and the deadline may be spent.
bool unreachable(const Answer& answer) { return !answer.answered(); }

bool says_active(const Answer& health) { return health.answered() && health.status == 200; }

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
    if (!answers_.health || !says_active(*answers_.health)) return std::nullopt;
    return PollQuestion::kLeader;
  }
  answers_.leader = std::move(answer);
  return std::nullopt;
}

}  // namespace bao_exporter
