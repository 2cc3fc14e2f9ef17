#include "io/connection_gate.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

#include "bao_exporter/check.h"
#include "bao_exporter/client_hello.h"
#include "bao_exporter/log.h"
#include "io/socket_address.h"

namespace bao_exporter {

namespace {

constexpr Milliseconds kSweepInterval{100};
// So long nobody is accepted when descriptors ran out: 20 tries a second cost nothing.
constexpr Milliseconds kPause{50};
constexpr int kAcceptsInARow = 64;
constexpr int kRoomInAPause = 16;
constexpr int kDescriptorsKept = 64;  // for polls, files and logs, however many connections come
constexpr std::size_t kEvents = 256;
constexpr std::size_t kParkedMax = 4096;
constexpr int kHeardInARow = 256;
constexpr std::size_t kDoorMax = 256;
constexpr Milliseconds kDoorInterval{5};

// Descriptors above it are not for connections.
int descriptors_for_connections() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024 - kDescriptorsKept;
  constexpr rlim_t kEnough = 1 << 20;
  const int all = static_cast<int>(std::min(limit.rlim_cur, kEnough));
  return all - std::min(kDescriptorsKept, all / 4);
}

void reset_on_close(int fd) {
  const linger at_once{1, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

Descriptor ended_stream() {
  std::array<int, 2> ends{-1, -1};
  BAO_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) == 0);
  ::close(ends[1]);
  return Descriptor(ends[0]);
}

// Looks, but takes nothing away: the worker reads it. kOther: it is gone, or no client of ours.
Greeting greeting_of(int fd, bool tls) {
  std::array<char, kGreetingBytes> first{};
  const ssize_t seen = ::recv(fd, first.data(), first.size(), MSG_PEEK | MSG_DONTWAIT);
  if (seen < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) {
    return Greeting::kUnfinished;
  }
  int there = 0;
  if (seen <= 0 || ::ioctl(fd, FIONREAD, &there) != 0) return Greeting::kOther;
  if (!tls) return Greeting::kWhole;
  return judge_greeting({first.data(), static_cast<std::size_t>(seen)},
                        static_cast<std::size_t>(std::max(there, 0)));
}

bool is_our_turn(int fd, ConnectionBook::Side side) {
  if (side == ConnectionBook::Side::kWrites) {
    pollfd room{fd, POLLOUT, 0};
    return ::poll(&room, 1, 0) == 1 && room.revents == POLLOUT;
  }
  int unread = 0;
  return ::ioctl(fd, FIONREAD, &unread) == 0 && unread > 0;
}

void tune(int fd) {
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
}

// What the kernel tells with an event: whose it is.
std::uint64_t mark_of(int fd, std::uint32_t number) {
  return std::uint64_t{number} << 32U | static_cast<std::uint32_t>(fd);
}

int fd_of(const epoll_event& event) {
  return static_cast<int>(static_cast<std::uint32_t>(event.data.u64));
}

bool out_of_descriptors(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

}  // namespace

ConnectionGate::ConnectionGate(std::vector<ListeningSocket> sockets, bool plain,
                               const ConnectionLimits& limits, HandOver hand_over)
    : sockets_(std::move(sockets)),
      plain_(plain),
      hand_over_(std::move(hand_over)),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      ended_(ended_stream()),
      descriptors_max_(descriptors_for_connections()),
      strangers_(std::max(1U, std::thread::hardware_concurrency() / 2)),
      book_(limits, is_our_turn),
      request_timeout_(limits.request_timeout) {
  BAO_CHECK(epoll_.is_open() && wake_.is_open());
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = mark_of(wake_.get(), 0);
  BAO_CHECK(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &event) == 0);
}

void ConnectionGate::start() {
  watch_ports(true);
  thread_ = std::thread([this] { run(); });
}

ConnectionGate::~ConnectionGate() {
  if (thread_.joinable()) stop();
}

void ConnectionGate::stop() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  wake();
  thread_.join();
}

void ConnectionGate::wake() const {
  const std::uint64_t one = 1;
  (void)!::write(wake_.get(), &one, sizeof one);
}

