// dns, tcp and tls of one address.
#include <arpa/inet.h>

#include <algorithm>

#include "certctl/remedies.h"
#include "doctor/checks.h"

namespace bao_exporter::doctor {

namespace {

constexpr std::int64_t kDay = 86'400;
constexpr std::int64_t kWarnDays = 7;  // as the alert BaoNodeCertificateExpires

struct Words {
  std::string finding;
  std::string remedy;
};

// What differs between the two programs that may answer.
struct ServerWords {
  std::string_view program;
  std::string_view server;
  std::string_view whose_authority;
  std::string_view renew;
  std::string_view plain_http;
  std::string_view no_tls;
};
constexpr ServerWords kNode = {
    "OpenBao",
    "node",
    "your nodes'",
    "renew the node's certificate and reload OpenBao (SIGHUP)",
    "correct the port, or take tls_disable out of that listener of the node",
    "correct the port; or allow TLS 1.2 in the node's listener (tls_min_version)"};
constexpr ServerWords kCertctl = {"certctl",
                                  "server",
                                  "certctl's",
                                  "renew the server's certificate and reload certctl (SIGHUP)",
                                  "correct the port: certctl answers over TLS only",
                                  "correct the port: certctl answers over TLS 1.3"};

const ServerWords& words_of(const Surroundings& around) {
  return around.cluster == nullptr ? kCertctl : kNode;
}

std::string remedy_of(const Surroundings& around, ErrorCode code) {
  return std::string(around.cluster == nullptr ? certctl::remedy_for(code) : reason_remedy(code));
}

bool is_address(const std::string& host) {
  in6_addr ignored{};
  return ::inet_pton(AF_INET, host.c_str(), &ignored) == 1 ||
         ::inet_pton(AF_INET6, host.c_str(), &ignored) == 1;
}

bool has_name(const ShownCertificate& certificate, const std::string& name) {
  return std::find(certificate.names.begin(), certificate.names.end(), name) !=
         certificate.names.end();
}

// In a certificate that is not the same one.
bool another_has(const Surroundings& around, const ShownCertificate& certificate,
                 const std::string& name) {
  if (around.cluster == nullptr) return false;
  const std::vector<NodeEvidence>& nodes = around.cluster->nodes;
  const auto has = [&](const std::optional<AddressEvidence>& address) {
    return address && address->tls && address->tls->certificate.names != certificate.names &&
           has_name(address->tls->certificate, name);
  };
  return std::any_of(nodes.begin(), nodes.end(),
                     [&](const NodeEvidence& node) { return has(node.api) || has(node.metrics); });
}

// A name that could stand in server_name: one that tells this node from the others, if there is
// one.
std::string candidate(const ShownCertificate& certificate, const Surroundings& around) {
  std::string first;
  for (const std::string& name : certificate.names) {
    if (is_address(name) || name.starts_with("*") || name == "localhost") continue;
    if (!another_has(around, certificate, name)) return name;
    if (first.empty()) first = name;
  }
  return first;
}

Words chain_words(const TlsFindings& tls, const Surroundings& around) {
  const ShownCertificate& certificate = tls.certificate;
  const std::string of = "the certificate of " + list_words(certificate.names);
  const ServerWords& words = words_of(around);
  switch (tls.chain) {
    case ChainFault::kUnknownAuthority:
      return {of + " is signed by \"" + certificate.issuer + "\", an authority that ca_file (" +
                  around.ca_file + ") does not have",
              "if \"" + certificate.issuer + "\" is " + std::string(words.whose_authority) +
                  " authority, put its certificate into ca_file; if not, another "
                  "server answered: correct the address"};
    case ChainFault::kSelfSigned:
      return {of + " is signed by itself, and it is not in ca_file (" + around.ca_file + ")",
              "give the " + std::string(words.server) +
                  " a certificate of your authority, or put this one into ca_file"};
    case ChainFault::kExpired:
      if (certificate.not_after > around.now) {
        return {"an authority above " + of + " has expired", "renew the authority's certificate"};
      }
      return {of + " expired on " + date_words(certificate.not_after) + ", " +
                  duration_words(around.now - certificate.not_after) + " ago",
              std::string(words.renew)};
    case ChainFault::kNotYetValid:
      return {of + " is not valid before " + date_words(certificate.not_before),
              "look at the clock of this host; else make the certificate anew"};
    default:
      return {of + " does not verify: " + tls.words, remedy_of(around, ErrorCode::kTls)};
  }
}

Words name_words(const AddressEvidence& address, const Surroundings& around) {
  const ShownCertificate& certificate = address.tls->certificate;
  const std::string& host = address.url.host;
  const std::string name = candidate(certificate, around);
  std::string remedy = "make a certificate that has the name " + address.verified_name;
  if (address.verified_name != host && has_name(certificate, host)) {
    remedy = "take server_name out: the certificate has " + host;
  } else if (!name.empty()) {
    remedy = "set server_name = \"" + name + "\" if that is this " +
             std::string(words_of(around).server) + ", or " + remedy;
  }
  return {"the certificate is for " + list_words(certificate.names) + ", not for " +
              address.verified_name,
          remedy};
}

std::string timeout_words(Milliseconds timeout) {
  const auto milliseconds = timeout.count();
  if (milliseconds % 1000 == 0) return "within " + duration_words(milliseconds / 1000);
  return "within " + std::to_string(milliseconds) + " ms";
}

Words handshake_words(const TlsFindings& tls, const std::string& detail,
                      const Surroundings& around) {
  const ServerWords& words = words_of(around);
  switch (tls.handshake) {
    case Handshake::kPlainHttp:
      return {"it answers in plain HTTP where TLS is expected", std::string(words.plain_http)};
    case Handshake::kSilent:
      return {"it accepts the connection and does not answer the TLS handshake " +
                  timeout_words(around.timeout),
              "the process hangs, or something else listens there: look after the node, correct "
              "the port"};
    case Handshake::kClosed:
      return {"it closes the connection during the TLS handshake (" + tls.words + ")",
              "something that speaks no TLS listens there, or a proxy refuses: correct the port"};
    case Handshake::kNotTls:
      return {"it does not answer as TLS 1.2 or later does (" + tls.words + ")",
              std::string(words.no_tls)};
    default:
      return {"TLS failed (" + detail + ")", remedy_of(around, ErrorCode::kTls)};
  }
}

Words client_words(const std::string& detail, const Surroundings& around) {
  if (detail.find("certificate required") != std::string::npos ||
      detail.find("bad certificate") != std::string::npos) {
    return {"it asks for a client certificate and does not take ours, or there is none (" + detail +
                ")",
            "set client_cert_file and client_key_file to a pair that the " +
                std::string(words_of(around).server) + "'s listener trusts"};
  }
  return {"TLS failed (" + detail + ")", remedy_of(around, ErrorCode::kTls)};
}

Words failure_words(const AddressEvidence& address, const Surroundings& around) {
  const std::string& detail = address.failure->detail;
  if (!address.tls) return {"TLS failed (" + detail + ")", remedy_of(around, ErrorCode::kTls)};
  if (address.tls->handshake != Handshake::kCertificate) {
    return handshake_words(*address.tls, detail, around);
  }
  if (address.tls->chain == ChainFault::kNone && address.tls->name_matches) {
    return client_words(detail, around);
  }
  Words words;
  if (address.tls->chain != ChainFault::kNone) words = chain_words(*address.tls, around);
  if (!address.tls->name_matches) {
    const Words name = name_words(address, around);
    words.finding += (words.finding.empty() ? "" : "; ") + name.finding;
    words.remedy += (words.remedy.empty() ? "" : "; ") + name.remedy;
  }
  return words;
}

// The poll failed, and TLS is why.
bool tls_failed(const AddressEvidence& address) {
  if (!address.failure) return false;
  if (address.failure->code == ErrorCode::kTls) return true;
  return address.tls && address.tls->handshake != Handshake::kCertificate &&
         address.tls->handshake != Handshake::kNoConnection;
}

void check_days(const AddressEvidence& address, const Surroundings& around, Findings& out) {
  const std::string where = address.url.authority();
  if (!address.tls || address.tls->handshake != Handshake::kCertificate) {
    const std::string words = address.tls ? address.tls->words : std::string();
    return out.warn("tls",
                    where + ": the poll was good, a second handshake was not (" + words + ")",
                    "run the doctor again; does the " + std::string(words_of(around).server) +
                        " limit connections?");
  }
  const ShownCertificate& certificate = address.tls->certificate;
  const std::int64_t left = (certificate.not_after - around.now) / kDay;
  const std::string words = where + ": the certificate of " + list_words(certificate.names) +
                            " verifies and ends on " + date_words(certificate.not_after) + ", " +
                            std::to_string(left) + (left == 1 ? " day" : " days") + " left";
  if (left >= kWarnDays) return out.ok("tls", words);
  out.warn("tls", words, std::string(words_of(around).renew));
}

bool was_connected(const AddressEvidence& address) {
  if (address.connected_to.empty()) return false;
  // It was tried, and nobody ever answered: then the probe did not get through either.
  const bool late = address.failure && address.failure->code == ErrorCode::kTimeout;
  return !late || !address.tls || address.tls->handshake != Handshake::kNoConnection;
}

// libcurl's words begin with the address, which the line has already, and end with the system's.
std::string system_words(const std::string& detail) {
  const std::size_t open = detail.rfind(" (");
  if (open == std::string::npos || !detail.ends_with(")")) return detail;
  return detail.substr(open + 2, detail.size() - open - 3);
}

Words tcp_words(const AddressEvidence& address, const Surroundings& around) {
  const std::string remedy = remedy_of(around, ErrorCode::kConnect);
  if (!address.failure) return {"no connection", remedy};
  if (address.failure->code == ErrorCode::kTimeout) {
    return {"no connection " + timeout_words(around.timeout), remedy};
  }
  const std::string words = system_words(address.failure->detail);
  if (words != "Connection refused") return {words, remedy};
  return {"connection refused",
          "start " + std::string(words_of(around).program) +
              ", or correct the port; a firewall that rejects looks the same"};
}

std::string dns_words(const std::string& host, const std::string& detail) {
  return detail.starts_with("Could not resolve host") ? host + " has no address"
                                                      : host + ": " + detail;
}

}  // namespace

bool check_address(const AddressEvidence& address, const Surroundings& around, Findings& out) {
  const std::string& host = address.url.host;
  const std::string where = address.url.authority();
  const bool connected = was_connected(address);
  if (address.failure && address.failure->code == ErrorCode::kDns) {
    out.fail("dns", dns_words(host, address.failure->detail), remedy_of(around, ErrorCode::kDns),
             ErrorCode::kDns);
    return false;
  }
  if (is_address(host)) {
    out.ok("dns", host + " is an address, there is nothing to look up");
  } else {
    out.ok("dns", host + (connected ? " is " + address.connected_to : " has an address"));
  }
  if (!connected) {
    const ErrorCode code = address.failure ? address.failure->code : ErrorCode::kConnect;
    const Words words = tcp_words(address, around);
    out.fail("tcp", where + ": " + words.finding, words.remedy, code);
    return false;
  }
  out.ok("tcp", where + " accepts connections");
  if (address.url.scheme == "http") {
    out.ok("tls", where + ": plain HTTP (demo)");
    return true;
  }
  if (tls_failed(address)) {
    const Words words = failure_words(address, around);
    out.fail("tls", where + ": " + words.finding, words.remedy, address.failure->code);
    return false;
  }
  check_days(address, around, out);
  return true;
}

}  // namespace bao_exporter::doctor
