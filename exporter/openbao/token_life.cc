// Which token is in force, and what is asked next. What the answers do: token_life_answers.cc.
#include "bao_exporter/token_life.h"

#include <algorithm>
#include <array>
#include <utility>

#include "openbao/token_times.h"

namespace bao_exporter {

namespace {

using std::chrono::minutes;
using std::chrono::seconds;

// After a login whose token polls reject soon: the next one follows it by at least this.
constexpr std::array<Milliseconds, 3> kFreshRejectedWaits = {seconds(10), minutes(1), minutes(10)};
constexpr Milliseconds kLivedWell = minutes(15);

bool is_due(const std::optional<TimePoint>& due, TimePoint now) { return due && *due <= now; }

}  // namespace

TokenLife::TokenLife(const TokenLifeOptions& options) : options_(options) {
  options_.nodes = std::max<std::size_t>(options_.nodes, 1);
}

TokenSteps TokenLife::start(const Moment& moment) {
  TokenSteps steps;
  started_ = moment.now;
  if (options_.logs_in && !login_.due && !under_way_) login_ = {moment.now, 0, false};
  settle(moment, steps);
  return steps;
}

TokenSteps TokenLife::token_read(std::uint64_t generation, const Moment& moment) {
  TokenSteps steps;
  if (options_.logs_in || generation <= newest_) return steps;
  newest_ = generation;
  under_way_.reset();
  Held token;
  token.generation = generation;
  take_candidate(token, moment, steps);
  settle(moment, steps);
  return steps;
}

TokenSteps TokenLife::try_now(const Moment& moment) {
  TokenSteps steps;
  for (const TokenTask task :
       {TokenTask::kLogIn, TokenTask::kCheck, TokenTask::kLookUp, TokenTask::kRenew}) {
    Schedule& schedule = schedule_of(task);
    const bool sent = under_way_ && under_way_->task == task;
    if (schedule.waiting && schedule.due && !sent) schedule = {moment.now, 0, true};
    if (sent) schedule.failures = 0;  // should it fail, the next try is at once
  }
  if (login_.waiting) no_login_before_ = TimePoint::min();
  settle(moment, steps);
  return steps;
}

TokenSteps TokenLife::answered(std::uint64_t id, const TokenAnswer& answer, const Moment& moment) {
  TokenSteps steps;
  if (!under_way_ || under_way_->id != id) return steps;
  const TokenOrder order = *std::exchange(under_way_, std::nullopt);
  switch (order.task) {
    case TokenTask::kLogIn:
      login_answered(order, answer, moment, steps);
      break;
    case TokenTask::kCheck:
      check_answered(answer, moment, steps);
      break;
    case TokenTask::kLookUp:
      look_up_answered(answer, moment, steps);
      break;
    case TokenTask::kRenew:
      renewal_answered(answer, moment, steps);
      break;
  }
  settle(moment, steps);
  return steps;
}

TokenSteps TokenLife::rejected(std::uint64_t generation, const Moment& moment) {
  TokenSteps steps;
  if (!in_force_ || in_force_->generation != generation || in_force_->rejected) return steps;
  in_force_->rejected = true;
  if (generation == newest_) {
    steps.notes.push_back({TokenNote::Kind::kRejected, generation, {}});
    if (options_.logs_in) {
      renew_ = {};
      fresh_token_rejected(*in_force_, moment);
    }
  }
  settle(moment, steps);
  return steps;
}

TokenSteps TokenLife::time_came(const Moment& moment) {
  TokenSteps steps;
  settle(moment, steps);
  return steps;
}

std::optional<TimePoint> TokenLife::wake_at() const {
  std::optional<TimePoint> at = patience_ends();
  const auto also = [&at](const std::optional<TimePoint>& due) {
    if (due && (!at || *due < *at)) at = due;
  };
  if (login_may_replace()) also(login_.due);
  if (!under_way_) {
    if (check_target() != nullptr) also(check_.due);
    also(look_up_.due);
    also(renew_.due);
  }
  return at;
}

bool TokenLife::needs(std::uint64_t generation) const {
  return (in_force_ && in_force_->generation == generation) ||
         (candidate_ && candidate_->generation == generation);
}

void TokenLife::take_candidate(Held token, const Moment& moment, TokenSteps& steps) {
  token.since = moment.now;
  candidate_ = token;
  check_ = {moment.now, 0, false};
  checks_rejected_ = 0;
  if (options_.can_ask) return;
  candidate_->checked = true;
  if (options_.refuse_excess) {
    steps.notes.push_back({TokenNote::Kind::kExcessUnknown, token.generation,
                           "no node has an api_url: nobody can be asked"});
  }
  put_in_force(moment, steps);
}

// The candidate; what is to be known of it is asked afterwards.
void TokenLife::put_in_force(const Moment& moment, TokenSteps& steps) {
  in_force_ = *std::exchange(candidate_, std::nullopt);
  // What was asked of the one before does not matter any more.
  if (under_way_ && under_way_->generation < in_force_->generation) under_way_.reset();
  in_force_->since = moment.now;
  status_.decided = true;
  status_.in_force = in_force_->generation;
  status_.why = {ErrorCode::kOk, {}};
  status_.expiry = in_force_->expiry;
  status_.excess.reset();
  look_up_ = {};
  renew_ = {};
  learns_by_renewal_ = false;
  look_ups_rejected_ = 0;
  steps.notes.push_back({TokenNote::Kind::kInForce, in_force_->generation, {}});
  if (options_.logs_in) {
    plan_login_life(moment);
  } else if (options_.can_ask) {
    look_up_.due = moment.now;
  }
}

// Of a login's token in force: when to renew it, and when to log in at the latest.
void TokenLife::plan_login_life(const Moment& moment) {
  renew_ = {};
  login_ = {};
  if (!in_force_->ends) return;
  const Milliseconds left = token_times::left_of(*in_force_->ends, moment.now);
  const TimePoint two_thirds = moment.now + token_times::two_thirds_of(left, moment.dice);
  if (options_.renew && in_force_->renewable) {
    renew_.due = two_thirds;
    log_in_by(std::max(*in_force_->ends - left / 10, two_thirds));
  } else {
    log_in_by(two_thirds);
  }
}

void TokenLife::log_in_by(TimePoint time) {
  const TimePoint at = std::max(time, no_login_before_);
  if (!login_.due || at < *login_.due) login_.due = at;
}

void TokenLife::fresh_token_rejected(const Held& token, const Moment& moment) {
  if (moment.now - token.since >= kLivedWell) fresh_rejected_ = 0;
  const Milliseconds wait =
      kFreshRejectedWaits[std::min(fresh_rejected_, kFreshRejectedWaits.size() - 1)];
  ++fresh_rejected_;
  if (under_way_ && under_way_->task == TokenTask::kLogIn) return;
  TimePoint at = moment.now;
  if (last_login_) at = std::max(at, *last_login_ + token_times::later(wait, moment.dice));
  log_in_by(at);
  login_.waiting = true;
}

// When the candidate stops waiting for its check; nullopt: as long as there is none, never.
std::optional<TimePoint> TokenLife::patience_ends() const {
  if (!candidate_ || options_.refuse_excess) return std::nullopt;
  const TimePoint end = candidate_->since + options_.check_patience;
  if (!in_force_ || in_force_->rejected) return end;
  if (!in_force_->ends) return std::nullopt;
  return std::max(end, *in_force_->ends);
}

bool TokenLife::patience_ended(TimePoint now) const { return is_due(patience_ends(), now); }

// A login goes before all that is asked about a token which it will replace.
bool TokenLife::login_may_replace() const {
  if (!under_way_) return true;
  if (under_way_->task == TokenTask::kLogIn) return false;
  return !candidate_ || candidate_->generation != under_way_->generation;
}

const TokenLife::Held* TokenLife::check_target() const {
  if (candidate_) return &*candidate_;
  return in_force_ && !in_force_->checked ? &*in_force_ : nullptr;
}

std::optional<TokenTask> TokenLife::due_task(TimePoint now) const {
  if (login_may_replace() && is_due(login_.due, now)) return TokenTask::kLogIn;
  if (under_way_) return std::nullopt;
  if (check_target() != nullptr && is_due(check_.due, now)) return TokenTask::kCheck;
  if (is_due(look_up_.due, now)) return TokenTask::kLookUp;
  if (is_due(renew_.due, now)) return TokenTask::kRenew;
  return std::nullopt;
}

TokenLife::Schedule& TokenLife::schedule_of(TokenTask task) {
  switch (task) {
    case TokenTask::kLogIn:
      return login_;
    case TokenTask::kCheck:
      return check_;
    case TokenTask::kLookUp:
      return look_up_;
    case TokenTask::kRenew:
      break;
  }
  return renew_;
}

TokenOrder TokenLife::order_of(TokenTask task) {
  TokenOrder order;
  order.id = ++last_id_;
  order.task = task;
  order.attempt = schedule_of(task).failures;
  switch (task) {
    case TokenTask::kLogIn:
      order.generation = newest_ + 1;
      break;
    case TokenTask::kCheck:
      order.generation = check_target()->generation;
      break;
    case TokenTask::kLookUp:
    case TokenTask::kRenew:
      order.generation = in_force_->generation;
      break;
  }
  return order;
}

void TokenLife::settle(const Moment& moment, TokenSteps& steps) {
  if (patience_ended(moment.now)) put_in_force(moment, steps);
  if (const auto task = due_task(moment.now)) {
    under_way_ = order_of(*task);
    steps.order = under_way_;
  }
}

}  // namespace bao_exporter