void ConnectionGate::watch_ports(bool watch) {
  for (const ListeningSocket& socket : sockets_) {
    epoll_event event{};
    event.events = EPOLLIN;
    const int fd = socket.descriptor.get();
    event.data.u64 = mark_of(fd, 0);
    ::epoll_ctl(epoll_.get(), watch ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, fd, &event);
  }
}

void ConnectionGate::run() {
  std::array<epoll_event, kEvents> events{};
  for (;;) {
    const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()),
                                   patience(Clock::now()));
    {
      const std::scoped_lock lock(mutex_);
      if (stopping_) break;
    }
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = events.at(static_cast<std::size_t>(i));
      const int fd = fd_of(event);
      const auto port = std::find_if(
          sockets_.begin(), sockets_.end(),
          [fd](const ListeningSocket& socket) { return socket.descriptor.get() == fd; });
      if (port != sockets_.end()) {
        accept_some(*port);
      } else if (fd == wake_.get()) {
        std::uint64_t times = 0;
        (void)!::read(fd, &times, sizeof times);
        paused_until_ = Clock::now();  // somebody has left: there is room
      } else if (const auto at = waiting_.find(fd);
                 at != waiting_.end() && event.data.u64 == mark_of(fd, at->second.number)) {
        look_at(fd, (event.events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0);
      }
    }
    const TimePoint now = Clock::now();
    if (!door_.empty() && now >= door_seen_ + kDoorInterval) look_at_the_door(now);
    sweep(now);
  }
  sockets_.clear();
  door_.clear();
  while (!waiting_.empty()) drop_waiting(waiting_.begin()->first);
}

// Milliseconds until there is something to do of our own accord.
int ConnectionGate::patience(TimePoint now) const {
  const std::scoped_lock lock(mutex_);
  if (!paused_ && origins_.empty() && parked_.empty() && door_.empty()) return -1;
  TimePoint next = swept_ + kSweepInterval;
  if (paused_) next = std::min(next, paused_until_);
  if (!door_.empty()) next = std::min(next, door_seen_ + kDoorInterval);
  const auto left = std::chrono::duration_cast<Milliseconds>(next - now).count();
  return static_cast<int>(std::max<std::int64_t>(left + 1, 0));
}

void ConnectionGate::accept_some(const ListeningSocket& socket) {
  for (int i = 0; i < kAcceptsInARow && !paused_; ++i) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    Descriptor connection(::accept4(socket.descriptor.get(),
                                    reinterpret_cast<sockaddr*>(&address),  // NOLINT: BSD sockets
                                    &size, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!connection.is_open()) {
      if (!out_of_descriptors(errno)) return;
      if (unpark_one()) continue;
      return pause_for_descriptors();
    }
    if (!move_below_the_kept(connection)) {
      reset_on_close(connection.get());
      connection.reset();
      return pause_for_descriptors();
    }
    Comer comer{std::move(connection), peer_of(address), socket.admin, Clock::now(),
                Clock::now() + request_timeout()};
    if (const auto refused = admit_at_once(comer)) let_wait(std::move(comer), *refused);
  }
}

// The highest numbers stay free, so who is parked lets go of lower ones. False: nobody is parked.
bool ConnectionGate::move_below_the_kept(Descriptor& connection) {
  while (connection.get() >= descriptors_max_) {
    if (!unpark_one()) return false;
    Descriptor other(::fcntl(connection.get(), F_DUPFD_CLOEXEC, 0));
    if (other.is_open() && other.get() < connection.get()) std::swap(connection, other);
  }
  return true;
}

// Where others wait, a stranger waits with them: what the port's queue holds behind a crowd must
// not wait until each of them was judged.
std::optional<RefusalCause> ConnectionGate::admit_at_once(Comer& comer) {
  if (door_.empty() || !is_stranger(comer, comer.since)) return admit(comer);
  const std::scoped_lock lock(mutex_);
  return book_.allows(comer.peer) ? RefusalCause::kTotalCap : RefusalCause::kNetwork;
}

