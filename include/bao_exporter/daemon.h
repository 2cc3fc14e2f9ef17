// The running exporter: everything that is wired together, and what happens to it from outside.
//
// Reload: the new world is read and validated beside the old one, then put in its place; when
// anything is wrong the old one stays as it was, and the reload is told as failed.
// Threads: one (main); it starts the others.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "bao_exporter/config.h"
#include "bao_exporter/transport.h"

namespace bao_exporter {

// Reads the configuration anew, with the same arguments as at the start.
using ConfigLoader = std::function<ConfigOutcome()>;
using TransportMaker = std::function<std::unique_ptr<Transport>()>;

class Daemon {
 public:
  // Reads what `outcome` names, binds the port and starts the threads.
  // Errors: kConfig, kTokenUnreadable (exit code 2), kIo (exit code 1).
  static Result<std::unique_ptr<Daemon>> start(ConfigOutcome outcome, ConfigLoader loader,
                                               const TransportMaker& make_transport);

  // What start() would refuse: reads all that the configuration names, opens nothing.
  [[nodiscard]] static std::optional<Error> check(const Config& config);

  ~Daemon();  // answers under way are finished, then the threads end
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  // `why` goes to the log.
  void reload(const char* why);

  // Once a second: reloads when a file has changed, and gives the watchdog its sign of life while
  // the loops that poll and build are alive.
  void tick(TimePoint now);

 private:
  struct World;
  explicit Daemon(std::unique_ptr<World> world);
  std::unique_ptr<World> world_;
};

}  // namespace bao_exporter
