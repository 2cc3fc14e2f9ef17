// Everything that a handshake at our port takes: certificate and key, whose client certificates are
// let in, the oldest version. Read from files and judged together; immutable.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bao_exporter/config.h"
#include "bao_exporter/result.h"
#include "io/openssl_owner.h"

namespace bao_exporter {

struct ServerTls {
  // A certificate, the ones above it, and its key: they belong together.
  Owned<X509> certificate;
  Owned<STACK_OF(X509)> chain;
  Owned<EVP_PKEY> key;
  std::int64_t not_before = 0;  // seconds since 1970
  std::int64_t not_after = 0;

  // Null: no client certificates are asked for. Otherwise these authorities alone sign them.
  Owned<X509_STORE> client_authorities;
  Owned<STACK_OF(X509_NAME)> client_authority_names;
  std::vector<std::string> client_allowed_names;  // empty: any
  std::int64_t clients_not_after = 0;             // of the authority that lasts longest

  int oldest_version = TLS1_2_VERSION;

  // Equal for what is shown, and for who is let in.
  std::string shown_digest;
  std::string admission_digest;

  [[nodiscard]] bool asks_for_certificates() const { return client_authorities != nullptr; }
};

// Reads all files and judges them together. Where they share a folder they are read through it, and
// again when it was swapped meanwhile, or when they do not fit. Errors: kConfig, naming the file:
// unreadable, no PEM, not the key of this certificate, no authority.
[[nodiscard]] Result<std::shared_ptr<const ServerTls>> load_server_tls(
    const ListenerConfig& config);

// What nobody would trust at that time: expired, or not valid yet. Tells the file.
struct DateProblem {
  std::string file;
  std::string words;
};
[[nodiscard]] std::optional<DateProblem> date_problem(const ServerTls& tls,
                                                      const ListenerConfig& config,
                                                      std::int64_t unix_now);

}  // namespace bao_exporter
