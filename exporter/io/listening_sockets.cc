#include "io/listening_sockets.h"

#include <netdb.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>

#include <cerrno>
#include <cstdlib>
#include <memory>
#include <system_error>

#include "bao_exporter/network.h"
#include "config_url.h"
#include "io/socket_address.h"

namespace bao_exporter {

namespace {

constexpr int kBacklog = 4096;  // the kernel takes less when net.core.somaxconn says so

using Addresses = std::unique_ptr<addrinfo, void (*)(addrinfo*)>;

Error problem(const std::string& address, const std::string& what) {
  return Error{ErrorCode::kIo, "cannot listen on " + address + ": " + what};
}

std::string words(int error) { return std::generic_category().message(error); }

std::string remedy(int error) {
  if (error == EADDRINUSE) return "; is the port taken by another process?";
  if (error == EADDRNOTAVAIL) return "; is the address one of this machine?";
  if (error == EACCES) return "; ports below 1024 need CAP_NET_BIND_SERVICE";
  return "";
}

Result<Addresses> look_up(const std::string& text) {
  ListenAddress address;
  if (!parse_listen_address(text, address)) return problem(text, "it is not host:port");
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int failed =
      ::getaddrinfo(address.host.c_str(), std::to_string(address.port).c_str(), &hints, &found);
  if (failed != 0) return problem(text, ::gai_strerror(failed));
  return Addresses(found, &::freeaddrinfo);
}

// [::] is both families; every other address is its own.
int bind_and_listen(int fd, const addrinfo& address, bool both_families) {
  const int on = 1;
  const int only_v6 = both_families ? 0 : 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (address.ai_family == AF_INET6) {
    ::setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only_v6, sizeof only_v6);
  }
  if (::bind(fd, address.ai_addr, address.ai_addrlen) != 0) return errno;
  return ::listen(fd, kBacklog) != 0 ? errno : 0;
}

std::optional<Error> open_address(const std::string& text, bool admin,
                                  std::vector<ListeningSocket>& to) {
  const Result<Addresses> found = look_up(text);
  if (!found.ok()) return found.error();
  ListenAddress wanted;
  (void)parse_listen_address(text, wanted);
  const bool wildcard = is_wildcard_host(wanted.host);
  for (const addrinfo* one = found.value().get(); one != nullptr; one = one->ai_next) {
    ListeningSocket socket;
    socket.descriptor = Descriptor(
        ::socket(one->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP));
    if (!socket.descriptor.is_open()) return problem(text, words(errno));
    if (const int failed = bind_and_listen(socket.descriptor.get(), *one, wildcard)) {
      return problem(text, words(failed) + remedy(failed));
    }
    socket.address = local_address_of(socket.descriptor.get());
    socket.admin = admin;
    to.push_back(std::move(socket));
  }
  return std::nullopt;
}

// Who passes a socket has set its address: what must hold is checked.
std::optional<Error> adopt(int fd, const std::string& name, std::vector<ListeningSocket>& to) {
  ListeningSocket socket;
  socket.descriptor = Descriptor(fd);
  const std::string what = "the socket \"" + name + "\" that systemd passed";
  if (::sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) <= 0) {
    return problem(what, "it is not a listening stream socket; use ListenStream=");
  }
  socket.address = local_address_of(fd);
  socket.admin = name == "admin";
  ListenAddress address;
  if (!parse_listen_address(socket.address, address)) {
    return problem(what, "it is not a TCP socket; use ListenStream= with an address and a port");
  }
  if (socket.admin && !is_loopback(address.host)) {
    return problem(what, "the admin address must be a loopback address: it is plain HTTP");
  }
  set_not_blocking(fd);
  to.push_back(std::move(socket));
  return std::nullopt;
}

std::optional<Error> adopt_passed(std::vector<ListeningSocket>& to) {
  char** names = nullptr;
  const int count = ::sd_listen_fds_with_names(/*unset_environment=*/1, &names);
  if (count < 0) return Error{ErrorCode::kIo, "sockets of systemd: " + words(-count)};
  std::optional<Error> failed;
  for (int i = 0; i < count; ++i) {
    const std::string name = names[i];  // NOLINT: a C array
    std::free(names[i]);                // NOLINT: malloc is sd_listen_fds' own
    if (!failed) failed = adopt(SD_LISTEN_FDS_START + i, name, to);
  }
  std::free(names);  // NOLINT: malloc is sd_listen_fds' own
  return failed;
}

bool has(const std::vector<ListeningSocket>& sockets, bool admin) {
  for (const ListeningSocket& socket : sockets) {
    if (socket.admin == admin) return true;
  }
  return false;
}

}  // namespace

Result<std::vector<ListeningSocket>> open_listening_sockets(const ListenerConfig& config) {
  std::vector<ListeningSocket> sockets;
  if (auto error = adopt_passed(sockets)) return *std::move(error);
  if (!has(sockets, false)) {
    for (const std::string& address : config.addresses) {
      if (auto error = open_address(address, false, sockets)) return *std::move(error);
    }
  }
  if (!config.admin_address.empty() && !has(sockets, true)) {
    if (auto error = open_address(config.admin_address, true, sockets)) return *std::move(error);
  }
  return sockets;
}

}  // namespace bao_exporter
