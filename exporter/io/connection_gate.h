// The gate in front of the port: it alone accepts connections. Each waits here, without a worker,
// until it has said enough for one (a whole ClientHello; in plain HTTP, anything), and is then
// given away. Who may come and who has to go is decided by the ConnectionBook. Who has to go is
// parked: its worker and memory are free at once, but its socket stays open, unread, until its time
// is up. Closed, it would be back at once, and cost another handshake.
//
// Threads: one of its own; what the header says "from any thread" for, the workers call.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "bao_exporter/connection_book.h"
#include "descriptor.h"
#include "io/listening_sockets.h"
#include "io/turns.h"

namespace bao_exporter {

class ConnectionGate {
 public:
  // Gives a connection to a worker, which calls leave() before it closes it. False: it is gone.
  using HandOver = std::function<bool(int fd, bool tls)>;

  // `plain`: no TLS at any address.
  ConnectionGate(std::vector<ListeningSocket> sockets, bool plain, const ConnectionLimits& limits,
                 HandOver hand_over);
  ~ConnectionGate();
  ConnectionGate(const ConnectionGate&) = delete;
  ConnectionGate& operator=(const ConnectionGate&) = delete;

  struct Origin {
    PeerAddress peer;
    bool admin = false;
    std::uint64_t era = 0;
    TimePoint until = {};   // parked until then, or up to half of request_timeout longer
    bool to_park = false;   // when its worker lets go of it
    bool has_turn = false;  // to make its handshake
  };
  void start();  // it accepts from now on; called once
  // Nobody is accepted any more, who waits is closed; who was given away stays. Called once.
  void stop();

  // From any thread, of a connection that was given away, until leave().
  [[nodiscard]] Origin origin(int fd) const;
  // A handshake costs a signature. Strangers' are made one at a time for each two processors: a
  // crowd that begins at once would keep those who are known from being answered. Waits for its
  // turn; false: it had to go meanwhile.
  [[nodiscard]] bool begin_handshake(int fd);
  void end_handshake(int fd);  // nothing, where none was begun
  void working(int fd);
  // False: it had to go meanwhile. Who has shown a token by then gets this answer still.
  bool answering(int fd, bool authenticated, std::uint64_t generation);
  void progressed(int fd, std::size_t bytes);
  void answered(int fd);
  void leave(int fd);
  // It came before the last begin_era(): what it has shown is not enough any more.
  [[nodiscard]] bool is_outdated(int fd) const;

  // From any thread.
  [[nodiscard]] PortCounts counts() const;
  void set_limits(ConnectionLimits limits);
  void begin_era();  // clients have to show something else from now on

 private:
  struct Waiting {
    bool tls;
    bool watched;
    std::uint32_t number;  // a descriptor's number is soon another's
  };
  void run();
  void watch_ports(bool watch);
  void accept_some(const ListeningSocket& socket);
  struct Comer {
    Descriptor connection;
    PeerAddress peer;
    bool admin = false;
    TimePoint since = {};
    TimePoint until = {};
    bool has_spoken = false;
  };
  // What is refused for now stays in `comer`.
  [[nodiscard]] std::optional<RefusalCause> admit_at_once(Comer& comer);
  [[nodiscard]] std::optional<RefusalCause> admit(Comer& comer);
  [[nodiscard]] bool move_below_the_kept(Descriptor& connection);
  [[nodiscard]] ArrivalQueue queue(const Comer& comer, TimePoint now) const;
  [[nodiscard]] bool is_tls(const Comer& comer) const { return !plain_ && !comer.admin; }
  // Who never showed a token; nobody has to at the admin address.
  [[nodiscard]] bool is_stranger(const Comer& comer, TimePoint now) const;
  void listen_at_the_door();
  void admit_from_the_door(bool has_spoken, TimePoint now);
  void let_wait(Comer comer, RefusalCause cause);
  void look_at_the_door(TimePoint now);
  void turn_away(Comer comer, RefusalCause cause);
  void look_at(int fd, bool ended);
  void watch(int fd);
  void give_away(int fd, bool tls);
  void drop_waiting(int fd);
  void forget(int fd, bool and_park);
  void carry_out(const ConnectionBook::Eviction& eviction);
  void park(Descriptor connection, TimePoint until);
  [[nodiscard]] bool unpark_one();
  void pause_for_descriptors();
  void sweep(TimePoint now);
  [[nodiscard]] int patience(TimePoint now) const;
  [[nodiscard]] Milliseconds request_timeout() const;
  void wake() const;

  std::vector<ListeningSocket> sockets_;
  bool plain_;
  HandOver hand_over_;
  Descriptor epoll_;
  Descriptor wake_;
  Descriptor ended_;  // a stream at its end
  int descriptors_max_;
  Turns strangers_;
  // Of the gate's thread alone.
  std::map<int, Waiting> waiting_;
  std::uint32_t last_number_ = 0;
  std::deque<Comer> door_;  // there was no room for them yet; the first came first
  TimePoint door_seen_;
  TimePoint swept_;
  TimePoint paused_until_;
  std::atomic<bool> paused_{false};  // written by the gate's thread alone

  mutable std::mutex mutex_;  // guards what follows
  ConnectionBook book_;
  std::map<int, Origin> origins_;
  std::multimap<TimePoint, Descriptor> parked_;
  unsigned parked_so_far_ = 0;  // modulo some steps
  Milliseconds request_timeout_;
  std::uint64_t era_ = 0;
  PortCounts counts_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace bao_exporter
