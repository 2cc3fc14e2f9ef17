// OpenSSL talks to memory, and we move the bytes: so no write can raise SIGPIPE, nothing waits but
// one poll() for all probes, and the first bytes of a server that speaks no TLS can be looked at.
#include "bao_exporter/tls_probe.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <map>
#include <optional>

#include "bao_exporter/check.h"
#include "io/openssl_owner.h"

namespace bao_exporter {

namespace {

// --- one certificate -----------------------------------------------------------------

std::int64_t unix_time(const ASN1_TIME* time) {
  std::tm broken{};
  return ::ASN1_TIME_to_tm(time, &broken) == 1 ? static_cast<std::int64_t>(::timegm(&broken)) : 0;
}

std::string text_of(const ASN1_STRING* text) {
  const auto* bytes = reinterpret_cast<const char*>(::ASN1_STRING_get0_data(text));  // NOLINT
  return {bytes, static_cast<std::size_t>(::ASN1_STRING_length(text))};
}

std::string address_of(const ASN1_OCTET_STRING* bytes) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const int family = ::ASN1_STRING_length(bytes) == 4 ? AF_INET : AF_INET6;
  if (family == AF_INET6 && ::ASN1_STRING_length(bytes) != 16) return "?";
  ::inet_ntop(family, ::ASN1_STRING_get0_data(bytes), text.data(), text.size());
  return text.data();
}

std::string common_name_of(const X509_NAME* name) {
  const int at = ::X509_NAME_get_index_by_NID(name, NID_commonName, -1);
  if (at < 0) return {};
  return text_of(::X509_NAME_ENTRY_get_data(::X509_NAME_get_entry(name, at)));
}

std::vector<std::string> names_of(X509* certificate) {
  std::vector<std::string> names;
  const Owned<GENERAL_NAMES> listed(static_cast<GENERAL_NAMES*>(
      ::X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; listed != nullptr && i < sk_GENERAL_NAME_num(listed.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(listed.get(), i);
    if (name->type == GEN_DNS) names.push_back(text_of(name->d.dNSName));
    if (name->type == GEN_IPADD) names.push_back(address_of(name->d.iPAddress));
  }
  if (names.empty()) names.push_back(common_name_of(::X509_get_subject_name(certificate)));
  return names;
}

ShownCertificate shown(X509* certificate) {
  ShownCertificate out;
  out.names = names_of(certificate);
  out.issuer = common_name_of(::X509_get_issuer_name(certificate));
  out.not_before = unix_time(::X509_get0_notBefore(certificate));
  out.not_after = unix_time(::X509_get0_notAfter(certificate));
  return out;
}

bool name_matches(X509* certificate, const std::string& name) {
  if (::X509_check_ip_asc(certificate, name.c_str(), 0) == 1) return true;
  return ::X509_check_host(certificate, name.data(), name.size(), 0, nullptr) == 1;
}

ChainFault fault_of(int error) {
  switch (error) {
    case X509_V_OK:
      return ChainFault::kNone;
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
      return ChainFault::kSelfSigned;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
      return ChainFault::kUnknownAuthority;
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return ChainFault::kExpired;
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return ChainFault::kNotYetValid;
    default:
      return ChainFault::kOther;
  }
}

// The authorities, with the rules that libcurl gives OpenSSL: one of them may stand in the middle.
Owned<X509_STORE> store_of(const TlsTrust& trust) {
  Owned<X509_STORE> store(::X509_STORE_new());
  BAO_CHECK(store != nullptr);
  ::X509_STORE_set_flags(store.get(), X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_TRUSTED_FIRST);
  if (trust.system_authorities) {
    ::X509_STORE_set_default_paths(store.get());
    return store;
  }
  const Owned<BIO> bio(::BIO_new_mem_buf(trust.authorities_pem.data(),
                                         static_cast<int>(trust.authorities_pem.size())));
  while (X509* authority = ::PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) {
    ::X509_STORE_add_cert(store.get(), authority);
    ::X509_free(authority);
  }
  return store;
}

struct Shown {
  Owned<X509> certificate;
  Owned<STACK_OF(X509)> chain;
};

void judge(const TlsProbe& probe, const Shown& seen, TlsFindings& findings) {
  findings.handshake = Handshake::kCertificate;
  findings.certificate = shown(seen.certificate.get());
  findings.name_matches = name_matches(seen.certificate.get(), probe.name);
  const Owned<X509_STORE> store = store_of(*probe.trust);
  const Owned<X509_STORE_CTX> context(::X509_STORE_CTX_new());
  BAO_CHECK(context != nullptr);
  BAO_CHECK(::X509_STORE_CTX_init(context.get(), store.get(), seen.certificate.get(),
                                  seen.chain.get()) == 1);
  BAO_CHECK(::X509_STORE_CTX_set_default(context.get(), "ssl_server") == 1);
  int error = X509_V_OK;
  if (::X509_verify_cert(context.get()) != 1) {
    error = ::X509_STORE_CTX_get_error(context.get());
    if (error == X509_V_OK) error = X509_V_ERR_UNSPECIFIED;
    findings.words = ::X509_verify_cert_error_string(error);
  }
  findings.chain = fault_of(error);
  ::ERR_clear_error();
}

// Takes what the server showed and lets the handshake go on: it is judged afterwards.
int take_certificate(X509_STORE_CTX* context, void* to) noexcept {
  auto* seen = static_cast<Shown*>(to);
  X509* certificate = ::X509_STORE_CTX_get0_cert(context);
  if (certificate != nullptr && ::X509_up_ref(certificate) == 1) {
    seen->certificate.reset(certificate);
  }
  STACK_OF(X509)* chain = ::X509_STORE_CTX_get0_untrusted(context);
  if (chain != nullptr) seen->chain.reset(::X509_chain_up_ref(chain));
  return 1;
}

// --- one connection ------------------------------------------------------------------

bool socket_address(const TlsProbe& probe, sockaddr_storage& out, socklen_t& size) {
  auto* v4 = reinterpret_cast<sockaddr_in*>(&out);   // NOLINT: BSD sockets
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&out);  // NOLINT
  if (::inet_pton(AF_INET, probe.address.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(probe.port);
    size = sizeof *v4;
    return true;
  }
  if (::inet_pton(AF_INET6, probe.address.c_str(), &v6->sin6_addr) != 1) return false;
  v6->sin6_family = AF_INET6;
  v6->sin6_port = htons(probe.port);
  size = sizeof *v6;
  return true;
}

class Connection {
 public:
  Connection(const TlsProbe& probe, SSL_CTX* context) : probe_(probe), ssl_(::SSL_new(context)) {
    BAO_CHECK(ssl_ != nullptr);
    SSL_set_app_data(ssl_.get(), this);
    incoming_ = ::BIO_new(::BIO_s_mem());
    outgoing_ = ::BIO_new(::BIO_s_mem());
    BAO_CHECK(incoming_ != nullptr && outgoing_ != nullptr);
    ::SSL_set_bio(ssl_.get(), incoming_, outgoing_);  // which owns them from here on
    ::SSL_set_connect_state(ssl_.get());
    std::array<unsigned char, sizeof(in6_addr)> ignored{};
    const bool literal = ::inet_pton(AF_INET, probe.name.c_str(), ignored.data()) == 1 ||
                         ::inet_pton(AF_INET6, probe.name.c_str(), ignored.data()) == 1;
    if (!literal) SSL_set_tlsext_host_name(ssl_.get(), probe.name.c_str());  // NOLINT: its macro
    connect();
  }
  ~Connection() {
    if (fd_ >= 0) ::close(fd_);
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  [[nodiscard]] bool done() const { return done_; }
  [[nodiscard]] pollfd wanted() const {
    const bool write = !connected_ || !unsent_.empty();
    return {fd_, static_cast<short>(write ? POLLOUT : POLLIN), 0};
  }
  void on_ready() {
    if (!connected_ && !note_connected()) return;
    if (!flush() || !unsent_.empty()) return;
    if (began_ && !receive()) return;
    began_ = true;
    advance();
  }
  // At the end, whatever came about.
  [[nodiscard]] TlsFindings take() {
    if (seen_.certificate != nullptr) {
      findings_.words.clear();
      judge(probe_, seen_, findings_);
    } else if (!done_) {
      findings_.handshake = connected_ ? Handshake::kSilent : Handshake::kNoConnection;
    }
    return std::move(findings_);
  }
  [[nodiscard]] Shown& seen() { return seen_; }

 private:
  void end(Handshake handshake, std::string words) {
    findings_.handshake = handshake;
    findings_.words = std::move(words);
    done_ = true;
  }

  void connect() {
    sockaddr_storage address{};
    socklen_t size = 0;
    if (!socket_address(probe_, address, size)) {
      return end(Handshake::kNoConnection, "not an address");
    }
    fd_ = ::socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const auto* plain = reinterpret_cast<const sockaddr*>(&address);  // NOLINT: BSD sockets
    if (fd_ < 0 || (::connect(fd_, plain, size) != 0 && errno != EINPROGRESS)) {
      end(Handshake::kNoConnection, std::strerror(errno));
    }
  }

  bool note_connected() {
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) {
      end(Handshake::kNoConnection, std::strerror(error));
      return false;
    }
    return connected_ = true;
  }

  // False: the connection has ended.
  bool flush() {
    while (!unsent_.empty()) {
      const ssize_t sent = ::send(fd_, unsent_.data(), unsent_.size(), MSG_NOSIGNAL);
      if (sent < 0 && (errno == EAGAIN || errno == EINTR)) return true;
      if (sent < 0) {
        end(Handshake::kClosed, std::strerror(errno));
        return false;
      }
      unsent_.erase(0, static_cast<std::size_t>(sent));
    }
    return true;
  }

  // False: nothing came, or the connection has ended.
  bool receive() {
    std::array<char, 16 << 10> bytes{};
    const ssize_t got = ::recv(fd_, bytes.data(), bytes.size(), 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    if (got <= 0) {
      end(Handshake::kClosed, got < 0 ? std::strerror(errno) : "without a word");
      return false;
    }
    if (head_.size() < kHttp.size()) {
      head_.append(bytes.data(), std::min(static_cast<std::size_t>(got), kHttp.size()));
    }
    if (head_.starts_with(kHttp)) {
      end(Handshake::kPlainHttp, {});
      return false;
    }
    ::BIO_write(incoming_, bytes.data(), static_cast<int>(got));
    return true;
  }

  void advance() {
    ::ERR_clear_error();
    const int result = ::SSL_do_handshake(ssl_.get());
    const int error = ::SSL_get_error(ssl_.get(), result);
    char* data = nullptr;
    const long size = BIO_get_mem_data(outgoing_, &data);  // NOLINT: OpenSSL's macro
    if (size > 0) unsent_.append(data, static_cast<std::size_t>(size));
    (void)BIO_reset(outgoing_);
    if (result == 1 || seen_.certificate != nullptr) {
      done_ = true;
    } else if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
      end(Handshake::kNotTls, reason_words());
    } else {
      (void)flush();
    }
  }

  static std::string reason_words() {
    const char* words = ::ERR_reason_error_string(::ERR_peek_last_error());
    std::string text = words == nullptr ? "no further words from OpenSSL" : words;
    ::ERR_clear_error();
    return text;
  }

  static constexpr std::string_view kHttp = "HTTP/";

  const TlsProbe& probe_;
  Owned<SSL> ssl_;
  BIO* incoming_ = nullptr;
  BIO* outgoing_ = nullptr;
  int fd_ = -1;
  bool connected_ = false;
  bool began_ = false;
  bool done_ = false;
  std::string unsent_;
  std::string head_;  // the first bytes that came
  Shown seen_;
  TlsFindings findings_;
};

int on_certificate(X509_STORE_CTX* context, void*) noexcept {
  const auto* ssl = static_cast<const SSL*>(
      ::X509_STORE_CTX_get_ex_data(context, ::SSL_get_ex_data_X509_STORE_CTX_idx()));
  return take_certificate(context, &static_cast<Connection*>(SSL_get_app_data(ssl))->seen());
}

void run(std::vector<std::unique_ptr<Connection>>& connections, TimePoint deadline) {
  for (;;) {
    std::vector<pollfd> waiting;
    std::vector<Connection*> whose;
    for (const auto& connection : connections) {
      if (connection->done()) continue;
      waiting.push_back(connection->wanted());
      whose.push_back(connection.get());
    }
    const auto left = std::chrono::ceil<Milliseconds>(deadline - Clock::now()).count();
    if (waiting.empty() || left <= 0) return;
    ::poll(waiting.data(), waiting.size(), static_cast<int>(std::min<std::int64_t>(left, 60'000)));
    for (std::size_t i = 0; i < waiting.size(); ++i) {
      if (waiting[i].revents != 0) whose[i]->on_ready();
    }
  }
}

}  // namespace

std::vector<TlsFindings> probe_tls(const std::vector<TlsProbe>& probes, TimePoint deadline) {
  const Owned<SSL_CTX> context(::SSL_CTX_new(::TLS_client_method()));
  BAO_CHECK(context != nullptr);
  ::SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  BAO_CHECK(::SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION) == 1);
  ::SSL_CTX_set_cert_verify_callback(context.get(), &on_certificate, nullptr);
  std::vector<std::unique_ptr<Connection>> connections;
  connections.reserve(probes.size());
  for (const TlsProbe& probe : probes) {
    connections.push_back(std::make_unique<Connection>(probe, context.get()));
  }
  run(connections, deadline);
  std::vector<TlsFindings> findings;
  findings.reserve(connections.size());
  for (const auto& connection : connections) findings.push_back(connection->take());
  return findings;
}

}  // namespace bao_exporter
