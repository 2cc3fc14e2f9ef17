// A real Listener on a port of the kernel's choice, and who signed its certificate.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "bao_exporter/listener.h"
#include "certificate.h"

namespace bao_exporter::test {

class Listening {
 public:
  explicit Listening(Listener::Handler handler, const std::string& address = "127.0.0.1:0",
                     const std::string& names = kLocalNames)
      : authority(make_identity("Authority of a test", nullptr, "")),
        server(make_identity("server", &authority, names)) {
    const ServerFiles files = write_server_files(folder, "server", server);
    config.addresses = {address};
    config.tls_cert_file = files.certificate;
    config.tls_key_file = files.key;
    config.connections_max = 8;
    auto started = Listener::start(config, std::move(handler));
    if (started.ok()) {
      listener = std::move(started).value();
    } else {
      problem = started.error();
    }
  }

  [[nodiscard]] std::string address() const { return listener->addresses().front(); }
  [[nodiscard]] std::uint16_t port() const {
    return static_cast<std::uint16_t>(std::stoi(address().substr(address().rfind(':') + 1)));
  }

  Folder folder;
  Identity authority;
  Identity server;
  ListenerConfig config;
  std::unique_ptr<Listener> listener;  // null: see problem
  Error problem;
};

inline Reply reply_with(std::string body, int status = 200, bool close = false) {
  Reply reply;
  reply.status = status;
  reply.close = close;
  reply.headers.emplace_back("Content-Type", "text/plain; version=0.0.4; charset=utf-8");
  auto kept = std::make_shared<const std::string>(std::move(body));
  reply.body.append(*kept);
  reply.body.own(kept);
  return reply;
}

}  // namespace bao_exporter::test
