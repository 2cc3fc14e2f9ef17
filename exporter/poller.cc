#include "bao_exporter/poller.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <string>
#include <string_view>

#include "bao_exporter/outcome.h"

namespace bao_exporter {

namespace {

constexpr std::size_t kSmallBodyMax = std::size_t{64} << 10;   // health and leader: some 250 bytes
constexpr std::uint64_t kFirstAside = std::uint64_t{1} << 32;  // channels beyond those of targets
constexpr Milliseconds kAfterWaiting{1'000};  // of a poll that waited: metrics and leader

// A standby does not tell a wrong token from one that it does not know yet: both may be.
bool is_rejection(const Answer& answer) {
  if (!answer.answered() || (answer.status != 400 && answer.status != 403)) return false;
  const std::optional<Error> error = judge_metrics(answer);
  return error &&
         (error->code == ErrorCode::kTokenRejected || error->code == ErrorCode::kStandbyRejected);
}

Answer failed(Error error) {
  Answer answer;
  answer.failure = std::move(error);
  return answer;
}

}  // namespace

Poller::Poller(PollPlan plan, Transport& transport, PollSink& sink, Heartbeat& heartbeat)
    : plan_(std::move(plan)),
      transport_(transport),
      sink_(sink),
      heartbeat_(heartbeat),
      running_(plan_.targets.size()),
      proven_(plan_.targets.size()),
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
    send_asides();
    resume_waiting(now);
    transport_.run_once(next_turn(now));
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

void Poller::send(Request request, Transport::OnDone on_done) {
  {
    std::scoped_lock lock(mutex_);
    asides_.push_back({std::move(request), std::move(on_done)});
  }
  transport_.wake_up();
}

void Poller::send_asides() {
  std::vector<Aside> asides;
  {
    std::scoped_lock lock(mutex_);
    asides.swap(asides_);
  }
  for (Aside& aside : asides) {
    aside.request.channel = kFirstAside + asides_sent_++;
    aside.request.ends_channel = true;
    transport_.start(std::move(aside.request), std::move(aside.on_done));
  }
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
  std::map<std::string_view, std::size_t> by_name;
  for (std::size_t old = 0; old < proven_.size(); ++old) by_name[plan_.targets[old].log_name] = old;
  std::vector<std::shared_ptr<const TokenInForce>> proven(plan->targets.size());
  for (std::size_t target = 0; target < proven.size(); ++target) {
    const PollTarget& after = plan->targets[target];
    const auto old = by_name.find(after.log_name);
    if (old == by_name.end()) continue;
    // Whoever keeps its name and the place that its tokens come from keeps what it took.
    const PollTarget& before = plan_.targets[old->second];
    const bool same =
        before.token == after.token && before.metrics.authority() == after.metrics.authority();
    if (same) proven[target] = proven_[old->second];
  }
  plan_ = *std::move(plan);
  proven_ = std::move(proven);
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
    running_[target].emplace(
        Running{.machine = NodePoll(what.has_api, what.same_origin(), what.active_only),
                .result = std::move(result),
                .deadline = now + plan_.poll.timeout});
    ask(target, running_[target]->machine.start());
  }
}

void Poller::ask(std::size_t target, PollQuestion question) {
  running_[target]->question = question;
  if (question == PollQuestion::kMetrics && plan_.targets[target].token != nullptr) {
    ask_for_metrics(target);
  } else {
    send_question(target);
  }
}

void Poller::ask_for_metrics(std::size_t target) {
  Running& running = *running_[target];
  running.token = plan_.targets[target].token->get();
  running.waits_for_token = running.token == nullptr;
  if (running.waits_for_token) return;
  if (running.token->secret == nullptr) return take_answer(target, failed(running.token->why));
  send_question(target);
}

void Poller::resume_waiting(TimePoint now) {
  for (std::size_t target = 0; target < running_.size(); ++target) {
    if (!running_[target] || !running_[target]->waits_for_token) continue;
    if (now < running_[target]->not_before) continue;
    ask_for_metrics(target);
    if (!running_[target] || !running_[target]->waits_for_token) continue;
    if (now < end_of_waiting(*running_[target])) continue;
    running_[target]->waits_for_token = false;
    take_answer(target, failed({ErrorCode::kLoginFailed, "there was no token in time"}));
  }
}

TimePoint Poller::next_turn(TimePoint now) const {
  TimePoint turn = std::min(next_round_, now + Heartbeat::kLongestWait);
  for (const std::optional<Running>& running : running_) {
    if (!running || !running->waits_for_token) continue;
    const bool retries = now < running->not_before;
    turn = std::min(turn, retries ? running->not_before : end_of_waiting(*running));
  }
  return turn;
}

// Before the deadline: what is asked afterwards (the term of an active node) takes time, too.
TimePoint Poller::end_of_waiting(const Running& running) const {
  return running.deadline - std::min(kAfterWaiting, plan_.poll.timeout / 4);
}

void Poller::send_question(std::size_t target) {
  transport_.start(make_request(target),
                   [this, target](Answer answer) { take_answer(target, std::move(answer)); });
}

// True when the node has to be asked again, with the token that it took before.
bool Poller::note_token(std::size_t target, const Answer& answer) {
  Running& running = *running_[target];
  if (running.question != PollQuestion::kMetrics || running.token == nullptr) return false;
  if (!is_rejection(answer)) {
    if (answer.answered() && answer.status == 200) {
      running.result.token_taken = running.token->generation;
      if (running.result.token_rejected == running.result.token_taken) {
        running.result.token_rejected = 0;  // it did not know it yet
      }
      proven_[target] = running.token;
    }
    return false;
  }
  PollResult& result = running.result;
  result.token_rejected = std::max(result.token_rejected, running.token->generation);
  const auto before = std::exchange(proven_[target], nullptr);
  if (before == nullptr || before->generation == running.token->generation) return false;
  running.token = before;
  return true;
}

// True when the node will be asked again in a moment: a standby needs one to know a fresh token.
bool Poller::waits_for_standby(std::size_t target, const Answer& answer, TimePoint now) {
  constexpr Milliseconds kFirstPause{50};
  constexpr int kTriesMax = 4;  // 50, 100, 200, 400 ms
  Running& running = *running_[target];
  if (running.question != PollQuestion::kMetrics || running.token == nullptr) return false;
  if (answer.status != 400 || !is_rejection(answer)) return false;
  const auto newest = plan_.targets[target].token->get();
  if (newest == nullptr || newest->secret == nullptr || now >= newest->fresh_until) return false;
  const TimePoint again = now + kFirstPause * (1 << running.fresh_tries);
  if (running.fresh_tries >= kTriesMax || again >= end_of_waiting(running)) return false;
  ++running.fresh_tries;
  running.not_before = again;
  running.waits_for_token = true;
  return true;
}

void Poller::take_answer(std::size_t target, Answer answer) {
  Running& running = *running_[target];
  if (note_token(target, answer)) return send_question(target);
  if (waits_for_standby(target, answer, Clock::now())) return;
  if (const auto question = running.machine.step(std::move(answer))) return ask(target, *question);
  PollResult result = std::move(running.result);
  result.ended = Clock::now();
  result.ended_wall = WallClock::now();
  result.answers = running.machine.take_answers();
  forget_old_token(target, result);
  running_[target].reset();
  sink_.poll_ended(std::move(result));
}

// An old token is kept for a node that is about to take the new one, not for one that is away.
void Poller::forget_old_token(std::size_t target, const PollResult& result) {
  const auto& slot = plan_.targets[target].token;
  if (slot == nullptr || result.token_taken != 0 || proven_[target] == nullptr) return;
  const auto in_force = slot->get();
  if (in_force == nullptr || in_force->generation != proven_[target]->generation) {
    proven_[target] = nullptr;
  }
}

Request Poller::make_request(std::size_t target) const {
  const PollTarget& what = plan_.targets[target];
  const Running& running = *running_[target];
  Request request;
  request.channel = target;
  request.server_name = what.server_name;
  request.trust = what.trust;
  request.deadline = running.deadline;
  if (running.question == PollQuestion::kMetrics) {
    request.url = what.metrics;
    request.url.path += "?format=prometheus";
    request.body_bytes_max = plan_.body_bytes_max;
    if (running.token != nullptr) request.bearer = running.token->secret;
    // Without it a standby that does not serve reads forwards, and answers as the active one.
    request.headers = {"X-Vault-No-Request-Forwarding: true"};
    return request;
  }
  request.url = what.api;
  request.url.path =
      running.question == PollQuestion::kHealth ? "/v1/sys/health" : "/v1/sys/leader";
  request.body_bytes_max = kSmallBodyMax;
  return request;
}

}  // namespace bao_exporter
