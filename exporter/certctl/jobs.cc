// Jobs: one page is counted as it is, up to 2,000 are listed like any other list, more are counted
// by state and kind: certctl loads all of them for each page.
#include "certctl/collectors.h"
#include "certctl/jobs_by_status.h"

namespace bao_exporter::certctl {

namespace {

// Four pages, read twice, are still fewer requests than counting by state.
constexpr std::size_t kListedMax = 4 * kRowsPerPage;

class JobsReading final : public Reading {
 public:
  [[nodiscard]] bool done() const override {
    return by_status_ ? by_status_->done() : list_.done();
  }
  [[nodiscard]] std::string request() const override {
    return by_status_ ? by_status_->request() : list_.request();
  }
  [[nodiscard]] bool is_costly() const override { return costly_; }

  [[nodiscard]] std::optional<Error> take(std::string_view json) override {
    if (by_status_) return by_status_->take(json);
    if (auto error = list_.take(json)) return error;
    const std::size_t total = list_.walk().last_total();
    costly_ = costly_ || total > kRowsPerPage;
    if (total > kListedMax) by_status_.emplace(total, list_.rows());
    return std::nullopt;
  }

  [[nodiscard]] Counted finish() const override {
    if (by_status_) return count_jobs(by_status_->counts());
    JobCounts counts;
    for (const auto& [id, job] : list_.rows()) counts.add(job);
    return count_jobs(counts);
  }

 private:
  ListReader<Job> list_{{"jobs", {"/api/v1/jobs?"}}, read_job};
  std::optional<JobsByStatus> by_status_;
  bool costly_ = false;
};

}  // namespace

std::unique_ptr<Reading> read_jobs() { return std::make_unique<JobsReading>(); }

}  // namespace bao_exporter::certctl
