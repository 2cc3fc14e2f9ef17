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
#include "bao_exporter/front_door.h"
#include "bao_exporter/result.h"
#include "bao_exporter/scrape_service.h"

namespace bao_exporter {

// Called when a connection has ended its TLS handshake, and when it is closed.
struct ConnectionEvents {
  std::function<void()> opened;
  std::function<void()> closed;
};

class Listener {
 public:
  using Handler = std::function<Reply(const HttpRequest&)>;

  // Reads certificate and key, binds and starts. Errors: kConfig (certificate, key), kIo (address
  // in use, not ours), each with what to do.
  static Result<std::unique_ptr<Listener>> start(const ListenerConfig& config, Handler handler,
                                                 ConnectionEvents events = {});

  // What start() would say of certificate and key.
  [[nodiscard]] static std::optional<Error> check_certificate(const ListenerConfig& config);

  virtual ~Listener() = default;  // stops: answers under way are finished first

  // "127.0.0.1:9825": with the port that the kernel chose where 0 was asked for.
  [[nodiscard]] virtual std::vector<std::string> addresses() const = 0;

  // Shows this certificate in handshakes from now on; the old one stays when the new pair is not
  // good (errors as of start). From any thread; not for plain HTTP.
  [[nodiscard]] virtual std::optional<Error> replace_certificate(const std::string& cert_file,
                                                                 const std::string& key_file) = 0;

  // End of validity of the certificate that is shown, seconds since 1970; nullopt: plain HTTP.
  [[nodiscard]] virtual std::optional<std::int64_t> certificate_not_after() const = 0;

 protected:
  Listener() = default;
};

}  // namespace bao_exporter
