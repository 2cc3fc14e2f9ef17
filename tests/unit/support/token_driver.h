// A TokenLife with a clock that the test moves, and all that it ordered and noted.
#pragma once

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "../catch.h"
#include "bao_exporter/token_life.h"

namespace bao_exporter::test {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using Kind = TokenNote::Kind;

inline Capabilities metrics_only() {
  const std::vector<std::string> deny = {"deny"};
  return {{"sys/metrics", {"read"}},
          {"sys/mounts", deny},
          {"sys/seal", deny},
          {"kv/data/x", deny},
          {"auth/token/create", deny}};
}

inline Capabilities with_excess() {
  Capabilities capabilities = metrics_only();
  capabilities["sys/mounts"] = {"read", "update"};
  return capabilities;
}

inline Capabilities of_root() {
  Capabilities capabilities = metrics_only();
  for (auto& [path, names] : capabilities) names = {"root"};
  return capabilities;
}

inline Grant grant(Milliseconds ttl, bool renewable = true) { return {ttl, renewable}; }
inline Error error(ErrorCode code) { return {code, "made by the test"}; }

class TokenDriver {
 public:
  explicit TokenDriver(const TokenLifeOptions& options) : life(options) {}

  [[nodiscard]] Moment moment() const {
    return {TimePoint(hours(100)) + since_start, WallTime(hours(1000)) + since_start, dice};
  }
  [[nodiscard]] WallTime wall_in(Milliseconds time) const { return moment().wall + time; }

  [[nodiscard]] Milliseconds until(TimePoint time) const {
    return std::chrono::ceil<Milliseconds>(time - moment().now);
  }

  void start() { take(life.start(moment())); }
  void read(std::uint64_t generation) { take(life.token_read(generation, moment())); }
  void wake() { take(life.time_came(moment())); }
  void try_now() { take(life.try_now(moment())); }
  void rejected(std::uint64_t generation) { take(life.rejected(generation, moment())); }
  void answer(const TokenAnswer& with) {
    const std::uint64_t id = under_way.value().id;
    under_way.reset();
    take(life.answered(id, with, moment()));
  }
  void answer_late(std::uint64_t id, const TokenAnswer& with) {
    take(life.answered(id, with, moment()));
  }

  // Moves the clock, stopping wherever the machine wants to be woken.
  void pass(Milliseconds time) {
    const Milliseconds end = since_start + time;
    while (life.wake_at() && since_start + until(*life.wake_at()) <= end) {
      since_start += std::max(until(*life.wake_at()), Milliseconds(0));
      wake();
    }
    since_start = end;
  }
  // Passes to the next time that the machine wants; how long that was.
  Milliseconds pass_to_wake() {
    const auto wait = until(life.wake_at().value());
    since_start += wait;
    take(life.time_came(moment()));
    return wait;
  }

  // A login's token, checked and in force; a file's, looked up, too.
  void log_in(Grant with) {
    answer(with);
    answer(metrics_only());
  }
  void read_good(std::uint64_t generation, Grant with) {
    read(generation);
    answer(metrics_only());
    answer(with);
  }

  [[nodiscard]] bool asks(TokenTask task) const { return under_way && under_way->task == task; }
  [[nodiscard]] std::uint64_t in_force() const { return life.status().in_force; }
  [[nodiscard]] std::size_t count(Kind kind) const {
    std::size_t found = 0;
    for (const TokenNote& note : notes) found += note.kind == kind ? 1 : 0;
    return found;
  }
  [[nodiscard]] std::string detail_of(Kind kind) const {
    for (const TokenNote& note : notes) {
      if (note.kind == kind) return note.detail;
    }
    return "no such note";
  }

  TokenLife life;
  std::optional<TokenOrder> under_way;
  std::size_t orders = 0;
  std::vector<TokenNote> notes;
  double dice = 0;
  Milliseconds since_start{0};

 private:
  void take(TokenSteps steps) {
    if (steps.order) {
      under_way = steps.order;
      ++orders;
    }
    for (TokenNote& note : steps.notes) notes.push_back(std::move(note));
  }
};

inline TokenLifeOptions of_login(std::size_t nodes = 1) {
  TokenLifeOptions options;
  options.logs_in = true;
  options.nodes = nodes;
  return options;
}

inline TokenLifeOptions of_file(std::size_t nodes = 1) {
  TokenLifeOptions options;
  options.nodes = nodes;
  return options;
}

// In force, with nothing under way.
inline TokenDriver with_login(Grant with, const TokenLifeOptions& options = of_login()) {
  TokenDriver token(options);
  token.start();
  token.log_in(with);
  REQUIRE(token.in_force() == 1);
  REQUIRE_FALSE(token.under_way);
  return token;
}

inline TokenDriver with_file(Grant with, const TokenLifeOptions& options = of_file()) {
  TokenDriver token(options);
  token.read_good(1, with);
  REQUIRE(token.in_force() == 1);
  REQUIRE_FALSE(token.under_way);
  return token;
}

}  // namespace bao_exporter::test
