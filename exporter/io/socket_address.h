// Addresses of sockets, in our words.
#pragma once

#include <sys/socket.h>

#include <string>

#include "bao_exporter/network.h"

namespace bao_exporter {

// "127.0.0.1:9825", "[::1]:9825": where the socket is bound; empty: not to a TCP address.
[[nodiscard]] std::string local_address_of(int fd);

[[nodiscard]] PeerAddress peer_of(const sockaddr_storage& address);

void set_not_blocking(int fd);

}  // namespace bao_exporter
