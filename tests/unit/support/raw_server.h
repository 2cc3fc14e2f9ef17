// A TCP server that says exactly what the test wants, once for each connection, without TLS.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "bao_exporter/check.h"

namespace bao_exporter::test {

class RawServer {
 public:
  // `words` are sent after each request (with the body that it announces); then the connection is
  // closed, or with `silent` it is kept open without a word.
  explicit RawServer(std::string words, bool silent = false)
      : words_(std::move(words)), silent_(silent) {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    BAO_CHECK(fd_ >= 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* plain = reinterpret_cast<sockaddr*>(&address);  // NOLINT: BSD sockets
    BAO_CHECK(::bind(fd_, plain, sizeof address) == 0);
    BAO_CHECK(::listen(fd_, 16) == 0);
    socklen_t size = sizeof address;
    BAO_CHECK(::getsockname(fd_, plain, &size) == 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::jthread([this](const std::stop_token& stop) { serve(stop); });
  }
  ~RawServer() {
    thread_.request_stop();
    thread_.join();
    ::close(fd_);
  }
  RawServer(const RawServer&) = delete;
  RawServer& operator=(const RawServer&) = delete;

  [[nodiscard]] std::uint16_t port() const { return port_; }
  // What came, one request after the other.
  [[nodiscard]] std::vector<std::string> heads() const {
    std::scoped_lock lock(mutex_);
    return heads_;
  }

 private:
  static bool is_whole(const std::string& request) {
    constexpr std::string_view kLength = "Content-Length: ";
    const std::size_t end = request.find("\r\n\r\n");
    if (end == std::string::npos) return false;
    const std::size_t at = request.find(kLength);
    if (at >= end) return true;
    return request.size() >= end + 4 + std::stoul(request.substr(at + kLength.size()));
  }

  void serve(const std::stop_token& stop) {
    std::vector<int> kept;
    while (!stop.stop_requested()) {
      pollfd waiting{fd_, POLLIN, 0};
      if (::poll(&waiting, 1, 10) <= 0) continue;
      const int client = ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
      if (client < 0) continue;
      if (silent_) {
        kept.push_back(client);
        continue;
      }
      talk(client);
      ::shutdown(client, SHUT_WR);
      ::close(client);
    }
    for (const int client : kept) ::close(client);
  }

  void talk(int client) {
    std::string head;
    std::array<char, 4096> chunk{};
    while (!is_whole(head)) {
      const ssize_t got = ::recv(client, chunk.data(), chunk.size(), 0);
      if (got <= 0) return;
      head.append(chunk.data(), static_cast<std::size_t>(got));
    }
    {
      std::scoped_lock lock(mutex_);
      heads_.push_back(head);
    }
    std::size_t sent = 0;
    while (sent < words_.size()) {
      const ssize_t more = ::send(client, words_.data() + sent, words_.size() - sent, MSG_NOSIGNAL);
      if (more <= 0) return;
      sent += static_cast<std::size_t>(more);
    }
  }

  std::string words_;
  bool silent_;
  int fd_ = -1;
  std::uint16_t port_ = 0;
  mutable std::mutex mutex_;
  std::vector<std::string> heads_;
  std::jthread thread_;
};

}  // namespace bao_exporter::test
