// Looks at the certificate that a server shows, also at one that does not verify, and says in parts
// what is wrong with it. Sends a TLS handshake and nothing else: no request, no token, no client
// certificate.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "bao_exporter/time.h"
#include "bao_exporter/transport.h"

namespace bao_exporter {

struct TlsProbe {
  std::string address;  // a literal: nothing is looked up
  std::uint16_t port = 0;
  std::string name;  // to be found in the certificate: a name or an address
  std::shared_ptr<const TlsTrust> trust;
};

struct ShownCertificate {
  std::vector<std::string> names;  // subjectAltName's names and addresses, else the common name
  std::string issuer;
  std::int64_t not_before = 0;  // seconds since 1970
  std::int64_t not_after = 0;
};

// What a server did when it was asked for a handshake.
enum class Handshake : std::uint8_t {
  kCertificate,   // it showed a certificate
  kNoConnection,  // the connection was refused, or did not come about in time
  kSilent,        // it took the connection and did not answer in time
  kPlainHttp,     // it answered in plain HTTP
  kNotTls,        // it answered, but not as TLS does, or with a TLS that is too old
  kClosed,        // it closed the connection
};

// What is wrong with the chain of certificates.
enum class ChainFault : std::uint8_t {
  kNone,
  kUnknownAuthority,
  kSelfSigned,  // by itself, and it is not one of the authorities
  kExpired,
  kNotYetValid,
  kOther,
};

struct TlsFindings {
  Handshake handshake = Handshake::kNoConnection;
  std::string words;  // OpenSSL's or the system's, where there are some
  ShownCertificate certificate;
  ChainFault chain = ChainFault::kNone;
  bool name_matches = false;
};

// All of them side by side, in this order; returns at `deadline` at the latest.
[[nodiscard]] std::vector<TlsFindings> probe_tls(const std::vector<TlsProbe>& probes,
                                                 TimePoint deadline);

}  // namespace bao_exporter
