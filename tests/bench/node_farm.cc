// Any number of fake OpenBao nodes in one process and one thread: kept TLS connections, a port for
// each node. It answers what bao-exporter, Prometheus and vmagent ask, and takes vmagent's remote
// writes without reading them. Prints its ports as one line of JSON, then serves until SIGTERM.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <csignal>
#include <ctime>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string_view>
#include <vector>

#include "bench/farm_bodies.h"
#include "bench/sockets.h"

namespace {

using bench::give_up;
using nlohmann::json;
using std::string_view;

constexpr const char* kText = "text/plain; version=0.0.4; charset=utf-8";
constexpr const char* kJson = "application/json";

struct Request {
  string_view method;
  string_view path;  // without the query
  string_view agent;
  string_view body;
  std::size_t bytes = 0;  // of all of it; 0: it is not whole yet
};

string_view header(string_view head, string_view name) {
  // All clients here write their names as Go or libcurl do.
  const std::size_t at = head.find(name);
  if (at == string_view::npos) return {};
  const string_view rest = head.substr(at + name.size());
  return rest.substr(0, rest.find("\r\n"));
}

Request read_request(string_view received) {
  Request request;
  const std::size_t end = received.find("\r\n\r\n");
  if (end == string_view::npos) return request;
  const string_view head = received.substr(0, end + 2);
  const std::size_t first = head.find(' ');
  const std::size_t second = head.find_first_of(" ?", first + 1);
  request.method = head.substr(0, first);
  request.path = head.substr(first + 1, second - first - 1);
  const string_view agent = header(head, "\r\nUser-Agent: ");
  request.agent = agent.substr(0, agent.find('/'));
  const string_view length = header(head, "\r\nContent-Length: ");
  const std::size_t body = length.empty() ? 0 : std::stoul(std::string(length));
  if (received.size() < end + 4 + body) return request;
  request.body = received.substr(end + 4, body);
  request.bytes = end + 4 + body;
  return request;
}

// What goes out: a head, what the nodes share, what is the node's own.
struct Answer {
  std::string head;
  const std::string* shared = nullptr;
  std::string tail;
};

Answer plain_answer(int status, const std::string& body, const char* type = kJson) {
  Answer answer;
  answer.head = "HTTP/1.1 " + std::to_string(status) + " Farm\r\nCache-Control: no-store\r\n" +
                "Content-Type: " + type + "\r\nContent-Length: " + std::to_string(body.size()) +
                "\r\n\r\n" + body;
  return answer;
}

class Farm {
 public:
  explicit Farm(const bench::FarmShape& shape) : shape_(shape), bodies_(shape) {}

  Answer answer(std::size_t node, const Request& request) {
    const string_view path = request.path;
    if (path == "/v1/sys/metrics") return metrics(node, request);
    if (path == "/v1/sys/health") return health(node);
    if (path == "/v1/sys/leader") return leader(node);
    if (path == "/v1/sys/capabilities-self") return capabilities(request);
    if (path == "/v1/auth/token/lookup-self") return look_up();
    if (path == "/v1/auth/token/renew-self") return renewed();
    if (path == "/counts") return counts();
    return plain_answer(request.method == "POST" ? 204 : 404, "");
  }

