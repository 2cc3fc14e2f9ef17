// How often an address may show no valid token before its refusals are delayed. It delays only:
// every token is compared, so whoever shares an address with a guesser (address translation) is
// served at once.
//
// A bucket for each address (for IPv6: for each /64, which is what one client has): kAtOnce
// failures, and one more each kEvery. Pure: no clock. Threads: one at a time.
#pragma once

#include <cstddef>
#include <map>
#include <set>
#include <utility>

#include "bao_exporter/network.h"
#include "bao_exporter/time.h"

namespace bao_exporter {

class AuthLimiter {
 public:
  static constexpr int kAtOnce = 100;
  static constexpr Milliseconds kEvery{100};
  static constexpr Milliseconds kDelay{1'000};
  // Beyond, the address that owes least is forgotten.
  static constexpr std::size_t kAddressesMax = 4096;

  // Notes a failure; how long its answer is to wait.
  [[nodiscard]] Milliseconds note_failure(const PeerAddress& peer, TimePoint now);

  [[nodiscard]] std::size_t addresses() const { return paid_at_.size(); }

 private:
  void make_room(TimePoint now);

  // When an address owes nothing any more; and the same, the soonest first.
  std::map<PeerAddress, TimePoint> paid_at_;
  std::set<std::pair<TimePoint, PeerAddress>> by_time_;
};

}  // namespace bao_exporter
