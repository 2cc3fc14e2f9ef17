// What becomes of a token's life when a login, a check, a look-up or a renewal was answered.
#include <algorithm>
#include <array>

#include "bao_exporter/token_life.h"
#include "openbao/token_times.h"

namespace bao_exporter {

namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using Kind = TokenNote::Kind;

constexpr std::array<Milliseconds, 3> kDeniedWaits = {seconds(10), minutes(1), minutes(10)};
constexpr Milliseconds kDenialsForgotten = minutes(15);
constexpr Milliseconds kErrorWaitMax = seconds(60);
constexpr Milliseconds kRefusedWait = minutes(10);
constexpr std::size_t kRounds = 3;  // of all nodes, that do not know the token
// No clock's range ends before; what lives longer has no end for us.
constexpr Milliseconds kLongestLife = hours(24) * 365 * 50;
// A renewal that adds less than this to what was left adds nothing: OpenBao tells whole seconds.
constexpr Milliseconds kNoGain = seconds(1);

bool is_denial(const Error& error) {
  return error.code == ErrorCode::kLoginFailed || error.code == ErrorCode::kTokenRejected ||
         error.code == ErrorCode::kForbidden;
}

std::string words_of(const Error& error) {
  return error.detail.empty() ? std::string(reason_name(error.code)) : error.detail;
}

std::string joined(const std::vector<std::string>& list) {
  std::string words;
  for (const std::string& item : list) words += (words.empty() ? "" : "; ") + item;
  return words;
}

}  // namespace

// The next node at once, until each was asked; then ever later.
void TokenLife::try_again(Schedule& schedule, const Moment& moment) const {
  ++schedule.failures;
  schedule.waiting = true;
  Milliseconds wait{0};
  if (schedule.failures >= options_.nodes) {
    const std::size_t doubled = std::min<std::size_t>(schedule.failures - options_.nodes, 6);
    wait = std::min<Milliseconds>(seconds(1) * (1U << doubled), kErrorWaitMax);
  }
  schedule.due = moment.now + token_times::earlier(wait, moment.dice);
}

void TokenLife::decide(Error why) {
  if (in_force_) return;
  status_.decided = true;
  status_.why = std::move(why);
}

void TokenLife::set_life(Held& token, const Grant& grant, const Moment& moment) {
  token.renewable = grant.renewable;
  token.ends.reset();
  token.expiry.reset();
  if (grant.ttl > Milliseconds(0) && grant.ttl <= kLongestLife) {
    token.ends = moment.now + grant.ttl;
    token.expiry = moment.wall + grant.ttl;
  }
  if (in_force_ && in_force_->generation == token.generation) status_.expiry = token.expiry;
}

// --- login ---

void TokenLife::login_answered(const TokenOrder& order, const TokenAnswer& answer,
                               const Moment& moment, TokenSteps& steps) {
  if (const auto* error = std::get_if<Error>(&answer)) {
    const Kind kind = is_denial(*error) ? Kind::kLoginDenied : Kind::kLoginError;
    steps.notes.push_back({kind, order.generation, words_of(*error)});
    is_denial(*error) ? login_denied(*error, moment) : login_unanswered(*error, moment);
    return;
  }
  const auto* grant = std::get_if<Grant>(&answer);
  BAO_CHECK(grant != nullptr);
  newest_ = order.generation;
  last_login_ = moment.now;
  login_ = {};
  steps.notes.push_back({Kind::kLoggedIn, newest_, token_times::words_of(grant->ttl)});
  Held token;
  token.generation = newest_;
  token.whole = grant->ttl;
  set_life(token, *grant, moment);
  // If it never comes into force, it is replaced all the same.
  if (token.ends)
    log_in_by(std::max(*token.ends - grant->ttl / 10, moment.now + token_times::kShortestLife));
  take_candidate(token, moment, steps);
}

void TokenLife::login_denied(const Error& error, const Moment& moment) {
  if (last_denial_ && moment.now - *last_denial_ >= kDenialsForgotten) denials_ = 0;
  last_denial_ = moment.now;
  const Milliseconds wait = kDeniedWaits[std::min(denials_, kDeniedWaits.size() - 1)];
  ++denials_;
  no_login_before_ = moment.now + token_times::later(wait, moment.dice);
  login_ = {no_login_before_, 0, true};
  decide(error);
}