std::optional<RefusalCause> ConnectionGate::admit(Comer& comer) {
  const int fd = comer.connection.get();
  ConnectionBook::Arrival arrival;
  {
    const std::scoped_lock lock(mutex_);
    const TimePoint now = Clock::now();
    arrival = comer.admin ? book_.arrive_admin(fd, now)
                          : book_.arrive(fd, comer.peer, now, queue(comer, now));
    if (arrival.refused) return arrival.refused;
    origins_[fd] = {comer.peer, comer.admin, era_, comer.until, false};
  }
  if (arrival.evicted) carry_out(*arrival.evicted);
  tune(fd);
  const bool tls = is_tls(comer);
  waiting_[comer.connection.release()] = {tls, false, ++last_number_};
  look_at(fd, false);  // who is in a hurry has said it already
  return std::nullopt;
}

ArrivalQueue ConnectionGate::queue(const Comer& comer, TimePoint now) const {
  if (door_.empty()) return {};
  const auto longest = std::chrono::duration_cast<Milliseconds>(now - door_.front().since);
  return {door_.size(), longest, comer.has_spoken};
}

// There may be room in a moment: when somebody has been served, or has wasted his time.
void ConnectionGate::let_wait(Comer comer, RefusalCause cause) {
  const bool for_now = cause == RefusalCause::kTotalCap || cause == RefusalCause::kAddressCap;
  if (!for_now) return turn_away(std::move(comer), cause);
  door_.push_back(std::move(comer));
  if (door_.size() <= kDoorMax) return;
  const TimePoint heard_until = Clock::now() - kDoorInterval;
  auto first = std::find_if(door_.begin(), door_.end(), [&](const Comer& one) {
    return !one.has_spoken && one.since <= heard_until;
  });
  if (first == door_.end()) first = door_.begin();
  turn_away(std::move(*first), cause);
  door_.erase(first);
}

// Who has said what a worker needs comes first, and among them who came last: in a flood the others
// have wasted their time, and in a burst all get in soon.
void ConnectionGate::look_at_the_door(TimePoint now) {
  door_seen_ = now;
  listen_at_the_door();
  admit_from_the_door(true, now);
  admit_from_the_door(false, now);
}

// To the newest of those who have not spoken. Who has gone, or speaks something else, is let go.
void ConnectionGate::listen_at_the_door() {
  int left = kHeardInARow;
  for (std::size_t at = door_.size(); at-- > 0 && left > 0;) {
    Comer& comer = door_.at(at);
    if (comer.has_spoken) continue;
    --left;
    const Greeting greeting = greeting_of(comer.connection.get(), is_tls(comer));
    comer.has_spoken = greeting == Greeting::kWhole;
    if (greeting != Greeting::kOther) continue;
    reset_on_close(comer.connection.get());
    door_.erase(door_.begin() + static_cast<std::ptrdiff_t>(at));
  }
}

// Where one cannot come in, one of another address may; but where there is no room for a stranger,
// there is none for any: to ask for each of a crowd would keep the others waiting.
void ConnectionGate::admit_from_the_door(bool has_spoken, TimePoint now) {
  std::map<PeerAddress, RefusalCause> refused;
  bool is_full_for_strangers = false;
  for (std::size_t at = door_.size(); at-- > 0;) {
    Comer& comer = door_.at(at);
    if (comer.has_spoken != has_spoken) continue;
    std::optional<RefusalCause> cause;
    if (const auto before = refused.find(comer.peer); before != refused.end()) {
      cause = before->second;
    } else if (is_full_for_strangers && is_stranger(comer, now)) {
      cause = RefusalCause::kTotalCap;
    } else if ((cause = admit(comer))) {
      refused.emplace(comer.peer, *cause);
      is_full_for_strangers |= cause == RefusalCause::kTotalCap && is_stranger(comer, now);
    }
    if (cause && now < comer.until) continue;
    if (cause) turn_away(std::move(comer), *cause);
    door_.erase(door_.begin() + static_cast<std::ptrdiff_t>(at));
  }
}

bool ConnectionGate::is_stranger(const Comer& comer, TimePoint now) const {
  const std::scoped_lock lock(mutex_);
  return !comer.admin && !book_.is_known(comer.peer, now);
}

void ConnectionGate::turn_away(Comer comer, RefusalCause cause) {
  const std::scoped_lock lock(mutex_);
  ++counts_.refused.at(static_cast<std::size_t>(cause));
  if (cause == RefusalCause::kNetwork) return reset_on_close(comer.connection.get());
  park(std::move(comer.connection), comer.until);
}

