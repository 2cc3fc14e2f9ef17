#include "io/tls_context.h"

#include <openssl/err.h>

#include <array>
#include <string>

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

Error problem(const std::string& file, const char* what) {
  return Error{ErrorCode::kConfig, file + ": " + what + " (" + last_words() + ")"};
}

}  // namespace

Result<SslCtx> make_server_context(const ListenerConfig& config) {
  ::ERR_clear_error();
  SslCtx ctx(::SSL_CTX_new(::TLS_server_method()));
  BAO_CHECK(ctx != nullptr);
  const int lowest = config.tls_min_version == "1.3" ? TLS1_3_VERSION : TLS1_2_VERSION;
  BAO_CHECK(::SSL_CTX_set_min_proto_version(ctx.get(), lowest) == 1);
  BAO_CHECK(::SSL_CTX_set_cipher_list(ctx.get(), kCiphers12) == 1);
  ::SSL_CTX_set_options(
      ctx.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  if (::SSL_CTX_use_certificate_chain_file(ctx.get(), config.tls_cert_file.c_str()) != 1) {
    return problem(config.tls_cert_file, "holds no usable certificate chain in PEM");
  }
  if (::SSL_CTX_use_PrivateKey_file(ctx.get(), config.tls_key_file.c_str(), SSL_FILETYPE_PEM) !=
      1) {
    return problem(config.tls_key_file,
                   "holds no usable private key in PEM, or not the one of listener.tls_cert_file");
  }
  if (::SSL_CTX_check_private_key(ctx.get()) != 1) {
    return problem(config.tls_key_file, "is not the key of listener.tls_cert_file");
  }
  return ctx;
}

}  // namespace bao_exporter
