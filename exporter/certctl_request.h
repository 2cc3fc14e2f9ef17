// How the machine of a certctl server is made and what it orders is sent: the same for the daemon
// and for the doctor.
#pragma once

#include <cstdint>
#include <memory>

#include "bao_exporter/config.h"
#include "bao_exporter/transport.h"
#include "certctl/life.h"

namespace bao_exporter {

[[nodiscard]] certctl::LifeOptions certctl_life_options(const CertctlConfig& config,
                                                        const LimitsConfig& limits,
                                                        std::uint64_t hash_seed);

// Without a channel. The key is sent with what needs it only.
[[nodiscard]] Request certctl_request(const certctl::Order& order, const CertctlConfig& config,
                                      const LimitsConfig& limits,
                                      std::shared_ptr<const TlsTrust> trust,
                                      const std::shared_ptr<const Secret>& key);

}  // namespace bao_exporter
