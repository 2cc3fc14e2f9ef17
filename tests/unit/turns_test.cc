#include "io/turns.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "catch.h"

namespace bao_exporter {

TEST_CASE("so many take their turn at once, and all of them in the end") {
  constexpr int kAtOnce = 2, kCrowd = 16;
  Turns turns(kAtOnce);
  std::atomic<int> inside{0}, most{0}, done{0};
  std::vector<std::thread> crowd;
  for (int one = 0; one < kCrowd; ++one) {
    crowd.emplace_back([&] {
      turns.take();
      const int now = ++inside;
      for (int seen = most; seen < now && !most.compare_exchange_weak(seen, now);) {
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
      --inside;
      ++done;
      turns.give_back();
    });
  }
  for (std::thread& one : crowd) one.join();
  CHECK(done == kCrowd);
  CHECK(most <= kAtOnce);
}

}  // namespace bao_exporter
