#include "bao_exporter/token_keeper.h"

#include <algorithm>
#include <utility>

#include "bao_exporter/login.h"
#include "token_keep.h"

namespace bao_exporter {

namespace {

constexpr Milliseconds kLookInterval{250};

}  // namespace

// The number tells the answers for it from those for one that had its name before.
struct TokenKeeper::Kept {
  std::uint64_t serial = 0;
  bool started = false;
  std::unique_ptr<TokenKeep> keep;
};

struct TokenKeeper::Arrived {
  std::string cluster;
  std::uint64_t serial = 0;
  std::uint64_t order = 0;
  TokenKeep::Purpose purpose = TokenKeep::Purpose::kTask;
  Answer answer;
};

TokenKeeper::TokenKeeper(OwnMetrics& metrics) : metrics_(metrics), dice_(std::random_device()()) {}

TokenKeeper::~TokenKeeper() {
  for (Arrived& one : arrivals_) wipe(one.answer);
}

void TokenKeeper::connect(Links links) { links_ = std::move(links); }

Moment TokenKeeper::moment() {
  return {Clock::now(), WallClock::now(), std::uniform_real_distribution<double>(0, 1)(dice_)};
}

void TokenKeeper::replace(const Config& config,
                          const std::map<std::string, std::shared_ptr<const TlsTrust>>& trusts) {
  std::scoped_lock lock(mutex_);
  auto before = std::exchange(keeps_, {});
  for (const ClusterConfig& cluster : config.clusters) {
    if (cluster.auth.method == AuthMethod::kNone) continue;
    const auto old = before.find(cluster.cluster);
    const auto& trust = trusts.at(cluster.cluster);
    if (old != before.end() && old->second.keep->fits(cluster, trust)) {
      old->second.keep->take_nodes(cluster, config.poll.timeout);
      keeps_.insert(before.extract(old));
      continue;
    }
    const std::uint64_t generations = old == before.end() ? 0 : old->second.keep->generations();
    add(cluster, trust, config.poll.timeout, generations);
  }
  for (const auto& [cluster, kept] : before) metrics_.forget_credential(cluster);
}

void TokenKeeper::add(const ClusterConfig& cluster, const std::shared_ptr<const TlsTrust>& trust,
                      Milliseconds timeout, std::uint64_t generations) {
  const std::string& name = cluster.cluster;
  const std::uint64_t serial = ++serial_;
  const auto arrive = [this, name, serial](std::uint64_t order, TokenKeep::Purpose purpose,
                                           Answer answer) {
    {
      std::scoped_lock lock(arrivals_mutex_);
      arrivals_.push_back({name, serial, order, purpose, std::move(answer)});
    }
    turn_.notify_one();
  };
  const auto send = [this, arrive](Request request, std::uint64_t order,
                                   TokenKeep::Purpose purpose) {
    links_.send(std::move(request), [arrive, order, purpose](Answer answer) {
      arrive(order, purpose, std::move(answer));
    });
  };
  const auto changed = [this, name] { links_.changed(name); };
  TokenKeep::Outside outside{metrics_, send, changed};
  keeps_.emplace(name, Kept{serial, false,
                            std::make_unique<TokenKeep>(cluster, trust, timeout, generations,
                                                        std::move(outside))});
}

std::shared_ptr<const Slot<TokenInForce>> TokenKeeper::slot(const std::string& cluster) const {
  std::scoped_lock lock(mutex_);
  const auto at = keeps_.find(cluster);
  return at == keeps_.end() ? nullptr : at->second.keep->slot();
}

void TokenKeeper::look_now() {
  {
    std::scoped_lock lock(mutex_);
    for (auto& [cluster, kept] : keeps_) {
      if (kept.started) kept.keep->look_now(moment());
    }
  }
  wake_up();
}

TokenSource::Newer TokenKeeper::newer_than(const std::string& cluster, std::uint64_t generation) {
  Newer newer = Newer::kNone;
  {
    std::scoped_lock lock(mutex_);
    const auto at = keeps_.find(cluster);
    if (at != keeps_.end() && at->second.started) {
      newer = at->second.keep->newer_than(generation, moment());
    }
  }
  wake_up();
  return newer;
}

void TokenKeeper::note(const std::vector<TokenNews>& news) {
  {
    std::scoped_lock lock(mutex_);
    for (const TokenNews& one : news) {
      const auto at = keeps_.find(one.cluster);
      if (at != keeps_.end() && at->second.started) at->second.keep->note(one, moment());
    }
  }
  wake_up();
}

// Something was done on another thread: what is due next may have changed.
void TokenKeeper::wake_up() {
  {
    std::scoped_lock lock(arrivals_mutex_);
    woken_ = true;
  }
  turn_.notify_one();
}

void TokenKeeper::run(const std::stop_token& stop) {
  TimePoint until = Clock::now();
  while (!stop.stop_requested()) until = go_round(wait(stop, until));
}

std::vector<TokenKeeper::Arrived> TokenKeeper::wait(const std::stop_token& stop, TimePoint until) {
  std::unique_lock lock(arrivals_mutex_);
  turn_.wait_until(lock, stop, until, [this] { return woken_ || !arrivals_.empty(); });
  woken_ = false;
  return std::exchange(arrivals_, {});
}

// When it has to go round again.
TimePoint TokenKeeper::go_round(std::vector<Arrived> arrived) {
  std::scoped_lock lock(mutex_);
  for (Arrived& one : arrived) take(std::move(one));
  TimePoint until = Clock::now() + kLookInterval;
  const bool look = Clock::now() >= next_look_;
  if (look) next_look_ = until;
  for (auto& [cluster, kept] : keeps_) {
    TokenKeep& keep = *kept.keep;
    if (!std::exchange(kept.started, true)) {
      keep.start(moment());
    } else if (look) {
      keep.look(moment());
    }
    if (const auto wake = keep.wake_at(); wake && *wake <= Clock::now()) keep.time_came(moment());
    if (const auto wake = keep.wake_at()) until = std::min(until, *wake);
  }
  return std::min(until, next_look_);
}

void TokenKeeper::take(Arrived arrived) {
  const auto at = keeps_.find(arrived.cluster);
  if (at == keeps_.end() || at->second.serial != arrived.serial) return wipe(arrived.answer);
  at->second.keep->take(arrived.order, arrived.purpose, std::move(arrived.answer), moment());
}

}  // namespace bao_exporter