 private:
  // As OpenBao sends it: one chunk.
  Answer metrics(std::size_t node, const Request& request) {
    std::vector<std::size_t>& polls = polls_[std::string(request.agent)];
    polls.resize(shape_.nodes);
    const std::string& shared = bodies_.body(node, polls[node]++);
    const std::string& own = bodies_.tail(node);
    std::array<char, 32> size{};
    std::snprintf(size.data(), size.size(), "%zx\r\n", shared.size() + own.size());
    return {std::string("HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Type: ") + kText +
                "\r\nTransfer-Encoding: chunked\r\n\r\n" + size.data(),
            &shared, own + "\r\n0\r\n\r\n"};
  }
  // How often metrics were asked for, by who asked.
  [[nodiscard]] Answer counts() const {
    json said = json::object();
    for (const auto& [agent, polls] : polls_) {
      said[agent] = std::accumulate(polls.begin(), polls.end(), std::size_t{0});
    }
    return plain_answer(200, said.dump());
  }
  [[nodiscard]] Answer health(std::size_t node) const {
    const bool active = bodies_.is_active(node);
    const std::string cluster = "farm-" + std::to_string(bodies_.cluster_of(node));
    return plain_answer(active ? 200 : 429, json{{"initialized", true},
                                                 {"sealed", false},
                                                 {"standby", !active},
                                                 {"server_time_utc", std::time(nullptr)},
                                                 {"version", "2.7.2"},
                                                 {"cluster_name", cluster},
                                                 {"cluster_id", cluster}}
                                                .dump());
  }
  [[nodiscard]] Answer leader(std::size_t node) const {
    json said = {{"ha_enabled", true}, {"is_self", bodies_.is_active(node)}};
    if (bodies_.is_active(node)) said["active_time"] = "2026-11-23T00:20:45.734479023Z";
    return plain_answer(200, said.dump());
  }
  // Of a token that may read the metrics and nothing else.
  static Answer capabilities(const Request& request) {
    json said = json::object();
    const json asked = json::parse(request.body, nullptr, false);
    if (asked.is_object() && asked.contains("paths")) {
      for (const json& path : asked["paths"]) {
        said[path.get<std::string>()] =
            path == "sys/metrics" ? json::array({"read", "list"}) : json::array({"deny"});
      }
    }
    json all = said;
    all["data"] = said;
    return plain_answer(200, all.dump());
  }
  static Answer look_up() {
    const json data = {{"creation_ttl", 86400}, {"expire_time", nullptr},
                       {"explicit_max_ttl", 0}, {"num_uses", 0},
                       {"orphan", true},        {"period", 86400},
                       {"renewable", true},     {"ttl", 86400},
                       {"type", "service"},     {"policies", {"default", "metrics-read"}}};
    return plain_answer(200, json{{"data", data}}.dump());
  }
  static Answer renewed() {
    const json auth = {{"client_token", "s.FarmToken"},
                       {"lease_duration", 86400},
                       {"renewable", true},
                       {"policies", {"default", "metrics-read"}},
                       {"token_policies", {"default", "metrics-read"}},
                       {"token_type", "service"}};
    return plain_answer(200, json{{"auth", auth}}.dump());
  }

