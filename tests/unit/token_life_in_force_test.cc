// What becomes of a token that is in force: renewals, rejections, its end.
#include "catch.h"
#include "support/token_driver.h"

namespace bao_exporter {

using namespace test;  // NOLINT(google-build-using-namespace): the driver of this test

// --- the life of a login's token ---

TEST_CASE("token life: a login's token is renewed at two thirds, up to a tenth earlier") {
  for (const double dice : {0.0, 0.999}) {
    TokenDriver token(of_login());
    token.dice = dice;
    token.start();
    token.log_in(grant(seconds(30)));
    const Milliseconds wait = token.pass_to_wake();
    CHECK(token.asks(TokenTask::kRenew));
    CHECK(wait <= seconds(20));
    CHECK(wait >= seconds(18));
  }
}

TEST_CASE("token life: a renewal moves the end, and is told") {
  TokenDriver token = with_login(grant(seconds(30)));
  token.pass(seconds(20));
  const WallTime end = token.wall_in(seconds(30));
  token.answer(grant(seconds(30)));
  CHECK(token.life.status().expiry == end);
  CHECK(token.detail_of(Kind::kRenewed) == "30 s");
  CHECK(token.pass_to_wake() == seconds(20));
  CHECK(token.asks(TokenTask::kRenew));
}

TEST_CASE("token life: a renewal that gives less than the login gave is followed by a login") {
  TokenDriver token = with_login(grant(seconds(20)));
  token.pass(seconds(14));
  token.answer(grant(seconds(18)));
  CHECK(token.asks(TokenTask::kLogIn));
  CHECK(token.in_force() == 1);
  token.log_in(grant(seconds(20)));
  CHECK(token.in_force() == 2);
  CHECK_FALSE(token.life.needs(1));
}

TEST_CASE("token life: a denied renewal is followed by a login at once") {
  for (const ErrorCode code : {ErrorCode::kForbidden, ErrorCode::kTokenRejected}) {
    TokenDriver token = with_login(grant(seconds(30)));
    token.pass(seconds(20));
    token.answer(error(code));
    CHECK(token.asks(TokenTask::kLogIn));
    CHECK(token.count(Kind::kRenewalDenied) == 1);
  }
}

TEST_CASE("token life: renewals that nobody answers end in a login before the token ends") {
  TokenDriver token = with_login(grant(seconds(100)));
  token.pass(seconds(67));
  while (token.asks(TokenTask::kRenew)) {
    token.answer(error(ErrorCode::kTimeout));
    token.pass_to_wake();
  }
  CHECK(token.asks(TokenTask::kLogIn));
  CHECK(token.since_start == seconds(90));
  CHECK(token.count(Kind::kRenewalError) >= 4);
}

TEST_CASE("token life: a login does not wait for a renewal that hangs") {
  TokenDriver token = with_login(grant(seconds(100)));
  token.pass(seconds(67));
  const std::uint64_t renewal = token.under_way.value().id;
  token.pass(seconds(24));
  CHECK(token.asks(TokenTask::kLogIn));
  token.answer_late(renewal, grant(seconds(100)));
  CHECK(token.count(Kind::kRenewed) == 0);
}

TEST_CASE("token life: what cannot be renewed is logged in anew at two thirds") {
  TokenLifeOptions without = of_login();
  without.renew = false;
  for (const bool renewable : {false, true}) {
    TokenDriver token = with_login(grant(seconds(30), renewable), without);
    CHECK(token.pass_to_wake() == seconds(20));
    CHECK(token.asks(TokenTask::kLogIn));
  }
  TokenDriver token = with_login(grant(seconds(30), false));
  CHECK(token.pass_to_wake() == seconds(20));
  CHECK(token.asks(TokenTask::kLogIn));
}

TEST_CASE("token life: a login's token without an end is left alone") {
  TokenDriver token = with_login(grant(Milliseconds(0)));
  CHECK_FALSE(token.life.wake_at());
  CHECK_FALSE(token.life.status().expiry);
}

TEST_CASE("token life: past its end a token stays in force while logins fail") {
  TokenDriver token = with_login(grant(seconds(30), false));
  token.pass(seconds(20));
  token.answer(error(ErrorCode::kLoginFailed));
  token.pass(minutes(2));
  CHECK(token.in_force() == 1);
  CHECK(token.life.status().why.code == ErrorCode::kOk);
  CHECK(token.life.status().expiry < token.moment().wall);
}

// --- rejected by polls ---

TEST_CASE("token life: a rejected token is replaced by a login at once") {
  TokenDriver token = with_login(grant(hours(1)));
  token.pass(minutes(10));
  token.rejected(1);
  CHECK(token.asks(TokenTask::kLogIn));
  CHECK(token.in_force() == 1);
  CHECK(token.count(Kind::kRejected) == 1);
}

TEST_CASE(
    "token life: when fresh tokens are rejected, too, logins come 10 s, 1 min, 10 min apart") {
  TokenDriver token = with_login(grant(hours(8)));
  std::uint64_t generation = 1;
  for (const Milliseconds wait : {Milliseconds(seconds(10)), Milliseconds(minutes(1)),
                                  Milliseconds(minutes(10)), Milliseconds(minutes(10))}) {
    token.pass(seconds(3));
    token.rejected(generation);
    CHECK_FALSE(token.under_way);
    CHECK(token.pass_to_wake() == wait - seconds(3));
    token.log_in(grant(hours(8)));
    CHECK(token.in_force() == ++generation);
  }
  token.pass(minutes(16));
  token.rejected(generation);
  CHECK(token.asks(TokenTask::kLogIn));
}

TEST_CASE("token life: a rejection counts once, and only of the newest token") {
  TokenDriver token = with_login(grant(hours(1)));
  token.pass(minutes(1));
  token.rejected(1);
  token.log_in(grant(hours(1)));
  token.rejected(1);
  token.rejected(7);
  CHECK_FALSE(token.under_way);
  CHECK(token.count(Kind::kRejected) == 1);
}

TEST_CASE("token life: of a rejected file token only a note is made, once") {
  TokenDriver token = with_file(grant(Milliseconds(0)));
  token.rejected(1);
  token.rejected(1);
  CHECK(token.count(Kind::kRejected) == 1);
  CHECK_FALSE(token.under_way);
  CHECK_FALSE(token.life.wake_at());
  CHECK(token.in_force() == 1);
}

TEST_CASE("token life: a rejected token is not renewed while its login waits") {
  TokenDriver token = with_login(grant(seconds(12)));
  token.pass(seconds(1));
  token.rejected(1);
  CHECK(token.pass_to_wake() == seconds(9));
  CHECK(token.asks(TokenTask::kLogIn));
}

TEST_CASE("token life: a renewal of a rejected token does not put its login off") {
  TokenDriver token = with_login(grant(seconds(12)));
  token.pass(seconds(8));
  REQUIRE(token.asks(TokenTask::kRenew));
  token.rejected(1);
  token.answer(grant(seconds(12)));
  CHECK(token.pass_to_wake() == seconds(2));
  CHECK(token.asks(TokenTask::kLogIn));
}

TEST_CASE("token life: what is answered about a token that was replaced counts for nothing") {
  TokenDriver token = with_login(grant(seconds(100)));
  token.pass(seconds(67));
  while (token.asks(TokenTask::kRenew)) {
    token.answer(error(ErrorCode::kTimeout));
    token.pass_to_wake();
  }
  token.answer(grant(seconds(1000)));
  // The check waits for its next try; the older token's renewal goes meanwhile.
  while (!token.asks(TokenTask::kRenew)) {
    if (token.under_way) token.answer(error(ErrorCode::kTimeout));
    if (!token.under_way) token.pass_to_wake();
  }
  const std::uint64_t renewal = token.under_way->id;
  token.rejected(1);
  REQUIRE(token.in_force() == 2);
  const auto expiry = token.life.status().expiry;
  token.answer_late(renewal, grant(seconds(100)));
  CHECK(token.life.status().expiry == expiry);
  CHECK(token.count(Kind::kRenewed) == 0);
}

// --- the life of a file's token ---

TEST_CASE("token life: a file's renewable token is renewed at two thirds of what is left") {
  TokenDriver token = with_file(grant(hours(3)));
  CHECK(token.pass_to_wake() == hours(2));
  CHECK(token.asks(TokenTask::kRenew));
  token.answer(grant(hours(24)));
  CHECK(token.pass_to_wake() == hours(16));
}

TEST_CASE("token life: a file's token without an end, or with renewal off, is left alone") {
  TokenDriver token = with_file(grant(Milliseconds(0), false));
  CHECK_FALSE(token.life.wake_at());
  CHECK_FALSE(token.life.status().expiry);
  TokenLifeOptions off = of_file();
  off.renew = false;
  TokenDriver other = with_file(grant(hours(1)), off);
  CHECK_FALSE(other.life.wake_at());
  CHECK(other.life.status().expiry);
}

TEST_CASE("token life: of a file's token that nobody can renew it is said when it ends") {
  TokenDriver token = with_file(grant(hours(1), false));
  CHECK_FALSE(token.life.wake_at());
  CHECK(token.detail_of(Kind::kNotRenewable) == "ends 1970-02-11T17:00:00Z");
}

TEST_CASE("token life: a renewal that adds nothing is the last of a file's token") {
  TokenDriver token = with_file(grant(seconds(30)));
  token.pass(seconds(20));
  token.answer(grant(seconds(10)));
  CHECK_FALSE(token.life.wake_at());
  CHECK(token.count(Kind::kNotRenewable) == 1);
  CHECK(token.in_force() == 1);
}

TEST_CASE("token life: a denied renewal is the last of a file's token") {
  TokenDriver token = with_file(grant(seconds(30)));
  token.pass(seconds(20));
  token.answer(error(ErrorCode::kForbidden));
  CHECK_FALSE(token.life.wake_at());
  CHECK(token.count(Kind::kRenewalDenied) == 1);
  CHECK(token.count(Kind::kNotRenewable) == 1);
}

TEST_CASE("token life: a renewal that nobody answers is tried again, at once when asked for") {
  TokenDriver token = with_file(grant(hours(3)));
  token.pass(hours(2));
  token.answer(error(ErrorCode::kTimeout));
  CHECK_FALSE(token.under_way);
  token.try_now();
  CHECK(token.asks(TokenTask::kRenew));
}

TEST_CASE("token life: a token that may not look itself up tells its life by a renewal") {
  TokenDriver token(of_file());
  token.read(1);
  token.answer(error(ErrorCode::kForbidden));
  token.answer(error(ErrorCode::kForbidden));
  CHECK(token.asks(TokenTask::kRenew));
  token.answer(grant(hours(3)));
  CHECK(token.life.status().expiry == token.wall_in(hours(3)));
  CHECK(token.pass_to_wake() == hours(2));
  CHECK(token.count(Kind::kLifeUnknown) == 0);
}

TEST_CASE("token life: a token that may neither look itself up nor renew has an unknown life") {
  TokenDriver token(of_file());
  token.read(1);
  token.answer(error(ErrorCode::kForbidden));
  token.answer(error(ErrorCode::kForbidden));
  token.answer(error(ErrorCode::kForbidden));
  CHECK(token.count(Kind::kLifeUnknown) == 1);
  CHECK(token.count(Kind::kRenewalDenied) == 0);
  CHECK_FALSE(token.life.wake_at());
}

TEST_CASE("token life: a look-up that a node does not understand asks the others, three rounds") {
  TokenDriver token(of_file(2));
  token.read(1);
  token.answer(metrics_only());
  for (int i = 0; i < 6; ++i) {
    if (!token.under_way) token.pass_to_wake();
    CHECK(token.asks(TokenTask::kLookUp));
    token.answer(error(ErrorCode::kTokenRejected));
  }
  CHECK_FALSE(token.life.wake_at());
  CHECK(token.in_force() == 1);
}

TEST_CASE("token life: a new file replaces the look-up and the renewal of the one before") {
  TokenDriver token = with_file(grant(hours(3)));
  token.pass(hours(2));
  REQUIRE(token.asks(TokenTask::kRenew));
  const std::uint64_t renewal = token.under_way->id;
  token.read(2);
  CHECK(token.asks(TokenTask::kCheck));
  token.answer_late(renewal, grant(hours(9)));
  CHECK(token.count(Kind::kRenewed) == 0);
  // Refused: the one in force still has to be renewed.
  token.answer(of_root());
  CHECK(token.asks(TokenTask::kRenew));
  CHECK(token.under_way->generation == 1);
}

TEST_CASE("token life: a life longer than any clock has no end") {
  TokenDriver token = with_file(grant(hours(24) * 365 * 1000));
  CHECK_FALSE(token.life.status().expiry);
  CHECK_FALSE(token.life.wake_at());
}

}  // namespace bao_exporter
