// The words that certctl has for states and kinds, in its own spelling. Its database holds some of
// them in other cases ("renewal", "renewal_in_progress"), and its filters are case-sensitive.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace bao_exporter::certctl {

struct Vocabulary {
  std::span<const std::string_view> words;
  bool capitalised = true;
};

extern const Vocabulary kCertificateStatuses;
extern const Vocabulary kAgentStatuses;
extern const Vocabulary kJobStatuses;
extern const Vocabulary kJobTypes;
extern const Vocabulary kIssuerTypes;
extern const Vocabulary kIssuerTestStatuses;
extern const Vocabulary kNotificationStatuses;
extern const Vocabulary kDiscoveryStatuses;
extern const Vocabulary kHealthStatuses;

// The vocabulary's own word, whatever the case of `raw` and its underscores. A word that it does
// not have stays as it is, but for the case of its first letter.
[[nodiscard]] std::string normalised(std::string_view raw, const Vocabulary& vocabulary);

}  // namespace bao_exporter::certctl
