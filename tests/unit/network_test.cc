#include "bao_exporter/network.h"

#include "catch.h"

namespace bao_exporter {

namespace {

PeerAddress address(std::string_view text) {
  const auto parsed = parse_address(text);
  REQUIRE(parsed.has_value());
  return *parsed;
}

bool inside(std::string_view network, std::string_view host) {
  const auto parsed = parse_network(network);
  REQUIRE(parsed.has_value());
  return parsed->contains(address(host));
}

}  // namespace

TEST_CASE("an address is the same in either family, and is written as people write it") {
  CHECK(address("10.1.2.3") == address("::ffff:10.1.2.3"));
  CHECK(format_address(address("::ffff:10.1.2.3")) == "10.1.2.3");
  CHECK(format_address(address("2001:DB8:0::1")) == "2001:db8::1");
}

TEST_CASE("a network holds its addresses, from the first to the last, and no other") {
  CHECK(inside("10.0.0.0/8", "10.0.0.0"));
  CHECK(inside("10.0.0.0/8", "10.255.255.255"));
  CHECK_FALSE(inside("10.0.0.0/8", "11.0.0.0"));
  CHECK_FALSE(inside("10.0.0.0/8", "9.255.255.255"));
  CHECK(inside("192.168.4.0/22", "192.168.7.255"));
  CHECK_FALSE(inside("192.168.4.0/22", "192.168.8.0"));
  CHECK(inside("2001:db8::/32", "2001:db8:ffff::1"));
  CHECK_FALSE(inside("2001:db8::/32", "2001:db9::1"));
  CHECK(inside("192.0.2.7", "192.0.2.7"));
  CHECK_FALSE(inside("192.0.2.7", "192.0.2.6"));
}

TEST_CASE("0.0.0.0/0 is every IPv4 address and no IPv6 one, ::/0 is every one") {
  CHECK(inside("0.0.0.0/0", "203.0.113.9"));
  CHECK_FALSE(inside("0.0.0.0/0", "2001:db8::1"));
  CHECK(inside("::/0", "2001:db8::1"));
  CHECK(inside("::/0", "203.0.113.9"));
}

TEST_CASE("what is no network is refused, bits beyond the length among it") {
  for (const char* text : {"", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/8 ",
                           "10.0.0.1/8", "10.0.0/8", "2001:db8::/129", "2001:db8::1/32",
                           "10.0.0.0/8/8", "example.org", "[::1]/128", "10.0.0.0/+8"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_network(text).has_value());
  }
}

}  // namespace bao_exporter
