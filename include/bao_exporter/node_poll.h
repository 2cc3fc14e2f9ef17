// One poll of one node, as a pure machine: health, then metrics, then leader where health says
// active. In the profile active only a node whose health says active is asked for metrics. step()
// says what to ask next; it asks nothing itself and has no clock.
//
// Source: facts measured on OpenBao 2.7.2; health and leader need no token and write no audit
// entry.
#pragma once

#include <optional>

#include "bao_exporter/answer.h"
#include "bao_exporter/config.h"

namespace bao_exporter {

enum class PollQuestion : std::uint8_t { kHealth, kMetrics, kLeader };

struct PollAnswers {
  std::optional<Answer> health;  // absent: the node has no api_url
  // Absent: health showed that the same address cannot be reached, or (profile active) did not say
  // active.
  std::optional<Answer> metrics;
  std::optional<Answer> leader;  // absent: health did not say active
};

class NodePoll {
 public:
  // `same_origin`: metrics are asked of the address that health is asked of.
  NodePoll(bool has_api, bool same_origin, bool active_only = false)
      : has_api_(has_api), same_origin_(same_origin), active_only_(active_only) {}

  // The first question.
  [[nodiscard]] PollQuestion start() const;
  // Takes the answer to the last question; the next question, or nullopt when the poll has ended.
  [[nodiscard]] std::optional<PollQuestion> step(Answer answer);

  [[nodiscard]] PollAnswers take_answers() { return std::move(answers_); }

 private:
  bool has_api_;
  bool same_origin_;
  bool active_only_;
  PollAnswers answers_;
};

}  // namespace bao_exporter
