// Certificates for tests, made at run time: an authority and what it signs, as PEM files.
#pragma once

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <atomic>
#include <cstdint>
#include <ctime>
#include <memory>
#include <string>

#include "bao_exporter/check.h"
#include "folder.h"

namespace bao_exporter::test {

namespace detail {

struct KeyFree {
  void operator()(EVP_PKEY* key) const { ::EVP_PKEY_free(key); }
};
struct CertificateFree {
  void operator()(X509* certificate) const { ::X509_free(certificate); }
};
using Key = std::unique_ptr<EVP_PKEY, KeyFree>;
using Certificate = std::unique_ptr<X509, CertificateFree>;

inline void add_extension(X509* certificate, X509* issuer, int nid, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = ::X509V3_EXT_conf_nid(nullptr, &context, nid, value);
  BAO_CHECK(extension != nullptr);
  BAO_CHECK(::X509_add_ext(certificate, extension, -1) == 1);
  ::X509_EXTENSION_free(extension);
}

template <typename Write>
std::string pem_of(Write write) {
  BIO* bio = ::BIO_new(::BIO_s_mem());
  BAO_CHECK(write(bio) == 1);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);  // NOLINT: OpenSSL's macro
  std::string text(data, static_cast<std::size_t>(size));
  ::BIO_free(bio);
  return text;
}

}  // namespace detail

// A key pair with a certificate.
struct Identity {
  detail::Key key;
  detail::Certificate certificate;
  std::int64_t not_after = 0;  // seconds since 1970

  [[nodiscard]] std::string certificate_pem() const {
    return detail::pem_of([&](BIO* bio) { return ::PEM_write_bio_X509(bio, certificate.get()); });
  }
  [[nodiscard]] std::string key_pem() const {
    return detail::pem_of([&](BIO* bio) {
      return ::PEM_write_bio_PrivateKey(bio, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
    });
  }
};

// Signed by `issuer`; by itself (an authority) where that is null. `names` as "DNS:a,IP:127.0.0.1".
// `purpose`: extended key usage, "clientAuth". `rsa`: a key of 1024 bits, which nobody should take.
inline Identity make_identity(const std::string& common_name, const Identity* issuer,
                              const std::string& names, std::int64_t lifetime_seconds = 3'600,
                              std::int64_t begins_in_seconds = -7'200,
                              const char* purpose = nullptr, bool rsa = false) {
  static std::atomic<long> serial{1'000};
  Identity made;
  made.key.reset(rsa ? ::EVP_RSA_gen(1'024) : ::EVP_EC_gen("P-256"));
  made.certificate.reset(::X509_new());
  BAO_CHECK(made.key != nullptr && made.certificate != nullptr);
  X509* certificate = made.certificate.get();
  const std::int64_t now = std::time(nullptr);
  made.not_after = now + lifetime_seconds;
  BAO_CHECK(::X509_set_version(certificate, X509_VERSION_3) == 1);
  BAO_CHECK(::ASN1_INTEGER_set(::X509_get_serialNumber(certificate), serial++) == 1);
  BAO_CHECK(::ASN1_TIME_set(X509_getm_notBefore(certificate), now + begins_in_seconds) != nullptr);
  BAO_CHECK(::ASN1_TIME_set(X509_getm_notAfter(certificate), made.not_after) != nullptr);
  BAO_CHECK(::X509_set_pubkey(certificate, made.key.get()) == 1);
  X509_NAME* name = ::X509_get_subject_name(certificate);
  BAO_CHECK(::X509_NAME_add_entry_by_txt(
                name, "CN", MBSTRING_ASC,
                reinterpret_cast<const unsigned char*>(common_name.c_str()),  // NOLINT
                -1, -1, 0) == 1);
  X509* signer = issuer == nullptr ? certificate : issuer->certificate.get();
  BAO_CHECK(::X509_set_issuer_name(certificate, ::X509_get_subject_name(signer)) == 1);
  detail::add_extension(certificate, signer, NID_basic_constraints,
                        issuer == nullptr ? "critical,CA:TRUE" : "critical,CA:FALSE");
  if (!names.empty()) {
    detail::add_extension(certificate, signer, NID_subject_alt_name, names.c_str());
  }
  if (purpose != nullptr) {
    detail::add_extension(certificate, signer, NID_ext_key_usage, purpose);
  }
  EVP_PKEY* signing = issuer == nullptr ? made.key.get() : issuer->key.get();
  BAO_CHECK(::X509_sign(certificate, signing, ::EVP_sha256()) > 0);
  return made;
}

// What a listener of a test shows: localhost, 127.0.0.1 and ::1, signed by `authority`.
struct ServerFiles {
  std::string certificate;
  std::string key;
};
inline ServerFiles write_server_files(const Folder& folder, const std::string& stem,
                                      const Identity& server) {
  return {folder.write(stem + ".pem", server.certificate_pem()),
          folder.write(stem + "-key.pem", server.key_pem())};
}
inline constexpr const char* kLocalNames =
    "DNS:localhost,DNS:openbao-0.internal.test,IP:127.0.0.1,IP:::1";

}  // namespace bao_exporter::test
