#include "bao_exporter/tls_probe.h"

#include <thread>

#include "catch.h"
#include "support/listening.h"
#include "support/quiet.h"
#include "support/raw_server.h"

namespace bao_exporter {

namespace {

using namespace test;  // NOLINT(google-build-using-namespace): the helpers of this test

constexpr std::chrono::seconds kLong{20};

// A listener with a certificate of the test's choice.
class Server {
 public:
  explicit Server(const Identity& shown) {
    const ServerFiles files = write_server_files(folder_, "server", shown);
    ListenerConfig config;
    config.addresses = {"127.0.0.1:0"};
    config.tls_cert_file = files.certificate;
    config.tls_key_file = files.key;
    config.connections_max = 8;
    auto started =
        Listener::start(config, [](const HttpRequest&) { return reply_with("not asked"); });
    REQUIRE(started.ok());
    listener_ = std::move(started).value();
  }
  [[nodiscard]] std::uint16_t port() const {
    const std::string address = listener_->addresses().front();
    return static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)));
  }

 private:
  Folder folder_;
  std::unique_ptr<Listener> listener_;
};

// Speaks first, to one client, whatever that one says; then closes.
class Talker {
 public:
  explicit Talker(std::string words) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* plain = reinterpret_cast<sockaddr*>(&address);  // NOLINT: BSD sockets
    socklen_t size = sizeof address;
    REQUIRE(::bind(fd_, plain, size) == 0);
    REQUIRE(::listen(fd_, 1) == 0);
    REQUIRE(::getsockname(fd_, plain, &size) == 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::jthread([this, words = std::move(words)] {
      const int client = ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
      (void)::send(client, words.data(), words.size(), MSG_NOSIGNAL);
      ::shutdown(client, SHUT_WR);
      std::array<char, 4096> ignored{};
      while (::recv(client, ignored.data(), ignored.size(), 0) > 0) {
      }
      ::close(client);
    });
  }
  ~Talker() {
    ::shutdown(fd_, SHUT_RDWR);
    thread_.join();
    ::close(fd_);
  }
  Talker(const Talker&) = delete;
  Talker& operator=(const Talker&) = delete;
  [[nodiscard]] std::uint16_t port() const { return port_; }

 private:
  int fd_;
  std::uint16_t port_ = 0;
  std::jthread thread_;
};

const Identity& authority() {
  static const Identity kAuthority = make_identity("Authority of a test", nullptr, "");
  return kAuthority;
}

std::shared_ptr<const TlsTrust> trust_in(const Identity& whom) {
  auto trust = std::make_shared<TlsTrust>();
  trust->authorities_pem = whom.certificate_pem();
  return trust;
}

TlsProbe probe_of(std::uint16_t port, const std::string& name = "127.0.0.1") {
  return {"127.0.0.1", port, name, trust_in(authority())};
}

TlsFindings found(const TlsProbe& probe, std::chrono::milliseconds patience = kLong) {
  std::vector<TlsFindings> findings = probe_tls({probe}, Clock::now() + patience);
  REQUIRE(findings.size() == 1);
  return findings.front();
}

}  // namespace

