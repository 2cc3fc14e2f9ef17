// Many connections that do no good, from one thread: each holds on as its mode says, and comes back
// as fast as it can when it is closed.
#pragma once

#include <cstdint>
#include <deque>
#include <random>
#include <string>
#include <vector>

#include "bench/sockets.h"

namespace bench {

enum class Mode : std::uint8_t {
  kIdle,            // says nothing
  kHalf,            // a whole ClientHello, then nothing
  kTrickle,         // a ClientHello, one byte each 200 ms
  kSlowHeaders,     // TLS, then a request, one byte each 200 ms, that never ends
  kTlsIdle,         // TLS, then nothing
  kSlowReader,      // TLS, a request with a valid token, and never reads
  kWrongTokens,     // TLS, requests with a wrong token one after the other
  kWrongTokensNew,  // one such request on each connection
};

struct Plan {
  Mode mode = Mode::kIdle;
  sockaddr_in server{};
  std::string from = "127.0.0.2";  // or "many": any of 127.0.0.0/8
  std::string path = "/metrics";
  std::string token;  // a valid one for kSlowReader, a wrong one for the last two
  std::size_t connections = 2000;
  Milliseconds duration{10'000};
  Milliseconds come_back{0};  // how long a closed connection stays away
  Milliseconds hold{0};       // after that it leaves by itself and comes back; 0: never
  double rate = 10'000;       // requests a second, all connections together, of the last two
};

struct Tally {
  std::uint64_t connected = 0;  // TCP
  std::uint64_t secured = 0;    // TLS too
  std::uint64_t closed = 0;     // by the server
  std::uint64_t failed = 0;     // never connected
  std::uint64_t requests = 0;
  std::uint64_t refused = 0;  // answers 401
  std::size_t most_open = 0;
  double seconds = 0;
};

class Attack {
 public:
  explicit Attack(Plan plan);
  ~Attack();
  Attack(const Attack&) = delete;
  Attack& operator=(const Attack&) = delete;

  // Prints "ready" when every connection was tried once. Ends after the duration, or when `*stop`.
  Tally run(const volatile int* stop);

 private:
  enum class Phase : std::uint8_t { kAway, kConnecting, kHandshake, kHolding };
  struct Connection {
    int fd = -1;
    Phase phase = Phase::kAway;
    Ssl ssl;
    std::uint32_t life = 0;     // tells a timer of this connection from one of those before it
    std::size_t sent = 0;       // bytes of the hello, the headers or the request
    std::uint32_t waiting = 0;  // requests without an answer yet
    std::string tail;           // the last bytes that were read
  };
  struct Timer {
    Time due;
    std::size_t slot;
    std::uint32_t life;
  };

  void open(std::size_t slot);
  void on_event(std::size_t slot, std::uint32_t events);
  void connected(std::size_t slot);
  void handshake(std::size_t slot);
  void secured(std::size_t slot);
  void drip(std::size_t slot);
  void take_in(std::size_t slot);
  void count_answers(Connection& connection, const char* data, std::size_t size);
  bool send_request(std::size_t slot);
  void send_due_requests(Time now);
  void leave(std::size_t slot, Milliseconds away);
  void run_timers(Time now);
  void open_some();
  [[nodiscard]] bool speaks_tls() const { return plan_.mode >= Mode::kSlowHeaders; }
  [[nodiscard]] in_addr source();

  Plan plan_;
  Tally tally_;
  Context context_;
  std::string hello_;
  std::string request_;
  std::mt19937 random_{8};
  int epoll_ = -1;
  std::vector<Connection> connections_;
  std::size_t open_ = 0;
  std::size_t next_ = 0;             // whose turn it is to send a request
  double budget_ = 0;                // requests that are due
  Time budgeted_;                    // until then
  std::deque<std::size_t> to_open_;  // slots
  std::deque<Timer> drips_;          // in order, as all wait equally long
  std::deque<Timer> returns_;
  std::deque<Timer> holds_;
};

}  // namespace bench
