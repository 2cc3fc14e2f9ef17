// From polls to a snapshot: judges what each poll became, asks the arbiter, merges and publishes.
// Runs on the build thread.
//
// Publication: once per round, when all polls under way have ended or one second after the first
// did; a change of role publishes at once. News of certctl count as a poll that ended. Until every
// target was polled once, nothing is published; certctl servers are waited for, too, but no longer
// than poll.timeout from the start. Without any node there are no rounds: then a publication is
// made each poll.interval for as long as the poll loop goes round.
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

#include "bao_exporter/certctl_book.h"
#include "bao_exporter/certctl_view.h"
#include "bao_exporter/config.h"
#include "bao_exporter/merge.h"
#include "bao_exporter/node_book.h"
#include "bao_exporter/own_metrics.h"
#include "bao_exporter/poller.h"
#include "bao_exporter/slot.h"
#include "bao_exporter/snapshot.h"

namespace bao_exporter {

// When what has come of a round is published without the polls that are still under way: a second
// after the first ended, or later while others keep ending (a large fleet's come one after the
// other, and each publication costs as much as all of it), up to five or a third of the interval.
[[nodiscard]] TimePoint end_of_patience(TimePoint first_ended, TimePoint last_ended,
                                        Milliseconds interval);

class Publisher final : public PollSink {
 public:
  using AskAgain = std::function<void(std::uint64_t generation, const std::vector<std::size_t>&)>;

  // The references must outlive the Publisher. `config` is of generation 1.
  Publisher(const Config& config, std::uint64_t hash_seed, Slot<Snapshot>& snapshots,
            OwnMetrics& metrics);

  // Who polls a node again at once; set before run().
  void on_ask_again(AskAgain ask_again) { ask_again_ = std::move(ask_again); }

  // Who is asked about tokens, and told of them; set before run().
  void connect(TokenSource& tokens) { tokens_ = &tokens; }

  // From any thread: nodes of that cluster that wait for another token are asked again at once.
  void token_changed(const std::string& cluster);

  // From any thread, before the Poller gets the same generation: from now on these nodes. What is
  // known of a node that stays (same cluster, name and identity labels) is kept.
  void replace(const Config& config, std::uint64_t generation);

  // From any thread: what is known of all certctl servers, in the place of what was known. Servers
  // that the configuration in force does not have are left out.
  void note_certctl(CertctlViews views);

  // From any thread: somebody took gzip, so the next snapshot is compressed when it is made.
  void gzip_was_asked() { gzip_asked_.store(true, std::memory_order_relaxed); }

  // PollSink, from the poll thread. The queue is bounded: the newest poll of a target wins.
  void polls_started(std::uint64_t generation, std::vector<std::size_t> targets) override;
  void poll_ended(PollResult result) override;

  // The body of the build thread.
  void run(const std::stop_token& stop);

 private:
  struct Arrived {
    std::optional<CertctlViews> older_certctl;  // handed over before `config` was
    std::optional<Config> config;               // to be taken first, but for that
    std::optional<CertctlViews> certctl;
    std::uint64_t generation = 1;  // of what follows
    std::vector<std::size_t> started;
    std::map<std::size_t, PollResult> ended;  // the newest of a target
    std::vector<std::size_t> replaced;        // targets whose older result was not taken
    std::set<std::string> token_changed;      // clusters
  };

  [[nodiscard]] std::optional<Arrived> wait(const std::stop_token& stop);
  void take_config(const Config& config);
  void take(PollResult result);
  [[nodiscard]] bool wait_for_token(const PollResult& result);
  void retry_with_token(const std::string& cluster);
  void note_ended(std::size_t target);
  void take_certctl(const CertctlViews& views);
  [[nodiscard]] bool waits_for_certctl(TimePoint now) const;
  [[nodiscard]] std::optional<TimePoint> next_refresh(TimePoint now) const;
  [[nodiscard]] TimePoint next_look(TimePoint now) const;
  [[nodiscard]] bool publication_due(TimePoint now) const;
  [[nodiscard]] bool is_gzip_wanted(TimePoint now);
  void publish(TimePoint now);
  [[nodiscard]] TimePoint valid_until(TimePoint now) const;

  PollConfig poll_;
  Slot<Snapshot>& snapshots_;
  OwnMetrics& metrics_;
  TokenSource* tokens_ = nullptr;
  AskAgain ask_again_ = [](std::uint64_t, const std::vector<std::size_t>&) {};
  NodeBook book_;
  CertctlBook certctl_;
  TypeBook types_;
  std::uint64_t snapshot_generation_ = 0;
  std::uint64_t config_generation_ = 1;
  std::atomic<bool> gzip_asked_{false};

  // Build thread only.
  std::map<std::size_t, int> under_way_;  // polls started and not ended
  std::set<std::size_t> held_;            // nodes of which nothing is said before a second look
  std::set<std::size_t> token_awaited_;   // nodes that get it when the new token is decided on
  std::set<std::size_t> never_polled_;    // before the first publication only
  std::optional<TimePoint> first_ended_;  // since the last publication
  std::optional<TimePoint> last_ended_;   // of all polls
  TimePoint last_taken_;                  // when the last poll's end was taken note of
  TimePoint gzip_wanted_until_;
  std::optional<TimePoint> published_;  // last
  TimePoint began_;                     // run()
  bool role_changed_ = false;

  std::mutex mutex_;  // guards arrived_
  std::condition_variable_any arrival_;
  Arrived arrived_;
};

}  // namespace bao_exporter
