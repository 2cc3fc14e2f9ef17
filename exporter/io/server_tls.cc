#include "io/server_tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <ctime>
#include <thread>

#include "bao_exporter/secret.h"
#include "held_folders.h"
#include "io/tls_context.h"
#include "text_file.h"

namespace bao_exporter {

namespace {

// Files that do not fit may be half way through a change: looked at again, so many times in all.
constexpr int kReadsMax = 5;
constexpr std::chrono::milliseconds kPause{5};

using Problem = std::optional<Error>;

Error problem(const std::string& file, const std::string& what) {
  return Error{ErrorCode::kConfig, file + ": " + what};
}

std::string last_words() {
  std::array<char, 256> text{};
  const unsigned long code = ::ERR_peek_last_error();
  ::ERR_clear_error();
  if (code == 0) return "no further words from OpenSSL";
  ::ERR_error_string_n(code, text.data(), text.size());
  return text.data();
}

// What PEM_read_bio_* says after the last one; anything else is a damaged one.
bool at_end() {
  const unsigned long code = ::ERR_peek_last_error();
  const bool end = ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
  if (end) ::ERR_clear_error();
  return end;
}

Owned<BIO> bio_on(std::string_view text) {
  Owned<BIO> bio(::BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  BAO_CHECK(bio != nullptr);
  return bio;
}

// A key with a passphrase must fail, not ask the terminal.
int no_passphrase(char*, int, int, void*) noexcept { return -1; }

std::int64_t unix_time(const ASN1_TIME* time) {
  std::tm broken{};
  return ::ASN1_TIME_to_tm(time, &broken) == 1 ? static_cast<std::int64_t>(::timegm(&broken)) : 0;
}

std::string digest_of(const X509* certificate) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  BAO_CHECK(::X509_digest(certificate, ::EVP_sha256(), digest.data(), &size) == 1);
  return {digest.begin(), digest.begin() + size};
}

// What the files hold: all are read before any is looked into, so that little time lies between.
struct Texts {
  std::string certificate;
  std::shared_ptr<const Secret> key;
  std::string client_ca;
};

Problem read_text(HeldFolders& folders, const std::string& file, std::string& to) {
  const FilePlace place = folders.place_of(file);
  Result<std::string> text = read_text_file_at(place.folder, place.name);
  if (!text.ok()) return problem(file, text.error().detail);
  to = std::move(text).value();
  return std::nullopt;
}

Problem read_texts(HeldFolders& folders, const ListenerConfig& config, Texts& to) {
  if (auto error = read_text(folders, config.tls_cert_file, to.certificate)) return error;
  const FilePlace place = folders.place_of(config.tls_key_file);
  auto key = Secret::load_lines_at(place.folder, place.name, config.tls_key_file,
                                   {config.allow_group_read});
  if (!key.ok()) return Error{ErrorCode::kConfig, key.error().detail};
  to.key = std::move(key).value();
  if (config.client_ca_file.empty()) return std::nullopt;
  return read_text(folders, config.client_ca_file, to.client_ca);
}

// All certificates of a file, the first one first.
Result<Owned<STACK_OF(X509)>> certificates_in(const std::string& text, const std::string& file) {
  const auto bio = bio_on(text);
  Owned<STACK_OF(X509)> all(sk_X509_new_null());
  BAO_CHECK(all != nullptr);
  while (X509* one = ::PEM_read_bio_X509_AUX(bio.get(), nullptr, &no_passphrase, nullptr)) {
    BAO_CHECK(sk_X509_push(all.get(), one) > 0);
  }
  const bool whole = at_end();
  if (whole && sk_X509_num(all.get()) > 0) return all;
  if (whole) return problem(file, "holds no certificate in PEM");
  return problem(file, "holds a certificate that cannot be read (" + last_words() + ")");
}

Problem take_certificates(const std::string& text, const std::string& file, ServerTls& tls) {
  auto all = certificates_in(text, file);
  if (!all.ok()) return all.error();
  tls.chain = std::move(all).value();
  for (int i = 0; i < sk_X509_num(tls.chain.get()); ++i) {
    tls.shown_digest += digest_of(sk_X509_value(tls.chain.get(), i));
  }
  tls.certificate.reset(sk_X509_shift(tls.chain.get()));
  tls.not_before = unix_time(::X509_get0_notBefore(tls.certificate.get()));
  tls.not_after = unix_time(::X509_get0_notAfter(tls.certificate.get()));
  return std::nullopt;
}

Problem take_key(const Secret& text, const ListenerConfig& config, ServerTls& tls) {
  const std::string& file = config.tls_key_file;
  const auto bio = bio_on(text.reveal());
  tls.key.reset(::PEM_read_bio_PrivateKey(bio.get(), nullptr, &no_passphrase, nullptr));
  if (tls.key == nullptr) {
    return problem(file, "holds no private key in PEM without passphrase (" + last_words() + ")");
  }
  if (::X509_check_private_key(tls.certificate.get(), tls.key.get()) != 1) {
    ::ERR_clear_error();
    return problem(file,
                   "is not the key of " + config.tls_cert_file + "; they must be made together");
  }
  if (ServerContext::can_show(tls)) return std::nullopt;
  return problem(config.tls_cert_file, "cannot be shown (" + last_words() +
                                           "); use ECDSA on P-256, or RSA of 2048 bits or more");
}

// An intermediate one alone is enough: it need not sign itself.
Problem trust(X509* authority, const std::string& file, ServerTls& tls) {
  if (::X509_check_ca(authority) == 0) {
    return problem(file,
                   "holds a certificate that is not an authority's; it is for those that sign "
                   "the clients' certificates");
  }
  X509_NAME* name = ::X509_NAME_dup(::X509_get_subject_name(authority));
  BAO_CHECK(name != nullptr && sk_X509_NAME_push(tls.client_authority_names.get(), name) > 0);
  BAO_CHECK(::X509_STORE_add_cert(tls.client_authorities.get(), authority) == 1);
  tls.admission_digest += digest_of(authority);
  tls.clients_not_after =
      std::max(tls.clients_not_after, unix_time(::X509_get0_notAfter(authority)));
  return std::nullopt;
}

Problem take_client_authorities(const std::string& text, const ListenerConfig& config,
                                ServerTls& tls) {
  auto all = certificates_in(text, config.client_ca_file);
  if (!all.ok()) return all.error();
  tls.client_authorities.reset(::X509_STORE_new());
  tls.client_authority_names.reset(sk_X509_NAME_new_null());
  BAO_CHECK(tls.client_authorities != nullptr && tls.client_authority_names != nullptr);
  ::X509_STORE_set_flags(tls.client_authorities.get(), X509_V_FLAG_PARTIAL_CHAIN);
  for (int i = 0; i < sk_X509_num(all.value().get()); ++i) {
    X509* authority = sk_X509_value(all.value().get(), i);
    if (auto error = trust(authority, config.client_ca_file, tls)) return error;
  }
  tls.client_allowed_names = config.client_allowed_names;
  for (const std::string& name : tls.client_allowed_names) tls.admission_digest += name + '\n';
  return std::nullopt;
}

Result<std::shared_ptr<const ServerTls>> read_once(HeldFolders& folders,
                                                   const ListenerConfig& config) {
  ::ERR_clear_error();
  Texts texts;
  if (auto error = read_texts(folders, config, texts)) return *std::move(error);
  auto tls = std::make_shared<ServerTls>();
  tls->oldest_version = config.tls_min_version == "1.3" ? TLS1_3_VERSION : TLS1_2_VERSION;
  tls->shown_digest = config.tls_min_version;
  auto error = take_certificates(texts.certificate, config.tls_cert_file, *tls);
  if (!error) error = take_key(*texts.key, config, *tls);
  if (!error && !config.client_ca_file.empty()) {
    error = take_client_authorities(texts.client_ca, config, *tls);
  }
  if (error) return *std::move(error);
  return std::shared_ptr<const ServerTls>(std::move(tls));
}

}  // namespace

Result<std::shared_ptr<const ServerTls>> load_server_tls(const ListenerConfig& config) {
  for (int reads = 1;; ++reads) {
    HeldFolders folders;
    auto tls = read_once(folders, config);
    if (reads == kReadsMax || (tls.ok() && folders.unmoved())) return tls;
    if (!tls.ok()) std::this_thread::sleep_for(kPause);
  }
}

std::optional<DateProblem> date_problem(const ServerTls& tls, const ListenerConfig& config,
                                        std::int64_t unix_now) {
  if (unix_now > tls.not_after) {
    return DateProblem{config.tls_cert_file,
                       "the certificate has expired: scrapers that verify it will refuse it; put "
                       "a new one there"};
  }
  if (unix_now < tls.not_before) {
    return DateProblem{config.tls_cert_file,
                       "the certificate is not valid yet: scrapers that verify it will refuse it; "
                       "look at the clock of this host"};
  }
  if (tls.asks_for_certificates() && unix_now > tls.clients_not_after) {
    return DateProblem{config.client_ca_file,
                       "the clients' authority has expired: no scraper is let in; put the new one "
                       "there"};
  }
  return std::nullopt;
}

}  // namespace bao_exporter