TEST_CASE("a certificate that verifies is told with its names, issuer and days") {
  const Identity shown = make_identity("server", &authority(), kLocalNames, 90'000);
  const Server server(shown);
  const TlsFindings findings = found(probe_of(server.port()));
  INFO(findings.words);
  REQUIRE(findings.handshake == Handshake::kCertificate);
  CHECK(findings.chain == ChainFault::kNone);
  CHECK(findings.name_matches);
  CHECK(findings.words.empty());
  CHECK(findings.certificate.names ==
        std::vector<std::string>{"localhost", "openbao-0.internal.test", "127.0.0.1", "::1"});
  CHECK(findings.certificate.issuer == "Authority of a test");
  CHECK(findings.certificate.not_after == shown.not_after);
  CHECK(findings.certificate.not_before < shown.not_after);
}

TEST_CASE("a certificate without alternative names is told by its common name") {
  const Server server(make_identity("openbao-7", &authority(), ""));
  const TlsFindings findings = found(probe_of(server.port(), "openbao-7"));
  CHECK(findings.certificate.names == std::vector<std::string>{"openbao-7"});
  CHECK(findings.name_matches);
}

TEST_CASE("a name that the certificate does not have is told apart from its chain") {
  const Server server(make_identity("server", &authority(), "DNS:openbao-1.internal.test"));
  for (const char* name : {"openbao-0.internal.test", "127.0.0.1", "::1"}) {
    const TlsFindings findings = found(probe_of(server.port(), name));
    CAPTURE(name);
    CHECK(findings.handshake == Handshake::kCertificate);
    CHECK(findings.chain == ChainFault::kNone);
    CHECK_FALSE(findings.name_matches);
  }
  CHECK(found(probe_of(server.port(), "openbao-1.internal.test")).name_matches);
}

TEST_CASE("an authority that is not ours is told as such") {
  const Identity other = make_identity("Another authority", nullptr, "");
  const Server server(make_identity("server", &other, kLocalNames));
  const TlsFindings findings = found(probe_of(server.port()));
  CHECK(findings.chain == ChainFault::kUnknownAuthority);
  CHECK(findings.certificate.issuer == "Another authority");
  CHECK(findings.name_matches);
  CHECK_FALSE(findings.words.empty());
}

TEST_CASE("a certificate that signed itself is told as such") {
  const Server server(make_identity("lonely", nullptr, kLocalNames));
  CHECK(found(probe_of(server.port())).chain == ChainFault::kSelfSigned);
}

TEST_CASE("a certificate out of its time is told as such") {
  const Server old(make_identity("server", &authority(), kLocalNames, -3'600));
  CHECK(found(probe_of(old.port())).chain == ChainFault::kExpired);
  const Server early(make_identity("server", &authority(), kLocalNames, 7'200, 3'600));
  CHECK(found(probe_of(early.port())).chain == ChainFault::kNotYetValid);
}

TEST_CASE("a server that does not speak TLS is told by what it does") {
  CHECK(found(probe_of(Talker("HTTP/1.0 400 Bad Request\r\n\r\n").port())).handshake ==
        Handshake::kPlainHttp);
  const TlsFindings mail = found(probe_of(Talker("220 mail.example ESMTP\r\n").port()));
  CHECK(mail.handshake == Handshake::kNotTls);
  CHECK_FALSE(mail.words.empty());
  CHECK(found(probe_of(Talker("").port())).handshake == Handshake::kClosed);
}

TEST_CASE("a server that never answers the handshake costs its deadline, and nobody else's") {
  const RawServer silent("", /*silent=*/true);
  const Server server(make_identity("server", &authority(), kLocalNames));
  const std::uint16_t closed = RawServer("").port();
  const TimePoint began = Clock::now();
  const std::vector<TlsFindings> findings =
      probe_tls({probe_of(silent.port()), probe_of(server.port()), probe_of(closed)},
                began + std::chrono::milliseconds(600));
  CHECK(Clock::now() - began < std::chrono::seconds(5));
  REQUIRE(findings.size() == 3);
  CHECK(findings[0].handshake == Handshake::kSilent);
  CHECK(findings[1].handshake == Handshake::kCertificate);
  CHECK(findings[2].handshake == Handshake::kNoConnection);
  CHECK(findings[2].words == "Connection refused");
}

TEST_CASE("what is no address is connected to by nobody, and no probes are no findings") {
  TlsProbe nowhere = probe_of(1);
  nowhere.address = "openbao-0.example";
  CHECK(found(nowhere).handshake == Handshake::kNoConnection);
  CHECK(probe_tls({}, Clock::now() + kLong).empty());
}

}  // namespace bao_exporter
