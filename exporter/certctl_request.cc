#include "certctl_request.h"

#include <utility>

#include "certctl/relabel.h"
#include "parse_limits.h"

namespace bao_exporter {

certctl::LifeOptions certctl_life_options(const CertctlConfig& config, const LimitsConfig& limits,
                                          std::uint64_t hash_seed) {
  RelabelPlan plan = certctl_relabel_plan(certctl_identity(config));
  plan.hash_seed = hash_seed;
  return {config, parse_limits(limits), hash_seed, std::move(plan)};
}

Request certctl_request(const certctl::Order& order, const CertctlConfig& config,
                        const LimitsConfig& limits, std::shared_ptr<const TlsTrust> trust,
                        const std::shared_ptr<const Secret>& key) {
  Request request;
  BAO_CHECK(parse_url(config.url, request.url));
  request.url.path = order.path;
  request.server_name = config.server_name;
  request.trust = std::move(trust);
  if (order.with_key) request.bearer = key;
  request.deadline = order.deadline;
  request.body_bytes_max = limits.body_bytes_max;
  return request;
}

}  // namespace bao_exporter
