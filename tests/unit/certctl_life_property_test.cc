// Random days in the life of one certctl server: what holds whatever it answers, and when. What
// holds at each step is checked by the driver.
#include <deque>
#include <random>

#include "catch.h"
#include "support/certctl_life_driver.h"

namespace bao_exporter::certctl {

namespace {

using namespace test;  // NOLINT(google-build-using-namespace): the driver of this test

using Random = std::mt19937_64;

constexpr std::size_t kSeedsOfEach = 200;
constexpr std::size_t kOrdersPerMinuteMax = 100;
// Each of them fails the most of its requests for a while.
enum class Mood : std::uint8_t { kGood, kMixed, kAway, kLimits, kRejects, kForbids, kBreaks };
constexpr std::size_t kMoods = 7;

std::size_t below(Random& random, std::size_t bound) { return random() % bound; }
bool chance(Random& random, std::size_t in) { return below(random, in) == 0; }

enum class Kind : std::uint8_t { kDefaults, kRefuses, kLists, kHurries };

CertctlConfig config_of(Kind kind, Random& random) {
  CertctlConfig config = certctl_config();
  config.refuse_excess = kind == Kind::kRefuses;
  if (kind == Kind::kLists) {
    config.auto_collectors = false;
    for (std::size_t i = 0; i < kCertctlCollectorCount; ++i) {
      if (!chance(random, 3)) config.collectors.push_back(static_cast<Collector>(i));
    }
  }
  if (kind == Kind::kHurries) {
    config.timeout = seconds(59);
    config.inventory_interval = config.interval;
  }
  return config;
}

class Day {
 public:
  Day(Kind kind, std::uint64_t seed)
      : random_(seed), config_(config_of(kind, random_)), life_(config_) {
    if (chance(random_, 100)) life_.server.add_jobs(600);
    life_.before_answer = [this] { prepare_answer(); };
  }

  // What was broken; empty: nothing.
  std::string run(Milliseconds length) {
    if (chance(random_, 3)) {
      life_.no_key();
    } else {
      life_.key();
    }
    while (life_.broken().empty() && life_.time < length) {
      const Milliseconds until = std::min(meddle_at_, length);
      while (life_.broken().empty() && life_.step(until)) count_orders();
      life_.time = std::max(life_.time, until);
      meddle();
    }
    if (life_.broken().empty()) recover();
    return life_.broken();
  }
  [[nodiscard]] std::size_t orders() const { return life_.sent.size(); }

 private:
  void meddle() {
    meddle_at_ =
        life_.time + Milliseconds(1 + below(random_, chance(random_, 3) ? 5'000 : 1'200'000));
    mood_ = static_cast<Mood>(below(random_, kMoods));
    life_.server.silent.clear();
    if (chance(random_, 4)) life_.server.silent.insert(some_path());
    life_.latency = Milliseconds(1 + below(random_, chance(random_, 3) ? 30'000 : 300));
    switch (below(random_, 6)) {
      case 0:
        life_.key();
        break;
      case 1:
        life_.try_now();
        break;
      case 2:
        permit_something();
        break;
      case 3:
        life_.server.admin = chance(random_, 3);
        break;
      case 4:
        life_.server.more_certificates_told = static_cast<double>(below(random_, 3));
        break;
      default:
        life_.server.add_certificate("x" + std::to_string(++rows_));
        break;
    }
    count_orders();
  }

  void permit_something() {
    const auto which = static_cast<Collector>(below(random_, kCertctlCollectorCount));
    const std::string permission(permission_for(which));
    if (life_.server.permissions.erase(permission) == 0) {
      life_.server.permissions.insert(permission);
    }
  }

  std::string some_path() {
    const std::vector<std::string> paths = {kReadyPath,   kMetricsPath,      kPowersPath,
                                            kVersionPath, kCertificatesPath, kAgentsPath,
                                            kJobsPath,    kHealthPath,       "/api/v1/"};
    return paths[below(random_, paths.size())];
  }

  Answer some_failure() {
    switch (mood_) {
      case Mood::kAway:
        return failed(chance(random_, 2) ? ErrorCode::kConnect : ErrorCode::kTimeout);
      case Mood::kLimits:
        return rate_limited(below(random_, 40));
      case Mood::kRejects:
        return unknown_key();
      case Mood::kForbids:
        denied_ = true;
        return not_permitted();
      case Mood::kBreaks:
        return chance(random_, 2) ? internal_error() : database_down();
      default:
        break;
    }
    mood_ = static_cast<Mood>(2 + below(random_, kMoods - 2));
    const Answer answer = chance(random_, 4) ? json(200, R"({"data":7})") : some_failure();
    mood_ = Mood::kMixed;
    return answer;
  }

  void prepare_answer() {
    life_.server.instead.clear();
    if (mood_ == Mood::kGood || chance(random_, 3)) return;
    life_.server.instead[chance(random_, 3) ? "" : some_path()] = some_failure();
  }

  void count_orders() {
    for (; counted_ < life_.sent.size(); ++counted_) {
      lately_.push_back(life_.sent[counted_].at);
      while (lately_.back() - lately_.front() >= minutes(1)) lately_.pop_front();
    }
    if (lately_.size() > kOrdersPerMinuteMax) life_.note_broken("a storm of requests");
  }

  // Whatever was: with a server that is well and permits everything, all is well.
  void recover() {
    mood_ = Mood::kGood;
    life_.before_answer = [] {};
    life_.server.instead.clear();
    life_.server.silent.clear();
    life_.server.admin = false;
    // What was denied with 403 is left alone until there is another key.
    const bool without_key =
        !denied_ && chance(random_, 20) && life_.life.excess() && !config_.refuse_excess;
    for (std::size_t i = 0; i < kCertctlCollectorCount; ++i) {
      life_.server.permissions.insert(std::string(permission_for(static_cast<Collector>(i))));
    }
    life_.latency = Milliseconds(5);
    if (without_key) {
      // Health checks that seem switched off are looked for once in 24 inventories.
      life_.pass(25 * config_.inventory_interval + minutes(2));
    } else {
      life_.key();
      life_.pass(minutes(1));
    }
    const std::size_t wanted =
        config_.auto_collectors ? kCertctlCollectorCount : config_.collectors.size();
    if (life_.ups() != wanted) life_.note_broken("it has not recovered");
  }

  Random random_;
  bool denied_ = false;
  CertctlConfig config_;
  LifeDriver life_;
  Milliseconds meddle_at_{0};
  Mood mood_ = Mood::kGood;
  std::size_t rows_ = 0;
  std::size_t counted_ = 0;
  std::deque<Milliseconds> lately_;
};

void live(Kind kind) {
  std::size_t orders = 0;
  for (std::uint64_t seed = 1; seed <= kSeedsOfEach; ++seed) {
    INFO("seed " << seed);
    Day day(kind, seed);
    REQUIRE(day.run(minutes(kind == Kind::kHurries ? 30 : 60)) == "");
    orders += day.orders();
  }
  CHECK(orders > 30 * kSeedsOfEach);
}

}  // namespace

TEST_CASE("certctl: no answers at any time break the rules") { live(Kind::kDefaults); }

TEST_CASE("certctl: no answers break the rules where excess is refused") { live(Kind::kRefuses); }

TEST_CASE("certctl: no answers break the rules where collectors are listed") { live(Kind::kLists); }

TEST_CASE("certctl: no answers break the rules of hurried inventories") { live(Kind::kHurries); }

}  // namespace bao_exporter::certctl
