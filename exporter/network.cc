#include "bao_exporter/network.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>

namespace bao_exporter {

namespace {

constexpr int kMappedBits = 96;
constexpr std::size_t kMappedBytes = 12;

bool is_mapped(const PeerAddress& address) {
  const auto& bytes = address.bytes;
  return std::all_of(bytes.begin(), bytes.begin() + 10, [](std::uint8_t b) { return b == 0; }) &&
         bytes[10] == 0xff && bytes[11] == 0xff;
}

// What of `address` lies within the first `bits`.
PeerAddress masked(PeerAddress address, int bits) {
  for (int i = 0; i < 16; ++i) {
    const int kept = std::clamp(bits - i * 8, 0, 8);
    address.bytes.at(static_cast<std::size_t>(i)) &=
        static_cast<std::uint8_t>(0xff00U >> static_cast<unsigned>(kept));
  }
  return address;
}

std::optional<int> parse_length(std::string_view text, int max) {
  int length = 0;
  const char* last = text.data() + text.size();
  const auto read = std::from_chars(text.data(), last, length);
  if (read.ec != std::errc() || read.ptr != last || length < 0 || length > max) {
    return std::nullopt;
  }
  return length;
}

}  // namespace

std::optional<PeerAddress> parse_address(std::string_view text) {
  const std::string terminated(text);
  PeerAddress address;
  if (::inet_pton(AF_INET6, terminated.c_str(), address.bytes.data()) == 1) return address;
  address.bytes[10] = address.bytes[11] = 0xff;
  if (::inet_pton(AF_INET, terminated.c_str(), &address.bytes.at(kMappedBytes)) == 1) {
    return address;
  }
  return std::nullopt;
}

std::string format_address(const PeerAddress& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const bool mapped = is_mapped(address);
  const void* from = mapped ? &address.bytes.at(kMappedBytes) : address.bytes.data();
  ::inet_ntop(mapped ? AF_INET : AF_INET6, from, text.data(), text.size());
  return text.data();
}

bool Network::contains(const PeerAddress& address) const { return masked(address, bits) == base; }

std::optional<Network> parse_network(std::string_view text) {
  const std::size_t slash = text.find('/');
  const auto base = parse_address(text.substr(0, slash));
  if (!base) return std::nullopt;
  Network network{*base, 128};
  if (slash != std::string_view::npos) {
    const bool v4 = text.substr(0, slash).find(':') == std::string_view::npos;
    const auto length = parse_length(text.substr(slash + 1), v4 ? 32 : 128);
    if (!length) return std::nullopt;
    network.bits = v4 ? kMappedBits + *length : *length;
  }
  if (masked(network.base, network.bits) != network.base) return std::nullopt;
  return network;
}

}  // namespace bao_exporter
