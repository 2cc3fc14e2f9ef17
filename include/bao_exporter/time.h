// Times. Schedules, deadlines and freshness use the monotonic clock only; the wall clock is for
// times that users see and for certificate dates. Pure code gets times as arguments.
#pragma once

#include <chrono>

namespace bao_exporter {

using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;
using Milliseconds = std::chrono::milliseconds;
using WallClock = std::chrono::system_clock;
using WallTime = WallClock::time_point;

[[nodiscard]] inline double unix_seconds(WallTime t) {
  return std::chrono::duration<double>(t.time_since_epoch()).count();
}

}  // namespace bao_exporter
