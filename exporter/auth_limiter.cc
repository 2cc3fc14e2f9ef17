#include "bao_exporter/auth_limiter.h"

#include <algorithm>
#include <array>
#include <cstdint>

namespace bao_exporter {

namespace {

constexpr std::size_t kNetworkBytes = 8;  // of an IPv6 address, a /64

PeerAddress client_of(PeerAddress peer) {
  constexpr std::array<std::uint8_t, 12> kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (std::equal(kMapped.begin(), kMapped.end(), peer.bytes.begin())) return peer;  // IPv4
  std::fill(peer.bytes.begin() + kNetworkBytes, peer.bytes.end(), std::uint8_t{0});
  return peer;
}

}  // namespace

Milliseconds AuthLimiter::note_failure(const PeerAddress& peer, TimePoint now) {
  const PeerAddress client = client_of(peer);
  const auto at = paid_at_.find(client);
  const TimePoint from = at == paid_at_.end() ? now : std::max(at->second, now);
  if (from + kEvery > now + kAtOnce * kEvery) return kDelay;
  if (at != paid_at_.end()) {
    by_time_.erase({at->second, client});
    paid_at_.erase(at);
  }
  make_room(now);
  paid_at_.emplace(client, from + kEvery);
  by_time_.emplace(from + kEvery, client);
  return Milliseconds(0);
}

// Those that owe nothing go first, a few with each failure; then who owes least.
void AuthLimiter::make_room(TimePoint now) {
  const auto forget_soonest = [this] {
    paid_at_.erase(by_time_.begin()->second);
    by_time_.erase(by_time_.begin());
  };
  for (int i = 0; i < 2 && !by_time_.empty() && by_time_.begin()->first <= now; ++i) {
    forget_soonest();
  }
  if (paid_at_.size() >= kAddressesMax) forget_soonest();
}

}  // namespace bao_exporter
