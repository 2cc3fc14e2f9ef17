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
    collectors_[i].backoff = config.interval;
  }
}

// What the old key could not do, the new one may.
Steps Life::key_came(const When& when) {
  Steps steps;
  has_key_ = true;
  key_rejected_ = refused_ = powers_settled_ = false;
  powers_.reset();
  powers_missing_.reset();
  for (Road& road : roads_) road = {};
  for (Collector& collector : collectors_) {
    collector.barred = collector.switched_off = false;
    collector.left_out = 0;
  }
  if (!told_first_ && !late_ && !tell_at_) tell_at_ = when.now + kFirstTelling;
  poll_due_ = inventory_due_ = when.now;
  start_inventory(/*whole=*/true, when, steps);
  return steps;
}

Steps Life::key_missing(const Error& error, const When& when) {
  Steps steps;
  if (has_key_) return steps;
  for (std::size_t i = 0; i < kAllCollectors; ++i) {
    if (collectors_[i].wanted) fail(static_cast<CertctlCollector>(i), error, when, steps);
  }
  polled_ = inventoried_ = true;
  note_change(steps, when);
  return steps;
}

void Life::try_now(const When& when) {
  poll_due_ = std::min(poll_due_, when.now);
  inventory_due_ = std::min(inventory_due_, when.now);
}

TimePoint Life::wake_at() const {
  TimePoint wake = TimePoint::max();
  if (!has_key_) return wake;
  if (!told_first_ && tell_at_) wake = *tell_at_;
  for (const Road& road : roads_) {
    if (road.resume_at) wake = std::min(wake, *road.resume_at);
  }
  if (!roads_[0].busy && powers_settled_) wake = std::min(wake, poll_due_);
  if (!roads_[1].busy && may_take_inventory()) wake = std::min(wake, inventory_due_);
  return wake;
}

// Whether a rejected key is known again is what the metrics tell, where they are asked for.
bool Life::may_take_inventory() const {
  if (refused_) return false;
  return !key_rejected_ || !metrics_are_wanted() || at(CertctlCollector::kMetrics).barred;
}

Steps Life::time_came(const When& when) {
  Steps steps;
  if (!has_key_) return steps;
  for (const Lane lane : {Lane::kMetrics, Lane::kInventory}) {
    Road& way = road(lane);
    if (!way.resume_at || *way.resume_at > when.now) continue;
    way.resume_at.reset();
    send(lane, way.ask, when, steps);
  }
  if (!road(Lane::kMetrics).busy && powers_settled_ && poll_due_ <= when.now) {
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
  collector.backoff = options_.config.interval;
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
  // The first time as soon as its metrics come; rarer only where those come and it fails all the
  // same, so that it is back at once after the server was away, however long.
  collector.next_try = when.now + collector.backoff - options_.config.interval;
  if (!whole_) {
    collector.backoff = std::min(2 * collector.backoff, options_.config.inventory_interval);
  }
  if (news) steps.notes.push_back({Note::Kind::kFailed, which, error});
}

void Life::bar(CertctlCollector which, const Error& error, const When& when, Steps& steps) {
  if (at(which).barred) return;
  at(which).barred = true;
  fail(which, error, when, steps);
}

// Everything that needs the key fails.
void Life::reject_key(const Error& error, const When& when, Steps& steps) {
  if (!key_rejected_) steps.notes.push_back({Note::Kind::kKeyRejected, std::nullopt, error});
  key_rejected_ = true;
  steps.read_key = true;
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

bool Life::metrics_are_wanted() const { return at(CertctlCollector::kMetrics).wanted; }

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
