// The transport on libcurl's multi interface. See transport.h for the contract.
#pragma once

#include <memory>

#include "bao_exporter/transport.h"

namespace bao_exporter {

[[nodiscard]] std::unique_ptr<Transport> make_curl_transport();

}  // namespace bao_exporter
