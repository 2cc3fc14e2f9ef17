// The inventory lane: what the key may do, the version, then one list after the other.
#include <algorithm>
#include <string>

#include "certctl/life.h"

namespace bao_exporter::certctl {

namespace {

constexpr int kCostlyEvery = 6;  // so that 1,000 certificates stay within 2,880 rows a day
constexpr int kSwitchedOffEvery = 24;
constexpr int kTimeoutsInARow = 2;  // then the database is locked, not a table

// What no other list of the same server would fare better with.
bool is_about_the_server(ErrorCode code) {
  switch (code) {
    case ErrorCode::kDns:
    case ErrorCode::kConnect:
    case ErrorCode::kTls:
    case ErrorCode::kReset:
    case ErrorCode::kRateLimited:
    case ErrorCode::kDatabaseDown:
      return true;
    default:
      return false;
  }
}

std::string in_seconds(Milliseconds spent) {
  std::string text = std::to_string(spent.count());
  text.insert(0, text.size() < 4 ? 4 - text.size() : 0, '0');
  return text.insert(text.size() - 3, ".");
}

}  // namespace

// `whole`: else those lists only that have failed and whose time has come.
void Life::start_inventory(bool whole, const When& when, Steps& steps) {
  whole_ = whole;
  requests_ = 0;
  timeouts_in_a_row_ = 0;
  rest_.clear();
  current_.reset();
  if (whole) inventory_due_ = when.now + options_.config.inventory_interval;
  for (std::size_t i = 1; i < kCertctlCollectorCount; ++i) {
    Collector& collector = collectors_[i];
    if (whole && collector.left_out > 0 && (collector.state.up() || collector.switched_off)) {
      --collector.left_out;
      continue;
    }
    if (whole) collector.switched_off = false;
    if (collector.wanted && (whole || is_due(collector, when)))
      rest_.push_back(static_cast<CertctlCollector>(i));
  }
  Road& way = road(Lane::kInventory);
  way = {};
  way.busy = true;
  way.began = when.now;
  way.deadline = when.now + options_.config.timeout;
  const bool has_none = powers_missing_ && powers_missing_->code == ErrorCode::kNotFound &&
                        !options_.config.refuse_excess;
  if (whole || (!powers_ && !has_none)) return send(Lane::kInventory, Ask::kPowers, when, steps);
  go_on(when, steps);
}

bool Life::is_due(const Collector& collector, const When& when) const {
  return collector.wanted && !collector.barred && !collector.switched_off &&
         collector.state.ended && !collector.state.up() && collector.retry.at <= when.now;
}

bool Life::powers_are_due(const When& when) const {
  return !powers_ && powers_missing_ && powers_missing_->code != ErrorCode::kNotFound &&
         powers_retry_.at <= when.now;
}

// The server is there.
void Life::retry_failed(const When& when, Steps& steps) {
  if (!has_key_ || refused_ || road(Lane::kInventory).busy) return;
  if (key_rejected_) {
    if (!metrics_ask_with_key()) start_inventory(/*whole=*/true, when, steps);
    return;
  }
  const bool any =
      powers_are_due(when) || std::any_of(collectors_.begin() + 1, collectors_.end(),
                                          [&](const Collector& c) { return is_due(c, when); });
  if (any) start_inventory(/*whole=*/false, when, steps);
}

void Life::take_powers(const Answer& answer, const When& when, Steps& steps) {
  powers_settled_ = true;
  Result<KeyPowers> powers = read_powers(answer);
  road(Lane::kInventory).deadline = when.now + options_.config.timeout;
  if (powers.ok()) {
    key_rejected_ = false;
    powers_missing_.reset();
    powers_retry_.pause = options_.config.interval;
    use_powers(std::move(powers).value(), when, steps);
    if (refused_) return end_inventory(when, steps);
    return send(Lane::kInventory, Ask::kVersion, when, steps);
  }
  const Error& error = powers.error();
  powers_missing_ = error;
  if (error.code == ErrorCode::kTokenRejected) return reject_key(error, when, steps);
  powers_.reset();
  put_off(powers_retry_, when);
  // Without auth/me (an older certctl) each list says for itself.
  if (error.code == ErrorCode::kNotFound && !options_.config.refuse_excess) {
    return send(Lane::kInventory, Ask::kVersion, when, steps);
  }
  if (error.code == ErrorCode::kServerError) {
    list_error_ = error;
    return send(Lane::kInventory, Ask::kListReady, when, steps);
  }
  fail_rest(error, when, steps);
}

void Life::use_powers(KeyPowers powers, const When& when, Steps& steps) {
  powers_ = std::move(powers);
  const std::size_t excess = powers_->excess();
  refused_ = options_.config.refuse_excess && excess > 0;
  if (excess > 0 && excess != excess_told_) {
    steps.notes.push_back({refused_ ? Note::Kind::kRefused : Note::Kind::kExcess,
                           std::nullopt,
                           {ErrorCode::kTokenExcess, powers_->excess_words()}});
  }
  excess_told_ = excess;
  for (std::size_t i = 0; i < kCertctlCollectorCount; ++i) {
    const auto which = static_cast<CertctlCollector>(i);
    if (!at(which).wanted) continue;
    const std::string_view permission = permission_for(which);
    if (refused_) {
      bar(which, {ErrorCode::kTokenExcess, "the key may do more than read"}, when, steps);
    } else if (powers_->may(permission)) {
      at(which).barred = at(which).denied;
    } else {
      at(which).denied = false;
      bar(which, {ErrorCode::kForbidden, "the key lacks " + std::string(permission)}, when, steps);
    }
  }
}

void Life::take_version(const Answer& answer, const When& when, Steps& steps) {
  if (Result<std::string> version = read_version(answer); version.ok()) {
    version_ = std::move(version).value();
  }
  go_on(when, steps);
}

// The next list, or the end.
void Life::go_on(const When& when, Steps& steps) {
  while (!rest_.empty()) {
    const CertctlCollector next = rest_.front();
    rest_.erase(rest_.begin());
    if (at(next).barred || at(next).switched_off) continue;
    return begin_list(next, when, steps);
  }
  end_inventory(when, steps);
}

void Life::begin_list(CertctlCollector which, const When& when, Steps& steps) {
  current_ = which;
  reading_ =
      begin_reading(which, {static_cast<std::size_t>(options_.config.soonest_expiries), when.wall});
  at(which).upstream_before = upstream_values_;
  Road& way = road(Lane::kInventory);
  way.list_began = when.now;
  way.deadline = when.now + options_.config.inventory_interval / 2;
  send(Lane::kInventory, Ask::kList, when, steps);
}

void Life::take_list(const Answer& answer, const When& when, Steps& steps) {
  if (auto error = judge(answer, Expected::kJson)) {
    switch (error->code) {
      case ErrorCode::kTokenRejected:
        return reject_key(*error, when, steps);
      case ErrorCode::kForbidden:
        at(*current_).denied = true;
        bar(*current_, *error, when, steps);
        return go_on(when, steps);
      case ErrorCode::kServerError:
        list_error_ = std::move(error);
        return send(Lane::kInventory, Ask::kListReady, when, steps);
      default:
        return fail_list(*error, when, steps);
    }
  }
  timeouts_in_a_row_ = 0;
  if (auto error = reading_->take(answer.body)) return fail_list(*error, when, steps);
  if (reading_->done()) return end_list(when, steps);
  if (when.now >= road(Lane::kInventory).deadline) {
    return fail_list({ErrorCode::kTimeout, {}}, when, steps);
  }
  send(Lane::kInventory, Ask::kList, when, steps);
}

// After a 500. Health checks answer so where they are switched off, which is certctl's default.
void Life::take_list_ready(const Answer& answer, const When& when, Steps& steps) {
  Error error = *std::exchange(list_error_, std::nullopt);
  const Result<bool> ready = read_ready(answer);
  if (ready.ok()) ready_ = ready.value();
  if (ready.ok() && !ready.value()) {
    error = {ErrorCode::kDatabaseDown, "/ready says that the database is not reachable"};
  }
  if (!current_) {
    powers_missing_ = error;
    return fail_rest(error, when, steps);
  }
  const bool switched_off = *current_ == CertctlCollector::kHealthChecks && ready.ok() &&
                            ready.value() && options_.config.auto_collectors;
  if (!switched_off) return fail_list(error, when, steps);
  Collector& collector = at(*current_);
  collector.switched_off = true;
  collector.left_out = kSwitchedOffEvery - 1;
  collector.state = {};
  if (!std::exchange(collector.told_off, true)) {
    steps.notes.push_back({Note::Kind::kSwitchedOff, current_, error});
  }
  go_on(when, steps);
}

void Life::end_list(const When& when, Steps& steps) {
  Collector& collector = at(*current_);
  collector.state.counted = reading_->finish();
  collector.state.seconds =
      std::chrono::duration<double>(when.now - road(Lane::kInventory).list_began).count();
  collector.left_out = reading_->is_costly() ? kCostlyEvery - 1 : 0;
  collector.to_be_compared = true;
  compare_at_once(collector, steps);
  succeed(*current_, when, steps);
  go_on(when, steps);
}

void Life::fail_list(Error error, const When& when, Steps& steps) {
  Collector& collector = at(*current_);
  if (error.code == ErrorCode::kTimeout && when.now >= road(Lane::kInventory).deadline) {
    error.detail = "half the inventory_interval was not enough";
  }
  collector.state.seconds =
      std::chrono::duration<double>(when.now - road(Lane::kInventory).list_began).count();
  fail(*current_, error, when, steps);
  if (error.code == ErrorCode::kTimeout) ++timeouts_in_a_row_;
  if (is_about_the_server(error.code) || timeouts_in_a_row_ >= kTimeoutsInARow) {
    return fail_rest(error, when, steps);
  }
  go_on(when, steps);
}

void Life::fail_rest(const Error& error, const When& when, Steps& steps) {
  for (const CertctlCollector which : rest_) {
    if (!at(which).barred && !at(which).switched_off) fail(which, error, when, steps);
  }
  rest_.clear();
  end_inventory(when, steps);
}

void Life::end_inventory(const When& when, Steps& steps) {
  Road& way = road(Lane::kInventory);
  if (whole_ && way.busy) {
    const auto spent = std::chrono::duration_cast<Milliseconds>(when.now - way.began);
    steps.notes.push_back(
        {Note::Kind::kInventory,
         std::nullopt,
         {ErrorCode::kOk, std::to_string(requests_) + " requests in " + in_seconds(spent) + " s"}});
  }
  way = {};
  reading_.reset();
  current_.reset();
  rest_.clear();
  inventoried_ = true;
  steps.changed = true;
}

}  // namespace bao_exporter::certctl