// Told once for each time that more has come: what is not taken away would be told for ever.
void ConnectionGate::watch(int fd) {
  Waiting& waiting = waiting_.at(fd);
  if (std::exchange(waiting.watched, true)) return;
  epoll_event event{};
  event.events = EPOLLIN | EPOLLRDHUP | EPOLLET;
  event.data.u64 = mark_of(fd, waiting.number);
  // The kernel has room for so many only.
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) drop_waiting(fd);
}

// `ended`: nothing more will come.
void ConnectionGate::look_at(int fd, bool ended) {
  const bool tls = waiting_.at(fd).tls;
  const Greeting greeting = greeting_of(fd, tls);
  if (greeting == Greeting::kWhole) return give_away(fd, tls);
  if (greeting == Greeting::kOther || ended) return drop_waiting(fd);
  watch(fd);
}

void ConnectionGate::give_away(int fd, bool tls) {
  if (waiting_.at(fd).watched) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  waiting_.erase(fd);
  {
    const std::scoped_lock lock(mutex_);
    book_.served(fd);
  }
  if (hand_over_(fd, tls)) return;
  forget(fd, /*and_park=*/false);
  ::close(fd);
}

void ConnectionGate::drop_waiting(int fd) {
  waiting_.erase(fd);
  forget(fd, /*and_park=*/false);
  reset_on_close(fd);
  ::close(fd);
}

// Who waits is ours to park or to close. A worker reads the end of the stream, or fails to write,
// and lets go of it.
void ConnectionGate::carry_out(const ConnectionBook::Eviction& eviction) {
  const int fd = eviction.id;
  const bool to_park = eviction.cause == EvictionCause::kOldestUnauthenticated;
  const std::scoped_lock lock(mutex_);
  ++counts_.evicted.at(static_cast<std::size_t>(eviction.cause));
  const auto origin = origins_.find(fd);
  if (origin == origins_.end()) return;  // it has just left
  const auto waits = waiting_.find(fd);
  if (waits == waiting_.end()) {
    origin->second.to_park = to_park;
    if (eviction.cause == EvictionCause::kSlowReader) reset_on_close(fd);
    ::shutdown(fd, to_park ? SHUT_RD : SHUT_RDWR);  // the former tells the client nothing
    return;
  }
  if (waits->second.watched) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  waiting_.erase(waits);
  Descriptor connection(fd);
  if (to_park) park(std::move(connection), origin->second.until);
  book_.leave(fd);
  origins_.erase(origin);
}

// With the mutex held.
void ConnectionGate::park(Descriptor connection, TimePoint until) {
  reset_on_close(connection.get());
  // Not all who came at once shall find out at once, and come back at once.
  constexpr unsigned kSteps = 64, kStride = 37;
  parked_so_far_ = (parked_so_far_ + kStride) % kSteps;
  parked_.emplace(until + request_timeout_ / 2 * parked_so_far_ / kSteps, std::move(connection));
  if (parked_.size() > kParkedMax) parked_.erase(parked_.begin());
}

// The one whose time would be up first. False: there is none.
bool ConnectionGate::unpark_one() {
  const std::scoped_lock lock(mutex_);
  if (parked_.empty()) return false;
  parked_.erase(parked_.begin());
  return true;
}

// Who waits goes first; then nobody is accepted for a moment, since trying again at once would burn
// a core.
void ConnectionGate::pause_for_descriptors() {
  const TimePoint now = Clock::now();
  std::vector<ConnectionBook::Eviction> evictions;
  {
    const std::scoped_lock lock(mutex_);
    ++counts_.refused.at(static_cast<std::size_t>(RefusalCause::kDescriptors));
    for (int i = 0; i < kRoomInAPause; ++i) {
      if (const auto eviction = book_.make_room(Clock::now())) evictions.push_back(*eviction);
    }
  }
  for (const auto& eviction : evictions) carry_out(eviction);
  if (!paused_) watch_ports(false);
  paused_ = true;
  paused_until_ = now + kPause;
}

