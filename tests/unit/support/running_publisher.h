// A Publisher on its thread, polls that the test makes up, and what was published of them.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "../catch.h"
#include "answers.h"
#include "bao_exporter/publisher.h"
#include "eventually.h"
#include "samples.h"

namespace bao_exporter::test {

inline NodeConfig node(const std::string& name, int number) {
  NodeConfig made;
  made.name = name;
  made.api_url = "https://10.0.0." + std::to_string(number) + ":8200";
  return made;
}

// Nodes a, b, c, ... of one cluster; of another one whose polls end a round (marker), and one that
// the test only uses to know how far the publisher is (probe).
inline Config config(std::size_t nodes) {
  Config made;
  made.poll.interval = Milliseconds{60'000};
  made.poll.stale_after = Milliseconds{180'000};
  ClusterConfig prod;
  prod.cluster = "prod";
  for (std::size_t i = 0; i < nodes; ++i) {
    prod.nodes.push_back(node(std::string(1, static_cast<char>('a' + i)), static_cast<int>(i + 1)));
  }
  ClusterConfig other;
  other.cluster = "other";
  other.profile = Profile::kActive;
  other.nodes.push_back(node("marker", 98));
  other.nodes.push_back(node("probe", 99));
  made.clusters = {prod, other};
  return made;
}

inline LabelsWanted of(std::string_view name) { return {{"node_name", name}}; }
inline LabelsWanted of(std::string_view name, std::string_view label, std::string_view value) {
  return {{"node_name", name}, {label, value}};
}

// Generations, as in PollResult.
struct TokensTold {
  std::uint64_t taken = 0;
  std::uint64_t rejected = 0;
};

// A Publisher on its thread. Time is the test's: polls say themselves when they were.
class RunningPublisher {
 public:
  explicit RunningPublisher(std::size_t nodes) : RunningPublisher(config(nodes)) {}
  // `tokens` must outlive this.
  explicit RunningPublisher(const Config& config, TokenSource* tokens = nullptr)
      : marker_(config.clusters[0].nodes.size()), publisher_(config, 42, snapshots, metrics_) {
    if (tokens != nullptr) publisher_.connect(*tokens);
    publisher_.on_ask_again([this](std::uint64_t, const std::vector<std::size_t>& targets) {
      std::unique_lock lock(mutex_);
      for (const std::size_t target : targets) {
        if (target >= marker_) {
          ++seen_;
        } else {
          asked_again_.push_back(target);
        }
      }
      changed_.notify_all();
      changed_.wait(lock, [this] { return !held_; });
    });
    thread_ = std::jthread([this](const std::stop_token& stop) { publisher_.run(stop); });
    // The probe is known from now on. (Its poll is taken by the time the marker's is.)
    ended(probe(), standby_alone());
    contradict(marker_);
  }
  ~RunningPublisher() { release(); }
  RunningPublisher(const RunningPublisher&) = delete;
  RunningPublisher& operator=(const RunningPublisher&) = delete;

  Publisher& publisher() { return publisher_; }
  [[nodiscard]] std::string own_text() const { return metrics_.render("", Clock::now()); }
  [[nodiscard]] std::size_t marker() const { return marker_; }
  [[nodiscard]] std::size_t probe() const { return marker_ + 1; }

  void started(std::vector<std::size_t> targets) {
    publisher_.polls_started(1, std::move(targets));
  }

  // A poll that ended now, as far as the publisher can see; `started_ms` orders polls.
  void ended(std::size_t target, PollAnswers answers, bool second_look = false,
             int started_ms = 0) {
    ended_at(target, std::move(answers), second_look, started_ms, Clock::now() + kFarAhead);
  }
  // As ended(), but its round has waited for longer than the patience of the publisher.
  void ended_long_ago(std::size_t target, PollAnswers answers) {
    ended_at(target, std::move(answers), false, 0, Clock::now() - std::chrono::seconds(2));
  }

  // As ended(), with what the node did with tokens.
  void ended(std::size_t target, PollAnswers answers, TokensTold tokens, bool second_look = false) {
    ended_at(target, std::move(answers), second_look, 0, Clock::now() + kFarAhead, tokens);
  }

  // One round of all, ended in this order, the marker last.
  void round(std::vector<PollAnswers> answers, int started_ms = 0) {
    std::vector<std::size_t> everybody;
    for (std::size_t i = 0; i <= answers.size(); ++i) everybody.push_back(i);
    started(everybody);
    for (std::size_t i = 0; i < answers.size(); ++i) {
      ended(i, std::move(answers[i]), false, started_ms);
    }
    ended(marker_, standby_alone(), false, started_ms);
  }

  // Returns when everything that was sent before has been worked on: the probe contradicts itself,
  // so the publisher asks for it again, which we see, and notes nothing about it. Twice: the first
  // is seen before what it came with has been published.
  void drain() {
    contradict(probe());
    contradict(probe());
  }

  // Stops the publisher at the next time it asks for somebody again, until release().
  void hold() {
    std::scoped_lock lock(mutex_);
    held_ = true;
  }
  void release() {
    {
      std::scoped_lock lock(mutex_);
      held_ = false;
    }
    changed_.notify_all();
  }
  // As drain(), but returns as soon as the publisher stands still.
  void drain_to_hold() { contradict(probe()); }

  [[nodiscard]] std::vector<std::size_t> asked_again() {
    std::scoped_lock lock(mutex_);
    return std::exchange(asked_again_, {});
  }

  [[nodiscard]] std::uint64_t generation() const {
    const auto snapshot = snapshots.get();
    return snapshot == nullptr ? 0 : snapshot->generation();
  }
  [[nodiscard]] Samples body() const {
    const auto snapshot = snapshots.get();
    return Samples(snapshot == nullptr ? "" : snapshot->body().to_string());
  }

  static PollAnswers standby_alone() {
    return {health_standby(), exposition("marker_alive 1\n"), std::nullopt};
  }

  Slot<Snapshot> snapshots;

 private:
  // So far ahead that the patience with a slow node never ends while a test runs.
  static constexpr std::chrono::hours kFarAhead{1};

  void contradict(std::size_t target) {
    int before = 0;
    {
      std::scoped_lock lock(mutex_);
      before = seen_;
    }
    ended(target, {health_standby(), exposition(small_body("1")), std::nullopt});
    std::unique_lock lock(mutex_);
    REQUIRE(changed_.wait_for(lock, kPatience, [&] { return seen_ > before; }));
  }

  void ended_at(std::size_t target, PollAnswers answers, bool second_look, int started_ms,
                TimePoint ended, TokensTold tokens = {}) {
    PollResult result;
    result.token_taken = tokens.taken;
    result.token_rejected = tokens.rejected;
    result.target = target;
    result.second_look = second_look;
    result.started = epoch_ + Milliseconds(started_ms);
    result.ended = ended;
    result.ended_wall = WallClock::now();
    result.answers = std::move(answers);
    publisher_.poll_ended(std::move(result));
  }

  std::size_t marker_;
  TimePoint epoch_ = Clock::now();
  OwnMetrics metrics_;
  Publisher publisher_;
  std::mutex mutex_;
  std::condition_variable changed_;
  int seen_ = 0;
  bool held_ = false;
  std::vector<std::size_t> asked_again_;
  std::jthread thread_;  // last: it ends first
};

inline PollAnswers active(const std::string& since, const std::string& more = "") {
  return {health_active(), exposition(small_body("1") + more),
          since.empty() ? failed(ErrorCode::kTimeout) : leader_self(since)};
}
inline PollAnswers standby(const std::string& more = "") {
  return {health_standby(), exposition(small_body("0") + more), std::nullopt};
}
inline PollAnswers down() { return {failed(ErrorCode::kConnect), std::nullopt, std::nullopt}; }

inline const std::string kEarly = "2026-11-23T00:00:00Z";
inline const std::string kLate = "2026-11-23T01:00:00Z";

}  // namespace bao_exporter::test
