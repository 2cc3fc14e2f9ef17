#include "bao_exporter/run.h"

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <string>

#include "bao_exporter/config.h"
#include "build_info.h"
#include "cli/commands.h"

namespace bao_exporter {

namespace {

struct Arguments {
  std::string config_file = "/etc/bao-exporter/bao-exporter.toml";
  std::string listen_address;
  std::string log_level;
  bool check = false;
  bool nodes = false;
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
  app.add_option("--log.level", arguments.log_level, "Instead of log.level.")
      ->check(CLI::IsMember({"debug", "info", "warn", "error"}));
  app.fallthrough();
  app.require_subcommand(0, 1);
  app.add_subcommand("check", "Read the configuration, print every problem, and end.")
      ->callback([&] { arguments.check = true; });
  app.add_subcommand("nodes", "Print a line for each node, as the running exporter tells it.")
      ->callback([&] { arguments.nodes = true; });
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? cli::kGood : cli::kUsage;
  }
  return std::nullopt;
}

void apply(const Arguments& arguments, Config& config) {
  if (!arguments.listen_address.empty()) config.listener.addresses = {arguments.listen_address};
  if (arguments.log_level == "debug") config.log.level = LogLevel::kDebug;
  if (arguments.log_level == "info") config.log.level = LogLevel::kInfo;
  if (arguments.log_level == "warn") config.log.level = LogLevel::kWarn;
  if (arguments.log_level == "error") config.log.level = LogLevel::kError;
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
  Arguments arguments;
  if (const auto code = parse_arguments(argc, argv, arguments)) return *code;
  ConfigOutcome outcome = load_config(arguments.config_file, environment());
  if (const int code = cli::report(outcome); code != cli::kGood) return code;
  apply(arguments, outcome.config);
  if (arguments.check) {
    std::cout << arguments.config_file << ": good\n";
    return cli::kGood;
  }
  return arguments.nodes ? cli::nodes(outcome.config) : cli::serve(outcome.config);
}

}  // namespace bao_exporter
