// A server for one connection in a process of its own, so that what it says is not in our memory.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "bao_exporter/check.h"

namespace bao_exporter::test {

class ForkedServer {
 public:
  // Says the parts, one after the other, once something came; with `cut` no more can come then.
  ForkedServer(const std::string& head, std::string_view secret, const std::string& tail,
               bool cut = false) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    BAO_CHECK(fd >= 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* plain = reinterpret_cast<sockaddr*>(&address);  // NOLINT: BSD sockets
    BAO_CHECK(::bind(fd, plain, sizeof address) == 0);
    BAO_CHECK(::listen(fd, 1) == 0);
    socklen_t size = sizeof address;
    BAO_CHECK(::getsockname(fd, plain, &size) == 0);
    port_ = ntohs(address.sin_port);
    child_ = ::fork();
    BAO_CHECK(child_ >= 0);
    if (child_ == 0) serve(fd, head, secret, tail, cut);
    ::close(fd);
  }
  ~ForkedServer() {
    if (child_ < 0) return;
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
  }
  ForkedServer(const ForkedServer&) = delete;
  ForkedServer& operator=(const ForkedServer&) = delete;

  [[nodiscard]] std::uint16_t port() const { return port_; }
  // Waits until the other side has ended the connection: false if it does not.
  [[nodiscard]] bool ended() {
    for (int waited_ms = 0; waited_ms < 10'000; waited_ms += 5) {
      if (::waitpid(child_, nullptr, WNOHANG) == child_) {
        child_ = -1;
        return true;
      }
      ::usleep(5'000);
    }
    return false;
  }

 private:
  // Nothing but system calls: other threads of the parent may have held locks.
  [[noreturn]] static void serve(int fd, const std::string& head, std::string_view secret,
                                 const std::string& tail, bool cut) {
    ::alarm(60);  // should the parent be killed
    const int client = ::accept(fd, nullptr, nullptr);
    std::array<char, 4096> ignored{};
    (void)!::recv(client, ignored.data(), ignored.size(), 0);
    for (const std::string_view part : {std::string_view(head), secret, std::string_view(tail)}) {
      std::size_t sent = 0;
      while (sent < part.size()) {
        const ssize_t more = ::send(client, part.data() + sent, part.size() - sent, MSG_NOSIGNAL);
        if (more <= 0) ::_exit(1);
        sent += static_cast<std::size_t>(more);
      }
    }
    if (cut) ::shutdown(client, SHUT_WR);
    while (::recv(client, ignored.data(), ignored.size(), 0) > 0) {
    }
    ::_exit(0);
  }

  std::uint16_t port_ = 0;
  pid_t child_ = -1;
};

}  // namespace bao_exporter::test
