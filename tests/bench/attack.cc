#include "bench/attack.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>

namespace bench {

namespace {

constexpr Milliseconds kDrip{200};
constexpr Milliseconds kAfterFailure{20};  // no port, no backlog
constexpr std::size_t kOpenAtOnce = 64;

// What this OpenSSL would say first.
std::string client_hello(SSL_CTX* context) {
  const Ssl ssl(::SSL_new(context));
  ::SSL_set_connect_state(ssl.get());
  BIO* out = ::BIO_new(::BIO_s_mem());
  ::SSL_set_bio(ssl.get(), ::BIO_new(::BIO_s_mem()), out);
  ::SSL_do_handshake(ssl.get());
  char* bytes = nullptr;
  const long size = ::BIO_get_mem_data(out, &bytes);
  return {bytes, static_cast<std::size_t>(size)};
}

std::string request_of(const Plan& plan) {
  std::string request = "GET " + plan.path + " HTTP/1.1\r\nHost: 127.0.0.1\r\n";
  if (plan.mode == Mode::kSlowHeaders) return request + "X-Slow: ";
  return request + "Authorization: Bearer " + plan.token + "\r\n\r\n";
}

// A small window and small segments, as over a slow network: else the kernel of the same machine
// takes megabytes on the reader's behalf.
void take_little(int fd) {
  const int window = 4096;
  const int segment = 536;
  ::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &window, sizeof window);
  ::setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof segment);
}

}  // namespace

Attack::Attack(Plan plan)
    : plan_(std::move(plan)),
      context_(client_context("")),
      hello_(client_hello(context_.get())),
      request_(request_of(plan_)),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      connections_(plan_.connections) {
  if (epoll_ < 0) give_up("no epoll");
  for (std::size_t slot = 0; slot < connections_.size(); ++slot) to_open_.push_back(slot);
}

Attack::~Attack() {
  for (auto& connection : connections_) {
    if (connection.fd >= 0) close_at_once(connection.fd);
  }
  ::close(epoll_);
}

in_addr Attack::source() {
  in_addr address{};
  if (plan_.from != "many") {
    if (::inet_pton(AF_INET, plan_.from.c_str(), &address) != 1) give_up("--from: " + plan_.from);
    return address;
  }
  // 127.1.0.1 and above: never the honest scraper's own.
  std::uniform_int_distribution<std::uint32_t> of(0x7f010001, 0x7ffffffe);
  address.s_addr = htonl(of(random_));
  return address;
}

void Attack::open(std::size_t slot) {
  auto& connection = connections_[slot];
  connection.fd = open_from(source());
  ++connection.life;
  if (connection.fd < 0) {
    ++tally_.failed;
    returns_.push_back({Clock::now() + kAfterFailure, slot, connection.life});
    return;
  }
  ++open_;
  tally_.most_open = std::max(tally_.most_open, open_);
  connection.phase = Phase::kConnecting;
  connection.sent = 0;
  connection.waiting = 0;
  connection.tail.clear();
  if (plan_.mode == Mode::kSlowReader) take_little(connection.fd);
  const auto* to = reinterpret_cast<const sockaddr*>(&plan_.server);
  if (::connect(connection.fd, to, sizeof plan_.server) != 0 && errno != EINPROGRESS) {
    ++tally_.failed;
    leave(slot, kAfterFailure);
    return;
  }
  epoll_event wanted{};
  wanted.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  wanted.data.u64 = slot;
  ::epoll_ctl(epoll_, EPOLL_CTL_ADD, connection.fd, &wanted);
}

void Attack::leave(std::size_t slot, Milliseconds away) {
  auto& connection = connections_[slot];
  connection.ssl.reset();
  if (connection.fd >= 0) close_at_once(connection.fd);
  connection.fd = -1;
  connection.phase = Phase::kAway;
  ++connection.life;
  --open_;
  if (away == Milliseconds::zero()) {
    to_open_.push_back(slot);
  } else {
    returns_.push_back({Clock::now() + away, slot, connection.life});
  }
}

