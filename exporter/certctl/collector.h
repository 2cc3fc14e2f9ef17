// One reading of a part of certctl's state: which requests it takes, and what their answers count
// up to. One collector, one file; all of them pure: no I/O, no clock.
//
// Contract: while done() is false, request() is to be sent and the body of a 200 to it goes to
// take(); after an Error the reading is over and nothing of it may be used. finish() is for a
// reading that is done.
// What is counted is the state at one instant between the first and the last answer, or there is
// kInconsistent: never a mixture (facts/certctl.md B2, B3). jobs_by_status.h (above 2,000 jobs)
// and notifications.cc (above 500) say what this rests on there.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "bao_exporter/config.h"
#include "bao_exporter/result.h"
#include "bao_exporter/time.h"

namespace bao_exporter::certctl {

struct Counted {
  // certctl_state_* families as text exposition, without certctl and instance.
  std::string text;
  // What certctl's own families should say where they count the same: family to value.
  std::map<std::string, double, std::less<>> upstream;
};

struct ReadingOptions {
  std::size_t soonest_expiries = 20;
  WallTime now;  // what "expiring" is reckoned from
};

class Reading {
 public:
  virtual ~Reading() = default;
  [[nodiscard]] virtual bool done() const = 0;
  // Path with query.
  [[nodiscard]] virtual std::string request() const = 0;
  // Errors: kProtocol (not what certctl answers there), kInconsistent, kTooLarge (a list of more
  // than 1,000 pages).
  [[nodiscard]] virtual std::optional<Error> take(std::string_view json) = 0;
  [[nodiscard]] virtual Counted finish() const = 0;
  // So large (jobs, notifications: more than 500) that it is to be read at every sixth inventory
  // only. Known once it is done.
  [[nodiscard]] virtual bool is_costly() const { return false; }
};

// Not for kMetrics, which is no list.
[[nodiscard]] std::unique_ptr<Reading> begin_reading(CertctlCollector collector,
                                                     const ReadingOptions& options);

// "agent.read"
[[nodiscard]] std::string_view permission_for(CertctlCollector collector) noexcept;

}  // namespace bao_exporter::certctl
