#include "bao_exporter/publisher.h"

#include <utility>

#include "bao_exporter/log.h"

namespace bao_exporter {

namespace {
constexpr Milliseconds kPatience{1'000};  // after the first poll of a round has ended
}

Publisher::Publisher(const Config& config, std::uint64_t hash_seed, Slot<Snapshot>& snapshots)
    : poll_(config.poll), snapshots_(snapshots), book_(config, hash_seed) {
  for (std::size_t i = 0; i < book_.size(); ++i) never_polled_.insert(i);
}

void Publisher::polls_started(std::vector<std::size_t> targets) {
  {
    std::scoped_lock lock(mutex_);
    arrived_.started.insert(arrived_.started.end(), targets.begin(), targets.end());
  }
  arrival_.notify_one();
}

void Publisher::poll_ended(PollResult result) {
  {
    std::scoped_lock lock(mutex_);
    const std::size_t target = result.target;
    arrived_.ended.insert_or_assign(target, std::move(result));
  }
  arrival_.notify_one();
}

void Publisher::run(const std::stop_token& stop) {
  while (auto arrived = wait(stop)) {
    under_way_.insert(arrived->started.begin(), arrived->started.end());
    for (auto& [target, result] : arrived->ended) take(std::move(result));
    const TimePoint now = Clock::now();
    if (publication_due(now)) publish(now);
  }
}

// What arrived, possibly nothing when it is time to publish; nullopt: stop.
std::optional<Publisher::Arrived> Publisher::wait(const std::stop_token& stop) {
  const auto something = [this] { return !arrived_.started.empty() || !arrived_.ended.empty(); };
  std::unique_lock lock(mutex_);
  if (first_ended_ && never_polled_.empty()) {
    arrival_.wait_until(lock, stop, *first_ended_ + kPatience, something);
  } else {
    arrival_.wait(lock, stop, something);
  }
  if (stop.stop_requested()) return std::nullopt;
  return std::exchange(arrived_, {});
}

void Publisher::take(PollResult result) {
  const std::size_t target = result.target;
  const TimePoint ended = result.ended;
  if (book_.note_poll(std::move(result))) {
    ask_again_({target});
    return;  // Its poll counts as under way until the second look has ended.
  }
  under_way_.erase(target);
  never_polled_.erase(target);
  if (!first_ended_) first_ended_ = ended;
  if (book_.role_would_change(target)) role_changed_ = true;
}

bool Publisher::publication_due(TimePoint now) const {
  if (!first_ended_ || !never_polled_.empty()) return false;
  return under_way_.empty() || role_changed_ || now >= *first_ended_ + kPatience;
}

void Publisher::publish(TimePoint now) {
  const std::vector<std::size_t> ask_again = book_.decide(now, WallClock::now());
  std::vector<std::size_t> nodes;
  const std::vector<MergeSource> sources = book_.sources(nodes);
  Merged merged = merge(sources, types_);
  book_.count_dropped(nodes, merged);

  auto own = std::make_shared<const std::string>(book_.render(/*overdue=*/false));
  Rope body;
  body.append(*own);
  body.own(own);
  body.append(std::move(merged.rope));
  auto snapshot = std::make_shared<const Snapshot>(std::move(body), book_.render(/*overdue=*/true),
                                                   now + poll_.stale_after, ++generation_);
  if (gzip_asked_.exchange(false, std::memory_order_relaxed)) (void)snapshot->deflated();
  log::debug("published", {{"generation", std::to_string(generation_)},
                           {"bytes", std::to_string(snapshot->body().bytes())},
                           {"samples", std::to_string(merged.samples)}});
  snapshots_.set(std::move(snapshot));
  first_ended_.reset();
  role_changed_ = false;
  if (!ask_again.empty()) ask_again_(ask_again);
}

}  // namespace bao_exporter
