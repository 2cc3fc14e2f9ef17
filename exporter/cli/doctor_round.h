// One round of polls for the doctor, with what the exporter itself polls and judges with: Poller,
// Transport and NodeBook, second looks included. Ends by itself.
#pragma once

#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "bao_exporter/node_book.h"
#include "bao_exporter/poller.h"

namespace bao_exporter::cli {

// What an answer told of the address that it came from.
struct AnswerNotes {
  std::optional<Error> failure;
  std::string connected_to;
};

// What the book does not keep of a node's last poll.
struct PollNotes {
  std::optional<AnswerNotes> health;
  std::optional<AnswerNotes> metrics;
  std::optional<Error> health_problem;
  double began = 0;  // unix seconds
  double ended = 0;
};

class DoctorRound final : public PollSink {
 public:
  // `plan` without rhythm: its targets are polled once. The references must outlive it.
  DoctorRound(NodeBook& book, PollPlan plan, Transport& transport);

  // Returns when everything that can be said was said, at the latest after kLooks times the
  // deadline of a poll.
  void run();

  [[nodiscard]] const std::vector<PollNotes>& notes() const { return notes_; }

  void polls_started(std::uint64_t, std::vector<std::size_t>) override {}
  void poll_ended(PollResult result) override;

 private:
  static constexpr int kLooks = 3;

  void look_again(const std::vector<std::size_t>& targets);
  void settle();

  NodeBook& book_;
  Heartbeat heartbeat_;
  Poller poller_;
  std::vector<PollNotes> notes_;
  std::stop_source stop_;
  std::size_t under_way_;
  int looks_ = 1;
};

}  // namespace bao_exporter::cli
