// Random days in the life of a token: what holds whatever the nodes answer, and when.
#include <algorithm>
#include <array>
#include <deque>
#include <map>
#include <random>
#include <set>

#include "catch.h"
#include "support/token_driver.h"

namespace bao_exporter {

namespace {

using namespace test;  // NOLINT(google-build-using-namespace): the driver of this test

using Random = std::mt19937_64;

std::size_t below(Random& random, std::size_t bound) { return random() % bound; }
bool chance(Random& random, std::size_t in) { return below(random, in) == 0; }
Milliseconds up_to(Random& random, Milliseconds most) {
  return Milliseconds(
      1 + static_cast<Milliseconds::rep>(below(random, static_cast<std::size_t>(most.count()))));
}

// How many events lie in the time before the newest one.
class Window {
 public:
  explicit Window(Milliseconds size) : size_(size) {}
  std::size_t add(Milliseconds at) {
    times_.push_back(at);
    while (at - times_.front() >= size_) times_.pop_front();
    return times_.size();
  }

 private:
  Milliseconds size_;
  std::deque<Milliseconds> times_;
};

// --- any answers, at any time ---

class Chaos {
 public:
  explicit Chaos(std::uint64_t seed)
      : random_(seed), options_(some_options()), meddles_(chance(random_, 3)), token_(options_) {}

  // What was broken; empty: nothing.
  std::string run(Milliseconds days) {
    token_.start();
    check();
    while (broken_.empty() && token_.since_start < days) step();
    return broken_;
  }
  [[nodiscard]] std::size_t busiest_hour() const { return busiest_hour_; }

 private:
  enum class Mood : std::uint8_t { kGood, kMixed, kErrors, kDenials };

  TokenLifeOptions some_options() {
    TokenLifeOptions options;
    options.logs_in = chance(random_, 2);
    options.renew = !chance(random_, 4);
    options.refuse_excess = chance(random_, 3);
    options.accept_root = chance(random_, 4);
    options.can_ask = options.logs_in || !chance(random_, 5);
    options.nodes = 1 + below(random_, 5);
    return options;
  }

  void step() {
    const auto wake = token_.life.wake_at();
    const Milliseconds wake_at =
        wake ? token_.since_start + token_.until(*wake) : Milliseconds::max();
    Milliseconds next = std::min(chaos_at_, wake_at);
    if (token_.under_way) next = std::min(next, answer_at_);
    token_.since_start = std::max(token_.since_start, next);
    token_.dice = static_cast<double>(below(random_, 1000)) / 1000.0;
    if (next == wake_at) {
      token_.wake();
    } else if (token_.under_way && next == answer_at_) {
      token_.answer(some_answer(token_.under_way->task));
    } else {
      meddle();
    }
    check();
  }

  void meddle() {
    chaos_at_ = token_.since_start + up_to(random_, chance(random_, 4) ? seconds(20) : hours(2));
    if (chance(random_, 3)) mood_ = static_cast<Mood>(below(random_, 4));
    switch (below(random_, 5)) {
      case 0:
        token_.rejected(token_.in_force());
        break;
      case 1:
        token_.rejected(below(random_, 10));
        break;
      case 2:
        if (!options_.logs_in) token_.read(++files_);
        break;
      case 3:
        if (meddles_) token_.try_now();
        break;
      default:
        answer_a_dropped_order();
        break;
    }
  }

  void answer_a_dropped_order() {
    const std::uint64_t id = below(random_, token_.orders + 2);
    if (token_.under_way && token_.under_way->id == id) return;
    const std::size_t before = token_.notes.size();
    const std::size_t orders = token_.orders;
    token_.answer_late(id, of_root());
    if (token_.notes.size() != before || token_.orders != orders) {
      broken_ = "an answer to an order of before did something";
    }
  }

