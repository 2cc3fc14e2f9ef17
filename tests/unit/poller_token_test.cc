// The token's part in a poll: waiting for it, changing it node by node, and requests beside polls.
#include <atomic>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "catch.h"
#include "support/answers.h"
#include "support/quiet.h"
#include "support/running_poller.h"

namespace bao_exporter {

namespace {

using namespace test;  // NOLINT(google-build-using-namespace): the helpers of this test

constexpr const char* kSince = "2026-11-23T00:20:45Z";

std::shared_ptr<const Secret> secret(int number) {
  return Secret::join({"token-", std::to_string(number)});
}

std::shared_ptr<const TokenInForce> none(ErrorCode why) {
  return std::make_shared<const TokenInForce>(TokenInForce{.why = {why, "told by a test"}});
}

// Of a login, just now: a standby may not know it yet.
std::shared_ptr<const TokenInForce> fresh(std::shared_ptr<const Secret> secret,
                                          std::uint64_t generation,
                                          TimePoint until = Clock::now() + std::chrono::hours(1)) {
  return std::make_shared<const TokenInForce>(
      TokenInForce{.secret = std::move(secret), .generation = generation, .fresh_until = until});
}

PollTarget with_token(int number, std::shared_ptr<const TokenSlot> slot) {
  PollTarget made = node(number);
  made.log_name = "prod/" + std::to_string(number);
  made.token = std::move(slot);
  return made;
}

PollPlan plan(std::vector<PollTarget> targets, std::uint64_t generation) {
  return {std::move(targets), config(kLong), 1 << 20, generation};
}

// One node whose polls the test answers one question after the other.
class OneNode {
 public:
  explicit OneNode(Milliseconds timeout = Milliseconds{8'000})
      : running({with_token(1, slot)}, config(kLong, timeout)) {}

  // The next request; one without a path: it never came.
  Request next() { return running.transport.await_start(seen_++).value_or(Request{}); }
  void reply(const Answer& answer) { REQUIRE(running.transport.reply(0, answer)); }

  // The first round, or a poll outside the rhythm, up to its metrics request.
  Request begin() {
    if (polls_ > 0) running.poller().ask_again(generation, {0});
    CHECK(next().url.path == "/v1/sys/health");
    reply(health_standby());
    return next();
  }
  PollResult end(const Answer& answer) {
    reply(answer);
    return result();
  }
  PollResult result() {
    const auto ended = running.notes.await_ended(polls_++);
    REQUIRE(ended.has_value());
    return *ended;
  }
  // The node takes the first token.
  void take_first() {
    slot->set(in_force(secret(1), 1));
    (void)begin();
    CHECK(end(exposition("a 1\n")).token_taken == 1);
  }
  [[nodiscard]] bool nothing_more_was_asked() const { return running.transport.started() == seen_; }

  std::shared_ptr<TokenSlot> slot = std::make_shared<TokenSlot>();
  std::uint64_t generation = 1;
  RunningPoller running;

 private:
  std::size_t seen_ = 0;
  std::size_t polls_ = 0;
};

std::string_view sent_with(const Request& request) {
  return request.bearer == nullptr ? "nothing" : request.bearer->reveal();
}

}  // namespace

TEST_CASE("a poll waits for the first token, then asks for metrics with what is left of its time") {
  OneNode one(Milliseconds{60'000});
  const Request health = one.next();
  one.reply(health_standby());
  one.running.poller().wake_up();
  REQUIRE(one.running.transport.await_idle());
  CHECK(one.nothing_more_was_asked());
  one.slot->set(in_force(secret(1), 1));
  one.running.poller().wake_up();
  const Request metrics = one.next();
  CHECK(metrics.url.path == "/v1/sys/metrics?format=prometheus");
  CHECK(sent_with(metrics) == "token-1");
  CHECK(metrics.deadline == health.deadline);
  const PollResult result = one.end(exposition("a 1\n"));
  CHECK(result.token_taken == 1);
  CHECK(result.token_rejected == 0);
}

TEST_CASE("a poll that waits for a token stops while there is time for the role's term") {
  OneNode one(Milliseconds{1'500});
  const Request health = one.next();
  one.reply(health_standby());
  const TimePoint end = health.deadline - Milliseconds(1'500) / 4;
  CHECK(eventually([&] { return one.running.transport.last_until() == end; }));
  CHECK(one.result().ended >= end);
}

TEST_CASE(
    "without a token in time a poll fails as login_failed, and the role is asked all the same") {
  OneNode one(Milliseconds{80});
  CHECK(one.next().url.path == "/v1/sys/health");
  one.reply(health_active());
  CHECK(one.next().url.path == "/v1/sys/leader");
  const PollResult result = one.end(leader_self(kSince));
  REQUIRE(result.answers.metrics.has_value());
  REQUIRE(result.answers.metrics->failure.has_value());
  CHECK(result.answers.metrics->failure->code == ErrorCode::kLoginFailed);
  CHECK(result.answers.health->status == 200);
  CHECK(result.answers.leader->status == 200);
  CHECK(result.token_taken == 0);
  CHECK(result.token_rejected == 0);
  CHECK(result.ended - result.started >= Milliseconds(60));
}

TEST_CASE("every node waits for the first token of its cluster, and one wake-up ends it for all") {
  const auto slot = std::make_shared<TokenSlot>();
  const auto other = std::make_shared<TokenSlot>();
  RunningPoller running({with_token(1, slot), with_token(2, slot), with_token(3, other)},
                        config(kLong, Milliseconds{60'000}));
  REQUIRE(running.transport.await_start(2).has_value());
  for (const std::uint64_t channel : {0, 1, 2}) {
    REQUIRE(running.transport.reply(channel, health_standby()));
  }
  slot->set(in_force(secret(1), 1));
  running.poller().wake_up();
  REQUIRE(running.transport.await_start(4).has_value());
  CHECK(running.transport.reply(0, exposition("a 1\n")));
  CHECK(running.transport.reply(1, exposition("a 1\n")));
  REQUIRE(running.notes.await_ended(1).has_value());
  CHECK(running.transport.started() == 5);
  CHECK_FALSE(running.transport.doubled());
}

TEST_CASE("a reason why there is no token ends the metrics of a poll at once, and asks nothing") {
  const ErrorCode why =
      GENERATE(ErrorCode::kTokenExcess, ErrorCode::kLoginFailed, ErrorCode::kTokenUnreadable);
  OneNode one(Milliseconds{60'000});
  one.slot->set(none(why));
  CHECK(one.next().url.path == "/v1/sys/health");
  one.reply(health_standby());
  const PollResult result = one.result();
  CHECK(one.nothing_more_was_asked());
  REQUIRE(result.answers.metrics.has_value());
  REQUIRE(result.answers.metrics->failure.has_value());
  CHECK(result.answers.metrics->failure->code == why);
  CHECK(result.answers.metrics->failure->detail == "told by a test");
  CHECK(result.answers.health->status == 429);
  CHECK(result.token_taken == 0);
  CHECK(result.token_rejected == 0);
}

TEST_CASE("of an active node the term is asked where there is no token, too") {
  OneNode one;
  one.slot->set(none(ErrorCode::kTokenExcess));
  CHECK(one.next().url.path == "/v1/sys/health");
  one.reply(health_active());
  CHECK(one.next().url.path == "/v1/sys/leader");
  const PollResult result = one.end(leader_self(kSince));
  CHECK(result.answers.metrics->failure->code == ErrorCode::kTokenExcess);
  CHECK(result.answers.leader->status == 200);
}

TEST_CASE("a node that rejects a new token is asked again in the same poll with the old one") {
  const Answer rejection = GENERATE(json(403, kDenied), json(400, kCannotForward));
  OneNode one;
  one.take_first();
  one.slot->set(in_force(secret(2), 2));
  const Request with_new = one.begin();
  CHECK(sent_with(with_new) == "token-2");
  one.reply(rejection);
  const Request with_old = one.next();
  CHECK(sent_with(with_old) == "token-1");
  CHECK(with_old.url.path == with_new.url.path);
  CHECK(with_old.deadline == with_new.deadline);
  CHECK(with_old.headers == with_new.headers);
  PollResult result = one.end(exposition("a 1\n"));
  CHECK(result.answers.metrics->body == "a 1\n");
  CHECK(result.token_taken == 1);
  CHECK(result.token_rejected == 2);
  // The next poll begins with the new one, and keeps to it.
  CHECK(sent_with(one.begin()) == "token-2");
  result = one.end(exposition("a 2\n"));
  CHECK(result.token_taken == 2);
  CHECK(result.token_rejected == 0);
  CHECK(sent_with(one.begin()) == "token-2");
  result = one.end(rejection);
  CHECK(result.token_rejected == 2);  // the first one is not there any more
  CHECK(one.nothing_more_was_asked());
}

TEST_CASE("a node may go on with the old token for as long as it rejects the new one") {
  OneNode one;
  one.take_first();
  one.slot->set(in_force(secret(2), 2));
  for (int poll = 0; poll < 4; ++poll) {
    CHECK(sent_with(one.begin()) == "token-2");
    one.reply(json(400, kCannotForward));
    CHECK(sent_with(one.next()) == "token-1");
    CHECK(one.end(exposition("a 1\n")).token_taken == 1);
  }
}

TEST_CASE("a node that takes the new token lets go of the old one") {
  OneNode one;
  one.take_first();
  const std::weak_ptr<const Secret> old = one.slot->get()->secret;
  one.slot->set(in_force(secret(2), 2));
  (void)one.begin();
  CHECK_FALSE(old.expired());
  (void)one.end(exposition("a 1\n"));
  one.running.transport.forget_secrets();
  CHECK(old.expired());
}

TEST_CASE("a node that rejects both has taken none, and the old token is let go of") {
  OneNode one;
  one.take_first();
  const std::weak_ptr<const Secret> old = one.slot->get()->secret;
  one.slot->set(in_force(secret(2), 2));
  (void)one.begin();
  one.reply(json(403, kDenied));
  CHECK(sent_with(one.next()) == "token-1");
  PollResult result = one.end(json(403, kDenied));
  CHECK(result.token_taken == 0);
  CHECK(result.token_rejected == 2);
  CHECK(result.answers.metrics->status == 403);
  one.running.transport.forget_secrets();
  CHECK(old.expired());
  // From now on one request a poll.
  CHECK(sent_with(one.begin()) == "token-2");
  result = one.end(json(403, kDenied));
  CHECK(result.token_rejected == 2);
  CHECK(one.nothing_more_was_asked());
}

TEST_CASE("a rejected first token is not tried twice in a poll") {
  OneNode one;
  one.take_first();
  CHECK(sent_with(one.begin()) == "token-1");
  const PollResult result = one.end(json(403, kDenied));
  CHECK(result.token_taken == 0);
  CHECK(result.token_rejected == 1);
  CHECK(one.nothing_more_was_asked());
}

TEST_CASE(
    "a standby that does not know a fresh login's token yet is asked again in the same poll") {
  OneNode one(Milliseconds{60'000});
  one.slot->set(fresh(secret(1), 1));
  const Request first = one.begin();
  const TimePoint rejected = Clock::now();
  one.reply(json(400, kCannotForward));
  const Request again = one.next();
  CHECK(Clock::now() - rejected >= Milliseconds(50));
  CHECK(sent_with(again) == "token-1");
  CHECK(again.url.path == first.url.path);
  CHECK(again.deadline == first.deadline);
  const PollResult result = one.end(exposition("a 1\n"));
  CHECK(result.token_taken == 1);
  CHECK(result.token_rejected == 0);
  CHECK(result.answers.metrics->status == 200);
}

TEST_CASE("a standby that rejects a fresh login's token is asked with it four more times at most") {
  OneNode one(Milliseconds{60'000});
  one.slot->set(fresh(secret(1), 1));
  (void)one.begin();
  for (int again = 0; again < 4; ++again) {
    one.reply(json(400, kCannotForward));
    CHECK(sent_with(one.next()) == "token-1");
  }
  const PollResult result = one.end(json(400, kCannotForward));
  CHECK(result.token_taken == 0);
  CHECK(result.token_rejected == 1);
  CHECK(one.nothing_more_was_asked());
}

TEST_CASE("only a standby's rejection of a token that is fresh is not taken at its word") {
  OneNode one(Milliseconds{60'000});
  Answer answer = json(400, kCannotForward);
  SECTION("the login was long ago") {
    one.slot->set(fresh(secret(1), 1, Clock::now() - Milliseconds{1}));
  }
  SECTION("it comes out of a file") { one.slot->set(in_force(secret(1), 1)); }
  SECTION("the active node says so") {
    one.slot->set(fresh(secret(1), 1));
    answer = json(403, kDenied);
  }
  (void)one.begin();
  const PollResult result = one.end(answer);
  CHECK(result.token_rejected == 1);
  CHECK(one.nothing_more_was_asked());
}

TEST_CASE("the old token is let go of when the node is away while another one is in force") {
  OneNode one;
  one.take_first();
  const std::weak_ptr<const Secret> old = one.slot->get()->secret;
  SECTION("another token") { one.slot->set(in_force(secret(2), 2)); }
  SECTION("none, since the new one may too much") { one.slot->set(none(ErrorCode::kTokenExcess)); }
  one.running.poller().ask_again(1, {0});
  CHECK(one.next().url.path == "/v1/sys/health");
  (void)one.end(failed(ErrorCode::kConnect));
  one.running.transport.forget_secrets();
  CHECK(old.expired());
}

TEST_CASE("a node that was away while nothing changed keeps what it took") {
  OneNode one;
  one.take_first();
  one.running.poller().ask_again(1, {0});
  (void)one.next();
  (void)one.end(failed(ErrorCode::kConnect));
  one.slot->set(in_force(secret(2), 2));
  CHECK(sent_with(one.begin()) == "token-2");
  one.reply(json(403, kDenied));
  CHECK(sent_with(one.next()) == "token-1");
  CHECK(one.end(exposition("a 1\n")).token_taken == 1);
}

TEST_CASE("what is no rejection of the token is not answered with the old one") {
  const Answer answer = GENERATE(failed(ErrorCode::kTimeout), failed(ErrorCode::kReset),
                                 json(500, R"({"errors":["internal"]})"), json(503, kVaultSealed),
                                 json(403, kNoPolicy), json(400, kInNamespaces), plain(429, ""),
                                 plain(403, "forbidden by a proxy"));
  OneNode one;
  one.take_first();
  one.slot->set(in_force(secret(2), 2));
  INFO(answer.status << " " << answer.body);
  CHECK(sent_with(one.begin()) == "token-2");
  const PollResult result = one.end(answer);
  CHECK(one.nothing_more_was_asked());
  CHECK(result.token_taken == 0);
  CHECK(result.token_rejected == 0);
}

TEST_CASE("a new plan keeps what a node took while its name, its address and its slot stay") {
  OneNode one;
  one.take_first();
  PollTarget after = with_token(1, one.slot);
  bool keeps = false;
  SECTION("nothing changes but its place") { keeps = true; }
  SECTION("another name") { after.log_name = "prod/renamed"; }
  SECTION("another address") { after.metrics = node(7).metrics; }
  SECTION("another slot") {
    const auto slot = std::make_shared<TokenSlot>();
    slot->set(in_force(secret(2), 2));
    after.token = slot;
  }
  one.slot->set(in_force(secret(2), 2));
  const std::size_t before = one.running.transport.started();
  one.running.poller().replace(plan({node(9), after}, 2));
  // Of the two, ours is the second one.
  REQUIRE(one.running.transport.await_start(before + 1).has_value());
  REQUIRE(one.running.transport.reply(1, health_standby()));
  CHECK(sent_with(one.running.transport.await_start(before + 2).value()) == "token-2");
  REQUIRE(one.running.transport.reply(1, json(403, kDenied)));
  if (keeps) {
    CHECK(sent_with(one.running.transport.await_start(before + 3).value()) == "token-1");
    REQUIRE(one.running.transport.reply(1, exposition("a 1\n")));
  }
  const auto result = one.running.notes.await_ended(1);
  REQUIRE(result.has_value());
  CHECK(result->target == 1);
  CHECK(result->token_taken == (keeps ? 1 : 0));
  CHECK(result->token_rejected == 2);
}

namespace {

// A request beside polls.
Request aside(const std::string& path) {
  Request request;
  request.url = node(1).api;
  request.url.path = path;
  return request;
}

struct Answers {
  Transport::OnDone note() {
    return [this](const Answer& answer) { last = answer.status; };
  }
  std::atomic<int> last{0};
};

// The channel that the request to that path went out on; nullopt: it never did.
std::optional<std::uint64_t> channel_of(FakeTransport& transport, const std::string& path) {
  for (std::size_t n = 0;; ++n) {
    const auto request = transport.await_start(n);
    if (!request) return std::nullopt;
    if (request->url.path == path) return request->channel;
  }
}

}  // namespace

TEST_CASE("requests beside polls have channels of their own, and are answered beside polls") {
  RunningPoller running({node(1), node(2)}, config(kLong));
  REQUIRE(running.transport.await_start(1).has_value());
  Answers first;
  Answers second;
  running.poller().send(aside("/first"), first.note());
  running.poller().send(aside("/second"), second.note());
  const auto one = channel_of(running.transport, "/first");
  const auto two = channel_of(running.transport, "/second");
  REQUIRE((one.has_value() && two.has_value()));
  CHECK(std::set<std::uint64_t>{0, 1, *one, *two}.size() == 4);
  CHECK(running.transport.reply(*two, json(200, "{}")));
  CHECK(eventually([&] { return second.last == 200; }));
  CHECK(first.last == 0);
  // Polls go on meanwhile.
  CHECK(running.transport.reply(0, failed(ErrorCode::kConnect)));
  CHECK(running.notes.await_ended(0).has_value());
  CHECK(running.transport.reply(*one, json(204, "")));
  CHECK(eventually([&] { return first.last == 204; }));
  CHECK_FALSE(running.transport.doubled());
  CHECK(running.notes.ended() == 1);
}

TEST_CASE("a request beside polls survives a new plan, and its channel stays its own") {
  RunningPoller running({node(1)}, config(kLong));
  Answers told;
  running.poller().send(aside("/first"), told.note());
  const auto channel = channel_of(running.transport, "/first");
  REQUIRE(channel.has_value());
  running.poller().replace(plan({node(1), node(2), node(3)}, 2));
  REQUIRE(running.transport.await_start(4).has_value());
  CHECK(running.transport.cancelled() == std::vector<std::uint64_t>{0});
  CHECK(running.transport.reply(*channel, json(200, "{}")));
  CHECK(eventually([&] { return told.last == 200; }));
  Answers later;
  running.poller().send(aside("/later"), later.note());
  CHECK(channel_of(running.transport, "/later") != channel);
  CHECK_FALSE(running.transport.doubled());
}

TEST_CASE("what an answer beside polls asks for next goes out, too") {
  RunningPoller running({}, config(kLong));
  Answers last;
  running.poller().send(aside("/first"),
                        [&](const Answer&) { running.poller().send(aside("/next"), last.note()); });
  const auto first = channel_of(running.transport, "/first");
  REQUIRE(first.has_value());
  CHECK(running.transport.reply(*first, json(200, "{}")));
  const auto next = channel_of(running.transport, "/next");
  REQUIRE(next.has_value());
  CHECK(running.transport.reply(*next, json(200, "{}")));
  CHECK(eventually([&] { return last.last == 200; }));
}

TEST_CASE("no answer beside polls comes after the end of the loop") {
  Answers told;
  {
    RunningPoller running({}, config(kLong));
    running.poller().send(aside("/under-way"), told.note());
    const auto channel = channel_of(running.transport, "/under-way");
    REQUIRE(channel.has_value());
    running.stop();
    CHECK(running.transport.reply(*channel, json(200, "{}")));
    running.poller().send(aside("/after"), told.note());
    CHECK(running.transport.started() == 1);
  }
  CHECK(told.last == 0);
}

TEST_CASE("many threads may ask beside polls at once") {
  RunningPoller running({node(1)}, config(Milliseconds{1}));
  constexpr int kThreads = 4;
  constexpr int kEach = 25;
  std::atomic<int> told{0};
  {
    std::vector<std::jthread> threads;
    threads.reserve(kThreads);
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&] {
        for (int n = 0; n < kEach; ++n) {
          running.poller().send(aside("/aside"), [&](const Answer&) { ++told; });
          running.poller().wake_up();
        }
      });
    }
  }
  std::set<std::uint64_t> channels;
  for (std::size_t n = 0; channels.size() < kThreads * kEach; ++n) {
    const auto request = running.transport.await_start(n);
    REQUIRE(request.has_value());
    if (request->url.path == "/aside") {
      channels.insert(request->channel);
      CHECK(running.transport.reply(request->channel, json(200, "{}")));
    } else {
      (void)running.transport.reply(request->channel, failed(ErrorCode::kConnect));
    }
  }
  CHECK(eventually([&] { return told == kThreads * kEach; }));
}

}  // namespace bao_exporter
