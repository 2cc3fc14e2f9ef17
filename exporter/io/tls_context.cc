#include "io/tls_context.h"

#include <openssl/err.h>

#include <optional>
#include <string_view>
#include <utility>

#include "bao_exporter/check.h"
#include "bao_exporter/log.h"
#include "io/client_names.h"
#include "io/ticket_key.h"

namespace bao_exporter {

namespace {

// Said in full, so that the system's openssl.cnf does not decide. TLS 1.2: forward secrecy and
// authenticated encryption only; TLS 1.3 has nothing else.
constexpr const char* kCiphers12 = "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL:!eNULL:!PSK";
constexpr const char* kCiphers13 =
    "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256";
constexpr const char* kGroups = "X25519:P-256:P-384";
constexpr int kSecurityLevel = 2;  // 112 bits: RSA of 2048 bits, no SHA-1

constexpr std::string_view kSessionContext = "bao-exporter";
constexpr long kTicketSeconds = 3'600;
constexpr std::chrono::hours kTicketKeyAge{12};

Owned<SSL_CTX> make_context() {
  Owned<SSL_CTX> owned(::SSL_CTX_new(::TLS_server_method()));
  SSL_CTX* ctx = owned.get();
  BAO_CHECK(ctx != nullptr);
  ::SSL_CTX_set_security_level(ctx, kSecurityLevel);
  BAO_CHECK(SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1);
  BAO_CHECK(SSL_CTX_set_max_proto_version(ctx, 0) == 1);
  BAO_CHECK(::SSL_CTX_set_cipher_list(ctx, kCiphers12) == 1);
  BAO_CHECK(::SSL_CTX_set_ciphersuites(ctx, kCiphers13) == 1);
  BAO_CHECK(SSL_CTX_set1_groups_list(ctx, kGroups) == 1);
  ::SSL_CTX_set_options(
      ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_mode(ctx, SSL_MODE_NO_AUTO_CHAIN);
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
  ::SSL_CTX_set_timeout(ctx, kTicketSeconds);
  BAO_CHECK(::SSL_CTX_set_num_tickets(ctx, 1) == 1);
  BAO_CHECK(::SSL_CTX_set_session_id_context(
                ctx, reinterpret_cast<const unsigned char*>(kSessionContext.data()),  // NOLINT
                kSessionContext.size()) == 1);
  return owned;
}

// Of this connection: nobody is let in by the authorities of the system, there are none in ctx.
bool ask_for_certificate(SSL* ssl, const ServerTls& tls) {
  STACK_OF(X509_NAME)* names = ::SSL_dup_CA_list(tls.client_authority_names.get());
  if (names == nullptr) return false;
  ::SSL_set0_CA_list(ssl, names);
  ::SSL_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  ::SSL_set_options(ssl, SSL_OP_NO_TICKET);
  return SSL_set1_verify_cert_store(ssl, tls.client_authorities.get()) == 1 &&
         ::SSL_set_num_tickets(ssl, 0) == 1;
}

bool equip(SSL* ssl, const ServerTls& tls) {
  // OpenSSL takes references of its own.
  return SSL_set_min_proto_version(ssl, tls.oldest_version) == 1 &&
         ::SSL_use_cert_and_key(ssl, tls.certificate.get(), tls.key.get(), tls.chain.get(),
                                /*override=*/1) == 1 &&
         (!tls.asks_for_certificates() || ask_for_certificate(ssl, tls));
}

bool is_same(const ServerTls& a, const ServerTls& b) {
  return a.shown_digest == b.shown_digest && a.admission_digest == b.admission_digest;
}

void tell(const std::string& why) {
  log::debug("listener", {{"detail", "client certificate refused: " + why}});
}

}  // namespace

// What was in force at a time.
struct ServerContext::Era {
  std::shared_ptr<const ServerTls> tls;
  TimePoint since;
  TicketKey key;
  std::optional<TicketKey> key_before;  // opens tickets, but does not seal them
};

ServerContext::ServerContext(std::shared_ptr<const ServerTls> tls)
    : ServerContext(std::move(tls), Hooks{}) {}

ServerContext::ServerContext(std::shared_ptr<const ServerTls> tls, Hooks hooks)
    : hooks_(std::move(hooks)),
      era_(std::make_shared<const Era>(Era{std::move(tls), hooks_.now(), {}, {}})),
      ctx_(make_context()) {
  BAO_CHECK(::SSL_CTX_set_ex_data(ctx_.get(), slot_of_self(), this) == 1);
  ::SSL_CTX_set_info_callback(ctx_.get(), &ServerContext::on_progress);
  ::SSL_CTX_set_client_hello_cb(ctx_.get(), &ServerContext::on_client_hello, this);
  ::SSL_CTX_set_cert_verify_callback(ctx_.get(), &ServerContext::on_client_certificate, this);
  BAO_CHECK(SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx_.get(), &ServerContext::on_ticket) == 1);
}

ServerContext::~ServerContext() = default;

bool ServerContext::replace(std::shared_ptr<const ServerTls> tls) {
  EraPtr next = std::make_shared<const Era>(Era{std::move(tls), hooks_.now(), {}, {}});
  const std::scoped_lock lock(mutex_);
  if (is_same(*era_->tls, *next->tls)) return false;
  if (era_->tls->admission_digest != next->tls->admission_digest) ++admission_;
  era_.swap(next);
  return true;
}

std::int64_t ServerContext::not_after() const {
  const std::scoped_lock lock(mutex_);
  return era_->tls->not_after;
}

std::uint64_t ServerContext::admission() const {
  const std::scoped_lock lock(mutex_);
  return admission_;
}

bool ServerContext::can_show(const ServerTls& tls) {
  const Owned<SSL_CTX> ctx = make_context();
  return ::SSL_CTX_use_cert_and_key(ctx.get(), tls.certificate.get(), tls.key.get(),
                                    tls.chain.get(), /*override=*/1) == 1;
}

ServerContext::EraPtr ServerContext::era_now() {
  const TimePoint now = hooks_.now();
  const std::scoped_lock lock(mutex_);
  const auto age = now - era_->since;
  if (age >= kTicketKeyAge) {
    Era next{era_->tls, now, {}, {}};
    if (age < kTicketKeyAge * 2) next.key_before = era_->key;
    era_ = std::make_shared<const Era>(std::move(next));
  }
  return era_;
}

int ServerContext::slot_of_self() {
  static const int slot = ::SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  BAO_CHECK(slot >= 0);
  return slot;
}

int ServerContext::slot_of_era() {
  static const int slot = ::SSL_get_ex_new_index(
      0, nullptr, nullptr, nullptr,
      [](void*, void* era, CRYPTO_EX_DATA*, int, long, void*) noexcept {
        delete static_cast<EraPtr*>(era);  // NOLINT(cppcoreguidelines-owning-memory)
      });
  BAO_CHECK(slot >= 0);
  return slot;
}

const ServerContext::Era* ServerContext::era_of(const SSL* ssl) {
  const auto* era = static_cast<const EraPtr*>(::SSL_get_ex_data(ssl, slot_of_era()));
  return era == nullptr ? nullptr : era->get();
}

void ServerContext::on_progress(const SSL* ssl, int where, int) noexcept {
  if (where != SSL_CB_ACCEPT_EXIT) return;
  const void* self = ::SSL_CTX_get_ex_data(::SSL_get_SSL_CTX(ssl), slot_of_self());
  static_cast<const ServerContext*>(self)->hooks_.after_handshake(::SSL_get_fd(ssl));
}

int ServerContext::on_client_hello(SSL* ssl, int* alert, void* self) noexcept {
  // To be tried again, says this; nobody will, and the client is told nothing.
  if (!static_cast<ServerContext*>(self)->hooks_.before_handshake(::SSL_get_fd(ssl))) {
    return SSL_CLIENT_HELLO_RETRY;
  }
  // A handshake may have two of them: it ends in the era that it began in.
  if (era_of(ssl) != nullptr) return SSL_CLIENT_HELLO_SUCCESS;
  auto era = std::make_unique<EraPtr>(static_cast<ServerContext*>(self)->era_now());
  const ServerTls& tls = *(*era)->tls;
  if (equip(ssl, tls) && ::SSL_set_ex_data(ssl, slot_of_era(), era.get()) == 1) {
    (void)era.release();
    return SSL_CLIENT_HELLO_SUCCESS;
  }
  *alert = SSL_AD_INTERNAL_ERROR;
  return SSL_CLIENT_HELLO_ERROR;
}

// Signatures, dates and purpose are OpenSSL's business, names are ours.
int ServerContext::on_client_certificate(X509_STORE_CTX* context, void* self) noexcept {
  if (::X509_verify_cert(context) != 1) {
    tell(::X509_verify_cert_error_string(::X509_STORE_CTX_get_error(context)));
    return 0;
  }
  const auto* ssl = static_cast<const SSL*>(
      ::X509_STORE_CTX_get_ex_data(context, ::SSL_get_ex_data_X509_STORE_CTX_idx()));
  const std::vector<std::string>& allowed = era_of(ssl)->tls->client_allowed_names;
  if (allowed.empty()) return 1;
  const ClientNames names = client_names_of(::X509_STORE_CTX_get0_cert(context));
  if (any_allowed(names, allowed)) return 1;
  tell("none of its names is in client_allowed_names: " + listed(names));
  static_cast<ServerContext*>(self)->hooks_.on_client_refused();
  ::X509_STORE_CTX_set_error(context, X509_V_ERR_CERT_REJECTED);
  return 0;
}

// 0: not one of ours, or not any more, and a whole handshake follows; 2: taken, and a new one
// given.
int ServerContext::on_ticket(SSL* ssl, unsigned char* name, unsigned char* iv,
                             EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac, int seals) noexcept {
  const Era* era = era_of(ssl);
  if (era == nullptr || era->tls->asks_for_certificates()) return 0;
  if (seals != 0) return era->key.seal(name, iv, cipher, mac) ? 1 : -1;
  if (era->key.is_named(name)) return era->key.open(iv, cipher, mac) ? 1 : -1;
  if (!era->key_before || !era->key_before->is_named(name)) return 0;
  return era->key_before->open(iv, cipher, mac) ? 2 : -1;
}

}  // namespace bao_exporter
