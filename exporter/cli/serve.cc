// Wiring: configuration -> materials -> threads -> signals -> end.
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <iostream>
#include <random>
#include <thread>

#include "bao_exporter/curl_transport.h"
#include "bao_exporter/listener.h"
#include "bao_exporter/log.h"
#include "bao_exporter/publisher.h"
#include "bao_exporter/scrape_service.h"
#include "build_info.h"
#include "cli/commands.h"
#include "materials.h"

namespace bao_exporter::cli {

namespace {

// The token is in our memory: no core dump, no debugger of the same user.
void harden_process() {
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  const rlimit none{0, 0};
  ::setrlimit(RLIMIT_CORE, &none);
  ::signal(SIGPIPE, SIG_IGN);
}

// Blocked in every thread that is started from now on, so that main alone takes them.
sigset_t block_signals() {
  sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGTERM);
  ::sigaddset(&signals, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

std::uint64_t random_seed() {
  std::random_device device;
  return (static_cast<std::uint64_t>(device()) << 32) | device();
}

int exit_code_of(ErrorCode code) {
  return code == ErrorCode::kConfig || code == ErrorCode::kTokenUnreadable ? kUsage : kFailed;
}

int fail(const Error& error) {
  std::cerr << error.detail << '\n';
  return exit_code_of(error.code);
}

}  // namespace

int serve(const Config& config) {
  harden_process();
  log::init(config.log.level, config.log.format);
  auto scrape_tokens = load_scrape_tokens(config.listener);
  if (!scrape_tokens.ok()) return fail(scrape_tokens.error());
  auto credentials = Credentials::load(config);
  if (!credentials.ok()) return fail(credentials.error());
  const sigset_t signals = block_signals();

  Slot<Snapshot> snapshots;
  Slot<ScrapeTokens> token_slot;
  token_slot.set(scrape_tokens.value());
  Publisher publisher(config, random_seed(), snapshots);
  ScrapeService service(snapshots, token_slot);
  service.on_gzip_asked([&publisher] { publisher.gzip_was_asked(); });
  auto listener = Listener::start(config.listener, [&service](const HttpRequest& request) {
    return service.answer(request, Clock::now());
  });
  if (!listener.ok()) return fail(listener.error());
  for (const std::string& address : listener.value()->addresses()) {
    log::info("listening", {{"address", address}, {"version", std::string(kVersion)}});
  }

  const std::unique_ptr<Transport> transport = make_curl_transport();
  Poller poller(credentials.value()->equip(config), config.poll, config.limits.body_bytes_max,
                *transport, publisher);
  publisher.on_ask_again(
      [&poller](const std::vector<std::size_t>& targets) { poller.ask_again(targets); });
  {
    const std::jthread build([&](const std::stop_token& stop) { publisher.run(stop); });
    const std::jthread poll([&](const std::stop_token& stop) { poller.run(stop); });
    int signal = 0;
    ::sigwait(&signals, &signal);
    log::info("stopping", {{"signal", signal == SIGTERM ? "SIGTERM" : "SIGINT"}});
  }
  return kGood;
}

}  // namespace bao_exporter::cli
