#include "certctl/collectors.h"
#include "certctl/summary_reading.h"

namespace bao_exporter::certctl {

namespace {

class HealthChecksReading final : public SummaryReading {
 public:
  HealthChecksReading() : SummaryReading("health checks", kHealthStatuses) {}

  [[nodiscard]] std::string request() const override { return "/api/v1/health-checks/summary"; }
  [[nodiscard]] Counted finish() const override {
    StateText text;
    text.gauge("certctl_state_health_checks", "Watched TLS endpoints by state.");
    counts().write(text, {"status"});
    return {text.take(), {}};
  }

 private:
  void add(const std::string& key, std::size_t rows) override {
    if (key == "total") {
      total_ = rows;
    } else {
      sum_ += rows;
      SummaryReading::add(key, rows);
    }
  }

  // `total` has also the rows whose state the summary does not know.
  [[nodiscard]] std::optional<Error> check() override {
    if (!total_) return Error{ErrorCode::kProtocol, what() + ": the answer.total is missing"};
    if (sum_ > *total_)
      return Error{ErrorCode::kProtocol, what() + ": total is less than its parts"};
    if (sum_ < *total_) count("other", *total_ - sum_);
    return std::nullopt;
  }

  std::optional<std::size_t> total_;
  std::size_t sum_ = 0;
};

}  // namespace

std::unique_ptr<Reading> read_health_checks() { return std::make_unique<HealthChecksReading>(); }

}  // namespace bao_exporter::certctl
