// What is counted of a job.
#pragma once

#include "certctl/collector.h"
#include "certctl/json_reader.h"
#include "certctl/tally.h"

namespace bao_exporter::certctl {

struct Job {
  std::string type, status;  // as they stand: certctl's filters are case-sensitive
  // When it was due, and so since when it waits. (A retry keeps created_at and scheduled_at; a job
  // that is scheduled for tomorrow does not wait yet.)
  std::optional<std::int64_t> scheduled;
  friend bool operator==(const Job&, const Job&) = default;
};

[[nodiscard]] Job read_job(Fields& row);

// Waiting for somebody: Pending, AwaitingCSR, AwaitingApproval.
[[nodiscard]] bool is_waiting(std::string_view status);

struct JobCounts {
  Tally<2> jobs;  // by type and status
  std::map<std::string, std::size_t, std::less<>> by_status;
  std::optional<std::int64_t> oldest_waiting;

  void add(const Job& job);
  // `type` and `status` as they stand.
  void add(std::string_view type, std::string_view status, std::size_t rows);
  // Of a type that nobody named.
  void add_other(std::string_view status, std::size_t rows);
};

[[nodiscard]] Counted count_jobs(const JobCounts& counts);

}  // namespace bao_exporter::certctl
