// Which connections stay when not all of them can: the rules of the gate in front of the port.
// Pure: no sockets, no clock; whoever owns the sockets carries out what is decided.
//
// A connection waits (it has said nothing yet that a worker is needed for), is served, is answered,
// or is idle between two requests of an authenticated client. An address is known for an hour after
// it showed a valid token; the others are strangers. Room for a newcomer is made in this order:
//   0. who is being refused for a wrong token, 1. strangers that wait, 2. strangers that are served
//   and not authenticated, 3. known addresses that wait, 4. known addresses that are served and not
//   authenticated, and readers that do not read, 5. who is idle; in each, who has wasted most time
//   first.
// Within the first 500 ms nobody of 1 to 4 goes, but a stranger for a known address. In a flood
// (see arrive()) these are 20 ms, or twice what those with a token took in the last minute; what is
// ours to do does not count; and who has spoken comes before who has been silent for 5 ms. A full
// address makes room among its own. Strangers make no room among known addresses, except where a
// reader has not read for a second, and cannot take the last eighth. Nobody is closed while there
// is room, but for having used up his time. Threads: one at a time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "bao_exporter/network.h"
#include "bao_exporter/time.h"

namespace bao_exporter {

enum class RefusalCause : std::uint8_t { kNetwork, kTotalCap, kAddressCap, kDescriptors };
inline constexpr std::size_t kRefusalCauses = 4;
// Label `cause` of bao_exporter_connections_refused_total.
[[nodiscard]] std::string_view refusal_cause_name(RefusalCause cause) noexcept;

enum class EvictionCause : std::uint8_t {
  kOldestUnauthenticated,  // to make room
  kOldestIdle,             // likewise, of an authenticated client between two requests
  kSlowReader,             // does not read its answer, or slower than kBytesPerSecondMin
  kOldSnapshot,            // holds the oldest of more than kSnapshotsMax snapshots
  kTimeout,                // not authenticated within request_timeout
};
inline constexpr std::size_t kEvictionCauses = 5;
// Label `cause` of bao_exporter_connections_evicted_total.
[[nodiscard]] std::string_view eviction_cause_name(EvictionCause cause) noexcept;

// What happened to connections, as the metrics tell it.
struct PortCounts {
  std::size_t open = 0;  // admitted and not yet closed, the authenticated ones among them
  std::size_t authenticated = 0;
  std::array<std::uint64_t, kRefusalCauses> refused{};   // by RefusalCause
  std::array<std::uint64_t, kEvictionCauses> evicted{};  // by EvictionCause
};

struct ConnectionLimits {
  std::size_t connections = 200;
  std::size_t per_address = 32;
  Milliseconds request_timeout{5'000};
  std::vector<Network> allowed;  // empty: any
  friend bool operator==(const ConnectionLimits&, const ConnectionLimits&) = default;
};

// Of who comes, and of those who have found no place yet.
struct ArrivalQueue {
  std::size_t waiting = 0;
  Milliseconds longest{0};  // how long the first of them has waited
  bool has_spoken = false;  // who comes has said enough for a worker to take it
};

class ConnectionBook {
 public:
  using Id = int;  // of whoever owns the sockets; not given again before leave()

  static constexpr std::size_t kBytesPerSecondMin = std::size_t{64} << 10;
  static constexpr std::size_t kSnapshotsMax = 3;  // beside the one that is served now
  static constexpr std::size_t kKnownMax = 1024;
  static constexpr std::size_t kAdminMax = 8;
  static constexpr std::size_t kWaitingInAFlood = 64;
  static constexpr Milliseconds kWaitInAFlood{100};

  struct Eviction {
    Id id;
    EvictionCause cause;
    friend bool operator==(const Eviction&, const Eviction&) = default;
  };
  struct Arrival {
    // Else it is admitted. kTotalCap, kAddressCap: for now; trying again may help.
    std::optional<RefusalCause> refused;
    std::optional<Eviction> evicted;  // who was closed for it
  };

  // Whose turn it is on the socket of one that a worker has: true when it is ours.
  enum class Side : std::uint8_t {
    kReads,   // the client has said what is not read yet
    kWrites,  // there is room for more of the answer
  };
  using OurTurn = std::function<bool(Id, Side)>;

