#include <array>

#include "bao_exporter/config.h"

namespace bao_exporter {

namespace {

constexpr std::array<std::string_view, kCertctlCollectorCount> kCollectorNames = {
    "metrics", "certificates",  "agents",    "jobs",
    "issuers", "notifications", "discovery", "health_checks"};

}  // namespace

std::string_view certctl_collector_name(CertctlCollector collector) noexcept {
  return kCollectorNames[static_cast<std::size_t>(collector)];
}

}  // namespace bao_exporter
