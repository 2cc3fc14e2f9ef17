// Counts many jobs without listing them: for each state its list while that is one page (or while
// its jobs wait: the oldest of them is wanted), else the totals of its kinds. Pure.
//
// A round is believed when no job came, went or moved meanwhile as far as can be seen: the states
// add up to the total of all, and that total and the newest 500 jobs are the same before and after.
// What could escape that are two old jobs that change their states in opposite ways in one round.
#pragma once

#include <set>

#include "certctl/job.h"
#include "certctl/list_reader.h"

namespace bao_exporter::certctl {

class JobsByStatus {
 public:
  using Rows = ListReader<Job>::Rows;

  // `total` and `newest` are those of the first page of all jobs.
  JobsByStatus(std::size_t total, Rows newest);

  [[nodiscard]] bool done() const { return stage_ == Stage::kDone; }
  [[nodiscard]] std::string request() const;
  [[nodiscard]] std::optional<Error> take(std::string_view json);
  // Of the last round.
  [[nodiscard]] const JobCounts& counts() const { return counts_; }

 private:
  enum class Stage : std::uint8_t {
    kList,         // of the state
    kTypes,        // the total of each kind in it
    kStatusAgain,  // its total, again
    kAllAgain,     // the first page of all jobs, again
    kDone
  };

  void begin_round();
  void begin_status();
  void end_status(std::size_t rows);
  void begin_types(std::size_t status_total);
  void learn_words(const Rows& rows);
  [[nodiscard]] const std::string& status() const { return statuses_[status_]; }
  [[nodiscard]] std::optional<Error> take_list(std::string_view json);
  [[nodiscard]] std::optional<Error> take_type(std::size_t total);
  [[nodiscard]] std::optional<Error> take_status_again(std::size_t total);
  [[nodiscard]] std::optional<Error> take_all_again(std::string_view json);
  // Whether the round can be believed, all jobs being `total` after it.
  [[nodiscard]] bool adds_up(std::size_t total);

  Stage stage_ = Stage::kList;
  std::vector<std::string> statuses_;  // as the filter wants them
  std::vector<std::string> types_;

  // The round.
  int rounds_ = 0;
  std::size_t all_total_;  // before it
  Rows newest_;
  JobCounts counts_;
  std::size_t sum_ = 0;
  std::size_t left_over_ = 0;  // jobs that the round before did not find
  std::size_t status_ = 0;
  ListReader<Job> list_;

  // A state with more than a page.
  int tries_ = 0;
  std::size_t status_total_ = 0;
  std::vector<std::size_t> type_totals_;
};

}  // namespace bao_exporter::certctl
