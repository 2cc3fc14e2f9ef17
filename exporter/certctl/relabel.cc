#include "certctl/relabel.h"

#include "bao_exporter/check.h"
#include "reserved_names.h"

namespace bao_exporter {

std::vector<std::pair<std::string, std::string>> certctl_labels(const CertctlConfig& server) {
  Url url;
  BAO_CHECK(parse_url(server.url, url));
  return {{"certctl", server.name}, {"instance", url.authority()}};
}

std::string certctl_identity(const CertctlConfig& server) {
  const auto labels = certctl_labels(server);
  return render_identity({labels.begin(), labels.end()});
}

RelabelPlan certctl_relabel_plan(std::string identity) {
  RelabelPlan plan = certctl_state_plan(std::move(identity));
  plan.reserved_family_prefixes = reserved_family_prefixes();
  plan.reserved_in_own_text = false;
  return plan;
}

RelabelPlan certctl_state_plan(std::string identity) {
  RelabelPlan plan;
  plan.identity = std::move(identity);
  plan.reserved_labels = reserved_labels();
  return plan;
}

}  // namespace bao_exporter
