// What the publisher does about tokens: whom it holds back, whom it asks again, what it tells.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "catch.h"
#include "support/answers.h"
#include "support/quiet.h"
#include "support/running_publisher.h"

namespace bao_exporter {

namespace {

using namespace test;  // NOLINT(google-build-using-namespace): the helpers of this test
using Newer = TokenSource::Newer;
using Nodes = std::vector<std::size_t>;

// Answers as the test says, and notes what it was told.
class FakeTokens final : public TokenSource {
 public:
  using Asked = std::pair<std::string, std::uint64_t>;

  Newer newer_than(const std::string& cluster, std::uint64_t generation) override {
    std::scoped_lock lock(mutex_);
    asked_.emplace_back(cluster, generation);
    return newer_;
  }
  void note(const std::vector<TokenNews>& news) override {
    std::scoped_lock lock(mutex_);
    news_ = news;
  }

  void answer(Newer newer) {
    std::scoped_lock lock(mutex_);
    newer_ = newer;
  }
  [[nodiscard]] std::vector<Asked> asked() {
    std::scoped_lock lock(mutex_);
    return std::exchange(asked_, {});
  }
  // Of the last publication.
  [[nodiscard]] TokenNews news(const std::string& cluster) {
    std::scoped_lock lock(mutex_);
    const auto at = std::find_if(news_.begin(), news_.end(),
                                 [&](const TokenNews& one) { return one.cluster == cluster; });
    return at == news_.end() ? TokenNews{"none", 99, 99, 99} : *at;
  }

 private:
  std::mutex mutex_;
  Newer newer_ = Newer::kNone;
  std::vector<Asked> asked_;
  std::vector<TokenNews> news_;
};

PollAnswers rejected_by_standby() {
  return {health_standby(), json(400, kCannotForward), std::nullopt};
}
PollAnswers rejected_by_active() {
  return {health_active(), json(403, kDenied), leader_self(kEarly)};
}
PollAnswers without(ErrorCode why) { return {health_standby(), failed(why), std::nullopt}; }

class Publishing : public RunningPublisher {
 public:
  explicit Publishing(FakeTokens& tokens, std::size_t nodes = 1)
      : RunningPublisher(config(nodes), &tokens) {}

