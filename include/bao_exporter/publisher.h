// From polls to a snapshot: judges what each poll became, asks the arbiter, merges and publishes.
// Runs on the build thread.
//
// Publication: once per round, when all polls under way have ended or one second after the first
// did; a change of role publishes at once. Until every target was polled once, nothing is
// published.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>
#include <vector>

#include "bao_exporter/config.h"
#include "bao_exporter/merge.h"
#include "bao_exporter/node_book.h"
#include "bao_exporter/poller.h"
#include "bao_exporter/slot.h"
#include "bao_exporter/snapshot.h"

namespace bao_exporter {

class Publisher final : public PollSink {
 public:
  using AskAgain = std::function<void(const std::vector<std::size_t>&)>;

  // `snapshots` must outlive the Publisher.
  Publisher(const Config& config, std::uint64_t hash_seed, Slot<Snapshot>& snapshots);

  // Who polls a node again at once; set before run().
  void on_ask_again(AskAgain ask_again) { ask_again_ = std::move(ask_again); }

  // From any thread: somebody took gzip, so the next snapshot is compressed when it is made.
  void gzip_was_asked() { gzip_asked_.store(true, std::memory_order_relaxed); }

  // PollSink, from the poll thread. The queue is bounded: the newest poll of a target wins.
  void polls_started(std::vector<std::size_t> targets) override;
  void poll_ended(PollResult result) override;

  // The body of the build thread.
  void run(const std::stop_token& stop);

 private:
  struct Arrived {
    std::vector<std::size_t> started;
    std::map<std::size_t, PollResult> ended;
  };

  [[nodiscard]] std::optional<Arrived> wait(const std::stop_token& stop);
  void take(PollResult result);
  [[nodiscard]] bool publication_due(TimePoint now) const;
  void publish(TimePoint now);

  const PollConfig poll_;
  Slot<Snapshot>& snapshots_;
  AskAgain ask_again_;
  NodeBook book_;
  TypeBook types_;
  std::uint64_t generation_ = 0;
  std::atomic<bool> gzip_asked_{false};

  // Build thread only.
  std::set<std::size_t> under_way_;
  std::set<std::size_t> never_polled_;
  std::optional<TimePoint> first_ended_;  // since the last publication
  bool role_changed_ = false;

  std::mutex mutex_;  // guards arrived_
  std::condition_variable_any arrival_;
  Arrived arrived_;
};

}  // namespace bao_exporter
