#include "certctl/job.h"

#include <algorithm>

namespace bao_exporter::certctl {

Job read_job(Fields& row) {
  Job job;
  job.type = row.word("type");
  job.status = row.word("status");
  job.scheduled = row.time("scheduled_at");
  if (!job.scheduled) job.scheduled = row.time("created_at");
  return job;
}

bool is_waiting(std::string_view status) {
  const std::string word = normalised(status, kJobStatuses);
  return word == "Pending" || word == "AwaitingCSR" || word == "AwaitingApproval";
}

void JobCounts::add(std::string_view type, std::string_view status, std::size_t rows) {
  if (rows == 0) return;
  const std::string word = normalised(label_text(status), kJobStatuses);
  jobs.add({normalised(label_text(type), kJobTypes), word}, rows);
  by_status[word] += rows;
}

void JobCounts::add_other(std::string_view status, std::size_t rows) {
  if (rows == 0) return;
  const std::string word = normalised(label_text(status), kJobStatuses);
  jobs.add({"other", word}, rows);
  by_status[word] += rows;
}

void JobCounts::add(const Job& job) {
  add(job.type, job.status, 1);
  if (!is_waiting(job.status) || !job.scheduled) return;
  oldest_waiting = std::min(oldest_waiting.value_or(*job.scheduled), *job.scheduled);
}

Counted count_jobs(const JobCounts& counts) {
  StateText text;
  text.gauge("certctl_state_jobs", "Jobs by kind and state.");
  counts.jobs.write(text, {"type", "status"});
  if (counts.oldest_waiting) {
    text.gauge("certctl_state_job_oldest_pending_timestamp_seconds",
               "When the job was due that has been waiting longest (Pending, AwaitingCSR, "
               "AwaitingApproval).");
    text.sample({}, static_cast<double>(*counts.oldest_waiting));
  }
  const auto of = [&](std::string_view status) {
    const auto at = counts.by_status.find(status);
    return at == counts.by_status.end() ? 0.0 : static_cast<double>(at->second);
  };
  const double pending = of("Pending") + of("AwaitingCSR") + of("AwaitingApproval") + of("Running");
  return {text.take(),
          {{"certctl_job_pending", pending},
           {"certctl_job_completed_total", of("Completed")},
           {"certctl_job_failed_total", of("Failed")}}};
}

}  // namespace bao_exporter::certctl
