#include "bao_exporter/poller.h"

#include <algorithm>
#include <atomic>
#include <set>
#include <string>
#include <vector>

#include "catch.h"
#include "support/answers.h"
#include "support/folder.h"
#include "support/quiet.h"
#include "support/running_poller.h"

namespace bao_exporter {

namespace {

using namespace test;  // NOLINT(google-build-using-namespace): the helpers of this test

constexpr std::string_view kNoForwarding = "X-Vault-No-Request-Forwarding: true";

bool has_header(const Request& request, std::string_view header) {
  return std::find(request.headers.begin(), request.headers.end(), header) != request.headers.end();
}

}  // namespace

TEST_CASE("every target is asked at once, and one that is silent delays nobody") {
  RunningPoller running({node(1), node(2), node(3)}, config(kLong));
  std::set<std::uint64_t> channels;
  for (std::size_t n = 0; n < 3; ++n) {
    const auto request = running.transport.await_start(n);
    REQUIRE(request.has_value());
    channels.insert(request->channel);
    CHECK(request->url.path == "/v1/sys/health");
  }
  CHECK(channels == std::set<std::uint64_t>{0, 1, 2});
  CHECK(running.notes.started() == std::vector<std::vector<std::size_t>>{{0, 1, 2}});
  // 0 stays silent; 2 goes through to its end.
  REQUIRE(running.transport.reply(2, health_standby()));
  REQUIRE(running.transport.await_start(3).has_value());
  REQUIRE(running.transport.reply(2, exposition("a 1\n")));
  const auto result = running.notes.await_ended(0);
  REQUIRE(result.has_value());
  CHECK(result->target == 2);
  CHECK_FALSE(result->second_look);
  CHECK(result->answers.metrics->body == "a 1\n");
  CHECK(running.notes.ended() == 1);
}

TEST_CASE("the requests of one poll share one deadline: its start and the timeout") {
  RunningPoller running({node(1)}, config(kLong, Milliseconds{1'234}));
  const auto health = running.transport.await_start(0);
  REQUIRE(health.has_value());
  REQUIRE(running.transport.reply(0, health_active()));
  const auto metrics = running.transport.await_start(1);
  REQUIRE(metrics.has_value());
  REQUIRE(running.transport.reply(0, exposition("a 1\n")));
  const auto leader = running.transport.await_start(2);
  REQUIRE(leader.has_value());
  REQUIRE(running.transport.reply(0, leader_self("2026-11-23T00:20:45Z")));
  const auto result = running.notes.await_ended(0);
  REQUIRE(result.has_value());
  CHECK(health->deadline == result->started + Milliseconds(1'234));
  CHECK(metrics->deadline == health->deadline);
  CHECK(leader->deadline == health->deadline);
  CHECK(result->ended >= result->started);
  CHECK(result->answers.leader.has_value());
}

TEST_CASE("each question goes to its own path, with its own limit") {
  PollTarget both = target("https://10.0.0.1:8200", "https://10.0.0.2:9000/custom/metrics");
  both.server_name = "openbao.example";
  RunningPoller running({both}, config(kLong), 12'345'678);
  const auto health = running.transport.await_start(0);
  REQUIRE(health.has_value());
  CHECK(health->url.authority() == "10.0.0.1:8200");
  CHECK(health->url.path == "/v1/sys/health");
  CHECK(health->server_name == "openbao.example");
  CHECK(health->trust == both.trust);
  CHECK(health->body_bytes_max >= 4'096);
  CHECK(health->body_bytes_max <= 65'536);
  REQUIRE(running.transport.reply(0, health_active()));
  const auto metrics = running.transport.await_start(1);
  REQUIRE(metrics.has_value());
  CHECK(metrics->url.authority() == "10.0.0.2:9000");
  CHECK(metrics->url.path == "/custom/metrics?format=prometheus");
  CHECK(metrics->server_name == "openbao.example");
  CHECK(metrics->body_bytes_max == 12'345'678);
  REQUIRE(running.transport.reply(0, exposition("a 1\n")));
  const auto leader = running.transport.await_start(2);
  REQUIRE(leader.has_value());
  CHECK(leader->url.authority() == "10.0.0.1:8200");
  CHECK(leader->url.path == "/v1/sys/leader");
}

TEST_CASE("the token goes with metrics requests only, and so does the no-forward header") {
  const Folder folder;
  auto secret = Secret::load(folder.write("token", "abcdefghijklmnopqrstuvwxyz"), {});
  REQUIRE(secret.ok());
  Slot<TokenInForce> slot;
  slot.set(in_force(secret.value(), 1));
  PollTarget with_token = node(1);
  with_token.token = {std::shared_ptr<void>(), &slot};
  RunningPoller running({with_token}, config(kLong));
  const auto health = running.transport.await_start(0);
  REQUIRE(running.transport.reply(0, health_active()));
  const auto metrics = running.transport.await_start(1);
  REQUIRE(running.transport.reply(0, exposition("a 1\n")));
  const auto leader = running.transport.await_start(2);
  REQUIRE((health.has_value() && metrics.has_value() && leader.has_value()));
  CHECK(health->bearer == nullptr);
  CHECK(metrics->bearer == secret.value());
  CHECK(leader->bearer == nullptr);
  CHECK_FALSE(has_header(*health, kNoForwarding));
  CHECK(has_header(*metrics, kNoForwarding));
  CHECK_FALSE(has_header(*leader, kNoForwarding));
  for (const Request& request : {*health, *metrics, *leader}) {
    for (const std::string& header : request.headers) {
      CHECK(header.find("abcdefghij") == std::string::npos);
      CHECK(header.find("Authorization") == std::string::npos);
    }
  }
}

TEST_CASE("a target without token sends none, and still forbids forwarding") {
  RunningPoller running({target("", "https://10.0.0.1:8202/v1/sys/metrics")}, config(kLong));
  const auto metrics = running.transport.await_start(0);
  REQUIRE(metrics.has_value());
  CHECK(metrics->url.path == "/v1/sys/metrics?format=prometheus");
  CHECK(metrics->bearer == nullptr);
  CHECK(has_header(*metrics, kNoForwarding));
}

TEST_CASE("a token that was replaced is taken at the next metrics request") {
  const Folder folder;
  auto first = Secret::load(folder.write("token", "first-token-first-token"), {});
  auto second = Secret::load(folder.write("token", "second-token-second-token"), {});
  REQUIRE((first.ok() && second.ok()));
  Slot<TokenInForce> slot;
  slot.set(in_force(first.value(), 1));
  PollTarget what = target("", "https://10.0.0.1:8202/v1/sys/metrics");
  what.token = {std::shared_ptr<void>(), &slot};
  RunningPoller running({what}, config(kLong));
  CHECK(running.transport.await_start(0)->bearer == first.value());
  REQUIRE(running.transport.reply(0, exposition("a 1\n")));
  REQUIRE(running.notes.await_ended(0).has_value());
  slot.set(in_force(second.value(), 2));
  running.poller().ask_again(1, {0});
  const auto request = running.transport.await_start(1);
  REQUIRE(request.has_value());
  CHECK(request->bearer == second.value());
}

TEST_CASE("a node that cannot be reached is asked one question") {
  RunningPoller running({node(1)}, config(kLong));
  REQUIRE(running.transport.await_start(0).has_value());
  REQUIRE(running.transport.reply(0, failed(ErrorCode::kConnect)));
  const auto result = running.notes.await_ended(0);
  REQUIRE(result.has_value());
  CHECK_FALSE(result->answers.metrics.has_value());
  CHECK(running.transport.started() == 1);
}

TEST_CASE("the same host on another port, or another scheme, is another origin") {
  for (const char* metrics : {"https://10.0.0.1:8202/v1/sys/metrics", "http://10.0.0.1:8200/m"}) {
    RunningPoller running({target("https://10.0.0.1:8200", metrics)}, config(kLong));
    REQUIRE(running.transport.await_start(0).has_value());
    REQUIRE(running.transport.reply(0, failed(ErrorCode::kConnect)));
    CHECK(running.transport.await_start(1).has_value());
  }
}

TEST_CASE("a second look starts at once and is marked, the next round is not") {
  RunningPoller running({node(1), node(2)}, config(kLong));
  REQUIRE(running.transport.await_start(1).has_value());
  REQUIRE(running.transport.reply(1, failed(ErrorCode::kConnect)));
  REQUIRE(running.notes.await_ended(0).has_value());
  running.poller().ask_again(1, {1});
  REQUIRE(running.transport.await_start(2).has_value());
  REQUIRE(running.transport.reply(1, failed(ErrorCode::kConnect)));
  const auto second = running.notes.await_ended(1);
  REQUIRE(second.has_value());
  CHECK(second->target == 1);
  CHECK(second->second_look);
  CHECK(running.notes.started() == std::vector<std::vector<std::size_t>>{{0, 1}, {1}});
}

TEST_CASE("a second look is not started while a poll of that node is under way") {
  RunningPoller running({node(1), node(2)}, config(kLong));
  REQUIRE(running.transport.await_start(1).has_value());
  running.poller().ask_again(1, {0, 0, 1, 1});
  REQUIRE(running.transport.await_idle());
  CHECK(running.transport.started() == 2);
  REQUIRE(running.transport.reply(0, failed(ErrorCode::kConnect)));
  const auto result = running.notes.await_ended(0);
  REQUIRE(result.has_value());
  CHECK_FALSE(result->second_look);
  // Free again, and asked for several times at once: one poll.
  running.poller().ask_again(1, {0, 0, 0});
  REQUIRE(running.transport.await_start(2).has_value());
  REQUIRE(running.transport.await_idle());
  CHECK(running.transport.started() == 3);
  CHECK_FALSE(running.transport.doubled());
  CHECK(running.notes.started() == std::vector<std::vector<std::size_t>>{{0, 1}, {0}});
}

TEST_CASE("rounds keep their rhythm, and a node whose poll is under way misses its turn") {
  const Milliseconds interval{20};
  RunningPoller running({node(1), node(2)}, config(interval));
  REQUIRE(running.transport.await_start(1).has_value());
  std::vector<TimePoint> starts;
  for (std::size_t n = 0; n < 5; ++n) {
    REQUIRE(running.transport.reply(1, failed(ErrorCode::kConnect)));
    const auto result = running.notes.await_ended(n);
    REQUIRE(result.has_value());
    CHECK(result->target == 1);
    CHECK_FALSE(result->second_look);
    starts.push_back(result->started);
    REQUIRE(running.transport.await_start(2 + n).has_value());
  }
  for (std::size_t n = 1; n < starts.size(); ++n) {
    // Never early; late only as far as this machine was.
    CHECK(starts[n] - starts[0] >= interval * n);
  }
  CHECK_FALSE(running.transport.doubled());
  for (std::size_t round = 1; round < running.notes.started().size(); ++round) {
    CHECK(running.notes.started()[round] == std::vector<std::size_t>{1});
  }
}

TEST_CASE("the loop sleeps until the next round, but never longer than it may be silent") {
  const Milliseconds interval = GENERATE(Milliseconds{1'500}, Milliseconds{60'000});
  RunningPoller running({node(1)}, config(interval));
  REQUIRE(running.transport.await_start(0).has_value());
  REQUIRE(running.transport.reply(0, failed(ErrorCode::kConnect)));
  const auto result = running.notes.await_ended(0);
  REQUIRE(result.has_value());
  REQUIRE(eventually([&] { return running.transport.last_until() > result->started; }));
  const auto ahead = running.transport.last_until() - result->started;
  CHECK(ahead <= interval);
  CHECK(running.transport.last_until() <= Clock::now() + Heartbeat::kLongestWait);
  CHECK(ahead > Milliseconds{500});
}

TEST_CASE("stop cancels what is under way, and no poll ends after it") {
  RunningPoller running({node(1), node(2), node(3)}, config(kLong));
  REQUIRE(running.transport.await_start(2).has_value());
  REQUIRE(running.transport.reply(1, failed(ErrorCode::kConnect)));
  REQUIRE(running.notes.await_ended(0).has_value());
  running.stop();
  CHECK(running.transport.cancelled() == std::vector<std::uint64_t>{0, 2});
  CHECK(running.notes.ended() == 1);
}

TEST_CASE("a poller without targets waits and stops") {
  RunningPoller running({}, config(Milliseconds{20}));
  REQUIRE(running.transport.await_idle(3));
  running.stop();
  CHECK(running.transport.started() == 0);
  CHECK(running.notes.started().empty());
}

TEST_CASE("a poller without targets gives signs of life and sends what others ask for") {
  RunningPoller running({}, config(Milliseconds{20}));
  for (int sign = 0; sign < 3; ++sign) {
    const TimePoint before = Clock::now();
    REQUIRE(eventually([&] { return running.heartbeat().last() >= before; }));
  }
  const auto answered = std::make_shared<std::atomic<bool>>(false);
  running.poller().send({}, [answered](const Answer&) { *answered = true; });
  const auto request = running.transport.await_start(0);
  REQUIRE(request.has_value());
  REQUIRE(running.transport.reply(request->channel, failed(ErrorCode::kConnect)));
  CHECK(eventually([&] { return answered->load(); }));
  CHECK(running.notes.started().empty());
}

TEST_CASE("a poller that loses its last target gives signs of life all the same") {
  RunningPoller running({node(1)}, config(kLong));
  REQUIRE(running.transport.await_start(0).has_value());
  running.poller().replace({{}, config(Milliseconds{20}), 1 << 20, 2});
  REQUIRE(eventually([&] { return running.transport.cancelled().size() == 1; }));
  const TimePoint before = Clock::now();
  CHECK(eventually([&] { return running.heartbeat().last() >= before; }));
}

}  // namespace bao_exporter
