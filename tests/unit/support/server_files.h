// Certificate, key and the clients' authority as files of a listener, and what is read from them.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "bao_exporter/config.h"
#include "certificate.h"
#include "folder.h"
#include "io/server_tls.h"

namespace bao_exporter::test {

using TlsPtr = std::shared_ptr<const ServerTls>;

class TlsFiles {
 public:
  TlsFiles() : authority(make_identity("Authority of a test", nullptr, "")), server(issue()) {
    config.addresses = {"127.0.0.1:0"};
    config.tls_cert_file = folder.path("tls.crt");
    config.tls_key_file = folder.path("tls.key");
    show(server);
  }

  [[nodiscard]] Identity issue(std::int64_t lifetime_seconds = 3'600,
                               std::int64_t begins_in_seconds = -7'200) const {
    return make_identity("server", &authority, kLocalNames, lifetime_seconds, begins_in_seconds);
  }
  void show(const Identity& identity) const {
    folder.write("tls.crt", identity.certificate_pem());
    folder.write("tls.key", identity.key_pem());
  }
  // From now on client certificates are asked for.
  void ask_for_clients_of(const Identity& clients, std::vector<std::string> names = {}) {
    config.client_ca_file = folder.write("clients.pem", clients.certificate_pem());
    config.client_allowed_names = std::move(names);
  }
  [[nodiscard]] Result<TlsPtr> load() const { return load_server_tls(config); }
  [[nodiscard]] TlsPtr good() const { return load().value(); }
  // Why they are refused.
  [[nodiscard]] std::string refusal() const {
    const auto tls = load();
    return tls.ok() ? "" : tls.error().detail;
  }

  Folder folder;
  Identity authority;
  Identity server;
  ListenerConfig config;
};

}  // namespace bao_exporter::test
