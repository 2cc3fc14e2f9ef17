#include "certctl/collectors.h"
#include "certctl/summary_reading.h"

namespace bao_exporter::certctl {

namespace {

class DiscoveryReading final : public SummaryReading {
 public:
  DiscoveryReading() : SummaryReading("discovered certificates", kDiscoveryStatuses) {}

  [[nodiscard]] std::string request() const override { return "/api/v1/discovery-summary"; }
  [[nodiscard]] Counted finish() const override {
    StateText text;
    text.gauge("certctl_state_discovered_certificates",
               "Certificates that scans found, by what was decided about them.");
    counts().write(text, {"status"});
    return {text.take(), {}};
  }
};

}  // namespace

std::unique_ptr<Reading> read_discovery() { return std::make_unique<DiscoveryReading>(); }

}  // namespace bao_exporter::certctl
