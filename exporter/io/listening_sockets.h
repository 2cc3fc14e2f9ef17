// The sockets that the port listens on: bound as the configuration says, or given by systemd.
#pragma once

#include <string>
#include <vector>

#include "bao_exporter/config.h"
#include "bao_exporter/result.h"
#include "descriptor.h"

namespace bao_exporter {

struct ListeningSocket {
  Descriptor descriptor;
  std::string address;  // "127.0.0.1:9825", with its real port
  bool admin = false;   // plain, for probes on the loopback
};

// Sockets that systemd passed (socket activation: LISTEN_FDS) are taken instead of
// listener.address; one with FileDescriptorName=admin instead of listener.admin_address.
// Errors: kIo, with the address, the cause and the remedy.
[[nodiscard]] Result<std::vector<ListeningSocket>> open_listening_sockets(
    const ListenerConfig& config);

}  // namespace bao_exporter
