#include "bao_exporter/listener.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "catch.h"
#include "support/certificate.h"
#include "support/eventually.h"
#include "support/listening.h"
#include "support/quiet.h"

namespace bao_exporter {

namespace {

using namespace test;  // NOLINT(google-build-using-namespace): the helpers of this test

int connect_to(const std::string& host, std::uint16_t port) {
  const bool v6 = host.find(':') != std::string::npos;
  const int fd = ::socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  BAO_CHECK(fd >= 0);
  const timeval patience{20, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  sockaddr_in6 six{};
  six.sin6_family = AF_INET6;
  six.sin6_port = htons(port);
  six.sin6_addr = in6addr_loopback;
  sockaddr_in four{};
  four.sin_family = AF_INET;
  four.sin_port = htons(port);
  four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const auto* address = v6 ? reinterpret_cast<const sockaddr*>(&six)    // NOLINT: BSD sockets
                           : reinterpret_cast<const sockaddr*>(&four);  // NOLINT: BSD sockets
  const socklen_t size = v6 ? sizeof six : sizeof four;
  if (::connect(fd, address, size) != 0) {
    ::close(fd);
    return -1;
  }
  return fd;
}

struct Response {
  int status = 0;
  std::string head;
  std::string body;
};

// One TLS connection, without an HTTP library that would repair things.
class Client {
 public:
  Client(const Listening& where, const std::string& host = "127.0.0.1",
         int version_max = TLS1_3_VERSION, std::uint16_t port = 0)
      : context_(::SSL_CTX_new(::TLS_client_method())) {
    X509_STORE* store = ::SSL_CTX_get_cert_store(context_);
    ::X509_STORE_add_cert(store, where.authority.certificate.get());
    ::SSL_CTX_set_verify(context_, SSL_VERIFY_PEER, nullptr);
    ::SSL_CTX_set_min_proto_version(context_, TLS1_VERSION);
    ::SSL_CTX_set_max_proto_version(context_, version_max);
    ::SSL_CTX_set_security_level(context_, 0);
    fd_ = connect_to(host, port != 0 ? port : where.port());
    if (fd_ < 0) return;
    ssl_ = ::SSL_new(context_);
    ::SSL_set_fd(ssl_, fd_);
    ready_ = ::SSL_connect(ssl_) == 1;
  }
  ~Client() {
    if (ssl_ != nullptr) ::SSL_free(ssl_);
    if (fd_ >= 0) ::close(fd_);
    ::SSL_CTX_free(context_);
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  [[nodiscard]] bool ready() const { return ready_; }
  [[nodiscard]] std::string version() const { return ::SSL_get_version(ssl_); }

  bool send(const std::string& text) {
    return ::SSL_write(ssl_, text.data(), static_cast<int>(text.size())) ==
           static_cast<int>(text.size());
  }

  // The next answer; nullopt: the connection ended before it was whole.
  std::optional<Response> receive(bool head_only = false) {
    std::size_t end = std::string::npos;
    while ((end = buffer_.find("\r\n\r\n")) == std::string::npos) {
      if (!fill()) return std::nullopt;
    }
    Response response;
    response.head = buffer_.substr(0, end + 2);
    buffer_.erase(0, end + 4);
    if (response.head.rfind("HTTP/1.1 ", 0) != 0) return std::nullopt;
    response.status = std::stoi(response.head.substr(9));
    const std::size_t at = response.head.find("Content-Length: ");
    if (at == std::string::npos) return std::nullopt;
    const std::size_t length = head_only ? 0 : std::stoul(response.head.substr(at + 16));
    while (buffer_.size() < length) {
      if (!fill()) return std::nullopt;
    }
    response.body = buffer_.substr(0, length);
    buffer_.erase(0, length);
    return response;
  }

  std::optional<Response> get(const std::string& path, const std::string& more = "") {
    if (!send("GET " + path + " HTTP/1.1\r\nHost: h\r\n" + more + "\r\n")) return std::nullopt;
    return receive();
  }

  // True when the server ends the connection and sends nothing before.
  bool ended() {
    if (!buffer_.empty()) return false;
    return !fill() && !timed_out_;
  }

 private:
  bool fill() {
    std::array<char, 65'536> chunk{};
    const int got = ::SSL_read(ssl_, chunk.data(), static_cast<int>(chunk.size()));
    if (got <= 0) {
      timed_out_ = errno == EAGAIN && ::SSL_get_error(ssl_, got) != SSL_ERROR_ZERO_RETURN;
      return false;
    }
    buffer_.append(chunk.data(), static_cast<std::size_t>(got));
    return true;
  }

  SSL_CTX* context_;
  SSL* ssl_ = nullptr;
  int fd_ = -1;
  bool ready_ = false;
  bool timed_out_ = false;
  std::string buffer_;
};

// Says what it was asked.
Reply echo(const HttpRequest& request) {
  std::string said = std::string(request.method) + " " + std::string(request.path) + "\n";
  for (const auto& [name, value] : request.headers) {
    said += std::string(name) + ": " + std::string(value) + "\n";
  }
  return reply_with(said);
}

bool has(const std::string& text, std::string_view words) {
  return text.find(words) != std::string::npos;
}

}  // namespace

TEST_CASE("a request over TLS is answered with what the handler made") {
  const Listening listening(echo);
  REQUIRE(listening.listener != nullptr);
  CHECK(listening.port() != 0);
  Client client(listening);
  REQUIRE(client.ready());
  const auto response = client.get("/metrics", "X-Test: yes\r\n");
  REQUIRE(response.has_value());
  CHECK(response->status == 200);
  CHECK(has(response->head, "HTTP/1.1 200 OK\r\n"));
  CHECK(has(response->head, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
  CHECK(has(response->head, "Connection: keep-alive\r\n"));
  CHECK(has(response->body, "GET /metrics\n"));
  CHECK(has(response->body, "X-Test: yes\n"));
}

TEST_CASE(
    "a connection serves many requests, until it is asked to close or the handler closes it") {
  std::atomic<bool> close{false};
  const Listening listening([&](const HttpRequest&) { return reply_with("x", 200, close.load()); });
  REQUIRE(listening.listener != nullptr);
  Client client(listening);
  REQUIRE(client.ready());
  for (int i = 0; i < 20; ++i) REQUIRE(client.get("/metrics").has_value());
  close = true;
  const auto last = client.get("/metrics");
  REQUIRE(last.has_value());
  CHECK(has(last->head, "Connection: close\r\n"));
  CHECK(client.ended());
}

TEST_CASE("a path reaches the handler as it was sent: raw, and without query") {
  const Listening listening(echo);
  REQUIRE(listening.listener != nullptr);
  Client client(listening);
  REQUIRE(client.ready());
  for (const char* path :
       {"/%6detrics", "/a/../metrics", "//metrics", "/metrics%00", "/metrics/"}) {
    INFO(path);
    const auto response = client.get(path);
    REQUIRE(response.has_value());
    CHECK(response->body.rfind("GET " + std::string(path) + "\n", 0) == 0);
  }
  const auto with_query = client.get("/metrics?a=b");
  REQUIRE(with_query.has_value());
  CHECK(with_query->body.rfind("GET /metrics\n", 0) == 0);
}

TEST_CASE("every status of the handler has its words") {
  std::atomic<int> status{200};
  const Listening listening([&](const HttpRequest&) { return reply_with("x", status.load()); });
  REQUIRE(listening.listener != nullptr);
  Client client(listening);
  REQUIRE(client.ready());
  for (const auto& [code, words] :
       std::vector<std::pair<int, std::string>>{{401, "Unauthorized"},
                                                {404, "Not Found"},
                                                {405, "Method Not Allowed"},
                                                {400, "Bad Request"},
                                                {503, "Service Unavailable"}}) {
    status = code;
    const auto response = client.get("/");
    REQUIRE(response.has_value());
    CHECK(response->head.rfind("HTTP/1.1 " + std::to_string(code) + " " + words + "\r\n", 0) == 0);
  }
}

TEST_CASE("HEAD tells the length and sends no body, and the connection goes on") {
  const Listening listening([](const HttpRequest& request) {
    Reply reply = reply_with("twelve bytes");
    reply.send_body = request.method != "HEAD";
    return reply;
  });
  REQUIRE(listening.listener != nullptr);
  Client client(listening);
  REQUIRE(client.ready());
  REQUIRE(client.send("HEAD /metrics HTTP/1.1\r\nHost: h\r\n\r\n"));
  const auto head = client.receive(/*head_only=*/true);
  REQUIRE(head.has_value());
  CHECK(has(head->head, "Content-Length: 12\r\n"));
  const auto next = client.get("/metrics");
  REQUIRE(next.has_value());
  CHECK(next->body == "twelve bytes");
}

TEST_CASE("methods that libraries like to answer themselves reach the handler") {
  const Listening listening(echo);
  REQUIRE(listening.listener != nullptr);
  for (const char* method : {"OPTIONS", "PUT", "DELETE", "PROPFIND", "POST", "PATCH"}) {
    INFO(method);
    Client client(listening);
    REQUIRE(client.ready());
    REQUIRE(client.send(std::string(method) + " /metrics HTTP/1.1\r\nHost: h\r\n"
                                              "Content-Length: 0\r\n\r\n"));
    const auto response = client.receive();
    REQUIRE(response.has_value());
    CHECK(response->body.rfind(std::string(method) + " /metrics\n", 0) == 0);
  }
}

TEST_CASE("HTTP/1.0 gets its answer and the end of the connection") {
  const Listening listening(echo);
  REQUIRE(listening.listener != nullptr);
  Client client(listening);
  REQUIRE(client.ready());
  REQUIRE(client.send("GET /metrics HTTP/1.0\r\n\r\n"));
  const auto response = client.receive();
  REQUIRE(response.has_value());
  CHECK(has(response->head, "Connection: close\r\n"));
  CHECK(client.ended());
}

TEST_CASE("two requests are worked on at once") {
  std::mutex mutex;
  std::condition_variable changed;
  int inside = 0;
  const Listening listening([&](const HttpRequest&) {
    // Answers only when the other is here too.
    std::unique_lock lock(mutex);
    ++inside;
    changed.notify_all();
    const bool both = changed.wait_for(lock, kPatience, [&] { return inside >= 2; });
    return reply_with(both ? "both" : "alone");
  });
  REQUIRE(listening.listener != nullptr);
  Client first(listening);
  Client second(listening);
  REQUIRE((first.ready() && second.ready()));
  REQUIRE(first.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
  REQUIRE(second.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
  const auto one = first.receive();
  const auto two = second.receive();
  REQUIRE((one.has_value() && two.has_value()));
  CHECK(one->body == "both");
  CHECK(two->body == "both");
}

TEST_CASE("a body of five megabytes in many pieces arrives whole, again and again") {
  std::string text;
  while (text.size() < (std::size_t{5} << 20)) {
    text += "vault_x{i=\"" + std::to_string(text.size()) + "\"} 1\n";
  }
  const auto kept = std::make_shared<const std::string>(text);
  const Listening listening([&](const HttpRequest&) {
    Reply reply;
    reply.status = 200;
    reply.close = false;
    reply.body.own(kept);
    std::string_view rest = *kept;
    for (std::size_t size = 1; !rest.empty(); size = size * 3 + 1) {
      const std::string_view piece = rest.substr(0, size % 100'000 + 1);
      reply.body.append(piece);
      rest.remove_prefix(piece.size());
    }
    return reply;
  });
  REQUIRE(listening.listener != nullptr);
  Client client(listening);
  REQUIRE(client.ready());
  for (int twice = 0; twice < 2; ++twice) {
    const auto response = client.get("/metrics");
    REQUIRE(response.has_value());
    CHECK((response->body == text));
  }
}

TEST_CASE("TLS before 1.2 is refused, and 1.2 where 1.3 is asked for") {
  const Listening listening(echo);
  REQUIRE(listening.listener != nullptr);
  CHECK(Client(listening).version() == "TLSv1.3");
  const Client old(listening, "127.0.0.1", TLS1_2_VERSION);
  REQUIRE(old.ready());
  CHECK(old.version() == "TLSv1.2");
  CHECK_FALSE(Client(listening, "127.0.0.1", TLS1_1_VERSION).ready());

  ListenerConfig strict = listening.config;
  strict.tls_min_version = "1.3";
  auto started = Listener::start(strict, echo);
  REQUIRE(started.ok());
  Listening second(echo);
  second.listener = std::move(started).value();
  CHECK_FALSE(Client(second, "127.0.0.1", TLS1_2_VERSION).ready());
}

TEST_CASE("what is not HTTP ends without a word, and without harm to others") {
  std::atomic<int> asked{0};
  const Listening listening([&](const HttpRequest& request) {
    ++asked;
    return echo(request);
  });
  REQUIRE(listening.listener != nullptr);
  for (const std::string& junk :
       {std::string("\r\n\r\n\r\n"), std::string("GET\r\n\r\n"),
        std::string("\x16\x03\x01\r\n\r\n"), std::string("GET /metrics HTTP/9.9\r\n\r\n"),
        std::string("GET metrics HTTP/1.1\r\n\r\n"),
        std::string("GET /metrics HTTP/1.1\r\nnocolon\r\n\r\n")}) {
    Client client(listening);
    REQUIRE(client.ready());
    REQUIRE(client.send(junk));
    INFO("[" << junk << "]");
    const auto response = client.receive();
    CHECK_FALSE(response.has_value());
  }
  CHECK(asked == 0);
  Client good(listening);
  REQUIRE(good.ready());
  CHECK(good.get("/metrics").has_value());
}

TEST_CASE("a certificate or key that does not fit is named, and what to do") {
  const Folder folder;
  const Identity authority = make_identity("Authority", nullptr, "");
  const Identity one = make_identity("one", &authority, kLocalNames);
  const Identity other = make_identity("other", &authority, kLocalNames);
  const ServerFiles good = write_server_files(folder, "one", one);
  const std::string other_key = folder.write("other-key.pem", other.key_pem());
  const std::string junk = folder.write("junk.pem", "not PEM\n");
  struct Row {
    std::string certificate, key, named;
  };
  for (const Row& row :
       std::vector<Row>{{good.certificate, other_key, other_key},
                        {good.certificate, junk, junk},
                        {junk, good.key, junk},
                        {good.key, good.key, good.key},
                        {good.certificate, good.certificate, good.certificate},
                        {folder.path("none"), good.key, folder.path("none")},
                        {good.certificate, folder.path("none"), folder.path("none")},
                        {"", "", ""}}) {
    ListenerConfig config;
    config.addresses = {"127.0.0.1:0"};
    config.tls_cert_file = row.certificate;
    config.tls_key_file = row.key;
    const auto started = Listener::start(config, echo);
    INFO(row.certificate << " " << row.key);
    REQUIRE_FALSE(started.ok());
    CHECK(started.error().code == ErrorCode::kConfig);
    CHECK(started.error().detail.rfind(row.named + ": ", 0) == 0);
    CHECK_FALSE(has(started.error().detail, "PRIVATE KEY-----"));
  }
}

TEST_CASE("a port that is taken is told, and does not harm who has it") {
  const Listening listening(echo);
  REQUIRE(listening.listener != nullptr);
  ListenerConfig same = listening.config;
  same.addresses = {listening.address()};
  const auto started = Listener::start(same, echo);
  REQUIRE_FALSE(started.ok());
  CHECK(started.error().code == ErrorCode::kIo);
  CHECK(has(started.error().detail, listening.address()));
  CHECK(has(started.error().detail, "taken"));
  Client client(listening);
  REQUIRE(client.ready());
  CHECK(client.get("/metrics").has_value());
}

TEST_CASE("an address that is not ours is told") {
  const Listening listening(echo, "192.0.2.1:0");  // a documentation address
  REQUIRE(listening.listener == nullptr);
  CHECK(listening.problem.code == ErrorCode::kIo);
  CHECK(has(listening.problem.detail, "192.0.2.1:0"));
}

TEST_CASE("IPv6 addresses are listened on") {
  const int fd = ::socket(AF_INET6, SOCK_STREAM, 0);
  sockaddr_in6 local{};
  local.sin6_family = AF_INET6;
  local.sin6_addr = in6addr_loopback;
  const bool there = fd >= 0 && ::bind(fd, reinterpret_cast<const sockaddr*>(&local),
                                       sizeof local) == 0;  // NOLINT
  if (fd >= 0) ::close(fd);
  if (!there) {
    WARN("NOT TESTED: this machine has no IPv6 loopback");
    return;
  }
  const Listening listening(echo, "[::1]:0");
  INFO(listening.problem.detail);
  REQUIRE(listening.listener != nullptr);
  CHECK(listening.address().rfind("[::1]:", 0) == 0);
  Client client(listening, "::1");
  REQUIRE(client.ready());
  CHECK(client.get("/metrics").has_value());

  const Listening everywhere(echo, "[::]:0");
  INFO(everywhere.problem.detail);
  REQUIRE(everywhere.listener != nullptr);
  for (const char* host : {"::1", "127.0.0.1"}) {
    INFO(host);
    Client both(everywhere, host);
    REQUIRE(both.ready());
    CHECK(both.get("/metrics").has_value());
  }
}

TEST_CASE("several addresses are listened on, each told with its own port") {
  Listening listening(echo);
  REQUIRE(listening.listener != nullptr);
  ListenerConfig two = listening.config;
  two.addresses = {"127.0.0.1:0", "127.0.0.2:0"};
  auto started = Listener::start(two, echo);
  REQUIRE(started.ok());
  const auto addresses = started.value()->addresses();
  REQUIRE(addresses.size() == 2);
  CHECK(addresses[0].rfind("127.0.0.1:", 0) == 0);
  CHECK(addresses[1].rfind("127.0.0.2:", 0) == 0);
  CHECK(addresses[0].substr(10) != "0");
  CHECK(addresses[1].substr(10) != "0");
  CHECK(addresses[0].substr(10) != addresses[1].substr(10));
}

TEST_CASE("a listener ends promptly, whoever is still connected") {
  Listening listening(echo);
  REQUIRE(listening.listener != nullptr);
  Client idle(listening);
  REQUIRE(idle.ready());
  REQUIRE(idle.get("/metrics").has_value());  // stays on keep-alive
  Client half(listening);
  REQUIRE(half.ready());
  REQUIRE(half.send("GET /metrics HTTP/1.1\r\nHo"));
  const int silent = connect_to("127.0.0.1", listening.port());
  REQUIRE(silent >= 0);
  const std::uint16_t port = listening.port();
  const auto from = std::chrono::steady_clock::now();
  listening.listener.reset();
  const auto took = std::chrono::steady_clock::now() - from;
  CHECK(std::chrono::duration_cast<std::chrono::milliseconds>(took).count() < 2'000);
  CHECK(connect_to("127.0.0.1", port) < 0);
  ::close(silent);
}

TEST_CASE("an answer under way is finished before the listener ends") {
  std::mutex mutex;
  std::condition_variable changed;
  bool inside = false, go = false;
  Listening listening([&](const HttpRequest& request) {
    if (request.path == "/probe") return reply_with("here");
    std::unique_lock lock(mutex);
    inside = true;
    changed.notify_all();
    changed.wait(lock, [&] { return go; });
    return reply_with(std::string(std::size_t{1} << 20, 'x'));
  });
  REQUIRE(listening.listener != nullptr);
  Client client(listening);
  REQUIRE(client.ready());
  REQUIRE(client.send("GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n"));
  {
    std::unique_lock lock(mutex);
    REQUIRE(changed.wait_for(lock, kPatience, [&] { return inside; }));
  }
  const std::uint16_t port = listening.port();
  std::unique_ptr<Listener> ending = std::move(listening.listener);
  std::jthread ender([&] { ending.reset(); });
  // Whoever asks while it is ending gets no answer: so we know that it is.
  CHECK(eventually([&] {
    Client probe(listening, "127.0.0.1", TLS1_3_VERSION, port);
    return !probe.ready() || !probe.send("GET /probe HTTP/1.1\r\nHost: h\r\n\r\n") ||
           !probe.receive().has_value();
  }));
  {
    std::scoped_lock lock(mutex);
    go = true;
  }
  changed.notify_all();
  const auto response = client.receive();
  REQUIRE(response.has_value());
  CHECK(response->body.size() == (std::size_t{1} << 20));
}

}  // namespace bao_exporter
