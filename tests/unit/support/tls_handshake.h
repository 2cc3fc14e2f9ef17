// A TLS client and a ServerContext, without a network: bytes are carried over by hand.
#pragma once

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <memory>
#include <string>

#include "bao_exporter/check.h"
#include "certificate.h"
#include "io/tls_context.h"

namespace bao_exporter::test {

struct TlsClient {
  const Identity* shows = nullptr;            // a certificate of its own, and its key
  const Identity* intermediate = nullptr;     // sent with it
  std::shared_ptr<SSL_SESSION> resumes = {};  // of an earlier handshake
  int version_max = TLS1_3_VERSION;
  std::string ciphers12 = "ALL:@SECLEVEL=0";
  std::string groups = {};
};

class Handshake {
 public:
  Handshake(const ServerContext& server, const TlsClient& client)
      : context_(::SSL_CTX_new(::TLS_client_method())), server_(::SSL_new(server.get())) {
    SSL_CTX* ctx = context_.get();
    BAO_CHECK(SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION) == 1);
    BAO_CHECK(SSL_CTX_set_max_proto_version(ctx, client.version_max) == 1);
    BAO_CHECK(::SSL_CTX_set_cipher_list(ctx, client.ciphers12.c_str()) == 1);
    if (!client.groups.empty()) {
      BAO_CHECK(SSL_CTX_set1_groups_list(ctx, client.groups.c_str()) == 1);
    }
    if (client.shows != nullptr) {
      BAO_CHECK(::SSL_CTX_use_certificate(ctx, client.shows->certificate.get()) == 1);
      BAO_CHECK(::SSL_CTX_use_PrivateKey(ctx, client.shows->key.get()) == 1);
    }
    if (client.intermediate != nullptr) {
      BAO_CHECK(SSL_CTX_add1_chain_cert(ctx, client.intermediate->certificate.get()) == 1);
    }
    client_.reset(::SSL_new(ctx));
    if (client.resumes != nullptr) ::SSL_set_session(client_.get(), client.resumes.get());
    BIO *near = nullptr, *far = nullptr;
    BAO_CHECK(::BIO_new_bio_pair(&near, 1 << 17, &far, 1 << 17) == 1);
    ::SSL_set_bio(client_.get(), near, near);
    ::SSL_set_bio(server_.get(), far, far);
    ::SSL_set_connect_state(client_.get());
    ::SSL_set_accept_state(server_.get());
  }

  ~Handshake() {
    // As after a good end: else OpenSSL does not resume what it knows of this one.
    ::SSL_set_shutdown(client_.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  }
  Handshake(const Handshake&) = delete;
  Handshake& operator=(const Handshake&) = delete;

  void step_client() { step(client_.get(), client_failed_); }
  void step_server() { step(server_.get(), server_failed_); }

  // To its end. True: the client got a byte from a server that had let it in.
  bool finish() {
    for (int turn = 0; turn < 8; ++turn) {
      step_client();
      step_server();
    }
    if (::SSL_is_init_finished(server_.get()) == 1 && !server_failed_) {
      ::SSL_write(server_.get(), "x", 1);
    }
    char got = 0;
    const int size = ::SSL_read(client_.get(), &got, 1);
    if (size <= 0) words_ = ::ERR_reason_error_string(::ERR_peek_last_error()) ?: "";
    ::ERR_clear_error();
    return size == 1 && got == 'x' && !server_failed_;
  }

  [[nodiscard]] std::string version() const { return ::SSL_get_version(client_.get()); }
  [[nodiscard]] bool resumed() const { return ::SSL_session_reused(client_.get()) == 1; }
  // It gave up without a byte, not even an alert.
  [[nodiscard]] bool server_dropped_it() const {
    return server_failed_ && BIO_pending(::SSL_get_rbio(client_.get())) == 0;
  }
  // Why the client was refused, in its own OpenSSL's words.
  [[nodiscard]] const std::string& words() const { return words_; }
  [[nodiscard]] const X509* shown() const { return ::SSL_get0_peer_certificate(client_.get()); }
  [[nodiscard]] int authorities_named() const {
    const auto* names = ::SSL_get0_peer_CA_list(client_.get());
    return names == nullptr ? 0 : sk_X509_NAME_num(names);
  }
  // To resume by; null: the server gave nothing for that.
  [[nodiscard]] std::shared_ptr<SSL_SESSION> session() const {
    std::shared_ptr<SSL_SESSION> session(::SSL_get1_session(client_.get()), ::SSL_SESSION_free);
    return session != nullptr && ::SSL_SESSION_is_resumable(session.get()) == 1 ? session : nullptr;
  }

 private:
  static void step(SSL* ssl, bool& failed) {
    if (failed || ::SSL_is_init_finished(ssl) == 1) return;
    ::ERR_clear_error();
    const int result = ::SSL_do_handshake(ssl);
    const int error = ::SSL_get_error(ssl, result);
    failed = result != 1 && error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE;
  }

  Owned<SSL_CTX> context_;
  Owned<SSL> server_;
  Owned<SSL> client_;
  bool client_failed_ = false;
  bool server_failed_ = false;
  std::string words_;
};

}  // namespace bao_exporter::test
