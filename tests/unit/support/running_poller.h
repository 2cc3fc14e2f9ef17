// A Poller on its thread, with a transport that the test answers for, and what it told its sink.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "bao_exporter/check.h"
#include "bao_exporter/poller.h"
#include "eventually.h"
#include "fake_transport.h"

namespace bao_exporter::test {

inline constexpr Milliseconds kLong{3'600'000};

// Notes what it is told; the test waits for it.
class PollNotes final : public PollSink {
 public:
  void polls_started(std::uint64_t, std::vector<std::size_t> targets) override {
    {
      std::scoped_lock lock(mutex_);
      started_.push_back(std::move(targets));
    }
    changed_.notify_all();
  }
  void poll_ended(PollResult result) override {
    {
      std::scoped_lock lock(mutex_);
      ended_.push_back(std::move(result));
    }
    changed_.notify_all();
  }

  [[nodiscard]] std::optional<PollResult> await_ended(std::size_t n) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, kPatience, [&] { return ended_.size() > n; })) return {};
    return ended_[n];
  }
  [[nodiscard]] std::vector<std::vector<std::size_t>> started() const {
    std::scoped_lock lock(mutex_);
    return started_;
  }
  [[nodiscard]] std::size_t ended() const {
    std::scoped_lock lock(mutex_);
    return ended_.size();
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::vector<std::size_t>> started_;
  std::vector<PollResult> ended_;
};

inline PollTarget target(const std::string& api, const std::string& metrics) {
  PollTarget made;
  made.log_name = "prod/x";
  made.has_api = !api.empty();
  if (made.has_api) BAO_CHECK(parse_url(api, made.api));
  BAO_CHECK(parse_url(metrics, made.metrics));
  made.trust = std::make_shared<TlsTrust>();
  return made;
}

inline PollTarget node(int number) {
  const std::string origin = "https://10.0.0." + std::to_string(number) + ":8200";
  return target(origin, origin + "/v1/sys/metrics");
}

inline PollConfig config(Milliseconds interval, Milliseconds timeout = Milliseconds{8'000}) {
  PollConfig made;
  made.interval = interval;
  made.timeout = timeout;
  return made;
}

// A Poller on its thread.
class RunningPoller {
 public:
  RunningPoller(std::vector<PollTarget> targets, PollConfig poll,
                std::size_t body_bytes_max = 1 << 20)
      : poller_({std::move(targets), poll, body_bytes_max, 1}, transport, notes, heartbeat_),
        thread_([this](const std::stop_token& stop) { poller_.run(stop); }) {}

  Poller& poller() { return poller_; }
  [[nodiscard]] const Heartbeat& heartbeat() const { return heartbeat_; }
  void stop() {
    thread_.request_stop();
    thread_.join();
  }

  FakeTransport transport;
  PollNotes notes;

 private:
  Heartbeat heartbeat_;
  Poller poller_;
  std::jthread thread_;
};

using TokenSlot = Slot<TokenInForce>;

inline std::shared_ptr<const TokenInForce> in_force(std::shared_ptr<const Secret> secret,
                                                    std::uint64_t generation) {
  return std::make_shared<const TokenInForce>(
      TokenInForce{.secret = std::move(secret), .generation = generation});
}

}  // namespace bao_exporter::test
