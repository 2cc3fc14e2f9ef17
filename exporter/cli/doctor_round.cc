#include "cli/doctor_round.h"

#include <algorithm>
#include <chrono>

namespace bao_exporter::cli {

namespace {

// A plan that is due once.
PollPlan once(PollPlan plan) {
  plan.poll.interval = std::chrono::hours(24);
  return plan;
}

std::optional<AnswerNotes> notes_of(const std::optional<Answer>& answer) {
  if (!answer) return std::nullopt;
  return AnswerNotes{answer->failure, answer->address};
}

PollNotes notes_of(const PollResult& result) {
  PollNotes notes;
  notes.health = notes_of(result.answers.health);
  notes.metrics = notes_of(result.answers.metrics);
  if (result.answers.health) {
    const Result<Health> health = read_health(*result.answers.health);
    if (!health.ok()) notes.health_problem = health.error();
  }
  notes.ended = unix_seconds(result.ended_wall);
  notes.began = notes.ended - std::chrono::duration<double>(result.ended - result.started).count();
  return notes;
}

}  // namespace

DoctorRound::DoctorRound(NodeBook& book, PollPlan plan, Transport& transport)
    : book_(book),
      poller_(once(std::move(plan)), transport, *this, heartbeat_),
      notes_(book.size()),
      under_way_(book.size()) {}

void DoctorRound::run() {
  if (under_way_ == 0) return;  // no node: no poll would ever end
  poller_.run(stop_.get_token());
}

void DoctorRound::look_again(const std::vector<std::size_t>& targets) {
  under_way_ += targets.size();
  poller_.ask_again(1, targets);
}

void DoctorRound::poll_ended(PollResult result) {
  const std::size_t target = result.target;
  --under_way_;
  notes_[target] = notes_of(result);
  if (book_.note_poll(std::move(result))) look_again({target});
  if (under_way_ == 0) settle();
}

// The verdicts on all nodes together may want another look at some of them.
void DoctorRound::settle() {
  std::vector<std::size_t> again = book_.decide(Clock::now(), WallClock::now());
  std::sort(again.begin(), again.end());
  again.erase(std::unique(again.begin(), again.end()), again.end());
  if (again.empty() || looks_ == kLooks) {
    stop_.request_stop();
    return;
  }
  ++looks_;
  look_again(again);
}

}  // namespace bao_exporter::cli