void TokenLife::login_unanswered(const Error& error, const Moment& moment) {
  try_again(login_, moment);
  const bool waited = started_ && moment.now - *started_ >= options_.check_patience;
  if (login_.failures < options_.nodes && !waited) return;
  decide({ErrorCode::kLoginFailed, std::string(reason_name(error.code)) + ": " + error.detail});
}

// --- check ---

void TokenLife::check_answered(const TokenAnswer& answer, const Moment& moment, TokenSteps& steps) {
  if (const auto* error = std::get_if<Error>(&answer)) {
    if (error->code != ErrorCode::kForbidden) return check_failed(*error, moment, steps);
    steps.notes.push_back({Kind::kExcessUnknown, check_target()->generation, words_of(*error)});
    return check_done(std::nullopt, moment, steps);
  }
  const auto* capabilities = std::get_if<Capabilities>(&answer);
  BAO_CHECK(capabilities != nullptr);
  judge(*capabilities, moment, steps);
}

void TokenLife::check_failed(const Error& error, const Moment& moment, TokenSteps& steps) {
  try_again(check_, moment);
  const bool rejected =
      error.code == ErrorCode::kTokenRejected || error.code == ErrorCode::kStandbyRejected;
  if (rejected) ++checks_rejected_;
  if (!candidate_) return;
  if (rejected && !options_.logs_in && checks_rejected_ == options_.nodes) {
    steps.notes.push_back(
        {Kind::kRejected, candidate_->generation, "no node takes the new one; " + error.detail});
  }
  const bool unknown_to_all = checks_rejected_ >= kRounds * options_.nodes;
  if (options_.refuse_excess) {
    const bool waited = moment.now - candidate_->since >= options_.check_patience;
    if (check_.failures >= options_.nodes || waited) decide(error);
    // A file's token may become known yet; a login can give a better one.
    if (unknown_to_all && options_.logs_in && !candidate_->rejected) {
      candidate_->rejected = true;
      fresh_token_rejected(*candidate_, moment);
    }
  } else if (unknown_to_all || (!in_force_ && error.code == ErrorCode::kTokenRejected)) {
    put_in_force(moment, steps);  // Polls tell better, node by node.
  }
}

void TokenLife::judge(const Capabilities& capabilities, const Moment& moment, TokenSteps& steps) {
  const CapabilityVerdict verdict = judge_capabilities(capabilities);
  if (verdict.root && !options_.accept_root) {
    return refuse(verdict.excess_capabilities, "it is a root token", moment, steps);
  }
  if (!verdict.excess.empty() && options_.refuse_excess) {
    return refuse(verdict.excess_capabilities, joined(verdict.excess), moment, steps);
  }
  const std::uint64_t generation = check_target()->generation;
  check_done(verdict.excess_capabilities, moment, steps);
  if (!verdict.excess.empty()) {
    steps.notes.push_back({Kind::kExcess, generation, joined(verdict.excess)});
  }
}

void TokenLife::check_done(std::optional<std::size_t> excess, const Moment& moment,
                           TokenSteps& steps) {
  check_ = {};
  if (candidate_) put_in_force(moment, steps);
  in_force_->checked = true;
  status_.excess = excess;
}

void TokenLife::refuse(std::size_t excess, const std::string& words, const Moment& moment,
                       TokenSteps& steps) {
  check_ = {};
  steps.notes.push_back({Kind::kRefused, check_target()->generation, words});
  if (candidate_) {
    candidate_.reset();
    if (in_force_ && !in_force_->checked) check_.due = moment.now;
  } else {
    in_force_.reset();
    look_up_ = {};
    renew_ = {};
  }
  if (!in_force_) {
    decide({ErrorCode::kTokenExcess, words});
    status_.in_force = 0;
    status_.expiry.reset();
    status_.excess = excess;
  }
  if (options_.logs_in) {
    login_ = {};
    log_in_by(moment.now + token_times::later(kRefusedWait, moment.dice));
    login_.waiting = true;
  }
}

