// The server side of TLS: version 1.2 or later, modern ciphers, client certificates where they are
// asked for. What a handshake takes can be replaced at run time.
//
// Session tickets: sealed with keys of our own, taken for an hour. They are renewed every twelve
// hours, and with everything that is replaced: what was handed out before is not taken after it.
// There are none where client certificates are asked for: one has to be shown each time.
//
// Threads: any.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>

#include "bao_exporter/time.h"
#include "io/openssl_owner.h"
#include "io/server_tls.h"

namespace bao_exporter {

// One SSL_CTX for the life of a listener; each handshake takes what is current when it begins, all
// of it.
class ServerContext {
 public:
  struct Hooks {
    // A client whose certificate is good and whose names are not allowed.
    std::function<void()> on_client_refused = [] {};
    // The client's hello, or its second one, is there, and what it costs is about to be spent. It may
    // block; false: it is not spent, and the client is told nothing.
    std::function<bool(int fd)> before_handshake = [](int) { return true; };
    // SSL_accept() has done what it can for now; called more often than the one before.
    std::function<void(int fd)> after_handshake = [](int) {};
    std::function<TimePoint()> now = Clock::now;
  };
  explicit ServerContext(std::shared_ptr<const ServerTls> tls);
  ServerContext(std::shared_ptr<const ServerTls> tls, Hooks hooks);
  ~ServerContext();  // after all connections
  ServerContext(const ServerContext&) = delete;
  ServerContext& operator=(const ServerContext&) = delete;

  [[nodiscard]] SSL_CTX* get() const { return ctx_.get(); }

  // Handshakes from now on. False: it is the same as before, and nothing was done.
  bool replace(std::shared_ptr<const ServerTls> tls);

  // Of the certificate that is shown, seconds since 1970.
  [[nodiscard]] std::int64_t not_after() const;

  // Another number after each replace() that changed who is let in. A connection that was accepted
  // under another one has shown what is not enough any more: it must not be answered.
  [[nodiscard]] std::uint64_t admission() const;

  // Whether OpenSSL takes the certificate and its key; if not, its error queue says why.
  [[nodiscard]] static bool can_show(const ServerTls& tls);

 private:
  struct Era;
  using EraPtr = std::shared_ptr<const Era>;

  // The one that a connection began in lives as long as the connection.
  static int slot_of_self();
  static int slot_of_era();
  [[nodiscard]] static const Era* era_of(const SSL* ssl);
  [[nodiscard]] EraPtr era_now();

  static void on_progress(const SSL* ssl, int where, int result) noexcept;
  static int on_client_hello(SSL* ssl, int* alert, void* self) noexcept;
  static int on_client_certificate(X509_STORE_CTX* context, void* self) noexcept;
  static int on_ticket(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher,
                       EVP_MAC_CTX* mac, int seals) noexcept;

  const Hooks hooks_;
  mutable std::mutex mutex_;  // guards the two below
  EraPtr era_;
  std::uint64_t admission_ = 1;
  Owned<SSL_CTX> ctx_;
};

}  // namespace bao_exporter
