// Asking the running exporter of this configuration, as a scraper or a probe does.
#pragma once

#include <string>

#include "bao_exporter/config.h"
#include "bao_exporter/result.h"
#include "bao_exporter/transport.h"

namespace bao_exporter::cli {

// Of its port, with listener.self_token_file and listener.self_ca_file. Errors: kConfig (they are
// needed and not set), kTokenUnreadable.
[[nodiscard]] Result<Request> request_to_port(const ListenerConfig& listener, std::string path,
                                              Milliseconds patience);

// Of its listener.admin_address, in clear.
[[nodiscard]] Result<Request> request_to_admin(const ListenerConfig& listener, std::string path,
                                               Milliseconds patience);

// The body of an answer 200. Errors: kIo, with the URL and what came instead.
[[nodiscard]] Result<std::string> fetch(Request request);

}  // namespace bao_exporter::cli