  bench::FarmShape shape_;
  bench::FarmBodies bodies_;
  std::map<std::string, std::vector<std::size_t>> polls_;  // of each node, by who asks
};

class Connection {
 public:
  Connection(int fd, std::size_t node, SSL_CTX* context, Farm& farm)
      : fd_(fd), node_(node), farm_(farm), ssl_(::SSL_new(context)) {
    ::SSL_set_fd(ssl_.get(), fd);
    ::SSL_set_accept_state(ssl_.get());
  }
  ~Connection() { ::close(fd_); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Does what can be done now. False: it has ended. `wants_out`: there is more to write.
  bool go_on(bool& wants_out) {
    wants_out = false;
    while (true) {
      if (const int done = write(); done <= 0) return may_go_on(done, wants_out);
      ::ERR_clear_error();
      const int got = ::SSL_read(ssl_.get(), buffer_.data(), static_cast<int>(buffer_.size()));
      if (got <= 0) return may_go_on(got, wants_out);
      received_.append(buffer_.data(), static_cast<std::size_t>(got));
      const Request request = read_request(received_);
      if (request.bytes == 0) continue;
      answer_ = farm_.answer(node_, request);
      received_.erase(0, request.bytes);
      at_ = 0;
    }
  }

 private:
  // 1: nothing is left to be written; else what OpenSSL said.
  int write() {
    while (true) {
      const string_view piece = next_piece();
      if (piece.empty()) return 1;
      ::ERR_clear_error();
      const int done = ::SSL_write(ssl_.get(), piece.data(), static_cast<int>(piece.size()));
      if (done <= 0) return done;
      at_ += static_cast<std::size_t>(done);
    }
  }
  bool may_go_on(int result, bool& wants_out) const {
    const int why = ::SSL_get_error(ssl_.get(), result);
    wants_out = why == SSL_ERROR_WANT_WRITE;
    return wants_out || why == SSL_ERROR_WANT_READ;
  }
  [[nodiscard]] string_view next_piece() const {
    std::size_t at = at_;
    const string_view shared = answer_.shared == nullptr ? string_view() : *answer_.shared;
    for (const string_view piece : {string_view(answer_.head), shared, string_view(answer_.tail)}) {
      if (at < piece.size()) return piece.substr(at);
      at -= piece.size();
    }
    return {};
  }

  int fd_;
  std::size_t node_;
  Farm& farm_;
  bench::Ssl ssl_;
  Answer answer_;
  std::size_t at_ = 0;  // of the answer, what is written
  std::string received_;
  static inline std::array<char, 65536> buffer_{};  // one thread
};

int listen_anywhere(std::uint16_t& port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  socklen_t size = sizeof address;
  if (fd < 0 || ::bind(fd, generic, size) != 0 || ::listen(fd, 64) != 0 ||
      ::getsockname(fd, generic, &size) != 0) {
    give_up("cannot listen on 127.0.0.1");
  }
  port = ntohs(address.sin_port);
  return fd;
}

bench::Context server_context(const std::string& certificate, const std::string& key) {
  bench::Context context(::SSL_CTX_new(::TLS_server_method()));
  ::SSL_CTX_set_mode(context.get(),
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  if (::SSL_CTX_use_certificate_chain_file(context.get(), certificate.c_str()) != 1 ||
      ::SSL_CTX_use_PrivateKey_file(context.get(), key.c_str(), SSL_FILETYPE_PEM) != 1) {
    give_up("cannot read " + certificate + " or its key");
  }
  return context;
}

class Loop {
 public:
  Loop(Farm& farm, SSL_CTX* context) : farm_(farm), context_(context) {}

  std::uint16_t add_node(std::size_t node) {
    std::uint16_t port = 0;
    const int fd = listen_anywhere(port);
    listeners_[fd] = node;
    watch(fd, EPOLLIN, EPOLL_CTL_ADD);
    return port;
  }

  void run(const volatile std::sig_atomic_t& stopped) {
    std::array<epoll_event, 64> events{};
    while (stopped == 0) {
      const int count = ::epoll_wait(epoll_, events.data(), events.size(), 1000);
      for (int i = 0; i < count; ++i) turn(events[static_cast<std::size_t>(i)].data.fd);
    }
  }

 private:
  void watch(int fd, std::uint32_t what, int operation) const {
    epoll_event event{};
    event.events = what;
    event.data.fd = fd;
    if (::epoll_ctl(epoll_, operation, fd, &event) != 0) give_up("epoll_ctl failed");
  }

  void turn(int fd) {
    if (const auto listener = listeners_.find(fd); listener != listeners_.end()) {
      return accept(fd, listener->second);
    }
    const auto at = connections_.find(fd);
    if (at == connections_.end()) return;
    bool wants_out = false;
    if (!at->second.go_on(wants_out)) {
      connections_.erase(at);
      return;
    }
    watch(fd, EPOLLIN | (wants_out ? EPOLLOUT : 0U), EPOLL_CTL_MOD);
  }

  void accept(int listener, std::size_t node) {
    const int fd = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    connections_.try_emplace(fd, fd, node, context_, farm_);
    watch(fd, EPOLLIN, EPOLL_CTL_ADD);
  }

  Farm& farm_;
  SSL_CTX* context_;
  int epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
  std::map<int, std::size_t> listeners_;  // and whose they are
  std::map<int, Connection> connections_;
};

volatile std::sig_atomic_t stopped = 0;

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Fake OpenBao nodes"};
  bench::FarmShape shape;
  std::string certificate;
  std::string key;
  app.add_option("--nodes", shape.nodes);
  app.add_option("--cluster-size", shape.cluster_size, "nodes of each cluster");
  app.add_option("--samples", shape.samples, "of each node");
  app.add_option("--families", shape.families);
  app.add_option("--changing", shape.changing, "the share of families with new values at a poll")
      ->check(CLI::Range(0.0, 1.0));
  app.add_option("--cert", certificate)->required();
  app.add_option("--key", key)->required();
  CLI11_PARSE(app, argc, argv);
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGTERM, [](int) { stopped = 1; });
  bench::raise_descriptor_limit();
  Farm farm(shape);
  const bench::Context context = server_context(certificate, key);
  Loop loop(farm, context.get());
  std::vector<std::uint16_t> ports;
  for (std::size_t node = 0; node < shape.nodes; ++node) ports.push_back(loop.add_node(node));
  std::puts(json{{"ports", ports}}.dump().c_str());
  std::fflush(stdout);
  loop.run(stopped);
  return 0;
}
