// One round over the certctl servers for the doctor, with what the exporter itself asks and judges
// with: certctl::Life, an inventory and then a poll of its metrics, each once. Ends by itself.
#pragma once

#include <vector>

#include "bao_exporter/config.h"
#include "bao_exporter/doctor.h"
#include "bao_exporter/transport.h"
#include "materials.h"

namespace bao_exporter::cli {

// All servers of `config` side by side, but for their certificates. Errors: kTokenUnreadable, of a
// key file.
[[nodiscard]] Result<std::vector<CertctlEvidence>> ask_certctls(const Config& config,
                                                                const Trusts& trusts,
                                                                Transport& transport);

}  // namespace bao_exporter::cli
