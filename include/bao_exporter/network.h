// Addresses of peers and the networks they are in. IPv4 is kept as IPv6 (::ffff:a.b.c.d), so that a
// client is the same whichever family its socket has. Pure values.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace bao_exporter {

struct PeerAddress {
  std::array<std::uint8_t, 16> bytes{};
  friend auto operator<=>(const PeerAddress&,
                          const PeerAddress&) = default;  // NOLINT(modernize-use-nullptr)
};

// "10.0.0.1" or "2001:db8::1", without brackets or zone.
[[nodiscard]] std::optional<PeerAddress> parse_address(std::string_view text);
[[nodiscard]] std::string format_address(const PeerAddress& address);

struct Network {
  PeerAddress base;
  int bits = 128;  // of the 16 bytes: 10.0.0.0/8 has 104
  [[nodiscard]] bool contains(const PeerAddress& address) const;
  friend bool operator==(const Network&, const Network&) = default;
};

// "10.0.0.0/8", "2001:db8::/32", or one address. Bits beyond the length must be zero.
[[nodiscard]] std::optional<Network> parse_network(std::string_view text);

}  // namespace bao_exporter