void Attack::on_event(std::size_t slot, std::uint32_t events) {
  auto& connection = connections_[slot];
  if (connection.fd < 0) return;
  const bool over = (events & (EPOLLERR | EPOLLHUP)) != 0;
  if (connection.phase == Phase::kConnecting) {
    if (over) {
      ++tally_.failed;
      leave(slot, kAfterFailure);
      return;
    }
    if ((events & EPOLLOUT) == 0) return;
    connected(slot);
  } else if (connection.phase == Phase::kHandshake && !over) {
    handshake(slot);
  } else if (connection.phase == Phase::kHolding && !over) {
    const bool reads = plan_.mode != Mode::kSlowReader;
    if (reads && (events & EPOLLIN) != 0) take_in(slot);
  }
  if (connection.fd >= 0 && (over || (events & EPOLLRDHUP) != 0)) {
    ++tally_.closed;
    leave(slot, plan_.come_back);
  }
}

void Attack::connected(std::size_t slot) {
  auto& connection = connections_[slot];
  ++tally_.connected;
  if (plan_.hold > Milliseconds::zero()) {
    holds_.push_back({Clock::now() + plan_.hold, slot, connection.life});
  }
  if (speaks_tls()) {
    connection.phase = Phase::kHandshake;
    connection.ssl.reset(::SSL_new(context_.get()));
    ::SSL_set_fd(connection.ssl.get(), connection.fd);
    ::SSL_set_connect_state(connection.ssl.get());
    handshake(slot);
    return;
  }
  connection.phase = Phase::kHolding;
  if (plan_.mode == Mode::kHalf) {
    if (::send(connection.fd, hello_.data(), hello_.size(), MSG_NOSIGNAL) < 0) return;
  } else if (plan_.mode == Mode::kTrickle) {
    drip(slot);
  }
}

void Attack::handshake(std::size_t slot) {
  auto& connection = connections_[slot];
  ::ERR_clear_error();
  const int done = ::SSL_do_handshake(connection.ssl.get());
  if (done == 1) {
    secured(slot);
    return;
  }
  const int why = ::SSL_get_error(connection.ssl.get(), done);
  if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) return;
  ++tally_.closed;
  leave(slot, plan_.come_back);
}

void Attack::secured(std::size_t slot) {
  auto& connection = connections_[slot];
  connection.phase = Phase::kHolding;
  ++tally_.secured;
  if (plan_.mode == Mode::kSlowHeaders) {
    drip(slot);
  } else if (plan_.mode == Mode::kSlowReader || plan_.mode == Mode::kWrongTokensNew) {
    send_request(slot);
  }
}

// One more byte; the headers' last one again and again.
void Attack::drip(std::size_t slot) {
  auto& connection = connections_[slot];
  if (plan_.mode == Mode::kTrickle) {
    if (connection.sent + 1 >= hello_.size()) return;  // never whole
    if (::send(connection.fd, &hello_[connection.sent], 1, MSG_NOSIGNAL) != 1) return;
  } else {
    const std::size_t at = std::min(connection.sent, request_.size() - 1);
    if (::SSL_write(connection.ssl.get(), &request_[at], 1) != 1) return;
  }
  ++connection.sent;
  drips_.push_back({Clock::now() + kDrip, slot, connection.life});
}

bool Attack::send_request(std::size_t slot) {
  auto& connection = connections_[slot];
  const auto size = static_cast<int>(request_.size());
  if (::SSL_write(connection.ssl.get(), request_.data(), size) != size) return false;
  ++connection.waiting;
  ++tally_.requests;
  return true;
}

// Reads what there is, and forgets it but for the answers of 401.
void Attack::take_in(std::size_t slot) {
  auto& connection = connections_[slot];
  std::array<char, 16'384> buffer;
  while (connection.fd >= 0) {
    if (connection.ssl == nullptr) {
      const ssize_t got = ::recv(connection.fd, buffer.data(), buffer.size(), 0);
      if (got > 0) continue;
      if (got < 0 && errno == EAGAIN) return;
    } else {
      ::ERR_clear_error();
      const int got = ::SSL_read(connection.ssl.get(), buffer.data(), buffer.size());
      if (got > 0) {
        count_answers(connection, buffer.data(), static_cast<std::size_t>(got));
        if (plan_.mode == Mode::kWrongTokensNew && connection.waiting == 0) {
          leave(slot, Milliseconds::zero());
        }
        continue;
      }
      if (::SSL_get_error(connection.ssl.get(), got) == SSL_ERROR_WANT_READ) return;
    }
    ++tally_.closed;
    leave(slot, plan_.come_back);
  }
}

