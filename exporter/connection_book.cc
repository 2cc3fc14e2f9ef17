#include "bao_exporter/connection_book.h"

#include <algorithm>
#include <bit>
#include <chrono>
#include <set>

namespace bao_exporter {

namespace {

constexpr auto kKnownFor = std::chrono::hours(1);
constexpr std::size_t kReservedPart = 8;  // one in so many is kept for known addresses
// A reader that has not moved for so long makes room for another connection; a healthy one moves
// within microseconds, and over a long line within a round trip.
constexpr Milliseconds kBlocked{25};
// So long whoever has come may take for its handshake and its token: a burst of scrapes from one
// address must not push itself out. In a flood that is too much: a scraper needs some milliseconds.
constexpr Milliseconds kGrace{500};
constexpr Milliseconds kGraceInAFlood{20};
constexpr Milliseconds kBlockedForStrangers{1'000};
constexpr std::chrono::seconds kLately{1};  // what happened before is no sign of a flood now
constexpr Milliseconds kSilence{5};         // then whoever has spoken comes before

// Of those that were not evicted and that `takes` takes, the first to arrive; null: there is none.
template <typename Connections, typename Takes>
auto oldest_of(const Connections& connections, Takes takes) {
  const typename Connections::value_type* oldest = nullptr;
  for (const auto& one : connections) {
    if (one.second.evicted || !takes(one.second)) continue;
    if (oldest == nullptr || one.second.number < oldest->second.number) oldest = &one;
  }
  return oldest;
}

}  // namespace

std::string_view refusal_cause_name(RefusalCause cause) noexcept {
  constexpr std::array<std::string_view, kRefusalCauses> kNames = {"network", "total_cap",
                                                                   "address_cap", "descriptors"};
  return kNames[static_cast<std::size_t>(cause)];
}

std::string_view eviction_cause_name(EvictionCause cause) noexcept {
  constexpr std::array<std::string_view, kEvictionCauses> kNames = {
      "oldest_unauthenticated", "oldest_idle", "slow_reader", "old_snapshot", "timeout"};
  return kNames[static_cast<std::size_t>(cause)];
}

// Who would go for a newcomer.
struct ConnectionBook::Candidate {
  int kind;           // as the header counts them
  Milliseconds idle;  // wasted so far; more goes first
  std::uint64_t number;
  Id id;
  EvictionCause cause;
  [[nodiscard]] bool goes_before(const Candidate& other) const {
    if (kind != other.kind) return kind < other.kind;
    if (idle != other.idle) return idle > other.idle;
    return number < other.number;
  }
};

// nullopt: it stays.
std::optional<ConnectionBook::Candidate> ConnectionBook::candidate(Id id,
                                                                   const Connection& connection,
                                                                   Newcomer newcomer,
                                                                   TimePoint now) const {
  const auto since = [now](TimePoint then) {
    return std::chrono::duration_cast<Milliseconds>(now - then);
  };
  const bool known = is_known(connection.address, now);
  const bool any_may_go = newcomer.known || newcomer.of_that_address;
  if (!connection.authenticated) {
    const bool waits = connection.stage == Stage::kWaiting;
    const Milliseconds age = since(connection.arrived);
    // Its token was wrong, and it waits to be told so: it has had what it came for.
    const bool was_refused = connection.stage == Stage::kAnswering;
    const bool has_grace = !was_refused && (known || !newcomer.known);
    // Whoever means well says its greeting at once.
    const bool is_behind = newcomer.in_a_flood && newcomer.has_spoken && waits && age >= kSilence;
    const Milliseconds grace = newcomer.in_a_flood ? grace_in_a_flood(now) : kGrace;
    if ((known && !any_may_go) || (has_grace && !is_behind && age < grace)) return std::nullopt;
    // Where we are the slow ones, nobody goes for it.
    if (has_grace && age < kGrace && is_our_turn(id, connection)) return std::nullopt;
    const int kind = was_refused ? 0 : known ? (waits ? 3 : 4) : (waits ? 1 : 2);
    return Candidate{kind, age, connection.number, id, EvictionCause::kOldestUnauthenticated};
  }
  const Milliseconds still = since(connection.since);
  const bool is_idle = connection.stage == Stage::kIdle;
  if ((is_idle || still < kGrace) && is_our_turn(id, connection)) return std::nullopt;
  if (is_idle) {
    if (!any_may_go) return std::nullopt;
    return Candidate{5, still, connection.number, id, EvictionCause::kOldestIdle};
  }
  if (still < (any_may_go ? kBlocked : kBlockedForStrangers)) return std::nullopt;
  return Candidate{4, still, connection.number, id, EvictionCause::kSlowReader};
}

std::optional<ConnectionBook::Candidate> ConnectionBook::first_to_go(const PeerAddress* address,
                                                                     Newcomer newcomer,
                                                                     TimePoint now) const {
  std::optional<Candidate> first;
  for (const auto& [id, connection] : connections_) {
    if (connection.evicted || connection.admin) continue;
    if (address != nullptr && connection.address != *address) continue;
    const auto would = candidate(id, connection, newcomer, now);
    if (would && (!first || would->goes_before(*first))) first = would;
  }
  return first;
}

ConnectionBook::Arrival ConnectionBook::arrive(Id id, const PeerAddress& address, TimePoint now,
                                               ArrivalQueue queue) {
  constexpr int kAQuarter = 8;
  const bool many_go = std::popcount(in_vain_) >= kAQuarter && now - in_vain_last_ <= kLately;
  const bool begins =
      queue.waiting >= kWaitingInAFlood || (queue.longest >= kWaitInAFlood && many_go);
  // Were it over as soon as fewer wait, those few, the first to come, would wait for ever.
  flooded_ = begins || (flooded_ && queue.waiting > 0);
  if (!allows(address)) return {RefusalCause::kNetwork, std::nullopt};
  const bool known = is_known(address, now);
  const std::size_t reserve = known ? 0 : limits_.connections / kReservedPart;
  std::size_t all = 0;
  std::size_t of_address = 0;
  for (const auto& [other, connection] : connections_) {
    if (connection.evicted || connection.admin) continue;
    ++all;
    of_address += connection.address == address ? 1 : 0;
  }
  const bool address_full = of_address >= limits_.per_address;
  Arrival arrival;
  if (address_full || all >= limits_.connections - reserve) {
    const Newcomer newcomer{known, address_full, flooded_, queue.has_spoken};
    const auto first = first_to_go(address_full ? &address : nullptr, newcomer, now);
    if (!first) {
      arrival.refused = address_full ? RefusalCause::kAddressCap : RefusalCause::kTotalCap;
      return arrival;
    }
    arrival.evicted = evict(first->id, first->cause, now);
  }
  Connection& connection = connections_[id];
  connection.address = address;
  connection.arrived = connection.since = now;
  connection.number = ++arrivals_;
  return arrival;
}

ConnectionBook::Arrival ConnectionBook::arrive_admin(Id id, TimePoint now) {
  Arrival arrival;
  const auto is_admin = [](const Connection& connection) { return connection.admin; };
  const auto count = std::count_if(connections_.begin(), connections_.end(), [&](const auto& one) {
    return !one.second.evicted && is_admin(one.second);
  });
  if (static_cast<std::size_t>(count) >= kAdminMax) {
    arrival.evicted =
        evict(oldest_of(connections_, is_admin)->first, EvictionCause::kOldestUnauthenticated, now);
  }
  Connection& connection = connections_[id];
  connection.admin = true;
  connection.arrived = connection.since = now;
  connection.number = ++arrivals_;
  return arrival;
}

std::optional<ConnectionBook::Eviction> ConnectionBook::make_room(TimePoint now) {
  const auto* oldest = oldest_of(connections_, [](const Connection& connection) {
    return connection.stage == Stage::kWaiting;
  });
  if (oldest == nullptr) return std::nullopt;
  return evict(oldest->first, EvictionCause::kOldestUnauthenticated, now);
}

void ConnectionBook::served(Id id) {
  if (const auto at = connections_.find(id); at != connections_.end()) {
    at->second.stage = Stage::kServed;
  }
}

void ConnectionBook::answering(Id id, bool authenticated, std::uint64_t generation, TimePoint now) {
  const auto at = connections_.find(id);
  if (at == connections_.end()) return;
  Connection& connection = at->second;
  if (authenticated && !connection.admin) note_known(connection.address, now);
  if (authenticated && !connection.authenticated) {
    in_vain_ <<= 1;
    const TimePoint spoken = connection.stage == Stage::kWorking ? connection.since : now;
    took_.at(took_next_++ % took_.size()) = {
        std::chrono::duration_cast<Milliseconds>(spoken - connection.arrived), now};
  }
  connection.authenticated = connection.authenticated || authenticated;
  connection.stage = Stage::kAnswering;
  connection.generation = generation;
  connection.sent = 0;
  connection.began = connection.since = now;
}

void ConnectionBook::progressed(Id id, std::size_t bytes, TimePoint now) {
  const auto at = connections_.find(id);
  if (at == connections_.end()) return;
  at->second.sent += bytes;
  at->second.since = now;
}

void ConnectionBook::answered(Id id, TimePoint now) {
  const auto at = connections_.find(id);
  if (at == connections_.end()) return;
  at->second.stage = at->second.authenticated ? Stage::kIdle : Stage::kServed;
  at->second.generation = 0;
  at->second.since = now;
}

void ConnectionBook::working(Id id, TimePoint now) {
  const auto at = connections_.find(id);
  if (at == connections_.end()) return;
  at->second.stage = Stage::kWorking;
  at->second.since = now;
}

// Twice what those with a token took lately: this machine may be busy, or the scraper far away.
Milliseconds ConnectionBook::grace_in_a_flood(TimePoint now) const {
  constexpr std::chrono::minutes kLately{1};
  Milliseconds longest{0};
  for (const Took& took : took_) {
    if (now - took.when <= kLately) longest = std::max(longest, took.time);
  }
  return std::clamp(2 * longest, kGraceInAFlood, kGrace);
}

bool ConnectionBook::is_our_turn(Id id, const Connection& connection) const {
  if (connection.stage == Stage::kWorking) return true;
  if (!our_turn_) return false;
  if (connection.stage == Stage::kServed || connection.stage == Stage::kIdle) {
    return our_turn_(id, Side::kReads);
  }
  const bool is_answered = connection.stage == Stage::kAnswering && connection.authenticated;
  return is_answered && our_turn_(id, Side::kWrites);
}

void ConnectionBook::leave(Id id) { connections_.erase(id); }

std::optional<EvictionCause> ConnectionBook::time_is_up(const Connection& connection,
                                                        TimePoint now) const {
  if (!connection.authenticated) {
    if (now - connection.arrived <= limits_.request_timeout) return std::nullopt;
    return EvictionCause::kTimeout;
  }
  if (connection.stage != Stage::kAnswering) return std::nullopt;
  const auto slowest = std::chrono::milliseconds(connection.sent * 1000 / kBytesPerSecondMin);
  const bool stands = now - connection.since > limits_.request_timeout;
  const bool crawls = now - connection.began > limits_.request_timeout + slowest;
  if (!stands && !crawls) return std::nullopt;
  return EvictionCause::kSlowReader;
}

// Who had to go before it showed its token gets its answer still, and its limits are those of all.
bool ConnectionBook::is_over(const Connection& connection) {
  const bool is_answered = connection.stage == Stage::kAnswering && connection.authenticated;
  return connection.evicted && (connection.cut || !is_answered);
}

// Each snapshot is as large as all nodes' bodies: only so many are kept alive by who reads them.
void ConnectionBook::find_old_snapshots(std::vector<Eviction>& to, TimePoint now) {
  std::set<std::uint64_t> held;
  for (const auto& [id, connection] : connections_) {
    if (!is_over(connection) && connection.generation != 0) held.insert(connection.generation);
  }
  while (held.size() > kSnapshotsMax) {
    for (auto& [id, connection] : connections_) {
      if (is_over(connection) || connection.generation != *held.begin()) continue;
      to.push_back(evict(id, EvictionCause::kOldSnapshot, now));
    }
    held.erase(held.begin());
  }
}

std::vector<ConnectionBook::Eviction> ConnectionBook::sweep(TimePoint now) {
  std::vector<Eviction> evictions;
  for (const auto& [id, connection] : connections_) {
    if (is_over(connection)) continue;
    if (const auto cause = time_is_up(connection, now)) evictions.push_back(evict(id, *cause, now));
  }
  find_old_snapshots(evictions, now);
  return evictions;
}

std::size_t ConnectionBook::open() const {
  return static_cast<std::size_t>(
      std::count_if(connections_.begin(), connections_.end(),
                    [](const auto& one) { return !one.second.evicted; }));
}

std::size_t ConnectionBook::authenticated() const {
  return static_cast<std::size_t>(std::count_if(
      connections_.begin(), connections_.end(),
      [](const auto& one) { return !one.second.evicted && one.second.authenticated; }));
}

ConnectionBook::Standing ConnectionBook::standing(Id id, TimePoint now) const {
  const auto at = connections_.find(id);
  if (at == connections_.end() || at->second.evicted) return Standing::kGone;
  const bool known = at->second.admin || is_known(at->second.address, now);
  return known ? Standing::kKnown : Standing::kStranger;
}

bool ConnectionBook::allows(const PeerAddress& address) const {
  const auto& allowed = limits_.allowed;
  return allowed.empty() || std::any_of(allowed.begin(), allowed.end(),
                                        [&](const Network& one) { return one.contains(address); });
}

bool ConnectionBook::is_known(const PeerAddress& address, TimePoint now) const {
  const auto at = known_.find(address);
  return at != known_.end() && now - at->second < kKnownFor;
}

void ConnectionBook::note_known(const PeerAddress& address, TimePoint now) {
  known_[address] = now;
  if (known_.size() <= kKnownMax) return;
  known_.erase(std::min_element(known_.begin(), known_.end(),
                                [](const auto& a, const auto& b) { return a.second < b.second; }));
}

ConnectionBook::Eviction ConnectionBook::evict(Id id, EvictionCause cause, TimePoint now) {
  connections_.at(id).evicted = true;
  connections_.at(id).cut = cause != EvictionCause::kOldestUnauthenticated;
  if (cause == EvictionCause::kOldestUnauthenticated && !connections_.at(id).admin) {
    if (now - in_vain_last_ > kLately) in_vain_ = 0;
    in_vain_ = in_vain_ << 1 | 1;
    in_vain_last_ = now;
  }
  return {id, cause};
}

}  // namespace bao_exporter
