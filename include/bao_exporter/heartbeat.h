// A loop says that it is alive; others ask how long ago that was. Monotonic clock; any thread.
#pragma once

#include <atomic>

#include "bao_exporter/time.h"

namespace bao_exporter {

class Heartbeat {
 public:
  // A loop that is older than this is taken for hung: it beats at least every kLongestWait.
  static constexpr Milliseconds kHungAfter{10'000};
  static constexpr Milliseconds kLongestWait{2'000};

  void beat(TimePoint now) noexcept {
    last_.store(now.time_since_epoch().count(), std::memory_order_relaxed);
  }
  [[nodiscard]] TimePoint last() const noexcept {
    return TimePoint(TimePoint::duration(last_.load(std::memory_order_relaxed)));
  }
  [[nodiscard]] bool hung_at(TimePoint now) const noexcept { return now - last() > kHungAfter; }

 private:
  std::atomic<TimePoint::rep> last_{0};
};

}  // namespace bao_exporter