void Attack::count_answers(Connection& connection, const char* data, std::size_t size) {
  static constexpr std::string_view kRefusal = "HTTP/1.1 401";
  connection.tail.append(data, size);
  std::size_t at = 0;
  while ((at = connection.tail.find(kRefusal, at)) != std::string::npos) {
    ++tally_.refused;
    if (connection.waiting > 0) --connection.waiting;
    at += kRefusal.size();
  }
  const std::size_t keep = std::min(connection.tail.size(), kRefusal.size() - 1);
  connection.tail.erase(0, connection.tail.size() - keep);
}

// An open loop: what could not be sent in time is sent later, up to a tenth of a second of it.
void Attack::send_due_requests(Time now) {
  const double passed = std::chrono::duration<double>(now - budgeted_).count();
  budgeted_ = now;
  budget_ = std::min(budget_ + passed * plan_.rate, plan_.rate / 10);
  if (plan_.mode != Mode::kWrongTokens) return;
  std::size_t idle_turns = 0;
  while (budget_ >= 1 && idle_turns < connections_.size()) {
    next_ = (next_ + 1) % connections_.size();
    const auto& connection = connections_[next_];
    const bool can = connection.phase == Phase::kHolding && connection.waiting == 0;
    if (can && send_request(next_)) {
      budget_ -= 1;
      idle_turns = 0;
    } else {
      ++idle_turns;
    }
  }
}

void Attack::run_timers(Time now) {
  const auto due = [now](const std::deque<Timer>& timers) {
    return !timers.empty() && timers.front().due <= now;
  };
  while (due(drips_)) {
    const Timer timer = drips_.front();
    drips_.pop_front();
    if (connections_[timer.slot].life == timer.life) drip(timer.slot);
  }
  while (due(returns_)) {
    const Timer timer = returns_.front();
    returns_.pop_front();
    if (connections_[timer.slot].life == timer.life) to_open_.push_back(timer.slot);
  }
  while (due(holds_)) {
    const Timer timer = holds_.front();
    holds_.pop_front();
    if (connections_[timer.slot].life == timer.life) leave(timer.slot, Milliseconds::zero());
  }
}

void Attack::open_some() {
  for (std::size_t i = 0; i < kOpenAtOnce && !to_open_.empty(); ++i) {
    if (plan_.mode == Mode::kWrongTokensNew) {
      if (budget_ < 1) return;
      budget_ -= 1;
    }
    const std::size_t slot = to_open_.front();
    to_open_.pop_front();
    open(slot);
  }
}

Tally Attack::run(const volatile int* stop) {
  const Time begin = Clock::now();
  bool told = false;
  std::array<epoll_event, 256> events;
  budgeted_ = begin;
  for (Time now = begin; now < begin + plan_.duration && *stop == 0; now = Clock::now()) {
    send_due_requests(now);
    run_timers(now);
    open_some();
    // Every slot was tried once; or there are so many that come back that the last ones wait long.
    if (!told && (to_open_.empty() || tally_.connected >= connections_.size() ||
                  now > begin + Milliseconds{2'000})) {
      told = true;
      std::puts("ready");
      std::fflush(stdout);
    }
    const bool busy = !to_open_.empty() && plan_.mode != Mode::kWrongTokensNew;
    const int count = ::epoll_wait(epoll_, events.data(), events.size(), busy ? 0 : 1);
    for (int i = 0; i < count; ++i) {
      const auto& event = events[static_cast<std::size_t>(i)];
      on_event(event.data.u64, event.events);
    }
  }
  tally_.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  return tally_;
}

}  // namespace bench
