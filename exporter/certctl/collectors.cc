#include "certctl/collectors.h"

#include "bao_exporter/check.h"

namespace bao_exporter::certctl {

std::unique_ptr<Reading> begin_reading(CertctlCollector collector, const ReadingOptions& options) {
  switch (collector) {
    case CertctlCollector::kCertificates:
      return read_certificates(options);
    case CertctlCollector::kAgents:
      return read_agents(options);
    case CertctlCollector::kJobs:
      return read_jobs();
    case CertctlCollector::kIssuers:
      return read_issuers(options);
    case CertctlCollector::kNotifications:
      return read_notifications();
    case CertctlCollector::kDiscovery:
      return read_discovery();
    case CertctlCollector::kHealthChecks:
      return read_health_checks();
    case CertctlCollector::kMetrics:
      break;
  }
  BAO_CHECK(collector != CertctlCollector::kMetrics);
  return nullptr;
}

std::string_view permission_for(CertctlCollector collector) noexcept {
  switch (collector) {
    case CertctlCollector::kMetrics:
      return "metrics.read";
    case CertctlCollector::kCertificates:
      return "cert.read";
    case CertctlCollector::kAgents:
      return "agent.read";
    case CertctlCollector::kJobs:
      return "job.read";
    case CertctlCollector::kIssuers:
      return "issuer.read";
    case CertctlCollector::kNotifications:
      return "notification.read";
    case CertctlCollector::kDiscovery:
      return "discovery.read";
    case CertctlCollector::kHealthChecks:
      return "healthcheck.read";
  }
  return {};
}

}  // namespace bao_exporter::certctl
