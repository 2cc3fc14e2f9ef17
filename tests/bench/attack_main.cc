// One attack on a port, described in attack.h. Prints "ready", then at its end one line of JSON.
#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>

#include "bench/attack.h"

namespace {

using bench::Mode;

volatile std::sig_atomic_t stopped = 0;
void on_signal(int /*number*/) { stopped = 1; }

const std::map<std::string, Mode> kModes = {
    {"idle", Mode::kIdle},
    {"half", Mode::kHalf},
    {"trickle", Mode::kTrickle},
    {"slow_headers", Mode::kSlowHeaders},
    {"tls_idle", Mode::kTlsIdle},
    {"slow_reader", Mode::kSlowReader},
    {"wrong_tokens", Mode::kWrongTokens},
    {"wrong_tokens_new", Mode::kWrongTokensNew},
};

void print(const bench::Tally& tally) {
  const nlohmann::json said = {
      {"connected", tally.connected},
      {"secured", tally.secured},
      {"closed", tally.closed},
      {"failed", tally.failed},
      {"requests", tally.requests},
      {"refused", tally.refused},
      {"most_open", tally.most_open},
      {"seconds", tally.seconds},
      {"connections_per_second", static_cast<double>(tally.connected) / tally.seconds},
      {"refusals_per_second", static_cast<double>(tally.refused) / tally.seconds},
  };
  std::puts(said.dump().c_str());
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"attacks a port on loopback"};
  bench::Plan plan;
  std::string to;
  double seconds = 10;
  long come_back = 0;
  long hold = 0;
  app.add_option("--mode", plan.mode)->transform(CLI::CheckedTransformer(kModes))->required();
  app.add_option("--to", to, "ADDRESS:PORT")->required();
  app.add_option("--from", plan.from, "a source address, or: many");
  app.add_option("--path", plan.path);
  app.add_option("--token", plan.token);
  app.add_option("--connections", plan.connections);
  app.add_option("--seconds", seconds);
  app.add_option("--come-back-ms", come_back);
  app.add_option("--hold-ms", hold);
  app.add_option("--rate", plan.rate);
  CLI11_PARSE(app, argc, argv);
  plan.server = bench::parse_address(to);
  plan.duration = bench::Milliseconds{static_cast<long>(seconds * 1000)};
  plan.come_back = bench::Milliseconds{come_back};
  plan.hold = bench::Milliseconds{hold};
  std::signal(SIGTERM, &on_signal);
  std::signal(SIGINT, &on_signal);
  std::signal(SIGPIPE, SIG_IGN);
  bench::raise_descriptor_limit();
  print(bench::Attack(std::move(plan)).run(&stopped));
  return 0;
}
