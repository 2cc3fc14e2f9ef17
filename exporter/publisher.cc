#include "bao_exporter/publisher.h"

#include <malloc.h>

#include <algorithm>
#include <utility>

#include "bao_exporter/log.h"

namespace bao_exporter {

namespace {
constexpr Milliseconds kPatience{1'000};  // after the first poll of a round has ended
constexpr Milliseconds kLull{250};        // without one more that ends
constexpr Milliseconds kPatienceMost{5'000};
constexpr int kPatienceShare = 3;  // or that part of the interval
constexpr std::size_t kLargeFleet = std::size_t{64} << 20;  // bytes served
}  // namespace

TimePoint end_of_patience(TimePoint first_ended, TimePoint last_ended, Milliseconds interval) {
  const auto most = std::clamp(interval / kPatienceShare, kPatience, kPatienceMost);
  return std::min(std::max(first_ended + kPatience, last_ended + kLull), first_ended + most);
}

Publisher::Publisher(const Config& config, std::uint64_t hash_seed, Slot<Snapshot>& snapshots,
                     OwnMetrics& metrics)
    : poll_(config.poll),
      snapshots_(snapshots),
      metrics_(metrics),
      book_(config, hash_seed),
      certctl_(config) {
  for (std::size_t i = 0; i < book_.size(); ++i) never_polled_.insert(i);
}

void Publisher::polls_started(std::uint64_t generation, std::vector<std::size_t> targets) {
  {
    std::scoped_lock lock(mutex_);
    if (generation != arrived_.generation) return;
    arrived_.started.insert(arrived_.started.end(), targets.begin(), targets.end());
  }
  arrival_.notify_one();
}

void Publisher::poll_ended(PollResult result) {
  {
    std::scoped_lock lock(mutex_);
    if (result.generation != arrived_.generation) return;  // of nodes that are not ours any more
    const std::size_t target = result.target;
    if (arrived_.ended.contains(target)) arrived_.replaced.push_back(target);
    arrived_.ended.insert_or_assign(target, std::move(result));
  }
  arrival_.notify_one();
}

void Publisher::replace(const Config& config, std::uint64_t generation) {
  {
    std::scoped_lock lock(mutex_);
    Arrived arrived;
    arrived.older_certctl = std::move(arrived_.certctl ? arrived_.certctl : arrived_.older_certctl);
    arrived.config = config;
    arrived.generation = generation;
    arrived_ = std::move(arrived);
  }
  arrival_.notify_one();
}

void Publisher::note_certctl(CertctlViews views) {
  {
    std::scoped_lock lock(mutex_);
    arrived_.certctl = std::move(views);
  }
  arrival_.notify_one();
}

void Publisher::token_changed(const std::string& cluster) {
  {
    std::scoped_lock lock(mutex_);
    arrived_.token_changed.insert(cluster);
  }
  arrival_.notify_one();
}

void Publisher::run(const std::stop_token& stop) {
  began_ = Clock::now();
  while (auto arrived = wait(stop)) {
    config_generation_ = arrived->generation;
    if (arrived->older_certctl) take_certctl(*arrived->older_certctl);
    if (arrived->config) take_config(*arrived->config);
    if (arrived->certctl) take_certctl(*arrived->certctl);
    for (const std::size_t target : arrived->started) ++under_way_[target];
    for (const std::size_t target : arrived->replaced) note_ended(target);
    for (auto& [target, result] : arrived->ended) {
      take(std::move(result));
      metrics_.build_loop().beat(Clock::now());
    }
    for (const std::string& cluster : arrived->token_changed) retry_with_token(cluster);
    const TimePoint now = Clock::now();
    metrics_.build_loop().beat(now);
    if (publication_due(now)) publish(now);
  }
}

// What arrived, possibly nothing when it is time to publish or to give a sign of life; nullopt:
// stop.
std::optional<Publisher::Arrived> Publisher::wait(const std::stop_token& stop) {
  const auto something = [this] {
    return arrived_.config || !arrived_.started.empty() || !arrived_.ended.empty() ||
           !arrived_.token_changed.empty() || arrived_.certctl;
  };
  const TimePoint until = next_look(Clock::now());
  std::unique_lock lock(mutex_);
  arrival_.wait_until(lock, stop, until, something);
  if (stop.stop_requested()) return std::nullopt;
  Arrived arrived = std::exchange(arrived_, {});
  arrived_.generation = arrived.generation;
  return arrived;
}

void Publisher::take_config(const Config& config) {
  poll_ = config.poll;
  book_.replace(config);
  certctl_.replace(config);
  if (book_.size() == 0) last_ended_.reset();
  types_ = {};  // ranks are places in the configuration: they are learned anew
  under_way_.clear();
  held_.clear();
  token_awaited_.clear();
  never_polled_.clear();
  if (snapshots_.get() == nullptr) {
    for (std::size_t i = 0; i < book_.size(); ++i) never_polled_.insert(i);
    return;
  }
  first_ended_ = Clock::now();  // nodes that are gone end now, not with the next round
  role_changed_ = true;
}

void Publisher::take(PollResult result) {
  const std::size_t target = result.target;
  const TimePoint ended = result.ended;
  last_ended_ = std::max(last_ended_.value_or(ended), ended);
  const bool was_under_way = under_way_.contains(target);
  note_ended(target);
  if (wait_for_token(result)) {
    if (was_under_way) held_.insert(target);
    return;
  }
  if (book_.note_poll(std::move(result))) {
    ask_again_(config_generation_, {target});
    if (was_under_way) held_.insert(target);
    return;
  }
  held_.erase(target);
  token_awaited_.erase(target);
  never_polled_.erase(target);
  if (!first_ended_) first_ended_ = ended;
  last_taken_ = Clock::now();
  if (book_.role_would_change(target)) role_changed_ = true;
}

// A rejected token may have been replaced a moment ago: then the node is asked once more before
// anything is said of it.
bool Publisher::wait_for_token(const PollResult& result) {
  if (tokens_ == nullptr || result.second_look) return false;
  if (result.token_rejected == 0 || result.token_taken != 0) return false;
  switch (tokens_->newer_than(book_.cluster_of(result.target), result.token_rejected)) {
    case TokenSource::Newer::kNone:
      return false;
    case TokenSource::Newer::kSoon:
      // For one poll. A check that nobody answers must not hide what the node says.
      if (book_.lacks_token(result.target)) return false;
      return token_awaited_.insert(result.target).second;
    case TokenSource::Newer::kNow:
      ask_again_(config_generation_, {result.target});
      return true;
  }
  return false;
}

void Publisher::retry_with_token(const std::string& cluster) {
  std::vector<std::size_t> targets = book_.without_token(cluster);
  for (auto at = token_awaited_.begin(); at != token_awaited_.end();) {
    const bool mine = book_.cluster_of(*at) == cluster;
    if (mine) targets.push_back(*at);
    at = mine ? token_awaited_.erase(at) : std::next(at);
  }
  if (!targets.empty()) ask_again_(config_generation_, targets);
}

void Publisher::note_ended(std::size_t target) {
  const auto at = under_way_.find(target);
  if (at != under_way_.end() && --at->second <= 0) under_way_.erase(at);
}

void Publisher::take_certctl(const CertctlViews& views) {
  certctl_.note(views);
  if (!first_ended_) first_ended_ = Clock::now();
}

// Before the first publication: a restart shall not end their series for a scrape.
bool Publisher::waits_for_certctl(TimePoint now) const {
  return !published_ && !certctl_.complete() && now < began_ + poll_.timeout;
}

// Without nodes nothing else makes a snapshot follow the one before.
std::optional<TimePoint> Publisher::next_refresh(TimePoint now) const {
  if (book_.size() != 0 || metrics_.poll_loop().hung_at(now)) return std::nullopt;
  return published_ ? *published_ + poll_.interval : began_;
}

// When there may be something to publish, or a sign of life has to be given.
TimePoint Publisher::next_look(TimePoint now) const {
  const TimePoint latest = now + Heartbeat::kLongestWait;
  if (!never_polled_.empty()) return latest;
  if (waits_for_certctl(now)) return std::min(latest, began_ + poll_.timeout);
  if (first_ended_) return std::min(latest, end_of_patience(*first_ended_, last_taken_, poll_.interval));
  return std::min(latest, next_refresh(now).value_or(latest));
}

bool Publisher::publication_due(TimePoint now) const {
  if (!never_polled_.empty() || waits_for_certctl(now)) return false;
  const auto refresh = next_refresh(now);
  if (refresh && now >= *refresh) return true;
  if (!first_ended_) return false;
  return (under_way_.empty() && held_.empty()) || role_changed_ ||
         now >= end_of_patience(*first_ended_, last_taken_, poll_.interval);
}

// What is published without a new poll (after a reload) is not fresher for it.
TimePoint Publisher::valid_until(TimePoint now) const {
  // Without nodes there are no polls that tell of the loop that all requests go through.
  const TimePoint sign =
      book_.size() == 0 ? metrics_.poll_loop().last() : last_ended_.value_or(now);
  return std::min(now, sign) + poll_.stale_after;
}

// Who asks in the rhythm of the polls finds it made, also when there is one publication more.
bool Publisher::is_gzip_wanted(TimePoint now) {
  if (gzip_asked_.exchange(false, std::memory_order_relaxed)) {
    gzip_wanted_until_ = now + 2 * poll_.interval;
  }
  return now <= gzip_wanted_until_;
}

void Publisher::publish(TimePoint now) {
  const std::vector<std::size_t> ask_again = book_.decide(now, WallClock::now());
  std::vector<std::size_t> nodes;
  std::vector<MergeSource> sources = book_.sources(nodes);
  certctl_.add_sources(sources, static_cast<std::uint32_t>(book_.size()), now);
  Merged merged = merge(sources, types_);
  book_.count_dropped(nodes, merged);
  certctl_.note_lost(merged, nodes.size());

  auto own = std::make_shared<const std::string>(book_.render(/*overdue=*/false));
  Rope body;
  body.append(*own);
  body.own(own);
  body.append(std::move(merged.rope));
  auto snapshot = std::make_shared<const Snapshot>(std::move(body), book_.render(/*overdue=*/true),
                                                   valid_until(now), ++snapshot_generation_,
                                                   book_.views(), certctl_.views(now));
  // A new role does not wait for the compressed form: who asks for that meanwhile does.
  if (role_changed_) snapshots_.set(snapshot);
  if (is_gzip_wanted(now)) metrics_.note_compressed(snapshot->deflated().bytes.size());
  if (!role_changed_) snapshots_.set(snapshot);
  log::debug("published", {{"generation", std::to_string(snapshot_generation_)},
                           {"bytes", std::to_string(snapshot->body().bytes())},
                           {"samples", std::to_string(merged.samples)}});
  metrics_.note_publication(snapshot_generation_, snapshot->body().bytes(),
                            std::chrono::duration<double>(Clock::now() - now).count());
  const bool is_large = snapshot->body().bytes() >= kLargeFleet;
  snapshot.reset();
  // What the last round held is free now, and idle until the next. A small fleet's is sooner taken
  // again.
  if (is_large) (void)::malloc_trim(0);
  if (tokens_ != nullptr) tokens_->note(book_.token_news());
  first_ended_.reset();
  published_ = now;
  role_changed_ = false;
  if (!ask_again.empty()) ask_again_(config_generation_, ask_again);
}

}  // namespace bao_exporter
