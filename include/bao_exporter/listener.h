// The TLS port: connections, TLS and HTTP framing. What is answered comes from a handler.
//
// Threads: a fixed number of workers, all started at once; the handler runs on any of them.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bao_exporter/config.h"
#include "bao_exporter/front_door.h"
#include "bao_exporter/result.h"
#include "bao_exporter/scrape_service.h"

namespace bao_exporter {

class Listener {
 public:
  using Handler = std::function<Reply(const HttpRequest&)>;

  // Reads certificate and key, binds and starts. Errors: kConfig (certificate, key), kIo (address
  // in use, not ours), each with what to do.
  static Result<std::unique_ptr<Listener>> start(const ListenerConfig& config, Handler handler);

  virtual ~Listener() = default;  // stops: answers under way are finished first

  // "127.0.0.1:9825": with the port that the kernel chose where 0 was asked for.
  [[nodiscard]] virtual std::vector<std::string> addresses() const = 0;

 protected:
  Listener() = default;
};

}  // namespace bao_exporter
