// The poll loop: when to ask whom. Runs on the poll thread; parses nothing and reads no file.
//
// A poll takes the token that is in force when it asks for metrics, and waits for the first one
// for as long as it has time left to ask with it. A node that rejects a new token is asked again,
// in the same poll, with the one that worked there before: a new token takes over per node.
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
#include "bao_exporter/token.h"
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
  std::shared_ptr<const Slot<TokenInForce>> token;  // null: no token is sent with metrics

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
  std::uint64_t token_taken = 0;     // generation of the token that the node took; 0: none
  std::uint64_t token_rejected = 0;  // generation of the newest one that it rejected; 0: none
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

  // From any thread: sends a request that is not of a poll, from the next turn of the loop on.
  // `on_done` is called on the poll thread; never, when the loop ends before.
  void send(Request request, Transport::OnDone on_done);

  // From any thread: the loop goes round, so polls that wait for a token see that it is there.
  void wake_up() { transport_.wake_up(); }

 private:
  struct Running {
    NodePoll machine;
    PollResult result;
    TimePoint deadline;
    PollQuestion question = PollQuestion::kHealth;
    bool waits_for_token = false;
    TimePoint not_before{};  // of a token that is so fresh that the standby did not know it
    int fresh_tries = 0;
    std::shared_ptr<const TokenInForce> token = nullptr;  // sent with the metrics request
  };
  struct Aside {
    Request request;
    Transport::OnDone on_done;
  };

  void start_polls(const std::vector<std::size_t>& targets, bool second_look, TimePoint now);
  [[nodiscard]] std::vector<std::size_t> take_asked_again();
  void take_replacement(TimePoint now);
  void send_asides();
  void resume_waiting(TimePoint now);
  [[nodiscard]] TimePoint next_turn(TimePoint now) const;
  [[nodiscard]] TimePoint end_of_waiting(const Running& running) const;
  void ask(std::size_t target, PollQuestion question);
  void ask_for_metrics(std::size_t target);
  void send_question(std::size_t target);
  [[nodiscard]] bool note_token(std::size_t target, const Answer& answer);
  [[nodiscard]] bool waits_for_standby(std::size_t target, const Answer& answer, TimePoint now);
  void take_answer(std::size_t target, Answer answer);
  void forget_old_token(std::size_t target, const PollResult& result);
  [[nodiscard]] Request make_request(std::size_t target) const;

  PollPlan plan_;
  Transport& transport_;
  PollSink& sink_;
  Heartbeat& heartbeat_;
  TimePoint next_round_;
  std::vector<std::optional<Running>> running_;
  std::vector<std::shared_ptr<const TokenInForce>>
      proven_;  // by target: the token that it took last
  std::uint64_t asides_sent_ = 0;

  std::mutex mutex_;  // guards the four below
  std::uint64_t plan_generation_;
  std::vector<std::size_t> asked_again_;
  std::optional<PollPlan> replacement_;
  std::vector<Aside> asides_;
};

}  // namespace bao_exporter
