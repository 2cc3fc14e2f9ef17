// The names in a client's certificate, and whether it is let in by one of them.
#pragma once

#include <openssl/x509.h>

#include <string>
#include <vector>

namespace bao_exporter {

// The alternative names that count: DNS names and URIs. The common name is none.
struct ClientNames {
  std::vector<std::string> dns;
  std::vector<std::string> uris;
};
[[nodiscard]] ClientNames client_names_of(const X509* certificate);

// Whether one of them is in `allowed`; of nobody when it is empty. One with a colon in it is a URI,
// and compared byte for byte; else a DNS name, compared without case. No wildcards: "*.x" in a
// certificate is the name "*.x".
[[nodiscard]] bool any_allowed(const ClientNames& names, const std::vector<std::string>& allowed);

// "a, b, c": for the log, and not more of it than one wants to read.
[[nodiscard]] std::string listed(const ClientNames& names);

}  // namespace bao_exporter
