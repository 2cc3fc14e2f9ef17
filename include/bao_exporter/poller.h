// The poll loop: when to ask whom. Runs on the poll thread; parses nothing and reads no file.
//
// All targets are polled at once at each multiple of the interval from the start (monotonic clock),
// every one under its own absolute deadline, so a node that hangs delays nobody.
// ask_again() adds a poll outside the rhythm (a second look).
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <vector>

#include "bao_exporter/heartbeat.h"
#include "bao_exporter/node_poll.h"
#include "bao_exporter/slot.h"
#include "bao_exporter/transport.h"

namespace bao_exporter {

struct PollTarget {
  std::string log_name;  // cluster/node
  bool has_api = true;
  bool active_only = false;  // profile active
  Url api;                   // without path
  Url metrics;               // with path
  std::string server_name;
  std::shared_ptr<const TlsTrust> trust;
  std::shared_ptr<const Slot<Secret>> token;  // null: no token is sent with metrics

  // Metrics are asked of the address that health is asked of.
  [[nodiscard]] bool same_origin() const {
    return has_api && api.scheme == metrics.scheme && api.authority() == metrics.authority();
  }
};

// Whom to poll and how; replaced as a whole when the configuration is.
struct PollPlan {
  std::vector<PollTarget> targets;
  PollConfig poll;
  std::size_t body_bytes_max = 0;
  std::uint64_t generation = 1;  // of the configuration; results carry it
};

struct PollResult {
  std::size_t target = 0;
  std::uint64_t generation = 1;  // of the plan that the target is an index of
  bool second_look = false;
  TimePoint started;
  TimePoint ended;
  WallTime ended_wall;
  PollAnswers answers;
};

// Who is told. Called on the poll thread; must not block.
class PollSink {
 public:
  virtual ~PollSink() = default;
  virtual void polls_started(std::uint64_t generation, std::vector<std::size_t> targets) = 0;
  virtual void poll_ended(PollResult result) = 0;
};

class Poller {
 public:
  // All references must outlive the Poller. `heartbeat` beats each time the loop goes round.
  Poller(PollPlan plan, Transport& transport, PollSink& sink, Heartbeat& heartbeat);

  // The body of the poll thread; returns soon after a stop is requested.
  void run(const std::stop_token& stop);

  // From any thread: polls these targets at once, unless a poll of theirs is under way.
  void ask_again(std::uint64_t generation, const std::vector<std::size_t>& targets);

  // From any thread: from the next turn of the loop on, this plan; polls under way are cancelled,
  // and every target of the new plan is polled at once.
  void replace(PollPlan plan);

 private:
  struct Running {
    NodePoll machine;
    PollResult result;
    TimePoint deadline;
  };

  void start_polls(const std::vector<std::size_t>& targets, bool second_look, TimePoint now);
  [[nodiscard]] std::vector<std::size_t> take_asked_again();
  void take_replacement(TimePoint now);
  void ask(std::size_t target, PollQuestion question);
  void take_answer(std::size_t target, Answer answer);
  [[nodiscard]] Request make_request(std::size_t target, PollQuestion question) const;

  PollPlan plan_;
  Transport& transport_;
  PollSink& sink_;
  Heartbeat& heartbeat_;
  TimePoint next_round_;
  std::vector<std::optional<Running>> running_;

  std::mutex mutex_;  // guards the three below
  std::uint64_t plan_generation_;
  std::vector<std::size_t> asked_again_;
  std::optional<PollPlan> replacement_;
};

}  // namespace bao_exporter
