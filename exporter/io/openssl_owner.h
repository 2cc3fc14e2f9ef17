// Owns what OpenSSL made.
#pragma once

#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <memory>

namespace bao_exporter {

struct OpenSslDeleter {
  void operator()(SSL_CTX* ctx) const { ::SSL_CTX_free(ctx); }
  void operator()(SSL* ssl) const { ::SSL_free(ssl); }
  void operator()(SSL_SESSION* session) const { ::SSL_SESSION_free(session); }
  void operator()(X509* certificate) const { ::X509_free(certificate); }
  void operator()(EVP_PKEY* key) const { ::EVP_PKEY_free(key); }
  void operator()(BIO* bio) const { ::BIO_free(bio); }
  void operator()(X509_STORE* store) const { ::X509_STORE_free(store); }
  void operator()(X509_STORE_CTX* context) const { ::X509_STORE_CTX_free(context); }
  void operator()(GENERAL_NAMES* names) const { ::GENERAL_NAMES_free(names); }
  void operator()(STACK_OF(X509) * chain) const { sk_X509_pop_free(chain, ::X509_free); }
  void operator()(STACK_OF(X509_NAME) * names) const {
    sk_X509_NAME_pop_free(names, ::X509_NAME_free);
  }
};

template <typename T>
using Owned = std::unique_ptr<T, OpenSslDeleter>;

}  // namespace bao_exporter
