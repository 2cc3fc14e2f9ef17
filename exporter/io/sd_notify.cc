#include "bao_exporter/sd_notify.h"

#include <systemd/sd-daemon.h>
#include <time.h>

#include <cstdint>

namespace bao_exporter::service_manager {

namespace {

// The answer is not looked at: there may be no service manager, and nothing could be done about it.
void tell(const std::string& state) { (void)::sd_notify(0, state.c_str()); }

}  // namespace

void ready(const std::string& status) { tell("READY=1\nSTATUS=" + status); }

void reloading() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  const auto microseconds = static_cast<std::uint64_t>(now.tv_sec) * 1'000'000 +
                            static_cast<std::uint64_t>(now.tv_nsec) / 1'000;
  tell("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(microseconds));
}

void stopping() { tell("STOPPING=1"); }

void watchdog() { tell("WATCHDOG=1"); }

}  // namespace bao_exporter::service_manager
