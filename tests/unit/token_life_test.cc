#include "bao_exporter/token_life.h"

#include "catch.h"
#include "support/token_driver.h"

namespace bao_exporter {

namespace {

using namespace test;  // NOLINT(google-build-using-namespace): the driver of this test

TokenLifeOptions refusing(TokenLifeOptions options) {
  options.refuse_excess = true;
  return options;
}

}  // namespace

// --- at the start ---

TEST_CASE("token life: nothing is decided before the first token") {
  TokenDriver token(of_login());
  CHECK_FALSE(token.life.status().decided);
  token.start();
  CHECK(token.asks(TokenTask::kLogIn));
  CHECK(token.under_way->generation == 1);
  token.answer(grant(seconds(20)));
  CHECK_FALSE(token.life.status().decided);
  CHECK(token.asks(TokenTask::kCheck));
  CHECK(token.life.needs(1));
  token.answer(metrics_only());
  CHECK(token.life.status().decided);
  CHECK(token.in_force() == 1);
  CHECK(token.life.status().excess == 0);
}

TEST_CASE("token life: a file's token is checked, comes into force and is looked up") {
  TokenDriver token(of_file());
  token.start();
  CHECK_FALSE(token.under_way);
  token.read(1);
  CHECK(token.asks(TokenTask::kCheck));
  token.answer(metrics_only());
  CHECK(token.in_force() == 1);
  CHECK(token.asks(TokenTask::kLookUp));
  const WallTime end = token.wall_in(hours(24));
  token.answer(grant(hours(24)));
  CHECK(token.life.status().expiry == end);
}

TEST_CASE("token life: where nobody can be asked a file's token is in force at once") {
  TokenLifeOptions options = of_file();
  options.can_ask = false;
  TokenDriver token(options);
  token.read(1);
  CHECK(token.in_force() == 1);
  CHECK_FALSE(token.life.status().excess);
  CHECK_FALSE(token.under_way);
  CHECK_FALSE(token.life.wake_at());
  CHECK(token.count(Kind::kExcessUnknown) == 0);
}

TEST_CASE("token life: refusing excess where nobody can be asked is said to be without effect") {
  TokenLifeOptions options = refusing(of_file());
  options.can_ask = false;
  TokenDriver token(options);
  token.read(1);
  CHECK(token.in_force() == 1);
  CHECK(token.count(Kind::kExcessUnknown) == 1);
}

TEST_CASE("token life: a generation that was read before is nothing new") {
  TokenDriver token = with_file(grant(hours(1)));
  token.read(1);
  CHECK_FALSE(token.under_way);
}

// --- logging in ---

TEST_CASE("token life: a denied login is tried again after 10 s, 1 min, then each 10 min") {
  TokenDriver token(of_login(3));
  token.dice = 0.5;
  token.start();
  for (const Milliseconds wait : {Milliseconds(seconds(10)), Milliseconds(minutes(1)),
                                  Milliseconds(minutes(10)), Milliseconds(minutes(10))}) {
    CHECK(token.asks(TokenTask::kLogIn));
    CHECK(token.under_way->attempt == 0);
    token.answer(error(ErrorCode::kLoginFailed));
    CHECK_FALSE(token.under_way);
    const Milliseconds waited = token.pass_to_wake();
    CHECK(waited >= wait);
    CHECK(waited <= wait + wait / 10);
  }
  CHECK(token.count(Kind::kLoginDenied) == 4);
}

TEST_CASE("token life: a denied login decides that there is no token, and says why") {
  TokenDriver token(of_login(3));
  token.start();
  token.answer(error(ErrorCode::kLoginFailed));
  CHECK(token.life.status().decided);
  CHECK(token.life.status().why.code == ErrorCode::kLoginFailed);
  CHECK(token.in_force() == 0);
}

TEST_CASE("token life: an unanswered login asks each node once, then ever later") {
  TokenDriver token(of_login(3));
  token.start();
  for (std::size_t attempt = 0; attempt < 3; ++attempt) {
    CHECK(token.under_way.value().attempt == attempt);
    CHECK_FALSE(token.life.status().decided);
    token.answer(error(ErrorCode::kTimeout));
  }
  CHECK(token.life.status().why.code == ErrorCode::kLoginFailed);
  CHECK(token.life.status().why.detail == "timeout: made by the test");
  for (const int wait : {1, 2, 4, 8, 16, 32, 60, 60}) {
    CHECK(token.pass_to_wake() == seconds(wait));
    token.answer(error(ErrorCode::kConnect));
  }
}

TEST_CASE("token life: polls do not wait for all nodes when the first one hangs") {
  TokenDriver token(of_login(3));
  token.start();
  token.pass(seconds(2));
  token.answer(error(ErrorCode::kTimeout));
  CHECK(token.life.status().decided);
}

TEST_CASE("token life: asked to try now, a login that waits is sent at once") {
  TokenDriver token(of_login());
  token.start();
  token.answer(error(ErrorCode::kLoginFailed));
  token.pass(seconds(1));
  token.try_now();
  CHECK(token.asks(TokenTask::kLogIn));
  // The next denial waits as if nobody had asked: five of them lock an AppRole.
  token.answer(error(ErrorCode::kLoginFailed));
  CHECK(token.pass_to_wake() == minutes(1));
}

TEST_CASE("token life: asked to try now, a good token is left alone") {
  TokenDriver token = with_login(grant(minutes(10)));
  token.try_now();
  CHECK_FALSE(token.under_way);
}

TEST_CASE("token life: asked to try now, no second login is sent beside the one under way") {
  TokenDriver token(of_login());
  token.start();
  token.try_now();
  CHECK(token.orders == 1);
}

TEST_CASE("token life: asked to try now during a login that fails, the next one is sent at once") {
  TokenDriver token(of_login(3));
  token.start();
  for (int i = 0; i < 3; ++i) token.answer(error(ErrorCode::kTimeout));
  token.pass_to_wake();
  REQUIRE(token.asks(TokenTask::kLogIn));
  token.try_now();
  CHECK(token.orders == 4);
  token.answer(error(ErrorCode::kTimeout));
  CHECK(token.asks(TokenTask::kLogIn));
  CHECK(token.orders == 5);
  // From here on as at the start: the third of them waits.
  token.answer(error(ErrorCode::kTimeout));
  REQUIRE(token.asks(TokenTask::kLogIn));
  token.answer(error(ErrorCode::kTimeout));
  CHECK_FALSE(token.under_way);
  CHECK(token.pass_to_wake() == seconds(1));
}

TEST_CASE("token life: asked to try now during a login that is denied, the next one waits") {
  TokenDriver token(of_login(3));
  token.start();
  token.try_now();
  token.answer(error(ErrorCode::kLoginFailed));
  CHECK_FALSE(token.under_way);
  CHECK(token.pass_to_wake() == seconds(10));
}

// --- the check ---

TEST_CASE("token life: an unanswered check asks the next node at once") {
  TokenDriver token(of_file(2));
  token.read(1);
  token.answer(error(ErrorCode::kConnect));
  CHECK(token.under_way.value().attempt == 1);
  token.answer(error(ErrorCode::kConnect));
  CHECK_FALSE(token.under_way);
  CHECK(token.pass_to_wake() == seconds(1));
}

TEST_CASE("token life: unchecked, a first token comes into force after a second") {
  TokenDriver token(of_file());
  token.read(1);
  token.pass(Milliseconds(999));
  CHECK(token.in_force() == 0);
  token.pass(Milliseconds(1));
  CHECK(token.in_force() == 1);
  CHECK_FALSE(token.life.status().excess);
  // The check is still under way, and counts when it comes.
  REQUIRE(token.asks(TokenTask::kCheck));
  token.answer(with_excess());
  CHECK(token.life.status().excess == 2);  // read, update
  CHECK(token.in_force() == 1);
  CHECK(token.count(Kind::kInForce) == 1);
}

TEST_CASE("token life: a token in force unchecked is refused when it turns out to be root") {
  TokenDriver token(of_file());
  token.read(1);
  token.pass(seconds(1));
  REQUIRE(token.in_force() == 1);
  token.answer(of_root());
  CHECK(token.in_force() == 0);
  CHECK(token.life.status().why.code == ErrorCode::kTokenExcess);
  CHECK_FALSE(token.life.needs(1));
}

TEST_CASE("token life: with refusal on, a token that nobody checked stays out of force") {
  TokenDriver token(refusing(of_file()));
  token.read(1);
  token.answer(error(ErrorCode::kSealed));
  token.pass(hours(1));
  CHECK(token.in_force() == 0);
  CHECK(token.life.status().decided);
  CHECK(token.life.status().why.code == ErrorCode::kSealed);
  CHECK(token.life.needs(1));
}

TEST_CASE("token life: a token that may not ask what it may do comes into force, and it is said") {
  TokenDriver token(refusing(of_file()));
  token.read(1);
  token.answer(error(ErrorCode::kForbidden));
  CHECK(token.in_force() == 1);
  CHECK_FALSE(token.life.status().excess);
  CHECK(token.count(Kind::kExcessUnknown) == 1);
  CHECK(token.asks(TokenTask::kLookUp));
}

TEST_CASE("token life: excess is told, and the token used") {
  TokenDriver token(of_file());
  token.read(1);
  token.answer(with_excess());
  CHECK(token.in_force() == 1);
  CHECK(token.life.status().excess == 2);  // read, update
  CHECK(token.detail_of(Kind::kExcess) == "sys/mounts: read, update");
}

TEST_CASE("token life: with refusal on, a token with excess is not used") {
  TokenDriver token(refusing(of_file()));
  token.read(1);
  token.answer(with_excess());
  CHECK(token.in_force() == 0);
  CHECK(token.life.status().why.code == ErrorCode::kTokenExcess);
  CHECK(token.life.status().why.detail == "sys/mounts: read, update");
  CHECK(token.life.status().excess == 2);  // read, update
  CHECK(token.count(Kind::kRefused) == 1);
  CHECK_FALSE(token.life.wake_at());
}

TEST_CASE("token life: root is refused, but in a demo") {
  for (const bool demo : {false, true}) {
    TokenLifeOptions options = of_file();
    options.accept_root = demo;
    TokenDriver token(options);
    token.read(1);
    token.answer(of_root());
    CHECK(token.in_force() == (demo ? 1U : 0U));
    CHECK(token.life.status().excess == 5);
  }
}

TEST_CASE("token life: a refused token leaves the good one before it in force") {
  TokenDriver token = with_file(grant(hours(1)));
  token.read(2);
  CHECK(token.in_force() == 1);
  token.answer(of_root());
  CHECK(token.in_force() == 1);
  CHECK(token.life.status().why.code == ErrorCode::kOk);
  CHECK(token.life.status().excess == 0);
  CHECK_FALSE(token.life.needs(2));
}

TEST_CASE("token life: a refused login is tried again ten minutes later, or when asked for") {
  TokenDriver token(of_login());
  token.start();
  token.answer(grant(hours(8)));
  token.answer(of_root());
  CHECK(token.pass_to_wake() == minutes(10));
  CHECK(token.under_way.value().generation == 2);
  token.answer(grant(hours(8)));
  token.answer(of_root());
  token.try_now();
  CHECK(token.asks(TokenTask::kLogIn));
}

TEST_CASE("token life: a newer token replaces the check of an older candidate") {
  TokenDriver token(of_file());
  token.read(1);
  const std::uint64_t older = token.under_way.value().id;
  token.read(2);
  CHECK(token.under_way->generation == 2);
  CHECK_FALSE(token.life.needs(1));
  token.answer_late(older, of_root());
  CHECK(token.count(Kind::kRefused) == 0);
  token.answer(metrics_only());
  CHECK(token.in_force() == 2);
}

TEST_CASE("token life: while a new token is not checked the one before stays in force") {
  TokenDriver token = with_file(grant(hours(1)));
  token.read(2);
  token.answer(error(ErrorCode::kConnect));
  token.pass(seconds(30));
  CHECK(token.in_force() == 1);
  CHECK(token.life.needs(1));
  CHECK(token.life.needs(2));
}

TEST_CASE("token life: an unchecked token does not wait behind one that polls reject") {
  TokenDriver token = with_file(grant(hours(1)));
  token.read(2);
  token.pass(seconds(5));
  CHECK(token.in_force() == 1);
  token.rejected(1);
  CHECK(token.in_force() == 2);
}

TEST_CASE("token life: an unchecked token does not wait behind one that has ended") {
  TokenDriver token = with_file(grant(seconds(60), false));
  token.read(2);
  token.pass(seconds(59));
  CHECK(token.in_force() == 1);
  token.pass(seconds(1));
  CHECK(token.in_force() == 2);
}

TEST_CASE("token life: a token that three rounds of nodes do not know is left to the polls") {
  TokenDriver token = with_file(grant(hours(1)), of_file(2));
  token.read(2);
  for (int i = 0; i < 6; ++i) {
    CHECK(token.in_force() == 1);
    if (!token.under_way) token.pass_to_wake();
    token.answer(error(ErrorCode::kTokenRejected));
  }
  CHECK(token.in_force() == 2);
}

TEST_CASE(
    "token life: with refusal on, a login's token that no node knows is replaced by another") {
  TokenDriver token(refusing(of_login()));
  token.start();
  token.answer(grant(hours(8)));
  for (int i = 0; i < 3; ++i) {
    if (!token.under_way) token.pass_to_wake();
    token.answer(error(ErrorCode::kTokenRejected));
  }
  CHECK(token.life.status().why.code == ErrorCode::kTokenRejected);
  token.pass(seconds(11));
  token.answer(error(ErrorCode::kTokenRejected));
  CHECK(token.asks(TokenTask::kLogIn));
}

}  // namespace bao_exporter
