#include "io/tls_context.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include <array>
#include <ctime>

#include "bao_exporter/secret.h"
#include "text_file.h"

namespace bao_exporter {

namespace {

// TLS 1.2: forward secrecy and authenticated encryption only. TLS 1.3 has nothing else.
constexpr const char* kCiphers12 = "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL:!eNULL";

std::string last_words() {
  std::array<char, 256> text{};
  const unsigned long code = ::ERR_peek_last_error();
  ::ERR_clear_error();
  if (code == 0) return "no further words from OpenSSL";
  ::ERR_error_string_n(code, text.data(), text.size());
  return text.data();
}

Error problem(const std::string& file, const std::string& what) {
  return Error{ErrorCode::kConfig, file + ": " + what};
}

std::unique_ptr<BIO, OpenSslDeleter> bio_on(std::string_view text) {
  std::unique_ptr<BIO, OpenSslDeleter> bio(
      ::BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  BAO_CHECK(bio != nullptr);
  return bio;
}

void free_chain(STACK_OF(X509) * chain) { sk_X509_pop_free(chain, ::X509_free); }

// A key with a passphrase must fail, not ask the terminal.
int no_passphrase(char*, int, int, void*) noexcept { return -1; }

std::optional<Error> read_certificates(const std::string& file, ServerPair& pair) {
  const Result<std::string> text = read_text_file(file);
  if (!text.ok()) return problem(file, text.error().detail);
  const auto bio = bio_on(text.value());
  pair.certificate.reset(::PEM_read_bio_X509_AUX(bio.get(), nullptr, &no_passphrase, nullptr));
  if (pair.certificate == nullptr) {
    return problem(file, "holds no certificate in PEM (" + last_words() + ")");
  }
  while (X509* above = ::PEM_read_bio_X509(bio.get(), nullptr, &no_passphrase, nullptr)) {
    BAO_CHECK(sk_X509_push(pair.chain.get(), above) > 0);
  }
  ::ERR_clear_error();  // the end of the file is an error to OpenSSL
  std::tm broken{};
  BAO_CHECK(::ASN1_TIME_to_tm(::X509_get0_notAfter(pair.certificate.get()), &broken) == 1);
  pair.not_after = static_cast<std::int64_t>(::timegm(&broken));
  return std::nullopt;
}

std::optional<Error> read_key(const std::string& file, ServerPair& pair) {
  auto text = Secret::load_lines(file, {/*allow_group_read=*/true});
  if (!text.ok()) return Error{ErrorCode::kConfig, text.error().detail};
  const auto bio = bio_on(text.value()->reveal());
  pair.key.reset(::PEM_read_bio_PrivateKey(bio.get(), nullptr, &no_passphrase, nullptr));
  if (pair.key == nullptr) {
    return problem(file, "holds no private key in PEM without passphrase (" + last_words() + ")");
  }
  return std::nullopt;
}

}  // namespace

Result<std::shared_ptr<const ServerPair>> load_server_pair(const std::string& cert_file,
                                                           const std::string& key_file) {
  ::ERR_clear_error();
  auto pair = std::make_shared<ServerPair>(
      ServerPair{nullptr, {sk_X509_new_null(), &free_chain}, nullptr, 0});
  if (auto error = read_certificates(cert_file, *pair)) return *std::move(error);
  if (auto error = read_key(key_file, *pair)) return *std::move(error);
  if (::X509_check_private_key(pair->certificate.get(), pair->key.get()) != 1) {
    ::ERR_clear_error();
    return problem(key_file, "is not the key of " + cert_file + "; they must be made together");
  }
  return std::shared_ptr<const ServerPair>(std::move(pair));
}

ServerContext::ServerContext(std::shared_ptr<const ServerPair> pair, const std::string& min_version)
    : ctx_(::SSL_CTX_new(::TLS_server_method())) {
  BAO_CHECK(ctx_ != nullptr);
  pair_.set(std::move(pair));
  const int lowest = min_version == "1.3" ? TLS1_3_VERSION : TLS1_2_VERSION;
  BAO_CHECK(::SSL_CTX_set_min_proto_version(ctx_.get(), lowest) == 1);
  BAO_CHECK(::SSL_CTX_set_cipher_list(ctx_.get(), kCiphers12) == 1);
  ::SSL_CTX_set_options(ctx_.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                        SSL_OP_CIPHER_SERVER_PREFERENCE);
  ::SSL_CTX_set_cert_cb(ctx_.get(), &ServerContext::choose_pair, this);
}

int ServerContext::choose_pair(SSL* ssl, void* self) noexcept {
  const auto pair = static_cast<ServerContext*>(self)->pair_.get();
  // OpenSSL takes references of its own: the pair may be replaced while the handshake goes on.
  return ::SSL_use_cert_and_key(ssl, pair->certificate.get(), pair->key.get(), pair->chain.get(),
                                /*override=*/1);
}

}  // namespace bao_exporter