// --- look-up, of a file's token ---

void TokenLife::look_up_answered(const TokenAnswer& answer, const Moment& moment,
                                 TokenSteps& steps) {
  if (const auto* error = std::get_if<Error>(&answer)) {
    return is_denial(*error) ? look_up_denied(*error, moment, steps) : try_again(look_up_, moment);
  }
  const auto* grant = std::get_if<Grant>(&answer);
  BAO_CHECK(grant != nullptr);
  look_up_ = {};
  set_life(*in_force_, *grant, moment);
  plan_file_renewal(moment, steps);
}

void TokenLife::look_up_denied(const Error& error, const Moment& moment, TokenSteps& steps) {
  if (error.code != ErrorCode::kForbidden && ++look_ups_rejected_ < kRounds * options_.nodes) {
    return try_again(look_up_, moment);
  }
  look_up_ = {};
  if (error.code == ErrorCode::kForbidden && options_.renew) {
    learns_by_renewal_ = true;
    renew_ = {moment.now, 0, false};
    return;
  }
  steps.notes.push_back({Kind::kLifeUnknown, in_force_->generation, words_of(error)});
}

void TokenLife::plan_file_renewal(const Moment& moment, TokenSteps& steps) {
  renew_ = {};
  if (!in_force_->ends || !options_.renew) return;
  if (!in_force_->renewable) {
    steps.notes.push_back({Kind::kNotRenewable, in_force_->generation,
                           "ends " + token_times::words_of(*in_force_->expiry)});
    return;
  }
  const Milliseconds left = token_times::left_of(*in_force_->ends, moment.now);
  renew_.due = moment.now + token_times::two_thirds_of(left, moment.dice);
}

// --- renewal ---

void TokenLife::renewal_answered(const TokenAnswer& answer, const Moment& moment,
                                 TokenSteps& steps) {
  if (const auto* error = std::get_if<Error>(&answer)) {
    return renewal_failed(*error, moment, steps);
  }
  const auto* grant = std::get_if<Grant>(&answer);
  BAO_CHECK(grant != nullptr);
  steps.notes.push_back({Kind::kRenewed, in_force_->generation, token_times::words_of(grant->ttl)});
  options_.logs_in ? login_token_renewed(*grant, moment)
                   : file_token_renewed(*grant, moment, steps);
}

void TokenLife::renewal_failed(const Error& error, const Moment& moment, TokenSteps& steps) {
  const std::uint64_t generation = in_force_->generation;
  if (!is_denial(error)) {
    steps.notes.push_back({Kind::kRenewalError, generation, words_of(error)});
    return try_again(renew_, moment);
  }
  renew_ = {};
  if (learns_by_renewal_) {
    learns_by_renewal_ = false;
    steps.notes.push_back({Kind::kLifeUnknown, generation, words_of(error)});
    return;
  }
  steps.notes.push_back({Kind::kRenewalDenied, generation, words_of(error)});
  if (options_.logs_in) return log_in_by(moment.now);
  in_force_->renewable = false;
  plan_file_renewal(moment, steps);
}

void TokenLife::login_token_renewed(const Grant& grant, const Moment& moment) {
  set_life(*in_force_, grant, moment);
  if (in_force_->rejected) return;  // A login is due.
  plan_login_life(moment);
  const bool shortened = grant.ttl < token_times::part_of(in_force_->whole, 0.95);
  if (!in_force_->ends || !shortened) return;
  renew_ = {};
  log_in_by(moment.now);
}

void TokenLife::file_token_renewed(const Grant& grant, const Moment& moment, TokenSteps& steps) {
  const std::optional<TimePoint> before = in_force_->ends;
  learns_by_renewal_ = false;
  set_life(*in_force_, grant, moment);
  const bool gained = !before || !in_force_->ends || *in_force_->ends > *before + kNoGain;
  if (!gained) in_force_->renewable = false;
  plan_file_renewal(moment, steps);
}

}  // namespace bao_exporter
