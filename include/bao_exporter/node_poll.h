// One poll of one node, as a pure machine: health, then metrics, then leader where health says
// active. step() says what to ask next; it asks nothing itself and has no clock.
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
  std::optional<Answer> health;   // absent: the node has no api_url
  std::optional<Answer> metrics;  // absent: health showed that the same address cannot be reached
  std::optional<Answer> leader;   // absent: health did not say active
};

class NodePoll {
 public:
  // `same_origin`: metrics are asked of the address that health is asked of.
  NodePoll(bool has_api, bool same_origin) : has_api_(has_api), same_origin_(same_origin) {}

  // The first question.
  [[nodiscard]] PollQuestion start() const;
  // Takes the answer to the last question; the next question, or nullopt when the poll has ended.
  [[nodiscard]] std::optional<PollQuestion> step(Answer answer);

  [[nodiscard]] PollAnswers take_answers() { return std::move(answers_); }

 private:
  bool has_api_;
  bool same_origin_;
  PollAnswers answers_;
};

}  // namespace bao_exporter
