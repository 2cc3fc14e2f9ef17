// One function for each collector that reads lists; see collector.h.
#pragma once

#include <memory>

#include "certctl/collector.h"

namespace bao_exporter::certctl {

[[nodiscard]] std::unique_ptr<Reading> read_certificates(const ReadingOptions& options);
[[nodiscard]] std::unique_ptr<Reading> read_agents(const ReadingOptions& options);
[[nodiscard]] std::unique_ptr<Reading> read_jobs();
[[nodiscard]] std::unique_ptr<Reading> read_issuers(const ReadingOptions& options);
[[nodiscard]] std::unique_ptr<Reading> read_notifications();
[[nodiscard]] std::unique_ptr<Reading> read_discovery();
[[nodiscard]] std::unique_ptr<Reading> read_health_checks();

}  // namespace bao_exporter::certctl
