// The server side TLS context: TLS 1.2 or later, modern ciphers, certificate and key from files.
#pragma once

#include <openssl/ssl.h>

#include <memory>

#include "bao_exporter/config.h"
#include "bao_exporter/result.h"

namespace bao_exporter {

struct SslCtxDeleter {
  void operator()(SSL_CTX* ctx) const { ::SSL_CTX_free(ctx); }
};
using SslCtx = std::unique_ptr<SSL_CTX, SslCtxDeleter>;

// Errors: kConfig, naming the file and what OpenSSL says of it.
[[nodiscard]] Result<SslCtx> make_server_context(const ListenerConfig& config);

}  // namespace bao_exporter
