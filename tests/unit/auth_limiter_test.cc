#include "bao_exporter/auth_limiter.h"

#include <string>
#include <thread>

#include "catch.h"

namespace bao_exporter {

namespace {

using std::chrono::seconds;

const TimePoint kStart = TimePoint() + std::chrono::hours(1);

PeerAddress address(const std::string& text) {
  const auto parsed = parse_address(text);
  REQUIRE(parsed.has_value());
  return *parsed;
}

bool waits(AuthLimiter& limiter, const std::string& peer, TimePoint now) {
  const Milliseconds delay = limiter.note_failure(address(peer), now);
  CHECK((delay == Milliseconds(0) || delay == AuthLimiter::kDelay));
  return delay > Milliseconds(0);
}

std::string numbered(int i) {
  return "10." + std::to_string(i / 65536) + "." + std::to_string(i / 256 % 256) + "." +
         std::to_string(i % 256);
}

}  // namespace

TEST_CASE("a hundred failures at once are answered at once, then ten a second") {
  AuthLimiter limiter;
  for (int i = 0; i < AuthLimiter::kAtOnce; ++i) CHECK_FALSE(waits(limiter, "192.0.2.1", kStart));
  for (int i = 0; i < 1'000; ++i) CHECK(waits(limiter, "192.0.2.1", kStart));
  CHECK(waits(limiter, "192.0.2.1", kStart + AuthLimiter::kEvery - Milliseconds(1)));
  CHECK_FALSE(waits(limiter, "192.0.2.1", kStart + AuthLimiter::kEvery));
  CHECK(waits(limiter, "192.0.2.1", kStart + AuthLimiter::kEvery));
  CHECK_FALSE(waits(limiter, "192.0.2.1", kStart + 3 * AuthLimiter::kEvery));
  CHECK_FALSE(waits(limiter, "192.0.2.1", kStart + 3 * AuthLimiter::kEvery));
  CHECK(waits(limiter, "192.0.2.1", kStart + 3 * AuthLimiter::kEvery));
}

TEST_CASE("an address that was quiet for as long as it owes begins anew, and saves nothing up") {
  AuthLimiter limiter;
  for (int i = 0; i < 2 * AuthLimiter::kAtOnce; ++i) (void)waits(limiter, "192.0.2.1", kStart);
  const TimePoint later = kStart + std::chrono::hours(1);
  for (int i = 0; i < AuthLimiter::kAtOnce; ++i) CHECK_FALSE(waits(limiter, "192.0.2.1", later));
  CHECK(waits(limiter, "192.0.2.1", later));
}

TEST_CASE("each IPv4 address is by itself, in whichever family it is told") {
  AuthLimiter limiter;
  for (int i = 0; i < AuthLimiter::kAtOnce; ++i) (void)waits(limiter, "192.0.2.1", kStart);
  CHECK_FALSE(waits(limiter, "192.0.2.2", kStart));
  CHECK(waits(limiter, "192.0.2.1", kStart));
  CHECK(waits(limiter, "::ffff:192.0.2.1", kStart));
  CHECK(limiter.addresses() == 2);
}

TEST_CASE("an IPv6 client is its network of 64 bits") {
  AuthLimiter limiter;
  for (int i = 0; i < AuthLimiter::kAtOnce; ++i) {
    CHECK_FALSE(waits(limiter, "2001:db8:0:1::" + std::to_string(i + 1), kStart));
  }
  CHECK(waits(limiter, "2001:db8:0:1:ffff:ffff:ffff:ffff", kStart));
  CHECK_FALSE(waits(limiter, "2001:db8:0:2::1", kStart));
  CHECK(limiter.addresses() == 2);
}

TEST_CASE("no number of addresses takes more room than the bound, and who owes most is kept") {
  AuthLimiter limiter;
  for (int i = 0; i < AuthLimiter::kAtOnce; ++i) (void)waits(limiter, "192.0.2.1", kStart);
  for (int i = 0; i < 20'000; ++i) {
    CHECK_FALSE(waits(limiter, numbered(i), kStart + std::chrono::microseconds(i)));
    REQUIRE(limiter.addresses() <= AuthLimiter::kAddressesMax);
  }
  CHECK(limiter.addresses() == AuthLimiter::kAddressesMax);
  CHECK(waits(limiter, "192.0.2.1", kStart + Milliseconds(20)));
}

TEST_CASE("addresses that owe nothing any more are forgotten as others come") {
  AuthLimiter limiter;
  for (int i = 0; i < 1'000; ++i) (void)waits(limiter, numbered(i), kStart);
  const TimePoint later = kStart + std::chrono::minutes(1);
  for (int i = 0; i < 1'000; ++i)
    (void)waits(limiter, "192.0.2.1", later + i * AuthLimiter::kEvery);
  CHECK(limiter.addresses() == 1);
}

}  // namespace bao_exporter
