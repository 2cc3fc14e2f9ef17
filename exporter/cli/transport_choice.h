// Which transport the exporter polls with: libcurl's, but for the binary that tests hang on
// purpose.
#pragma once

#include <memory>

#include "bao_exporter/transport.h"

namespace bao_exporter::cli {

[[nodiscard]] std::unique_ptr<Transport> make_transport();

}  // namespace bao_exporter::cli