  explicit ConnectionBook(ConnectionLimits limits, OurTurn our_turn = nullptr)
      : limits_(std::move(limits)), our_turn_(std::move(our_turn)) {}
  void set_limits(ConnectionLimits limits) { limits_ = std::move(limits); }

  // A connection wants in. There is a flood once kWaitingInAFlood wait, or one for kWaitInAFlood
  // while a quarter of those who came had to go without a token in the last second; and until
  // nobody waits.
  [[nodiscard]] Arrival arrive(Id id, const PeerAddress& address, TimePoint now,
                               ArrivalQueue queue = {});
  // At the admin address, beside all limits: only the oldest of kAdminMax makes room.
  [[nodiscard]] Arrival arrive_admin(Id id, TimePoint now);
  // Descriptors ran out: the one that waits longest, if any does.
  [[nodiscard]] std::optional<Eviction> make_room(TimePoint now);

  // It has said enough for a worker to take it.
  void served(Id id);
  // Its request was read, and what it is to be told is being made.
  void working(Id id, TimePoint now);
  // Its request is being answered; `generation` of the snapshot that the answer holds, 0: of none.
  void answering(Id id, bool authenticated, std::uint64_t generation, TimePoint now);
  // So many bytes of the answer more went out.
  void progressed(Id id, std::size_t bytes, TimePoint now);
  void answered(Id id, TimePoint now);
  void leave(Id id);

  // Whose time is up.
  [[nodiscard]] std::vector<Eviction> sweep(TimePoint now);

  // Those that were not evicted.
  [[nodiscard]] std::size_t open() const;
  [[nodiscard]] std::size_t authenticated() const;
  enum class Standing : std::uint8_t { kKnown, kStranger, kGone };
  [[nodiscard]] bool allows(const PeerAddress& address) const;  // by its network
  // An address that showed a valid token within the hour.
  [[nodiscard]] bool is_known(const PeerAddress& address, TimePoint now) const;
  // Of one that was admitted. kGone: evicted since, or not there any more.
  [[nodiscard]] Standing standing(Id id, TimePoint now) const;

 private:
  enum class Stage : std::uint8_t { kWaiting, kServed, kWorking, kAnswering, kIdle };
  struct Connection {
    PeerAddress address;
    TimePoint arrived;
    std::uint64_t number = 0;  // of arrivals
    Stage stage = Stage::kWaiting;
    bool admin = false;
    bool authenticated = false;
    bool evicted = false;
    bool cut = false;  // and nothing is sent to it any more
    std::uint64_t generation = 0;
    std::size_t sent = 0;  // bytes of the answer under way
    TimePoint began;       // that answer
    TimePoint since;       // last progress, or idle since
  };
  struct Candidate;
  [[nodiscard]] static bool is_over(const Connection& connection);

  struct Newcomer {
    bool known;
    bool of_that_address;
    bool in_a_flood;
    bool has_spoken;
  };
  [[nodiscard]] std::optional<Candidate> candidate(Id id, const Connection& connection,
                                                   Newcomer newcomer, TimePoint now) const;
  // Who goes first for a newcomer; `address`: of that one's only. nullopt: nobody.
  [[nodiscard]] std::optional<Candidate> first_to_go(const PeerAddress* address, Newcomer newcomer,
                                                     TimePoint now) const;
  [[nodiscard]] std::optional<EvictionCause> time_is_up(const Connection& connection,
                                                        TimePoint now) const;
  void find_old_snapshots(std::vector<Eviction>& to, TimePoint now);
  [[nodiscard]] Milliseconds grace_in_a_flood(TimePoint now) const;
  [[nodiscard]] bool is_our_turn(Id id, const Connection& connection) const;
  void note_known(const PeerAddress& address, TimePoint now);
  [[nodiscard]] Eviction evict(Id id, EvictionCause cause, TimePoint now);

  ConnectionLimits limits_;
  OurTurn our_turn_;  // null: never
  std::map<Id, Connection> connections_;
  std::map<PeerAddress, TimePoint> known_;
  std::uint64_t arrivals_ = 0;
  bool flooded_ = false;
  std::uint32_t in_vain_ = 0;  // of the last 32: a bit for each that had to go, none for a token
  TimePoint in_vain_last_{};
  struct Took {
    Milliseconds time{0};
    TimePoint when{};
  };
  std::array<Took, 8> took_{};  // from arrival to a token, who showed one lately
  std::size_t took_next_ = 0;
};

}  // namespace bao_exporter
