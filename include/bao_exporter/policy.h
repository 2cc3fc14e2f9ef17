// The smallest OpenBao policy for the exporter's token, and the commands that set it up. Pure.
#pragma once

#include <string>

#include "bao_exporter/config.h"

namespace bao_exporter {

// HCL for `bao policy write`. Its comments have, for each cluster of the configuration, the
// commands that write the policy, make the token or the login method's role, and fill the files
// that the configuration names. Nothing secret is in it: no file is read. What only the reader
// knows stands in it in capitals. `no_default_policy`: the token does without the policy "default",
// so what the exporter asks of its own token is granted here.
[[nodiscard]] std::string policy_text(const Config& config, bool no_default_policy);

}  // namespace bao_exporter