void ConnectionGate::sweep(TimePoint now) {
  if (paused_ && now >= paused_until_) {
    paused_ = false;
    watch_ports(true);
  }
  if (now < swept_ + kSweepInterval) return;
  swept_ = now;
  std::vector<ConnectionBook::Eviction> evictions;
  {
    const std::scoped_lock lock(mutex_);
    evictions = book_.sweep(now);
    parked_.erase(parked_.begin(), parked_.upper_bound(now));
  }
  for (const auto& eviction : evictions) carry_out(eviction);
}

ConnectionGate::Origin ConnectionGate::origin(int fd) const {
  const std::scoped_lock lock(mutex_);
  const auto at = origins_.find(fd);
  return at == origins_.end() ? Origin{} : at->second;
}

bool ConnectionGate::begin_handshake(int fd) {
  using Standing = ConnectionBook::Standing;
  {
    const std::scoped_lock lock(mutex_);
    const TimePoint now = Clock::now();
    const Standing standing = book_.standing(fd, now);
    if (stopping_ || standing == Standing::kGone) return false;
    if (origins_.at(fd).has_turn) return true;  // a second hello came with the first
    if (standing == Standing::kKnown) return true;
    book_.working(fd, now);  // it waits for us
  }
  strangers_.take();
  const std::scoped_lock lock(mutex_);
  origins_.at(fd).has_turn = true;
  return !stopping_ && book_.standing(fd, Clock::now()) != Standing::kGone;
}

void ConnectionGate::end_handshake(int fd) {
  {
    const std::scoped_lock lock(mutex_);
    const auto origin = origins_.find(fd);
    if (origin == origins_.end() || !std::exchange(origin->second.has_turn, false)) return;
    book_.served(fd);
  }
  strangers_.give_back();
}

void ConnectionGate::working(int fd) {
  const std::scoped_lock lock(mutex_);
  book_.working(fd, Clock::now());
}

bool ConnectionGate::answering(int fd, bool authenticated, std::uint64_t generation) {
  const std::scoped_lock lock(mutex_);
  const TimePoint now = Clock::now();
  book_.answering(fd, authenticated, generation, now);
  if (authenticated) origins_.at(fd).to_park = false;
  return book_.standing(fd, now) != ConnectionBook::Standing::kGone;
}

void ConnectionGate::progressed(int fd, std::size_t bytes) {
  const std::scoped_lock lock(mutex_);
  book_.progressed(fd, bytes, Clock::now());
}

void ConnectionGate::answered(int fd) {
  const std::scoped_lock lock(mutex_);
  book_.answered(fd, Clock::now());
}

void ConnectionGate::leave(int fd) {
  forget(fd, /*and_park=*/true);
  if (paused_.load()) wake();
}

bool ConnectionGate::is_outdated(int fd) const {
  const Origin of_it = origin(fd);
  const std::scoped_lock lock(mutex_);
  return !of_it.admin && of_it.era != era_;
}

void ConnectionGate::begin_era() {
  const std::scoped_lock lock(mutex_);
  ++era_;
}

// Of one that is to be parked the worker gets a stream that has ended, and closes that.
void ConnectionGate::forget(int fd, bool and_park) {
  const std::scoped_lock lock(mutex_);
  book_.leave(fd);
  const auto origin = origins_.find(fd);
  if (origin == origins_.end()) return;
  if (and_park && origin->second.to_park) {
    Descriptor kept(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
    const bool has_room = kept.is_open() && kept.get() < descriptors_max_;
    if (has_room && ::dup3(ended_.get(), fd, O_CLOEXEC) == fd) {
      park(std::move(kept), origin->second.until);
    }
  }
  origins_.erase(origin);
}

Milliseconds ConnectionGate::request_timeout() const {
  const std::scoped_lock lock(mutex_);
  return request_timeout_;
}

PortCounts ConnectionGate::counts() const {
  const std::scoped_lock lock(mutex_);
  PortCounts counts = counts_;
  counts.open = book_.open();
  counts.authenticated = book_.authenticated();
  return counts;
}

void ConnectionGate::set_limits(ConnectionLimits limits) {
  const std::scoped_lock lock(mutex_);
  request_timeout_ = limits.request_timeout;
  book_.set_limits(std::move(limits));
}

}  // namespace bao_exporter
