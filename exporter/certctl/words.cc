#include "certctl/words.h"

#include <array>

#include "ascii.h"

namespace bao_exporter::certctl {

namespace {

constexpr std::array<std::string_view, 8> kCertificateStatusWords = {
    "Pending",           "Active", "Expiring", "Expired",
    "RenewalInProgress", "Failed", "Revoked",  "Archived"};
constexpr std::array<std::string_view, 3> kAgentStatusWords = {"Online", "Offline", "Degraded"};
constexpr std::array<std::string_view, 7> kJobStatusWords = {
    "Pending", "AwaitingCSR", "AwaitingApproval", "Running", "Failed", "Completed", "Cancelled"};
constexpr std::array<std::string_view, 4> kJobTypeWords = {"Issuance", "Renewal", "Deployment",
                                                           "Validation"};
constexpr std::array<std::string_view, 12> kIssuerTypeWords = {
    "ACME",    "GenericCA", "StepCA",    "OpenSSL", "VaultPKI",   "DigiCert",
    "Sectigo", "GoogleCAS", "AWSACMPCA", "Entrust", "GlobalSign", "EJBCA"};
constexpr std::array<std::string_view, 3> kIssuerTestStatusWords = {"untested", "success",
                                                                    "failed"};
constexpr std::array<std::string_view, 5> kNotificationStatusWords = {"pending", "sent", "failed",
                                                                      "dead", "read"};
constexpr std::array<std::string_view, 3> kDiscoveryStatusWords = {"Unmanaged", "Managed",
                                                                   "Dismissed"};
constexpr std::array<std::string_view, 5> kHealthStatusWords = {"healthy", "degraded", "down",
                                                                "cert_mismatch", "unknown"};

// Equal but for case and underscores.
bool is_same_word(std::string_view a, std::string_view b) {
  const auto skip = [](std::string_view& text) {
    while (!text.empty() && text[0] == '_') text.remove_prefix(1);
  };
  for (;;) {
    skip(a);
    skip(b);
    if (a.empty() || b.empty()) return a.empty() && b.empty();
    if (ascii::lower(a[0]) != ascii::lower(b[0])) return false;
    a.remove_prefix(1);
    b.remove_prefix(1);
  }
}

char upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }

}  // namespace

constinit const Vocabulary kCertificateStatuses{kCertificateStatusWords};
constinit const Vocabulary kAgentStatuses{kAgentStatusWords};
constinit const Vocabulary kJobStatuses{kJobStatusWords};
constinit const Vocabulary kJobTypes{kJobTypeWords};
constinit const Vocabulary kIssuerTypes{kIssuerTypeWords};
constinit const Vocabulary kIssuerTestStatuses{kIssuerTestStatusWords, /*capitalised=*/false};
constinit const Vocabulary kNotificationStatuses{kNotificationStatusWords, /*capitalised=*/false};
constinit const Vocabulary kDiscoveryStatuses{kDiscoveryStatusWords};
constinit const Vocabulary kHealthStatuses{kHealthStatusWords, /*capitalised=*/false};

std::string normalised(std::string_view raw, const Vocabulary& vocabulary) {
  for (const std::string_view word : vocabulary.words) {
    if (is_same_word(raw, word)) return std::string(word);
  }
  std::string word(raw);
  if (!word.empty()) word[0] = vocabulary.capitalised ? upper(word[0]) : ascii::lower(word[0]);
  return word;
}

}  // namespace bao_exporter::certctl
