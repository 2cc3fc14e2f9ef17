// A Transport whose answers the test gives, when it likes.
#pragma once

#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "bao_exporter/transport.h"
#include "eventually.h"

namespace bao_exporter::test {

class FakeTransport final : public Transport {
 public:
  // --- Transport, on the poll thread.
  void start(Request request, OnDone on_done) override {
    {
      std::scoped_lock lock(mutex_);
      const std::uint64_t channel = request.channel;
      doubled_ = doubled_ || waiting_.contains(channel);
      waiting_[channel] = std::move(on_done);
      started_.push_back(std::move(request));
    }
    changed_.notify_all();
  }

  void cancel(std::uint64_t channel) override {
    {
      std::scoped_lock lock(mutex_);
      if (waiting_.erase(channel) > 0) cancelled_.push_back(channel);
    }
    changed_.notify_all();
  }

  void run_once(TimePoint until) override {
    std::deque<std::pair<OnDone, Answer>> done;
    {
      std::unique_lock lock(mutex_);
      untils_.push_back(until);
      changed_.notify_all();
      // Real transports wait a minute at most; the limit also keeps wait_until from overflowing.
      changed_.wait_until(lock, std::min(until, Clock::now() + std::chrono::minutes(1)),
                          [this] { return woken_ || !done_.empty(); });
      woken_ = false;
      done.swap(done_);
    }
    for (auto& [on_done, answer] : done) on_done(std::move(answer));
  }

  void wake_up() override {
    {
      std::scoped_lock lock(mutex_);
      woken_ = true;
    }
    changed_.notify_all();
  }

  // --- The test.
  // The n-th request ever started, from 0; nullopt: it never came.
  [[nodiscard]] std::optional<Request> await_start(std::size_t n) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, kPatience, [&] { return started_.size() > n; })) return {};
    return started_[n];
  }

  // Waits until the loop has gone to wait `more` times from now on: what was asked for is done.
  [[nodiscard]] bool await_idle(std::size_t more = 1) {
    std::unique_lock lock(mutex_);
    const std::size_t wanted = untils_.size() + more;
    return changed_.wait_for(lock, kPatience, [&] { return untils_.size() >= wanted; });
  }

  // False when no request of that channel is under way.
  [[nodiscard]] bool reply(std::uint64_t channel, Answer answer) {
    {
      std::scoped_lock lock(mutex_);
      const auto at = waiting_.find(channel);
      if (at == waiting_.end()) return false;
      done_.emplace_back(std::move(at->second), std::move(answer));
      waiting_.erase(at);
    }
    changed_.notify_all();
    return true;
  }

  [[nodiscard]] std::size_t started() const {
    std::scoped_lock lock(mutex_);
    return started_.size();
  }
  // What was started so far holds no secret any more, so that it can be seen who else does.
  void forget_secrets() {
    std::scoped_lock lock(mutex_);
    for (Request& request : started_) request.bearer = nullptr;
  }
  [[nodiscard]] std::vector<std::uint64_t> cancelled() const {
    std::scoped_lock lock(mutex_);
    return cancelled_;
  }
  // A channel was given a request while it had one.
  [[nodiscard]] bool doubled() const {
    std::scoped_lock lock(mutex_);
    return doubled_;
  }
  [[nodiscard]] TimePoint last_until() const {
    std::scoped_lock lock(mutex_);
    return untils_.empty() ? TimePoint{} : untils_.back();
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::uint64_t, OnDone> waiting_;
  std::vector<Request> started_;
  std::vector<std::uint64_t> cancelled_;
  std::vector<TimePoint> untils_;
  std::deque<std::pair<OnDone, Answer>> done_;
  bool woken_ = false;
  bool doubled_ = false;
};

}  // namespace bao_exporter::test