  TokenAnswer some_answer(TokenTask task) {
    const bool fails = mood_ == Mood::kErrors || (mood_ == Mood::kMixed && chance(random_, 2));
    if (fails) return error(ErrorCode::kTimeout);
    constexpr std::array<ErrorCode, 3> kDenials = {
        ErrorCode::kLoginFailed, ErrorCode::kTokenRejected, ErrorCode::kForbidden};
    const bool denied = mood_ == Mood::kDenials || (mood_ == Mood::kMixed && chance(random_, 2));
    if (denied) return error(kDenials[below(random_, kDenials.size())]);
    if (task == TokenTask::kCheck) return some_capabilities();
    if (chance(random_, 20)) return grant(Milliseconds(0), chance(random_, 2));
    return grant(seconds(30) + up_to(random_, chance(random_, 2) ? hours(1) : hours(48)),
                 !chance(random_, 5));
  }

  TokenAnswer some_capabilities() {
    switch (below(random_, 6)) {
      case 0:
        return with_excess();
      case 1:
        return of_root();
      default:
        return metrics_only();
    }
  }

  void check() {
    check_notes();
    check_status();
    check_orders();
    const auto wake = token_.life.wake_at();
    if (wake && *wake <= token_.moment().now) broken_ = "it wants to be woken in the past";
    if (options_.logs_in && !wake && !token_.under_way && token_.in_force() == 0) {
      broken_ = "no token, and nothing goes on";
    }
  }

  void check_notes() {
    for (; notes_seen_ < token_.notes.size(); ++notes_seen_) {
      const TokenNote& note = token_.notes[notes_seen_];
      if (note.kind == Kind::kRefused) refused_.insert(note.generation);
      if (note.kind != Kind::kLoginDenied) continue;
      if (denials_.add(token_.since_start) > 4 && !meddles_) {
        broken_ = "more than 4 denied logins in 15 minutes";
      }
    }
  }

  void check_status() {
    const TokenStatus& status = token_.life.status();
    if (decided_ && !status.decided) broken_ = "decided, and undecided again";
    decided_ = status.decided;
    if (refused_.count(status.in_force) > 0) broken_ = "a refused token is in force";
    if (status.in_force < in_force_ && status.in_force != 0) broken_ = "an older token is back";
    in_force_ = std::max(in_force_, status.in_force);
    if (status.in_force != 0 && !token_.life.needs(status.in_force)) {
      broken_ = "the token in force is not needed";
    }
    const bool has_why = status.why.code != ErrorCode::kOk;
    if (status.decided && has_why != (status.in_force == 0)) broken_ = "no token without a reason";
    if (!status.decided && status.in_force != 0) broken_ = "in force, and undecided";
  }

  void check_orders() {
    if (token_.orders == orders_seen_) return;
    if (token_.orders != orders_seen_ + 1) broken_ = "more than one order at once";
    orders_seen_ = token_.orders;
    const TokenOrder& order = token_.under_way.value();
    if (order.id <= last_id_) broken_ = "an id is used twice";
    last_id_ = order.id;
    const bool login = order.task == TokenTask::kLogIn;
    if (login != (!token_.life.needs(order.generation))) broken_ = "an order for a forgotten token";
    if (!options_.can_ask) broken_ = "an order where nobody can be asked";
    answer_at_ =
        token_.since_start + up_to(random_, chance(random_, 10) ? seconds(10) : seconds(1));
    busiest_hour_ = std::max(busiest_hour_, hour_.add(token_.since_start));
  }

  Random random_;
  TokenLifeOptions options_;
  bool meddles_;
  TokenDriver token_;
  Mood mood_ = Mood::kGood;
  Milliseconds chaos_at_{0};
  Milliseconds answer_at_{0};
  std::uint64_t files_ = 0;

