#include "bao_exporter/connection_book.h"

#include <algorithm>
#include <random>
#include <set>
#include <string>

#include "catch.h"

namespace bao_exporter {

namespace {

using Cause = EvictionCause;
using Eviction = ConnectionBook::Eviction;
using Side = ConnectionBook::Side;
using Standing = ConnectionBook::Standing;

constexpr TimePoint kStart{std::chrono::hours(1000)};

TimePoint at(int milliseconds) { return kStart + Milliseconds(milliseconds); }

PeerAddress address(int number) {
  return *parse_address("10.0." + std::to_string(number / 256) + "." +
                        std::to_string(number % 256));
}

ConnectionLimits limits(std::size_t connections, std::size_t per_address) {
  ConnectionLimits limits;
  limits.connections = connections;
  limits.per_address = per_address;
  return limits;
}

// Its address is known from then on.
void authenticate(ConnectionBook& book, int id, int milliseconds, std::uint64_t generation = 0) {
  book.served(id);
  book.answering(id, true, generation, at(milliseconds));
}

bool is_evicted(const ConnectionBook& book, int id) {
  return book.standing(id, kStart) == Standing::kGone;
}

void make_known(ConnectionBook& book, int number, int milliseconds = 0) {
  constexpr int kOnlyForThis = 1'000'000;
  REQUIRE_FALSE(book.arrive(kOnlyForThis, address(number), at(milliseconds)).refused);
  authenticate(book, kOnlyForThis, milliseconds);
  book.leave(kOnlyForThis);
}

// From ten addresses in turn, as many as there is room for.
void fill_with_strangers(ConnectionBook& book, int count, bool served) {
  for (int id = 0; id < count; ++id) {
    const auto arrival = book.arrive(id, address(100 + id % 10), at(id));
    REQUIRE_FALSE(arrival.refused);
    REQUIRE_FALSE(arrival.evicted);
    if (served) book.served(id);
  }
}

}  // namespace

TEST_CASE("nobody is closed while there is room") {
  ConnectionBook book(limits(16, 4));
  fill_with_strangers(book, 14, false);
  CHECK(book.open() == 14);
  CHECK(book.sweep(at(20)).empty());
}

TEST_CASE("a stranger makes room by the oldest that waits, not by one that is served") {
  ConnectionBook book(limits(16, 16));
  fill_with_strangers(book, 14, false);
  book.served(0);
  const auto arrival = book.arrive(50, address(7), at(600));
  CHECK_FALSE(arrival.refused);
  CHECK(arrival.evicted == Eviction{1, Cause::kOldestUnauthenticated});
  CHECK(is_evicted(book, 1));
  CHECK(book.open() == 14);
}

TEST_CASE("the last eighth is kept for addresses that have shown a token") {
  ConnectionBook book(limits(16, 16));
  make_known(book, 7);
  fill_with_strangers(book, 14, true);
  CHECK_FALSE(book.arrive(50, address(7), at(100)).evicted);
  CHECK_FALSE(book.arrive(51, address(7), at(100)).evicted);
  CHECK(book.open() == 16);
  // Beyond that strangers go, from the oldest.
  CHECK(book.arrive(52, address(7), at(100)).evicted == Eviction{0, Cause::kOldestUnauthenticated});
}

TEST_CASE("strangers never push out a known address that has not shown its token yet") {
  ConnectionBook book(limits(16, 16));
  make_known(book, 7);
  for (int id = 0; id < 16; ++id) {
    REQUIRE_FALSE(book.arrive(id, address(7), at(id)).refused);
  }
  CHECK(book.arrive(50, address(8), at(100)).refused == RefusalCause::kTotalCap);
  CHECK(book.open() == 16);
}

TEST_CASE("an address is a stranger's again an hour after its last token") {
  ConnectionBook book(limits(16, 16));
  make_known(book, 7);
  constexpr int kHour = 3'600'000;
  fill_with_strangers(book, 14, true);
  CHECK(book.arrive(50, address(7), at(kHour)).evicted.has_value());
}

TEST_CASE("a full address makes room among its own, whoever else is there") {
  ConnectionBook book(limits(100, 3));
  for (int id = 0; id < 3; ++id) REQUIRE_FALSE(book.arrive(id, address(7), at(id + 10)).refused);
  REQUIRE_FALSE(book.arrive(10, address(8), at(0)).refused);
  const auto arrival = book.arrive(50, address(7), at(600));
  CHECK(arrival.evicted == Eviction{0, Cause::kOldestUnauthenticated});
}

TEST_CASE("a burst from one address does not push itself out, but waits for who is served") {
  ConnectionBook book(limits(100, 3));
  for (int id = 0; id < 3; ++id) {
    REQUIRE_FALSE(book.arrive(id, address(7), at(0)).refused);
    if (id > 0) book.served(id);
  }
  CHECK(book.arrive(50, address(7), at(499)).refused == RefusalCause::kAddressCap);
  book.leave(2);
  CHECK_FALSE(book.arrive(50, address(7), at(499)).refused);
  CHECK(book.arrive(51, address(7), at(500)).evicted == Eviction{0, Cause::kOldestUnauthenticated});
}

TEST_CASE("in a flood twenty milliseconds are all that anybody gets") {
  ConnectionBook book(limits(100, 2));
  for (int id = 0; id < 2; ++id) REQUIRE_FALSE(book.arrive(id, address(7), at(0)).refused);
  const ArrivalQueue few{ConnectionBook::kWaitingInAFlood - 1, Milliseconds(99)};
  const ArrivalQueue many{ConnectionBook::kWaitingInAFlood, Milliseconds(0)};
  CHECK(book.arrive(50, address(7), at(20), few).refused == RefusalCause::kAddressCap);
  CHECK(book.arrive(50, address(7), at(19), many).refused == RefusalCause::kAddressCap);
  CHECK(book.arrive(50, address(7), at(20), many).evicted.has_value());
}

TEST_CASE("in a flood everybody gets twice what those with a token took lately") {
  ConnectionBook book(limits(100, 1));
  REQUIRE_FALSE(book.arrive(0, address(7), at(0)).refused);
  authenticate(book, 0, 40);
  book.leave(0);
  REQUIRE_FALSE(book.arrive(1, address(7), at(100)).refused);
  const ArrivalQueue many{ConnectionBook::kWaitingInAFlood, Milliseconds(0)};
  CHECK(book.arrive(2, address(7), at(179), many).refused);
  CHECK(book.arrive(2, address(7), at(180), many).evicted);
}

TEST_CASE("in a flood nobody goes for what we have not done yet") {
  bool our_turn = true;
  ConnectionBook book(limits(100, 1), [&](ConnectionBook::Id, Side) { return our_turn; });
  REQUIRE_FALSE(book.arrive(0, address(7), at(0)).refused);
  book.served(0);
  const ArrivalQueue many{ConnectionBook::kWaitingInAFlood, Milliseconds(0)};
  CHECK(book.arrive(1, address(7), at(499), many).refused);
  our_turn = false;
  CHECK(book.arrive(1, address(7), at(499), many).evicted);
}

TEST_CASE("who is being answered stays while there is room for more of it, for half a second") {
  bool room = true;
  ConnectionBook book(limits(100, 1),
                      [&](ConnectionBook::Id, Side side) { return side == Side::kWrites && room; });
  REQUIRE_FALSE(book.arrive(0, address(7), at(0)).refused);
  authenticate(book, 0, 0);
  CHECK(book.arrive(1, address(7), at(499)).refused);
  CHECK(book.arrive(1, address(7), at(500)).evicted == Eviction{0, Cause::kSlowReader});
  room = false;
  REQUIRE_FALSE(book.arrive(2, address(8), at(500)).refused);
  authenticate(book, 2, 500);
  CHECK(book.arrive(3, address(8), at(525)).evicted == Eviction{2, Cause::kSlowReader});
}

TEST_CASE("who is told that its token is wrong makes room at once, before all others") {
  ConnectionBook book(limits(100, 2), [](ConnectionBook::Id, Side) { return true; });
  make_known(book, 7);
  for (int id = 0; id < 2; ++id) {
    REQUIRE_FALSE(book.arrive(id, address(7), at(id)).refused);
    book.served(id);
  }
  CHECK(book.arrive(2, address(7), at(2)).refused);
  book.answering(1, false, 0, at(2));
  CHECK(book.arrive(2, address(7), at(3)).evicted == Eviction{1, Cause::kOldestUnauthenticated});
}

TEST_CASE("not even who shows wrong tokens from a known address makes room for strangers") {
  ConnectionBook book(limits(1, 1));
  make_known(book, 7);
  REQUIRE_FALSE(book.arrive(0, address(7), at(0)).refused);
  book.answering(0, false, 0, at(0));
  CHECK(book.arrive(1, address(8), at(5'000)).refused);
  CHECK(book.arrive(1, address(7), at(0)).evicted);
}

TEST_CASE("an address is a stranger's until it shows a token, and who was pushed out has gone") {
  ConnectionBook book(limits(100, 1));
  CHECK(book.standing(0, at(0)) == Standing::kGone);
  REQUIRE_FALSE(book.arrive(0, address(7), at(0)).refused);
  CHECK(book.standing(0, at(0)) == Standing::kStranger);
  REQUIRE(book.arrive(1, address(7), at(500)).evicted);
  CHECK(book.standing(0, at(500)) == Standing::kGone);
  authenticate(book, 1, 500);
  CHECK(book.standing(1, at(500)) == Standing::kKnown);
  REQUIRE_FALSE(book.arrive_admin(2, at(500)).refused);
  CHECK(book.standing(2, at(500)) == Standing::kKnown);
}

TEST_CASE("what we have not done keeps a place for half a second only") {
  ConnectionBook book(limits(100, 1), [](ConnectionBook::Id, Side) { return true; });
  REQUIRE_FALSE(book.arrive(0, address(7), at(0)).refused);
  book.served(0);
  CHECK(book.arrive(1, address(7), at(500), {ConnectionBook::kWaitingInAFlood, {}}).evicted);
}

TEST_CASE("nobody goes while his answer is made, the first or a later one, for half a second") {
  for (const bool later : {false, true}) {
    ConnectionBook book(limits(100, 1));
    REQUIRE_FALSE(book.arrive(0, address(7), at(0)).refused);
    book.served(0);
    if (later) {
      authenticate(book, 0, 1);
      book.answered(0, at(2));
    }
    book.working(0, at(3));
    const ArrivalQueue many{ConnectionBook::kWaitingInAFlood, Milliseconds(0)};
    CHECK(book.arrive(1, address(7), at(499), many).refused);
    CHECK(book.arrive(1, address(7), at(503), many).evicted);
  }
}

TEST_CASE("what is made for a token is not counted as the time that it took") {
  ConnectionBook book(limits(100, 1));
  REQUIRE_FALSE(book.arrive(0, address(7), at(0)).refused);
  book.served(0);
  book.working(0, at(15));
  book.answering(0, true, 0, at(200));
  book.leave(0);
  REQUIRE_FALSE(book.arrive(1, address(7), at(300)).refused);
  const ArrivalQueue many{ConnectionBook::kWaitingInAFlood, Milliseconds(0)};
  CHECK(book.arrive(2, address(7), at(329), many).refused);
  CHECK(book.arrive(2, address(7), at(330), many).evicted);
}

TEST_CASE("what tokens took is forgotten after a minute") {
  ConnectionBook book(limits(100, 1));
  REQUIRE_FALSE(book.arrive(0, address(7), at(0)).refused);
  authenticate(book, 0, 200);
  book.leave(0);
  REQUIRE_FALSE(book.arrive(1, address(7), at(70'000)).refused);
  CHECK(book.arrive(2, address(7), at(70'020), {ConnectionBook::kWaitingInAFlood, {}}).evicted);
}

TEST_CASE("one that waits too long makes it a flood where many had to go, not in a slow burst") {
  ConnectionBook book(limits(100, 1));
  const ArrivalQueue long_wait{1, ConnectionBook::kWaitInAFlood};
  REQUIRE_FALSE(book.arrive(0, address(7), at(0)).refused);
  int now = 0;
  for (int gone = 0; gone < 8; ++gone) {
    CHECK(book.arrive(1, address(7), at(now + 100), long_wait).refused);
    now += 500;
    REQUIRE(book.arrive(gone + 1, address(7), at(now), {1, {}}).evicted);
  }
  CHECK(book.arrive(50, address(7), at(now + 20), long_wait).evicted);
  CHECK(book.arrive(51, address(7), at(now + 2'000), {}).evicted);
  book.leave(51);
  CHECK_FALSE(book.arrive(52, address(7), at(now + 4'000), {}).evicted);
  CHECK(book.arrive(53, address(7), at(now + 4'100), long_wait).refused);
}

TEST_CASE("in a flood who has spoken comes before who has said nothing for five milliseconds") {
  ConnectionBook book(limits(100, 2));
  for (int id = 0; id < 2; ++id) REQUIRE_FALSE(book.arrive(id, address(7), at(0)).refused);
  book.served(0);
  const std::size_t many = ConnectionBook::kWaitingInAFlood;
  CHECK(book.arrive(50, address(7), at(5), {1, {}, true}).refused);
  CHECK(book.arrive(50, address(7), at(5), {many, {}, false}).refused);
  CHECK(book.arrive(50, address(7), at(4), {many, {}, true}).refused);
  CHECK(book.arrive(50, address(7), at(5), {many, {}, true}).evicted ==
        Eviction{1, Cause::kOldestUnauthenticated});
}

TEST_CASE("a flood lasts until nobody waits, so that the first to wait get in, too") {
  ConnectionBook book(limits(100, 2));
  for (int id = 0; id < 2; ++id) REQUIRE_FALSE(book.arrive(id, address(7), at(0)).refused);
  REQUIRE(book.arrive(50, address(7), at(1), {ConnectionBook::kWaitingInAFlood, {}}).refused);
  CHECK(book.arrive(50, address(7), at(20), {1, {}}).evicted.has_value());
  CHECK(book.arrive(51, address(7), at(21), {1, {}}).evicted.has_value());
  CHECK(book.arrive(52, address(7), at(50)).refused == RefusalCause::kAddressCap);
}

TEST_CASE("for a known address a stranger goes however short it was there") {
  ConnectionBook book(limits(2, 2));
  make_known(book, 7);
  for (int id = 0; id < 2; ++id) REQUIRE_FALSE(book.arrive(id, address(8 + id), at(0)).refused);
  CHECK(book.arrive(50, address(9), at(1)).refused == RefusalCause::kTotalCap);
  CHECK(book.arrive(50, address(7), at(1)).evicted == Eviction{0, Cause::kOldestUnauthenticated});
}

TEST_CASE("a full address whose clients are all being answered and read refuses another") {
  ConnectionBook book(limits(100, 2));
  for (int id = 0; id < 2; ++id) {
    REQUIRE_FALSE(book.arrive(id, address(7), at(0)).refused);
    authenticate(book, id, 90);
  }
  CHECK(book.arrive(50, address(7), at(100)).refused == RefusalCause::kAddressCap);
}

TEST_CASE("who does not read makes room for who comes, after him who waits") {
  ConnectionBook book(limits(100, 3));
  for (int id = 0; id < 2; ++id) {
    REQUIRE_FALSE(book.arrive(id, address(7), at(0)).refused);
    authenticate(book, id, 10);
  }
  book.progressed(1, 1000, at(595));
  REQUIRE_FALSE(book.arrive(2, address(7), at(20)).refused);
  CHECK(book.arrive(3, address(7), at(600)).evicted == Eviction{2, Cause::kOldestUnauthenticated});
  book.served(3);
  authenticate(book, 3, 600);
  CHECK(book.arrive(4, address(7), at(601)).evicted == Eviction{0, Cause::kSlowReader});
}

TEST_CASE("of who is idle between requests, the longest goes, and only for a known address") {
  ConnectionBook book(limits(16, 16));
  for (int id = 0; id < 16; ++id) {
    // All are known, each by its own token.
    REQUIRE_FALSE(book.arrive(id, address(id / 8), at(id)).refused);
    authenticate(book, id, id);
    book.answered(id, at(100 - id));
    if (id == 13) make_known(book, 1, 50);
  }
  CHECK(book.arrive(50, address(9), at(200)).refused == RefusalCause::kTotalCap);
  CHECK(book.arrive(51, address(0), at(200)).evicted == Eviction{15, Cause::kOldestIdle});
}

TEST_CASE("who is idle and whose next request is there unread does not make room") {
  bool unread = true;
  ConnectionBook book(limits(100, 1),
                      [&](ConnectionBook::Id, Side side) { return side == Side::kReads && unread; });
  REQUIRE_FALSE(book.arrive(0, address(7), at(0)).refused);
  authenticate(book, 0, 0);
  book.answered(0, at(0));
  CHECK(book.arrive(1, address(7), at(20'000)).refused == RefusalCause::kAddressCap);
  unread = false;
  CHECK(book.arrive(1, address(7), at(20'000)).evicted == Eviction{0, Cause::kOldestIdle});
}

TEST_CASE("who had to go before it showed its token has the limits of all for its answer") {
  ConnectionBook book(limits(100, 1));
  REQUIRE_FALSE(book.arrive(0, address(7), at(0)).refused);
  book.served(0);
  REQUIRE(book.arrive(1, address(7), at(600)).evicted ==
          Eviction{0, Cause::kOldestUnauthenticated});
  authenticate(book, 0, 601);
  CHECK(book.sweep(at(700)).empty());
  const auto ended = book.sweep(at(100'000));
  CHECK(std::count(ended.begin(), ended.end(), Eviction{0, Cause::kSlowReader}) == 1);
  CHECK(book.sweep(at(100'100)).empty());
}

TEST_CASE("who is not of an allowed network is refused") {
  ConnectionLimits only = limits(16, 16);
  only.allowed = {*parse_network("10.0.0.0/24"), *parse_network("::1")};
  ConnectionBook book(only);
  CHECK_FALSE(book.arrive(1, *parse_address("10.0.0.9"), at(0)).refused);
  CHECK_FALSE(book.arrive(2, *parse_address("::1"), at(0)).refused);
  CHECK(book.arrive(3, *parse_address("10.0.1.9"), at(0)).refused == RefusalCause::kNetwork);
  CHECK(book.open() == 2);
}

TEST_CASE("who shows no token in time is closed, waiting or served") {
  ConnectionBook book(limits(16, 16));
  REQUIRE_FALSE(book.arrive(1, address(1), at(0)).refused);
  REQUIRE_FALSE(book.arrive(2, address(1), at(0)).refused);
  book.served(2);
  book.answering(2, false, 0, at(10));
  book.answered(2, at(4'900));
  REQUIRE_FALSE(book.arrive(3, address(1), at(0)).refused);
  authenticate(book, 3, 100);
  book.answered(3, at(100));
  CHECK(book.sweep(at(5'000)).empty());
  CHECK(book.sweep(at(5'001)) == std::vector<Eviction>{{1, Cause::kTimeout}, {2, Cause::kTimeout}});
  CHECK(book.sweep(at(60'000)).empty());
}

TEST_CASE("an answer that stands still, or crawls, is ended; a long one that moves is not") {
  ConnectionBook book(limits(16, 16));
  for (int id = 0; id < 3; ++id) {
    REQUIRE_FALSE(book.arrive(id, address(1), at(0)).refused);
    authenticate(book, id, 0);
  }
  std::vector<Eviction> ended;
  for (int now = 500; now <= 30'000; now += 500) {
    book.progressed(0, ConnectionBook::kBytesPerSecondMin, at(now));
    if (now <= 2'000) book.progressed(1, 100'000, at(now));
    book.progressed(2, 1'000, at(now));
    for (const Eviction& one : book.sweep(at(now))) {
      ended.push_back(one);
      book.leave(one.id);
    }
  }
  CHECK(ended == std::vector<Eviction>{{2, Cause::kSlowReader}, {1, Cause::kSlowReader}});
}

TEST_CASE("of more than three snapshots that are read, the holders of the oldest are closed") {
  ConnectionBook book(limits(16, 16));
  for (int id = 0; id < 4; ++id) {
    REQUIRE_FALSE(book.arrive(id, address(1), at(0)).refused);
    authenticate(book, id, 0, id < 2 ? 1 : static_cast<std::uint64_t>(id));
  }
  CHECK(book.sweep(at(10)).empty());
  REQUIRE_FALSE(book.arrive(9, address(1), at(0)).refused);
  authenticate(book, 9, 20, 4);
  CHECK(book.sweep(at(30)) ==
        std::vector<Eviction>{{0, Cause::kOldSnapshot}, {1, Cause::kOldSnapshot}});
}

TEST_CASE("when descriptors run out the longest waiting goes, and nobody else") {
  ConnectionBook book(limits(16, 16));
  fill_with_strangers(book, 3, false);
  book.served(0);
  CHECK(book.make_room(at(0)) == Eviction{1, Cause::kOldestUnauthenticated});
  CHECK(book.make_room(at(0)) == Eviction{2, Cause::kOldestUnauthenticated});
  CHECK_FALSE(book.make_room(at(0)).has_value());
}

TEST_CASE("probes at the admin address are beside all limits, and few") {
  ConnectionBook book(limits(1, 1));
  REQUIRE_FALSE(book.arrive(100, address(1), at(0)).refused);
  for (int id = 0; id < static_cast<int>(ConnectionBook::kAdminMax); ++id) {
    const auto arrival = book.arrive_admin(id, at(id));
    CHECK_FALSE(arrival.refused);
    CHECK_FALSE(arrival.evicted);
  }
  CHECK(book.arrive_admin(50, at(50)).evicted == Eviction{0, Cause::kOldestUnauthenticated});
  CHECK_FALSE(is_evicted(book, 100));
}

TEST_CASE(
    "whatever comes and goes, the limits hold, and known addresses lose nobody to strangers") {
  std::mt19937 random(20261123);
  const auto pick = [&random](int below) {
    return static_cast<int>(random() % static_cast<unsigned>(below));
  };
  for (int round = 0; round < 30; ++round) {
    ConnectionBook book(limits(24, 6));
    std::map<int, int> address_of;
    std::set<int> known;
    for (int step = 0; step < 2'000; ++step) {
      const TimePoint now = at(step);
      const int number = pick(12);
      const int id = pick(60);
      switch (pick(7)) {
        case 0:
        case 1:
        case 2: {
          if (address_of.contains(id)) break;
          const auto arrival = book.arrive(id, address(number), now);
          if (!arrival.refused) address_of[id] = number;
          if (!arrival.evicted) break;
          const int whose = address_of.at(arrival.evicted->id);
          const bool by_stranger = !known.contains(number);
          const bool unauthenticated = arrival.evicted->cause == Cause::kOldestUnauthenticated;
          if (by_stranger && unauthenticated && whose != number) CHECK_FALSE(known.contains(whose));
          break;
        }
        case 3:
          if (address_of.contains(id)) book.served(id);
          break;
        case 4:
          if (!address_of.contains(id) || is_evicted(book, id)) break;
          book.answering(id, number < 3, 0, now);
          if (number < 3) known.insert(address_of.at(id));
          break;
        case 5:
          book.answered(id, now);
          break;
        default:
          book.leave(id);
          address_of.erase(id);
      }
      REQUIRE(book.open() <= 24);
      std::map<int, int> of;
      for (const auto& [one, whose] : address_of) of[whose] += is_evicted(book, one) ? 0 : 1;
      for (const auto& [whose, count] : of) REQUIRE(count <= 6);
    }
  }
}

}  // namespace bao_exporter
