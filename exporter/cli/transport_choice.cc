#include "cli/transport_choice.h"

#include "bao_exporter/curl_transport.h"

namespace bao_exporter::cli {

std::unique_ptr<Transport> make_transport() { return make_curl_transport(); }

}  // namespace bao_exporter::cli
