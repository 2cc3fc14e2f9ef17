#include "bao_exporter/run.h"

#include <malloc.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <string>

#include "bao_exporter/config.h"
#include "build_info.h"
#include "cli/commands.h"
#include "config_url.h"
#include "io/wiping_memory.h"

namespace bao_exporter {

namespace {

struct Arguments {
  std::string config_file = "/etc/bao-exporter/bao-exporter.toml";
  std::string listen_address;
  std::string log_level;
  bool check = false;
  bool nodes = false;
  bool doctor = false;
  bool json = false;
  bool policy = false;
  bool no_default_policy = false;
  bool healthcheck = false;
  bool live = false;
  bool hash_token = false;
  bool generate = false;
  std::string token_name;
  std::string reference;  // keys, reasons or remedies; empty: not asked
};

ConfigEnvironment environment() {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): before any thread
    return std::string(value == nullptr ? "" : value);
  };
  return {variable("CREDENTIALS_DIRECTORY"), variable("NODE_NAME")};
}

// nullopt: go on; else the exit code.
std::optional<int> parse_arguments(int argc, char** argv, Arguments& arguments) {
  CLI::App app{"Polls OpenBao nodes and serves their metrics on one authenticated TLS port."};
  app.set_version_flag(
      "--version", "bao-exporter " + std::string(kVersion) + " (" + std::string(kRevision) + ")");
  app.add_option("--config.file", arguments.config_file, "The configuration file.")
      ->capture_default_str();
  app.add_option("--web.listen-address", arguments.listen_address,
                 "host:port to listen on, instead of listener.address.");
  app.add_option("--log.level", arguments.log_level, "Instead of log.level.");
  app.fallthrough();
  app.require_subcommand(0, 1);
  app.add_subcommand("check", "Read the configuration, print every problem, and end.")
      ->callback([&] { arguments.check = true; });
  app.add_subcommand(
         "nodes",
         "Print a line for each node and certctl server, as the running exporter tells it.")
      ->callback([&] { arguments.nodes = true; });
  CLI::App* doctor = app.add_subcommand(
      "doctor",
      "Ask everything once and print a line for each node, certctl server and check, with the "
      "remedy.");
  doctor->callback([&] { arguments.doctor = true; });
  doctor->add_flag("--json", arguments.json, "As JSON.");
  CLI::App* policy = app.add_subcommand(
      "policy", "Print the smallest policy for the token, and the commands to set it up.");
  policy->callback([&] { arguments.policy = true; });
  policy->add_flag("--no-default-policy", arguments.no_default_policy,
                   "For a token that does not have the policy \"default\".");
  CLI::App* healthcheck = app.add_subcommand(
      "healthcheck",
      "For container probes: 0 when the running exporter is ready, 1 when it is not or does not "
      "answer, 2 when the configuration does not say where to ask.");
  healthcheck->callback([&] { arguments.healthcheck = true; });
  healthcheck->add_flag("--live", arguments.live,
                        "Whether it lives, ready or not (of listener.admin_address).");
  CLI::App* hash_token = app.add_subcommand(
      "hash-token", "Read a token from standard input and print its line for a token file.");
  hash_token->callback([&] { arguments.hash_token = true; });
  hash_token->add_flag("--generate", arguments.generate,
                       "Make a token instead of reading one, and print it before its line.");
  hash_token->add_option("--name", arguments.token_name,
                         "Name of the token, for the label token of our metrics.");
  app.add_subcommand("reference", "Print the keys, reasons or remedies that this binary knows.")
      ->add_option("what", arguments.reference, "keys, reasons or remedies")
      ->required();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? cli::kGood : cli::kUsage;
  }
  return std::nullopt;
}

// The arguments over the file. False, with words on standard error, when one cannot be read.
bool apply(const Arguments& arguments, Config& config) {
  ListenAddress address;
  if (!arguments.listen_address.empty()) {
    if (!parse_listen_address(arguments.listen_address, address)) {
      std::cerr << "--web.listen-address: must be host:port or [v6]:port\n";
      return false;
    }
    const bool open = config.listener.plain_http() || config.listener.open_to_all();
    if (open && !is_loopback(address.host)) {
      std::cerr << "--web.listen-address: must be a loopback address, as a number: this "
                   "configuration is a demo without TLS or without a token\n";
      return false;
    }
    config.listener.addresses = {arguments.listen_address};
  }
  if (!arguments.log_level.empty() && !parse_log_level(arguments.log_level, config.log.level)) {
    std::cerr << "--log.level: must be debug, info, warn or error\n";
    return false;
  }
  return true;
}

}  // namespace

int cli::report(const ConfigOutcome& outcome) {
  for (const ConfigProblem& problem : outcome.problems) std::cerr << problem.to_string() << '\n';
  if (outcome.problems.empty()) return kGood;
  std::cerr << outcome.problems.size() << (outcome.problems.size() == 1 ? " problem" : " problems")
            << " in the configuration; nothing was started\n";
  return kUsage;
}

int run(int argc, char** argv) {
  // Two hundred threads that wait mostly: more than two heaps would only keep what nobody uses.
  (void)::mallopt(M_ARENA_MAX, 2);
  // First of all; libcurl would write the keys of our TLS sessions there.
  ::unsetenv("SSLKEYLOGFILE");
  wipe_what_libraries_free();
  Arguments arguments;
  if (const auto code = parse_arguments(argc, argv, arguments)) return *code;
  if (!arguments.reference.empty()) return cli::reference(arguments.reference);
  if (arguments.hash_token) return cli::hash_token(arguments.token_name, arguments.generate);
  const ConfigEnvironment from_outside = environment();
  if (arguments.healthcheck) {
    ConfigOutcome outcome = read_config(arguments.config_file, from_outside);
    if (!apply(arguments, outcome.config)) return cli::kUsage;
    return cli::healthcheck(outcome, arguments.live);
  }
  if (arguments.policy) {
    return cli::policy(read_config(arguments.config_file, from_outside),
                       arguments.no_default_policy);
  }
  const ConfigLoader loader = [arguments, from_outside] {
    ConfigOutcome outcome = load_config(arguments.config_file, from_outside);
    (void)apply(arguments, outcome.config);
    return outcome;
  };
  ConfigOutcome outcome = load_config(arguments.config_file, from_outside);
  if (const int code = cli::report(outcome); code != cli::kGood) return code;
  if (!apply(arguments, outcome.config)) return cli::kUsage;
  if (arguments.check || arguments.doctor) {
    if (const auto problem = Daemon::check(outcome.config)) {
      std::cerr << problem->detail << '\n';
      return cli::kUsage;
    }
    if (arguments.doctor) return cli::doctor(outcome.config, arguments.json);
    std::cout << arguments.config_file << ": good\n";
    return cli::kGood;
  }
  if (arguments.nodes) return cli::nodes(outcome.config);
  return cli::serve(std::move(outcome), loader);
}

}  // namespace bao_exporter
