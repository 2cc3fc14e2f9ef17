#include "bao_exporter/arbiter.h"

#include <algorithm>
#include <chrono>
#include <numeric>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "catch.h"

namespace bao_exporter {

namespace {

TimePoint at(int milliseconds) {
  return TimePoint(std::chrono::hours(1)) + Milliseconds(milliseconds);
}

ActiveClaim nobody(int polled = 0) { return {false, std::nullopt, at(polled), false}; }
ActiveClaim proven(std::int64_t term, int polled = 0, bool second_look = false) {
  return {true, term, at(polled), second_look};
}
ActiveClaim unproven(int polled, bool second_look = false) {
  return {true, std::nullopt, at(polled), second_look};
}

// "served", "ask" (withheld and asked again), "withheld", "confirmed": one word a node.
std::string words(const std::vector<ActiveClaim>& nodes) {
  std::string out;
  for (const Verdict& verdict : arbitrate(nodes)) {
    out += out.empty() ? "" : " ";
    REQUIRE_FALSE((verdict.withheld && verdict.confirmed));
    REQUIRE((verdict.withheld || !verdict.ask_again));
    out += verdict.ask_again   ? "ask"
           : verdict.withheld  ? "withheld"
           : verdict.confirmed ? "confirmed"
                               : "served";
  }
  return out;
}

}  // namespace

TEST_CASE("nodes that do not claim to be active are never touched") {
  CHECK(arbitrate({}).empty());
  CHECK(words({nobody(), nobody(), nobody()}) == "served served served");
  CHECK(words({nobody(), proven(1), nobody()}) == "served served served");
  // Whatever else they say.
  ActiveClaim standby = proven(99, 99, true);
  standby.claims_active = false;
  CHECK(words({standby, proven(1)}) == "served served");
}

TEST_CASE("a lone claim is served, proven or not, at first or second look") {
  for (const ActiveClaim& claim : {proven(1), unproven(1), proven(1, 1, true), unproven(1, true)}) {
    CHECK(words({nobody(5), claim}) == "served served");
  }
}

TEST_CASE("of two proven terms the later one is served, whoever was polled last") {
  CHECK(words({proven(1, 0), proven(2, 0)}) == "ask served");
  CHECK(words({proven(2, 0), proven(1, 0)}) == "served ask");
  CHECK(words({proven(1, 1'000), proven(2, 0)}) == "ask served");
  // One nanosecond is enough.
  CHECK(words({proven(1'795'392'000'000'000'001), proven(1'795'392'000'000'000'000)}) ==
        "served ask");
}

TEST_CASE("a proven term beats an unproven claim, whoever was polled last") {
  CHECK(words({unproven(1'000), proven(1, 0)}) == "ask served");
  CHECK(words({proven(1, 0), unproven(1'000)}) == "served ask");
}

TEST_CASE("of two equal terms the later poll is served, and of two unproven claims") {
  CHECK(words({proven(5, 10), proven(5, 20)}) == "ask served");
  CHECK(words({unproven(10), unproven(20)}) == "ask served");
}

TEST_CASE("two claims of one moment serve exactly one") {
  CHECK(words({unproven(10), unproven(10)}) == "served ask");
  CHECK(words({proven(5, 10), proven(5, 10)}) == "served ask");
}

TEST_CASE("a claim that stays in the second look with a term not older is confirmed") {
  CHECK(words({proven(5, 10, true), proven(5, 20)}) == "confirmed served");
  CHECK(words({unproven(10, true), unproven(20)}) == "confirmed served");
}

TEST_CASE(
    "a claim that stays in the second look with an older term is withheld, and not asked again") {
  CHECK(words({proven(1, 30, true), proven(2, 20)}) == "withheld served");
  CHECK(words({unproven(30, true), proven(2, 20)}) == "withheld served");
}

TEST_CASE("a claim that is gone in the second look leaves one") {
  CHECK(words({nobody(30), proven(2, 20)}) == "served served");
}

TEST_CASE("of three claims the newest is served and each other judged by itself") {
  CHECK(words({proven(1, 0), proven(3, 0), proven(2, 0)}) == "ask served ask");
  CHECK(words({proven(1, 0, true), proven(3, 0), proven(2, 0)}) == "withheld served ask");
  CHECK(words({proven(3, 0, true), proven(3, 5), proven(2, 9, true)}) ==
        "confirmed served withheld");
  CHECK(words({unproven(3), unproven(2), unproven(1), nobody()}) == "served ask ask served");
}

TEST_CASE("verdicts stay the same when the same claims are judged again") {
  std::mt19937 random(1);  // NOLINT: the same each time
  for (int round = 0; round < 200; ++round) {
    std::vector<ActiveClaim> nodes;
    for (std::size_t i = 0; i < 1 + random() % 5; ++i) {
      nodes.push_back({random() % 3 != 0,
                       random() % 2 == 0 ? std::optional<std::int64_t>(random() % 3) : std::nullopt,
                       at(static_cast<int>(random() % 3)), random() % 2 == 0});
    }
    CHECK(words(nodes) == words(nodes));
  }
}

TEST_CASE("a confirmed pair stays confirmed while the same two keep claiming, round after round") {
  // The caller carries a confirmation into the next round as a second look.
  bool confirmed = true;
  for (int round = 0; round < 10; ++round) {
    const std::vector<ActiveClaim> nodes = {unproven(round * 100),
                                            unproven(round * 100, confirmed)};
    INFO("round " << round);
    CHECK(words(nodes) == "served confirmed");
    confirmed = arbitrate(nodes)[1].confirmed;
  }
}

TEST_CASE("never more than one served claim unless confirmed, and the newest is never withheld") {
  std::mt19937 random(20'261'123);  // NOLINT: the same each time
  for (int round = 0; round < 20'000; ++round) {
    std::vector<ActiveClaim> nodes;
    for (std::size_t n = random() % 7; n > 0; --n) {
      nodes.push_back({random() % 4 != 0,
                       random() % 3 == 0 ? std::nullopt : std::optional<std::int64_t>(random() % 4),
                       at(static_cast<int>(random() % 4)), random() % 2 == 0});
    }
    const auto verdicts = arbitrate(nodes);
    REQUIRE(verdicts.size() == nodes.size());
    std::size_t claims = 0, plainly_served = 0;
    std::optional<std::int64_t> newest_term;
    for (const ActiveClaim& node : nodes) {
      if (node.claims_active && node.active_time) {
        newest_term = std::max(newest_term.value_or(*node.active_time), *node.active_time);
      }
    }
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      if (!nodes[i].claims_active) {
        CHECK_FALSE((verdicts[i].withheld || verdicts[i].ask_again || verdicts[i].confirmed));
        continue;
      }
      ++claims;
      if (!verdicts[i].withheld && !verdicts[i].confirmed) {
        ++plainly_served;
        CHECK(nodes[i].active_time == newest_term);  // also: unproven only when nobody is proven
      }
      if (verdicts[i].confirmed) {
        CHECK(nodes[i].second_look);
        CHECK(nodes[i].active_time == newest_term);
      }
      CHECK(verdicts[i].ask_again == (verdicts[i].withheld && !nodes[i].second_look));
    }
    CHECK(plainly_served == (claims > 0 ? 1 : 0));
  }
}

TEST_CASE("verdicts do not depend on the order of the nodes") {
  std::mt19937 random(5);  // NOLINT: the same each time
  for (int round = 0; round < 2'000; ++round) {
    std::vector<ActiveClaim> nodes;
    const std::size_t count = 2 + random() % 5;
    for (std::size_t i = 0; i < count; ++i) {
      // Polled at different moments: of two claims that are equal in everything any one may win.
      nodes.push_back({random() % 4 != 0,
                       random() % 3 == 0 ? std::nullopt : std::optional<std::int64_t>(random() % 3),
                       at(static_cast<int>(i)), random() % 2 == 0});
    }
    const auto before = arbitrate(nodes);
    std::vector<std::size_t> order(count);
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::shuffle(order.begin(), order.end(), random);
    std::vector<ActiveClaim> shuffled;
    for (const std::size_t i : order) shuffled.push_back(nodes[i]);
    const auto after = arbitrate(shuffled);
    for (std::size_t i = 0; i < count; ++i) {
      CHECK(after[i].withheld == before[order[i]].withheld);
      CHECK(after[i].ask_again == before[order[i]].ask_again);
      CHECK(after[i].confirmed == before[order[i]].confirmed);
    }
  }
}

}  // namespace bao_exporter
