// In the place of exporter/cli/transport_choice.cc in the binary bao-exporter-hanging, which is
// built for tests only: SIGUSR2 stops the poll loop for good, as a bug in a library would.
#include <signal.h>
#include <unistd.h>

#include <atomic>

#include "bao_exporter/curl_transport.h"
#include "cli/transport_choice.h"

namespace bao_exporter::cli {

namespace {

std::atomic<bool> g_hang{false};

class HangingTransport final : public Transport {
 public:
  void start(Request request, OnDone on_done) override {
    real_->start(std::move(request), std::move(on_done));
  }
  void cancel(std::uint64_t channel) override { real_->cancel(channel); }
  void run_once(TimePoint until) override {
    while (g_hang.load()) ::pause();
    real_->run_once(until);
  }
  void wake_up() override { real_->wake_up(); }

 private:
  std::unique_ptr<Transport> real_ = make_curl_transport();
};

}  // namespace

std::unique_ptr<Transport> make_transport() {
  ::signal(SIGUSR2, [](int) { g_hang.store(true); });
  return std::make_unique<HangingTransport>();
}

}  // namespace bao_exporter::cli