  std::string broken_;
  std::size_t notes_seen_ = 0;
  std::size_t orders_seen_ = 0;
  std::uint64_t last_id_ = 0;
  std::uint64_t in_force_ = 0;
  bool decided_ = false;
  std::set<std::uint64_t> refused_;
  Window denials_{minutes(15)};
  Window hour_{hours(1)};
  std::size_t busiest_hour_ = 0;
};

// --- nodes that answer well: every token lives `ttl`, renewed up to `max_ttl` ---

class GoodNodes {
 public:
  explicit GoodNodes(std::uint64_t seed)
      : random_(seed),
        ttl_(seconds(5 + static_cast<int>(below(random_, chance(random_, 2) ? 60 : 4000)))),
        max_ttl_(ttl_ +
                 seconds(below(random_, 40) * static_cast<std::size_t>(ttl_.count()) / 7000)),
        latency_(chance(random_, 2) ? Milliseconds(5) : Milliseconds(300)),
        token_(of_login(1 + below(random_, 3))) {}

  // Empty: the token in force lived at all times.
  std::string run() {
    token_.start();
    const Milliseconds end = std::min<Milliseconds>(max_ttl_ * 20, hours(48));
    while (token_.since_start < end) {
      token_.dice = static_cast<double>(below(random_, 1000)) / 1000.0;
      if (token_.under_way) {
        wait(up_to(random_, latency_));
        answer();
        wait(up_to(random_, latency_));
      } else {
        (void)token_.pass_to_wake();
      }
      if (!lives()) return "it ended at " + std::to_string(token_.since_start.count()) + " ms";
    }
    if (token_.orders > most_orders(end)) return std::to_string(token_.orders) + " orders";
    return {};
  }

 private:
  struct Life {
    Milliseconds ends;
    Milliseconds last;
  };

  void wait(Milliseconds time) { token_.since_start += time; }

  [[nodiscard]] bool lives() const {
    const auto at = lives_.find(token_.in_force());
    return token_.in_force() == 0 || at->second.ends > token_.since_start;
  }

  // A renewal each 0.6 of a life, and for each token a login, a check and a renewal cut short.
  [[nodiscard]] std::size_t most_orders(Milliseconds end) const {
    const auto lives = [end](Milliseconds life) { return static_cast<std::size_t>(end / life); };
    return 2 * lives(ttl_) + 5 * lives(ttl_ / 2) + 10;
  }

  void answer() {
    const TokenOrder order = token_.under_way.value();
    const Milliseconds now = token_.since_start;
    switch (order.task) {
      case TokenTask::kLogIn:
        lives_[order.generation] = {now + ttl_, now + max_ttl_};
        wait(up_to(random_, latency_));
        return token_.answer(grant(ttl_));
      case TokenTask::kRenew: {
        Life& life = lives_.at(order.generation);
        life.ends = std::min(now + ttl_, life.last);
        const auto told = std::chrono::floor<std::chrono::seconds>(life.ends - now);
        wait(up_to(random_, latency_));
        return token_.answer(grant(told));
      }
      default:
        return token_.answer(metrics_only());
    }
  }

  Random random_;
  Milliseconds ttl_;
  Milliseconds max_ttl_;
  Milliseconds latency_;
  TokenDriver token_;
  std::map<std::uint64_t, Life> lives_;
};

}  // namespace

TEST_CASE("token life: whatever the nodes answer, no rule of it is broken") {
  std::size_t busiest_hour = 0;
  for (std::uint64_t seed = 1; seed <= 3000; ++seed) {
    Chaos chaos(seed);
    const std::string broken = chaos.run(hours(72));
    INFO("seed " << seed);
    REQUIRE(broken == "");
    busiest_hour = std::max(busiest_hour, chaos.busiest_hour());
  }
  CAPTURE(busiest_hour);
  CHECK(busiest_hour < 1000);
}

TEST_CASE("token life: while the nodes answer, the token in force never ends") {
  for (std::uint64_t seed = 1; seed <= 3000; ++seed) {
    INFO("seed " << seed);
    REQUIRE(GoodNodes(seed).run() == "");
  }
}

}  // namespace bao_exporter