  // One poll of one node alone.
  void poll(std::size_t target, PollAnswers answers, TokensTold tokens, bool second_look = false) {
    started({target});
    ended(target, std::move(answers), tokens, second_look);
    drain();
  }
  [[nodiscard]] std::string reason_of(std::string_view name) const {
    return body().label("bao_node_last_poll_reason", "reason", of(name));
  }
};

}  // namespace

TEST_CASE("nothing is said of a rejected token while a newer one is checked, until it was tried") {
  FakeTokens tokens;
  Publishing running(tokens);
  running.round({standby("version_of_a 1\n")});
  running.drain();
  const std::uint64_t before = running.generation();
  tokens.answer(Newer::kSoon);
  running.poll(0, rejected_by_standby(), {0, 1});
  CHECK(tokens.asked() == std::vector<FakeTokens::Asked>{{"prod", 1}});
  CHECK(running.generation() == before);
  CHECK(running.asked_again().empty());
  // The check has ended, of this cluster.
  running.publisher().token_changed("other");
  running.drain();
  CHECK(running.asked_again().empty());
  running.publisher().token_changed("prod");
  running.drain();
  CHECK(running.asked_again() == Nodes{0});
  running.poll(0, standby("version_of_a 2\n"), {2, 0}, /*second_look=*/true);
  CHECK(running.generation() == before + 1);
  const Samples body = running.body();
  CHECK(body.value("version_of_a") == "2");
  CHECK(body.values("bao_node_polls_total", of("a", "reason", "standby_rejected")).empty());
  // It does not wait any more.
  running.publisher().token_changed("prod");
  running.drain();
  CHECK(running.asked_again().empty());
}

TEST_CASE("where a newer token is in force already the node is asked again at once") {
  FakeTokens tokens;
  Publishing running(tokens);
  running.round({standby()});
  running.drain();
  const std::uint64_t before = running.generation();
  tokens.answer(Newer::kNow);
  running.poll(0, rejected_by_standby(), {0, 4});
  CHECK(tokens.asked() == std::vector<FakeTokens::Asked>{{"prod", 4}});
  CHECK(running.asked_again() == Nodes{0});
  CHECK(running.generation() == before);
  running.poll(0, standby(), {5, 0}, /*second_look=*/true);
  CHECK(running.generation() == before + 1);
  CHECK(running.reason_of("a") == "ok");
}

TEST_CASE("where there is no newer token the rejection is published") {
  FakeTokens tokens;
  Publishing running(tokens);
  running.round({active(kEarly)});
  running.drain();
  running.poll(0, rejected_by_active(), {0, 1});
  CHECK(tokens.asked().size() == 1);
  CHECK(running.asked_again().empty());
  CHECK(running.reason_of("a") == "token_rejected");
}

TEST_CASE("a second look is published, whatever it became") {
  FakeTokens tokens;
  Publishing running(tokens);
  running.round({active(kEarly)});
  running.drain();
  tokens.answer(GENERATE(Newer::kSoon, Newer::kNow));
  running.poll(0, rejected_by_active(), {0, 1}, /*second_look=*/true);
  CHECK(running.reason_of("a") == "token_rejected");
  CHECK(running.asked_again().empty());
  CHECK(tokens.asked().empty());
}

TEST_CASE("a poll that got its samples with the old token is published at once") {
  FakeTokens tokens;
  Publishing running(tokens);
  running.round({standby("version_of_a 1\n")});
  running.drain();
  tokens.answer(GENERATE(Newer::kSoon, Newer::kNow));
  running.poll(0, standby("version_of_a 2\n"), {1, 2});
  CHECK(running.body().value("version_of_a") == "2");
  CHECK(tokens.asked().empty());
  CHECK(running.asked_again().empty());
}

TEST_CASE("a node is held back for one poll, not for as long as the check of a token takes") {
  FakeTokens tokens;
  Publishing running(tokens);
  running.round({active(kEarly, "version_of_a 1\n")});
  running.drain();
  tokens.answer(Newer::kSoon);
  running.poll(0, rejected_by_active(), {0, 1});
  CHECK(running.body().value("version_of_a") == "1");
  // Its next turn comes, and still nobody has answered the check.
  running.poll(0, rejected_by_active(), {0, 1});
  CHECK(running.reason_of("a") == "token_rejected");
  CHECK(running.body().values("version_of_a").empty());
  // It is asked again all the same when that has ended.
  running.publisher().token_changed("prod");
  running.drain();
  CHECK(running.asked_again() == Nodes{0});
}

TEST_CASE("a node that is held back holds nobody else back for longer than a second") {
  FakeTokens tokens;
  Publishing running(tokens, 2);
  running.round({standby(), standby("version_of_b 1\n")});
  running.drain();
  const std::uint64_t before = running.generation();
  tokens.answer(Newer::kSoon);
  running.started({0, 1});
  running.ended(0, rejected_by_standby(), {0, 1});
  SECTION("less than a second") {
    running.ended(1, standby("version_of_b 2\n"));
    running.drain();
    CHECK(running.generation() == before);
  }
  SECTION("more than a second") {
    running.ended_long_ago(1, standby("version_of_b 2\n"));
    CHECK(eventually([&] { return running.generation() == before + 1; }));
    CHECK(running.body().value("version_of_b") == "2");
    CHECK(running.reason_of("a") == "ok");  // as before: nothing is said of it yet
  }
}

TEST_CASE("another token has those asked again that lack one, in its cluster only") {
  FakeTokens tokens;
  Publishing running(tokens, 8);
  running.round({rejected_by_active(),
                 {health_standby(), json(403, kNoPolicy), std::nullopt},
                 rejected_by_standby(),
                 without(ErrorCode::kLoginFailed),
                 without(ErrorCode::kTokenExcess),
                 without(ErrorCode::kTokenUnreadable),
                 standby(),
                 down()});
  running.drain();
  CHECK(running.reason_of("a") == "token_rejected");
  CHECK(running.reason_of("b") == "forbidden");
  CHECK(running.reason_of("c") == "token_rejected");  // as the active one says
  CHECK(running.reason_of("d") == "login_failed");
  CHECK(running.reason_of("e") == "token_excess");
  CHECK(running.reason_of("f") == "token_unreadable");
  running.publisher().token_changed("other");
  running.publisher().token_changed("unknown");
  running.drain();
  CHECK(running.asked_again().empty());
  running.publisher().token_changed("prod");
  running.drain();
  CHECK(running.asked_again() == Nodes{0, 1, 2, 3, 4, 5});
}

TEST_CASE("a standby that may only not know the token yet is asked again with another one, too") {
  FakeTokens tokens;
  Publishing running(tokens, 2);
  running.round({active(kEarly), rejected_by_standby()});
  running.drain();
  CHECK(running.reason_of("b") == "standby_rejected");
  running.publisher().token_changed("prod");
  running.drain();
  CHECK(running.asked_again() == Nodes{1});
}

TEST_CASE("a node whose lack of a token is not published yet is asked again, too") {
  FakeTokens tokens;
  Publishing running(tokens, 2);
  running.round({standby(), standby()});
  running.drain();
  running.started({0, 1});
  running.ended(0, without(ErrorCode::kLoginFailed));
  running.drain();
  CHECK(running.reason_of("a") == "ok");  // the round is under way
  running.publisher().token_changed("prod");
  running.drain();
  CHECK(running.asked_again() == Nodes{0});
}

TEST_CASE("a new configuration ends the waiting of nodes that are not ours any more") {
  FakeTokens tokens;
  Publishing running(tokens, 2);
  running.round({standby(), standby()});
  running.drain();
  tokens.answer(Newer::kSoon);
  running.poll(1, rejected_by_standby(), {0, 1});
  Config after = config(2);
  after.clusters[0].nodes[1].name = "another";  // in its place
  running.publisher().replace(after, 1);
  running.publisher().token_changed("prod");
  running.drain();
  CHECK(running.asked_again().empty());
}

TEST_CASE("in use is the oldest token that a node took which gave samples") {
  FakeTokens tokens;
  Publishing running(tokens, 4);
  running.started({0, 1, 2, 3, 4});
  running.ended(0, active(kEarly), {3, 0});
  running.ended(1, standby(), {2, 3});
  running.ended(2, down(), TokensTold{});
  // It took one, and what it gave for it cannot be read.
  running.ended(3, {health_standby(), exposition("no metrics at all {\n"), std::nullopt}, {1, 0});
  running.ended(running.marker(), RunningPublisher::standby_alone());
  running.drain();
  TokenNews news = tokens.news("prod");
  CHECK(news.in_use == 2);
  CHECK(news.rejected == 0);
  CHECK(news.active_node == 0);
  CHECK(tokens.news("other").in_use == 0);
  CHECK(tokens.news("other").active_node == std::nullopt);
  // The last one has gone over; another one is the active node.
  running.started({0, 1});
  running.ended(0, standby(), {3, 0});
  running.ended(1, active(kLate), {3, 0});
  running.drain();
  news = tokens.news("prod");
  CHECK(news.in_use == 3);
  CHECK(news.active_node == 1);
}

TEST_CASE("the place of the active node is counted within its cluster") {
  FakeTokens tokens;
  Config two = config(1);
  std::swap(two.clusters[0].nodes, two.clusters[1].nodes);
  std::swap(two.clusters[0].cluster, two.clusters[1].cluster);
  std::swap(two.clusters[0].profile, two.clusters[1].profile);
  // "other" with marker and probe comes first now: their places are 0 and 1, that of a is 2.
  OwnMetrics metrics;
  NodeBook book(two, 42);
  PollResult result;
  result.target = 2;
  result.started = Clock::now();
  result.ended = result.started;
  result.ended_wall = WallClock::now();
  result.token_taken = 7;
  result.answers = active(kEarly);
  const bool asked_again = book.note_poll(std::move(result));
  REQUIRE_FALSE(asked_again);
  (void)book.decide(Clock::now(), WallClock::now());
  const std::vector<TokenNews> news = book.token_news();
  REQUIRE(news.size() == 2);
  CHECK(news[0].cluster == "other");
  CHECK(news[0].active_node == std::nullopt);
  CHECK(news[1].cluster == "prod");
  CHECK(news[1].active_node == 0);
  CHECK(news[1].in_use == 7);
}

TEST_CASE("the active node is believed at once that a token is rejected, with samples or without") {
  FakeTokens tokens;
  Publishing running(tokens, 2);
  running.round({active(kEarly), standby()});
  running.drain();
  running.poll(0, active(kEarly), {2, 3});
  CHECK(tokens.news("prod").rejected == 3);
  CHECK(tokens.news("prod").in_use == 2);
  running.poll(0, active(kEarly), {3, 0});
  CHECK(tokens.news("prod").rejected == 0);
  running.poll(0, rejected_by_active(), {0, 3});
  CHECK(tokens.news("prod").rejected == 3);
  CHECK(tokens.news("prod").in_use == 0);
}

TEST_CASE("a standby is believed after three polls in a row that rejected the same token") {
  FakeTokens tokens;
  Publishing running(tokens, 2);
  running.round({active(kEarly), standby()});
  running.drain();
  const auto reject = [&](std::uint64_t generation, bool second_look = false) {
    running.poll(1, standby(), {1, generation}, second_look);
    return tokens.news("prod").rejected;
  };
  CHECK(reject(2) == 0);
  CHECK(reject(2) == 0);
  CHECK(reject(2, /*second_look=*/true) == 0);  // not a poll of its own
  CHECK(reject(3) == 0);                        // another one: from the start
  CHECK(reject(3) == 0);
  running.poll(1, standby(), {3, 0});  // it took it in between
  CHECK(reject(3) == 0);
  CHECK(reject(3) == 0);
  CHECK(reject(3) == 3);
}

}  // namespace bao_exporter
