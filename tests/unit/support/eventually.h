// Waiting for another thread: until a condition holds, or a limit that only a broken program meets.
#pragma once

#include <chrono>
#include <thread>

namespace bao_exporter::test {

inline constexpr std::chrono::seconds kPatience{20};

template <typename Condition>
[[nodiscard]] bool eventually(Condition holds) {
  const auto limit = std::chrono::steady_clock::now() + kPatience;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > limit) return false;
    std::this_thread::yield();
  }
  return true;
}

}  // namespace bao_exporter::test
