#include "bao_exporter/poller.h"

#include <algorithm>
#include <numeric>
#include <string>

#include "bao_exporter/log.h"

namespace bao_exporter {

namespace {

constexpr std::size_t kSmallBodyMax = std::size_t{64} << 10;  // health and leader: some 250 bytes

}  // namespace

Poller::Poller(PollPlan plan, Transport& transport, PollSink& sink, Heartbeat& heartbeat)
    : plan_(std::move(plan)),
      transport_(transport),
      sink_(sink),
      heartbeat_(heartbeat),
      running_(plan_.targets.size()),
      plan_generation_(plan_.generation) {}

void Poller::run(const std::stop_token& stop) {
  const std::stop_callback wake(stop, [this] { transport_.wake_up(); });
  next_round_ = Clock::now();
  while (!stop.stop_requested()) {
    const TimePoint now = Clock::now();
    heartbeat_.beat(now);
    take_replacement(now);
    if (now >= next_round_) {
      std::vector<std::size_t> everybody(plan_.targets.size());
      std::iota(everybody.begin(), everybody.end(), 0);
      start_polls(everybody, /*second_look=*/false, now);
      // Keeps the rhythm; rounds that were slept through are not made up for.
      next_round_ += plan_.poll.interval * ((now - next_round_) / plan_.poll.interval + 1);
    }
    if (const auto again = take_asked_again(); !again.empty()) {
      start_polls(again, /*second_look=*/true, now);
    }
    transport_.run_once(std::min(next_round_, now + Heartbeat::kLongestWait));
  }
  for (std::size_t target = 0; target < running_.size(); ++target) transport_.cancel(target);
}

void Poller::ask_again(std::uint64_t generation, const std::vector<std::size_t>& targets) {
  {
    std::scoped_lock lock(mutex_);
    if (replacement_ || generation != plan_generation_) return;
    asked_again_.insert(asked_again_.end(), targets.begin(), targets.end());
  }
  transport_.wake_up();
}

void Poller::replace(PollPlan plan) {
  {
    std::scoped_lock lock(mutex_);
    replacement_ = std::move(plan);
    asked_again_.clear();
  }
  transport_.wake_up();
}

void Poller::take_replacement(TimePoint now) {
  std::optional<PollPlan> plan;
  {
    std::scoped_lock lock(mutex_);
    plan.swap(replacement_);
    if (!plan) return;
    plan_generation_ = plan->generation;
  }
  for (std::size_t target = 0; target < running_.size(); ++target) transport_.cancel(target);
  plan_ = *std::move(plan);
  running_.clear();
  running_.resize(plan_.targets.size());
  next_round_ = now;
}

std::vector<std::size_t> Poller::take_asked_again() {
  std::scoped_lock lock(mutex_);
  return std::exchange(asked_again_, {});
}

void Poller::start_polls(const std::vector<std::size_t>& targets, bool second_look, TimePoint now) {
  std::vector<std::size_t> free;
  for (const std::size_t target : targets) {
    if (running_[target] || std::find(free.begin(), free.end(), target) != free.end()) continue;
    free.push_back(target);
  }
  if (free.empty()) return;
  sink_.polls_started(plan_.generation, free);
  for (const std::size_t target : free) {
    const PollTarget& what = plan_.targets[target];
    PollResult result;
    result.target = target;
    result.generation = plan_.generation;
    result.second_look = second_look;
    result.started = now;
    running_[target].emplace(Running{NodePoll(what.has_api, what.same_origin(), what.active_only),
                                     std::move(result), now + plan_.poll.timeout});
    ask(target, running_[target]->machine.start());
  }
}

void Poller::ask(std::size_t target, PollQuestion question) {
  transport_.start(make_request(target, question),
                   [this, target](Answer answer) { take_answer(target, std::move(answer)); });
}

void Poller::take_answer(std::size_t target, Answer answer) {
  Running& running = *running_[target];
  if (const auto question = running.machine.step(std::move(answer))) return ask(target, *question);
  PollResult result = std::move(running.result);
  result.ended = Clock::now();
  result.ended_wall = WallClock::now();
  result.answers = running.machine.take_answers();
  running_[target].reset();
  sink_.poll_ended(std::move(result));
}

Request Poller::make_request(std::size_t target, PollQuestion question) const {
  const PollTarget& what = plan_.targets[target];
  Request request;
  request.channel = target;
  request.server_name = what.server_name;
  request.trust = what.trust;
  request.deadline = running_[target]->deadline;
  if (question == PollQuestion::kMetrics) {
    request.url = what.metrics;
    request.url.path += "?format=prometheus";
    request.body_bytes_max = plan_.body_bytes_max;
    if (what.token != nullptr) request.bearer = what.token->get();
    // Without it a standby that does not serve reads forwards, and answers as the active one.
    request.headers = {"X-Vault-No-Request-Forwarding: true"};
    return request;
  }
  request.url = what.api;
  request.url.path = question == PollQuestion::kHealth ? "/v1/sys/health" : "/v1/sys/leader";
  request.body_bytes_max = kSmallBodyMax;
  return request;
}

}  // namespace bao_exporter
