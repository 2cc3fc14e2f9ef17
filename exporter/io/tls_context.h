// The server side of TLS: version 1.2 or later, modern ciphers, certificate and key from files, and
// a new pair at run time without a restart.
#pragma once

#include <openssl/ssl.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "bao_exporter/config.h"
#include "bao_exporter/result.h"
#include "bao_exporter/slot.h"

namespace bao_exporter {

// Frees what OpenSSL made.
struct OpenSslDeleter {
  void operator()(SSL_CTX* ctx) const { ::SSL_CTX_free(ctx); }
  void operator()(X509* certificate) const { ::X509_free(certificate); }
  void operator()(EVP_PKEY* key) const { ::EVP_PKEY_free(key); }
  void operator()(BIO* bio) const { ::BIO_free(bio); }
};

// A certificate, the ones above it, and its key: they belong together, checked.
struct ServerPair {
  std::unique_ptr<X509, OpenSslDeleter> certificate;
  std::unique_ptr<STACK_OF(X509), void (*)(STACK_OF(X509)*)> chain;
  std::unique_ptr<EVP_PKEY, OpenSslDeleter> key;
  std::int64_t not_after = 0;  // seconds since 1970

  [[nodiscard]] bool expired_at(std::int64_t unix_now) const { return unix_now > not_after; }
};

// Reads both files, then judges them together. Errors: kConfig, naming the file: no PEM, not the
// key of this certificate.
[[nodiscard]] Result<std::shared_ptr<const ServerPair>> load_server_pair(
    const std::string& cert_file, const std::string& key_file);

// One SSL_CTX for the life of a listener; each handshake takes the pair that is current then.
class ServerContext {
 public:
  ServerContext(std::shared_ptr<const ServerPair> pair, const std::string& min_version);
  ServerContext(const ServerContext&) = delete;
  ServerContext& operator=(const ServerContext&) = delete;

  [[nodiscard]] SSL_CTX* get() const { return ctx_.get(); }
  // From any thread; handshakes from now on.
  void replace(std::shared_ptr<const ServerPair> pair) { pair_.set(std::move(pair)); }

 private:
  static int choose_pair(SSL* ssl, void* self) noexcept;

  Slot<ServerPair> pair_;
  std::unique_ptr<SSL_CTX, OpenSslDeleter> ctx_;
};

}  // namespace bao_exporter
