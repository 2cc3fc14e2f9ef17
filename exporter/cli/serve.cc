// The exporter as a process: hardening, signals, the end.
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <string_view>

#include "bao_exporter/daemon.h"
#include "bao_exporter/log.h"
#include "bao_exporter/sd_notify.h"
#include "cli/commands.h"
#include "cli/transport_choice.h"

namespace bao_exporter::cli {

namespace {

constexpr timespec kTick{1, 0};
constexpr timespec kNow{0, 0};
constexpr unsigned kEndSeconds = 4;  // answers under way have 3 of them

// Blocked in every thread that is started from now on, so that main alone takes them.
sigset_t block_signals() {
  sigset_t signals;
  ::sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) ::sigaddset(&signals, signal);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

// Of several that wait the kernel gives the lowest number, and SIGHUP's is the lowest: whoever ends
// us is heard first, however many of those come.
int next_signal(const sigset_t& signals) {
  sigset_t ends = signals;
  ::sigdelset(&ends, SIGHUP);
  const int end = ::sigtimedwait(&ends, nullptr, &kNow);
  return end > 0 ? end : ::sigtimedwait(&signals, nullptr, &kTick);
}

// A loop that hangs does not hear that it should end: then the process ends without it.
void end_without_it(int) noexcept {
  constexpr std::string_view kWords =
      "level=error msg=\"a thread did not end, ending without it\"\n";
  (void)!::write(STDERR_FILENO, kWords.data(), kWords.size());
  ::_exit(kFailed);
}

int fail(const Error& error) {
  std::cerr << error.detail << '\n';
  const bool configuration =
      error.code == ErrorCode::kConfig || error.code == ErrorCode::kTokenUnreadable;
  return configuration ? kUsage : kFailed;
}

// The gate holds more connections than it serves, so that those it has given up do not come back.
void raise_descriptor_limit() {
  constexpr rlim_t kEnough = 8192;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= kEnough) return;
  limit.rlim_cur = std::min(limit.rlim_max, kEnough);
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

void harden_process() {
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  const rlimit none{0, 0};
  ::setrlimit(RLIMIT_CORE, &none);
  ::signal(SIGPIPE, SIG_IGN);
}

int serve(ConfigOutcome outcome, const ConfigLoader& loader) {
  harden_process();
  raise_descriptor_limit();
  log::init(outcome.config.log.level, outcome.config.log.format);
  const sigset_t signals = block_signals();
  auto daemon = Daemon::start(std::move(outcome), loader, make_transport);
  if (!daemon.ok()) return fail(daemon.error());
  for (;;) {
    const int signal = next_signal(signals);
    if (signal == SIGTERM || signal == SIGINT) {
      log::info("stopping", {{"signal", signal == SIGTERM ? "SIGTERM" : "SIGINT"}});
      service_manager::stopping();
      ::signal(SIGALRM, &end_without_it);
      ::alarm(kEndSeconds);
      return kGood;
    }
    if (signal == SIGHUP) daemon.value()->reload("SIGHUP");
    daemon.value()->tick(Clock::now());
  }
}

}  // namespace bao_exporter::cli
