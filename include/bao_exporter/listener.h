// The port: connections, TLS and HTTP framing. What is answered comes from a handler. TLS always,
// but for a demo on loopback addresses.
//
// Threads: a fixed number of workers, all started at once; the handler runs on any of them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bao_exporter/config.h"
#include "bao_exporter/connection_book.h"
#include "bao_exporter/front_door.h"
#include "bao_exporter/result.h"
#include "bao_exporter/scrape_service.h"

namespace bao_exporter {

class Listener {
 public:
  using Handler = std::function<Reply(const HttpRequest&)>;

  // Reads certificate and key, binds and starts. Errors: kConfig (certificate, key), kIo (address
  // in use, not ours), each with what to do. `on_client_refused` is called for each client whose
  // certificate is good and whose name is not allowed, from any thread.
  static Result<std::unique_ptr<Listener>> start(
      const ListenerConfig& config, Handler handler,
      std::function<void()> on_client_refused = [] {});

  // What start() would say of certificate, key and the clients' authority.
  [[nodiscard]] static std::optional<Error> check_tls(const ListenerConfig& config);

  virtual ~Listener() = default;  // stops: answers under way are finished first

  // "127.0.0.1:9825": with the port that the kernel chose where 0 was asked for.
  [[nodiscard]] virtual std::vector<std::string> addresses() const = 0;

  // Reads what `config` says of TLS anew: certificate, key, the clients' authority and names, the
  // oldest version. In force in handshakes from now on; what was handed out for resumption before
  // is not taken any more when something has changed. False: nothing has. All of the old stays when
  // anything of the new is not good (errors as of start; also a certificate that has expired). From
  // any thread.
  [[nodiscard]] virtual Result<bool> replace_tls(const ListenerConfig& config) = 0;

  // Networks and numbers that may change while it runs; the rest of `config` is not looked at.
  virtual void replace_limits(const ListenerConfig& config) = 0;

  [[nodiscard]] virtual PortCounts counts() const = 0;

  // End of validity of the certificate that is shown, seconds since 1970; nullopt: plain HTTP.
  [[nodiscard]] virtual std::optional<std::int64_t> certificate_not_after() const = 0;

 protected:
  Listener() = default;
};

}  // namespace bao_exporter
