// How long a token's life waits, and how it tells times.
#pragma once

#include <algorithm>
#include <ctime>
#include <string>

#include "bao_exporter/time.h"

namespace bao_exporter::token_times {

// However short a token lives: not more often than twice a second.
inline constexpr Milliseconds kShortestLife{500};

inline Milliseconds part_of(Milliseconds time, double part) {
  return Milliseconds(static_cast<Milliseconds::rep>(static_cast<double>(time.count()) * part));
}

// Up to a tenth earlier, or later.
inline Milliseconds earlier(Milliseconds wait, double dice) {
  return part_of(wait, 1.0 - 0.1 * dice);
}
inline Milliseconds later(Milliseconds wait, double dice) {
  return part_of(wait, 1.0 + 0.1 * dice);
}

inline Milliseconds left_of(TimePoint ends, TimePoint now) {
  return std::max(std::chrono::duration_cast<Milliseconds>(ends - now), Milliseconds(0));
}

inline Milliseconds two_thirds_of(Milliseconds left, double dice) {
  return std::max(earlier(left * 2 / 3, dice), kShortestLife);
}

// "2026-11-23T08:54:17Z"
inline std::string words_of(WallTime time) {
  const std::time_t seconds = WallClock::to_time_t(time);
  std::tm parts{};
  if (::gmtime_r(&seconds, &parts) == nullptr) return "an unknown time";
  char text[32] = "";
  (void)std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

// "20 s"
inline std::string words_of(Milliseconds ttl) {
  if (ttl <= Milliseconds(0)) return "no end";
  return std::to_string(std::chrono::duration_cast<std::chrono::seconds>(ttl).count()) + " s";
}

}  // namespace bao_exporter::token_times
