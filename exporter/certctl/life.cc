#include "certctl/life.h"

#include <algorithm>
#include <utility>

namespace bao_exporter::certctl {

namespace {

constexpr std::size_t kAllCollectors = kCertctlCollectorCount;
constexpr Milliseconds kFirstTelling{5'000};
constexpr std::uint64_t kLongestRetryAfter = 30;

}  // namespace

Life::Life(LifeOptions options) : options_(std::move(options)) {
  const CertctlConfig& config = options_.config;
  for (std::size_t i = 0; i < kAllCollectors; ++i) {
    const auto collector = static_cast<CertctlCollector>(i);
    const auto& listed = config.collectors;
    collectors_[i].wanted = config.auto_collectors ||
                            std::find(listed.begin(), listed.end(), collector) != listed.end();
    collectors_[i].retry.pause = config.interval;
  }
  powers_retry_.pause = config.interval;
}

// What the old key could not do, the new one may.
Steps Life::key_came(const When& when) {
  Steps steps;
  has_key_ = true;
  keyless_ = false;
  key_rejected_ = refused_ = powers_settled_ = false;
  powers_.reset();
  powers_missing_.reset();
  powers_retry_ = {options_.config.interval, {}};
  excess_told_ = 0;
  for (Road& road : roads_) road = {};
  for (Collector& collector : collectors_) {
    collector.barred = collector.denied = collector.switched_off = false;
    collector.left_out = 0;
    collector.retry.pause = options_.config.interval;
  }
  if (!told_first_ && !late_ && !tell_at_) tell_at_ = when.now + kFirstTelling;
  poll_due_ = inventory_due_ = when.now;
  start_inventory(/*whole=*/true, when, steps);
  return steps;
}

// /ready is polled all the same.
Steps Life::key_missing(const Error& error, const When& when) {
  Steps steps;
  if (has_key_) return steps;
  keyless_ = true;
  poll_due_ = when.now;
  for (std::size_t i = 0; i < kAllCollectors; ++i) {
    if (collectors_[i].wanted) fail(static_cast<CertctlCollector>(i), error, when, steps);
  }
  polled_ = inventoried_ = true;
  note_change(steps, when);
  return steps;
}

void Life::try_now(const When& when) {
  if (!road(Lane::kMetrics).busy) poll_due_ = std::min(poll_due_, when.now);
  const bool under_way = road(Lane::kInventory).busy && whole_;
  if (!under_way) inventory_due_ = std::min(inventory_due_, when.now);
}

TimePoint Life::wake_at() const {
  TimePoint wake = TimePoint::max();
  if (!has_key_ && !keyless_) return wake;
  if (!told_first_ && tell_at_) wake = *tell_at_;
  for (const Road& road : roads_) {
    if (road.resume_at) wake = std::min(wake, *road.resume_at);
  }
  if (!roads_[0].busy && may_poll()) wake = std::min(wake, poll_due_);
  if (!roads_[1].busy && may_take_inventory()) wake = std::min(wake, inventory_due_);
  return wake;
}

// What the key may do is learned first: the metrics may be nothing that it is to be used for.
bool Life::may_poll() const { return has_key_ ? powers_settled_ : keyless_; }

bool Life::may_take_inventory() const { return has_key_ && !refused_ && !key_rejected_; }

Steps Life::time_came(const When& when) {
  Steps steps;
  if (!has_key_ && !keyless_) return steps;
  for (const Lane lane : {Lane::kMetrics, Lane::kInventory}) {
    Road& way = road(lane);
    if (!way.resume_at || *way.resume_at > when.now) continue;
    way.resume_at.reset();
    send(lane, way.ask, when, steps);
  }
  if (!road(Lane::kMetrics).busy && may_poll() && poll_due_ <= when.now) {
    start_poll(when, steps);
  }
  if (may_take_inventory() && !road(Lane::kInventory).busy && inventory_due_ <= when.now) {
    start_inventory(/*whole=*/true, when, steps);
  }
  note_change(steps, when);
  return steps;
}

Steps Life::answered(std::uint64_t id, Answer answer, const When& when) {
  Steps steps;
  for (const Lane lane : {Lane::kMetrics, Lane::kInventory}) {
    Road& way = road(lane);
    if (way.order != id) continue;
    way.order.reset();
    if (waits_for_limit(lane, answer, when)) break;
    way.limited = 0;
    take(way.ask, std::move(answer), when, steps);
    break;
  }
  note_change(steps, when);
  return steps;
}

void Life::take(Ask ask, Answer answer, const When& when, Steps& steps) {
  switch (ask) {
    case Ask::kReady:
      return take_ready(answer, /*again=*/false, when, steps);
    case Ask::kReadyAgain:
      return take_ready(answer, /*again=*/true, when, steps);
    case Ask::kMetrics:
      return take_metrics(std::move(answer), when, steps);
    case Ask::kPowers:
      return take_powers(answer, when, steps);
    case Ask::kVersion:
      return take_version(answer, when, steps);
    case Ask::kList:
      return take_list(answer, when, steps);
    case Ask::kListReady:
      return take_list_ready(answer, when, steps);
  }
}

// True: the same request goes out again, later.
bool Life::waits_for_limit(Lane lane, const Answer& answer, const When& when) {
  Road& way = road(lane);
  if (!answer.answered() || answer.status != 429 || way.limited >= kLimitedMax) return false;
  const auto seconds =
      std::clamp<std::uint64_t>(answer.retry_after_seconds.value_or(1), 1, kLongestRetryAfter);
  const TimePoint then = when.now + std::chrono::seconds(seconds);
  if (then >= way.deadline) return false;
  ++way.limited;
  way.resume_at = then;
  return true;
}

void Life::send(Lane lane, Ask ask, const When& when, Steps& steps) {
  Road& way = road(lane);
  way.ask = ask;
  way.order = ++orders_;
  const bool with_key = ask == Ask::kMetrics || ask == Ask::kPowers || ask == Ask::kList;
  const TimePoint deadline = std::min(way.deadline, when.now + options_.config.timeout);
  if (lane == Lane::kInventory) ++requests_;
  steps.orders.push_back({orders_, lane, path_of(ask), with_key, deadline});
}

std::string Life::path_of(Ask ask) const {
  switch (ask) {
    case Ask::kReady:
    case Ask::kReadyAgain:
    case Ask::kListReady:
      return "/ready";
    case Ask::kMetrics:
      return "/api/v1/metrics/prometheus";
    case Ask::kPowers:
      return "/api/v1/auth/me";
    case Ask::kVersion:
      return "/api/v1/version";
    case Ask::kList:
      return reading_->request();
  }
  return {};
}

void Life::succeed(CertctlCollector which, const When& when, Steps& steps) {
  Collector& collector = at(which);
  const bool was_bad = collector.state.ended && !collector.state.up();
  collector.state.reason = ErrorCode::kOk;
  collector.state.ended = true;
  collector.state.last_success = when.wall;
  collector.retry.pause = options_.config.interval;
  collector.told_off = false;
  if (was_bad) steps.notes.push_back({Note::Kind::kRecovered, which, {ErrorCode::kOk, {}}});
}

void Life::fail(CertctlCollector which, const Error& error, const When& when, Steps& steps) {
  Collector& collector = at(which);
  CollectorState& state = collector.state;
  const bool news = !state.ended || state.reason != error.code;
  state.reason = error.code;
  state.ended = true;
  for (const auto& [family, value] : state.counted.upstream) mismatches_.erase(family);
  state.counted = {};
  if (which == CertctlCollector::kMetrics) upstream_.reset();
  put_off(collector.retry, when);
  if (news) steps.notes.push_back({Note::Kind::kFailed, which, error});
}

// The first time as soon as its metrics come; rarer only where those come and it fails all the
// same, so that it is back at once after the server was away, however long.
void Life::put_off(Retry& retry, const When& when) const {
  retry.at = when.now + retry.pause - options_.config.interval;
  if (!whole_) retry.pause = std::min(2 * retry.pause, options_.config.inventory_interval);
}

void Life::bar(CertctlCollector which, const Error& error, const When& when, Steps& steps) {
  if (at(which).barred && at(which).state.reason == error.code) return;
  at(which).barred = true;
  fail(which, error, when, steps);
}

// Everything that needs the key fails.
void Life::reject_key(const Error& error, const When& when, Steps& steps) {
  if (!key_rejected_) steps.notes.push_back({Note::Kind::kKeyRejected, std::nullopt, error});
  key_rejected_ = true;
  for (std::size_t i = 0; i < kAllCollectors; ++i) {
    Collector& collector = collectors_[i];
    if (!collector.wanted || collector.barred) continue;
    if (collector.state.reason == error.code) continue;
    fail(static_cast<CertctlCollector>(i), error, when, steps);
  }
  if (road(Lane::kInventory).busy) {
    road(Lane::kInventory) = {};
    end_inventory(when, steps);
  }
}

// It was answered, and not with 401.
void Life::note_key_known(const When& when, Steps& steps) {
  const bool was_rejected = std::exchange(key_rejected_, false);
  if (was_rejected && !road(Lane::kInventory).busy) start_inventory(/*whole=*/true, when, steps);
}

bool Life::metrics_are_wanted() const { return at(CertctlCollector::kMetrics).wanted; }

// Not known to be harmless, so it is not used.
bool Life::lacks_needed_powers() const { return options_.config.refuse_excess && !powers_; }

bool Life::metrics_ask_with_key() const {
  const Collector& metrics = at(CertctlCollector::kMetrics);
  return metrics.wanted && !metrics.barred && !refused_ && !lacks_needed_powers();
}

ErrorCode Life::reason() const {
  return metrics_are_wanted() ? at(CertctlCollector::kMetrics).state.reason : ErrorCode::kOk;
}

std::optional<std::size_t> Life::excess() const {
  if (!powers_) return std::nullopt;
  return powers_->excess();
}

// The first time it is told when both lanes have ended once, so that no scrape after a restart
// lacks the inventory; but not later than kFirstTelling, unless nothing at all is known by then.
void Life::note_change(Steps& steps, const When& when) {
  if (told_first_) return;
  if (tell_at_ && when.now >= *tell_at_) {
    tell_at_.reset();
    late_ = true;
  }
  steps.changed = (polled_ && inventoried_) || (late_ && (polled_ || inventoried_));
  told_first_ = steps.changed;
}

}  // namespace bao_exporter::certctl
