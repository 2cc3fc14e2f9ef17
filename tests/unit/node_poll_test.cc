#include "bao_exporter/node_poll.h"

#include <string>
#include <vector>

#include "catch.h"
#include "support/answers.h"

namespace bao_exporter {

namespace {

using namespace test;  // NOLINT(google-build-using-namespace): the answers of this test

std::string word(PollQuestion question) {
  switch (question) {
    case PollQuestion::kHealth:
      return "health";
    case PollQuestion::kMetrics:
      return "metrics";
    case PollQuestion::kLeader:
      return "leader";
  }
  return "?";
}

struct Run {
  std::string questions;
  PollAnswers answers;
  std::size_t unused = 0;  // answers that nobody asked for
};

// Plays the answers to one poll.
Run play(bool has_api, bool same_origin, const std::vector<Answer>& answers) {
  NodePoll poll(has_api, same_origin);
  Run run;
  std::optional<PollQuestion> question = poll.start();
  std::size_t used = 0;
  while (question) {
    run.questions += (run.questions.empty() ? "" : " ") + word(*question);
    REQUIRE(used < answers.size());
    question = poll.step(answers[used++]);
  }
  run.unused = answers.size() - used;
  run.answers = poll.take_answers();
  return run;
}

const Answer kBody = exposition("a 1\n");

}  // namespace

TEST_CASE("a node without api_url is asked for metrics alone") {
  for (const bool same_origin : {false, true}) {
    for (const Answer& answer : {kBody, failed(ErrorCode::kConnect), json(503, kVaultSealed)}) {
      const Run run = play(false, same_origin, {answer});
      CHECK(run.questions == "metrics");
      CHECK_FALSE(run.answers.health.has_value());
      REQUIRE(run.answers.metrics.has_value());
      CHECK(run.answers.metrics->body == answer.body);
      CHECK_FALSE(run.answers.leader.has_value());
    }
  }
}

TEST_CASE("a node that is not active is asked for health, then metrics") {
  for (const Answer& health : {health_standby(), health_sealed(), health_uninitialized(),
                               plain(404, "this listener only serves the metrics endpoint"),
                               json(500, "{}"), plain(302, "")}) {
    for (const bool same_origin : {false, true}) {
      const Run run = play(true, same_origin, {health, kBody});
      CHECK(run.questions == "health metrics");
      REQUIRE(run.answers.health.has_value());
      CHECK(run.answers.health->status == health.status);
      REQUIRE(run.answers.metrics.has_value());
      CHECK_FALSE(run.answers.leader.has_value());
    }
  }
}

TEST_CASE("a node whose health cannot be reached is not asked again at the same address") {
  for (const ErrorCode code : {ErrorCode::kConnect, ErrorCode::kTimeout, ErrorCode::kTls,
                               ErrorCode::kDns, ErrorCode::kReset}) {
    const Run run = play(true, true, {failed(code)});
    CHECK(run.questions == "health");
    CHECK_FALSE(run.answers.metrics.has_value());
    REQUIRE(run.answers.health.has_value());
    CHECK(run.answers.health->failure->code == code);
  }
}

TEST_CASE("metrics at another address are asked for even when health cannot be reached") {
  const Run run = play(true, false, {failed(ErrorCode::kConnect), kBody});
  CHECK(run.questions == "health metrics");
  CHECK(run.answers.metrics->body == kBody.body);
}

TEST_CASE("an active node is asked since when, also when its metrics failed") {
  for (const bool same_origin : {false, true}) {
    for (const Answer& metrics : {kBody, failed(ErrorCode::kTimeout), json(403, kDenied)}) {
      const Run run =
          play(true, same_origin, {health_active(), metrics, leader_self("2026-11-23T00:20:45Z")});
      CHECK(run.questions == "health metrics leader");
      REQUIRE(run.answers.leader.has_value());
      CHECK(run.answers.leader->status == 200);
    }
  }
}

TEST_CASE("a leader that fails ends the poll and loses nothing") {
  const Run run = play(true, true, {health_active(), kBody, failed(ErrorCode::kReset)});
  CHECK(run.questions == "health metrics leader");
  CHECK(run.answers.health->status == 200);
  CHECK(run.answers.metrics->body == kBody.body);
  CHECK(run.answers.leader->failure->code == ErrorCode::kReset);
}

TEST_CASE("in the profile active only a node whose health says active is asked for metrics") {
  const auto questions = [](bool has_api, bool same_origin, const std::vector<Answer>& answers) {
    NodePoll poll(has_api, same_origin, /*active_only=*/true);
    std::string asked = word(poll.start());
    for (const Answer& answer : answers) {
      const auto next = poll.step(answer);
      if (!next) break;
      asked += " " + word(*next);
    }
    return asked;
  };
  for (const bool same_origin : {false, true}) {
    for (const Answer& health : {health_standby(), health_sealed(), health_uninitialized(),
                                 failed(ErrorCode::kTimeout), json(500, "{}")}) {
      CHECK(questions(true, same_origin, {health}) == "health");
    }
    CHECK(questions(true, same_origin, {health_active(), kBody}) == "health metrics leader");
  }
  CHECK(questions(false, true, {kBody}) == "metrics");
}

TEST_CASE("every poll ends after at most three questions, whatever is answered") {
  const std::vector<Answer> kinds = {health_active(), health_standby(), failed(ErrorCode::kTimeout),
                                     json(503, kVaultSealed), plain(200, "")};
  for (const bool has_api : {false, true}) {
    for (const bool same_origin : {false, true}) {
      for (const Answer& first : kinds) {
        for (const Answer& second : kinds) {
          for (const Answer& third : kinds) {
            CHECK(play(has_api, same_origin, {first, second, third}).unused <= 2);
          }
        }
      }
    }
  }
}

}  // namespace bao_exporter
