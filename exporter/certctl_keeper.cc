#include "bao_exporter/certctl_keeper.h"

#include <algorithm>
#include <utility>

#include "bao_exporter/log.h"
#include "certctl_server.h"

namespace bao_exporter {

namespace {

constexpr Milliseconds kLookInterval{250};

}  // namespace

// The number tells the answers for it from those for one that had its name before.
struct CertctlKeeper::Kept {
  std::uint64_t serial = 0;
  bool started = false;
  std::unique_ptr<CertctlServer> server;
};

struct CertctlKeeper::Arrived {
  std::uint64_t serial = 0;
  std::uint64_t order = 0;
  Answer answer;
};

CertctlKeeper::CertctlKeeper(OwnMetrics& metrics, std::uint64_t hash_seed)
    : metrics_(metrics), hash_seed_(hash_seed) {}

CertctlKeeper::~CertctlKeeper() = default;

void CertctlKeeper::connect(Links links) { links_ = std::move(links); }

void CertctlKeeper::replace(const Config& config,
                            const std::map<std::string, std::shared_ptr<const TlsTrust>>& trusts) {
  {
    std::scoped_lock lock(mutex_);
    auto before = std::exchange(kept_, {});
    for (const CertctlConfig& wanted : config.certctls) {
      const auto& trust = trusts.at(wanted.name);
      const auto old = std::find_if(before.begin(), before.end(), [&](const auto& kept) {
        return kept != nullptr && kept->server->name() == wanted.name;
      });
      if (old != before.end() && (*old)->server->fits(wanted, config.limits, trust)) {
        kept_.push_back(std::move(*old));
        continue;
      }
      const std::uint64_t generations = old == before.end() ? 0 : (*old)->server->generations();
      add(wanted, config.limits, trust, generations);
    }
    for (const auto& kept : kept_) kept->server->relabel(config.relabel);
    for (const auto& kept : before) {
      if (kept != nullptr) metrics_.forget_credential(kept->server->name());
    }
    replaced_ = true;
  }
  wake_up();
}

void CertctlKeeper::add(const CertctlConfig& config, const LimitsConfig& limits,
                        const std::shared_ptr<const TlsTrust>& trust, std::uint64_t generations) {
  const std::uint64_t serial = ++serial_;
  const auto send = [this, serial](Request request, std::uint64_t order) {
    links_.send(std::move(request), [this, serial, order](Answer answer) {
      {
        std::scoped_lock lock(arrivals_mutex_);
        arrivals_.push_back({serial, order, std::move(answer)});
      }
      turn_.notify_one();
    });
  };
  auto kept = std::make_unique<Kept>();
  kept->serial = serial;
  kept->server = std::make_unique<CertctlServer>(
      config, limits, trust, CertctlServer::Outside{metrics_, send, hash_seed_, generations});
  kept_.push_back(std::move(kept));
}

void CertctlKeeper::look_now() {
  {
    std::scoped_lock lock(mutex_);
    for (const auto& kept : kept_) {
      if (kept->started) kept->server->look_now();
    }
  }
  wake_up();
}

// Something was done on another thread: what is due next may have changed.
void CertctlKeeper::wake_up() {
  {
    std::scoped_lock lock(arrivals_mutex_);
    woken_ = true;
  }
  turn_.notify_one();
}

void CertctlKeeper::run(const std::stop_token& stop) {
  TimePoint until = Clock::now();
  while (!stop.stop_requested()) until = go_round(wait(stop, until));
}

std::vector<CertctlKeeper::Arrived> CertctlKeeper::wait(const std::stop_token& stop,
                                                        TimePoint until) {
  std::unique_lock lock(arrivals_mutex_);
  turn_.wait_until(lock, stop, until, [this] { return woken_ || !arrivals_.empty(); });
  woken_ = false;
  return std::exchange(arrivals_, {});
}

// When it has to go round again.
TimePoint CertctlKeeper::go_round(std::vector<Arrived> arrived) {
  std::scoped_lock lock(mutex_);
  for (Arrived& one : arrived) {
    for (const auto& kept : kept_) {
      if (kept->serial == one.serial) kept->server->take(one.order, std::move(one.answer));
    }
  }
  const TimePoint now = Clock::now();
  const bool look = now >= next_look_;
  if (look) next_look_ = now + kLookInterval;
  TimePoint until = next_look_;
  bool changed = std::exchange(replaced_, false);
  for (const auto& kept : kept_) {
    CertctlServer& server = *kept->server;
    if (!std::exchange(kept->started, true)) {
      server.start();
    } else if (look) {
      server.look();
    }
    if (server.wake_at() <= Clock::now()) server.time_came();
    until = std::min(until, server.wake_at());
    changed = server.take_changed() || changed;
  }
  if (changed) {
    CertctlViews views;
    for (const auto& kept : kept_) {
      if (kept->server->view() != nullptr) views.push_back(kept->server->view());
    }
    links_.publish(std::move(views));
  }
  return until;
}

}  // namespace bao_exporter
