#include "io/socket_address.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>

#include <cstring>

namespace bao_exporter {

namespace {

sockaddr_in v4(const sockaddr_storage& address) {
  sockaddr_in out{};
  std::memcpy(&out, &address, sizeof out);
  return out;
}

sockaddr_in6 v6(const sockaddr_storage& address) {
  sockaddr_in6 out{};
  std::memcpy(&out, &address, sizeof out);
  return out;
}

}  // namespace

PeerAddress peer_of(const sockaddr_storage& address) {
  PeerAddress peer;
  if (address.ss_family == AF_INET6) {
    const in6_addr from = v6(address).sin6_addr;
    std::memcpy(peer.bytes.data(), &from, peer.bytes.size());
  } else if (address.ss_family == AF_INET) {
    const in_addr from = v4(address).sin_addr;
    peer.bytes[10] = peer.bytes[11] = 0xff;
    std::memcpy(&peer.bytes[12], &from, sizeof from);
  }
  return peer;
}

std::string local_address_of(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return {};  // NOLINT
  if (address.ss_family == AF_INET) {
    return format_address(peer_of(address)) + ":" + std::to_string(ntohs(v4(address).sin_port));
  }
  if (address.ss_family != AF_INET6) return {};
  return "[" + format_address(peer_of(address)) +
         "]:" + std::to_string(ntohs(v6(address).sin6_port));
}

void set_not_blocking(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  ::fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

}  // namespace bao_exporter
