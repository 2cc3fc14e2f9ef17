// `bao-exporter healthcheck`: for probes that run a command, as those of a container without a
// shell. Asks the running exporter and says nothing when all is well.
#include <iostream>

#include "cli/commands.h"
#include "cli/own_port.h"

namespace bao_exporter::cli {

namespace {

constexpr Milliseconds kPatience{4'000};  // all of it ends within 5 s

constexpr std::string_view kNothingToAsk =
    "set listener.admin_address (a loopback address of its own, for /-/healthy and /-/ready), or "
    "listener.self_token_file and listener.self_ca_file";
constexpr std::string_view kOwnCertificate =
    "set listener.admin_address: with listener.client_ca_file the port lets in nobody without a "
    "client certificate, and healthcheck has none";

int fail(std::string_view words, int code) {
  std::cerr << "healthcheck: " << words << '\n';
  return code;
}

// Why nothing can be asked; empty: something can.
std::string_view trouble_of(const ListenerConfig& listener) {
  if (!listener.admin_address.empty()) return {};
  if (!listener.client_ca_file.empty()) return kOwnCertificate;
  const bool has_token = listener.token_files.empty() || !listener.self_token_file.empty();
  const bool has_authority = listener.plain_http() || !listener.self_ca_file.empty();
  return has_token && has_authority ? std::string_view() : kNothingToAsk;
}

// What is wrong elsewhere in the file is no reason to end a process that runs with what it was
// before.
bool is_of_listener(const ConfigProblem& problem) {
  return problem.key.empty() || problem.key == "listener" || problem.key.starts_with("listener.");
}

}  // namespace

int healthcheck(const ConfigOutcome& outcome, bool live) {
  const ListenerConfig& listener = outcome.config.listener;
  int troubles = 0;
  for (const ConfigProblem& problem : outcome.problems) {
    if (!is_of_listener(problem)) continue;
    std::cerr << problem.to_string() << '\n';
    ++troubles;
  }
  if (troubles > 0) return fail("the configuration does not say where to ask", kUsage);
  if (const std::string_view trouble = trouble_of(listener); !trouble.empty()) {
    return fail(trouble, kUsage);
  }
  Result<Request> request =
      listener.admin_address.empty()
          ? request_to_port(listener, "/metrics/exporter", kPatience)
          : request_to_admin(listener, live ? "/-/healthy" : "/-/ready", kPatience);
  if (!request.ok()) return fail(request.error().detail, kUsage);
  const Result<std::string> body = fetch(std::move(request).value());
  return body.ok() ? kGood : fail(body.error().detail, kFailed);
}

}  // namespace bao_exporter::cli
