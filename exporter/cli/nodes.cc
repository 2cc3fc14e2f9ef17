// `bao-exporter nodes`: asks the running exporter over its own port, as a scrape would, and prints
// what it says of each node and certctl server.
#include <ctime>
#include <iomanip>
#include <iostream>
#include <map>
#include <sstream>

#include "bao_exporter/exposition.h"
#include "cli/commands.h"
#include "cli/nodes_certctl.h"
#include "cli/nodes_table.h"
#include "cli/own_port.h"

namespace bao_exporter::cli {

namespace {

constexpr Milliseconds kPatience{10'000};

struct Row {
  std::string role = "?";
  std::string version = "-";
  std::string samples = "-";
  std::string reason = "?";
  std::string last_success;
};

void note(const Exposition& exposition, const Sample& sample, Row& row) {
  const auto label = [&](std::string_view name) { return label_of(exposition, sample, name); };
  const std::string_view name = sample.name;
  if (name == "bao_node_role" && sample.value == "1") row.role = label("node_role");
  if (name == "bao_node_last_poll_reason" && sample.value == "1") row.reason = label("reason");
  if (name == "bao_node_samples") row.samples = sample.value;
  if (name == "bao_node_last_success_timestamp_seconds") row.last_success = sample.value;
  if (name == "bao_node_info" && !label("version").empty()) row.version = label("version");
}

std::string sealed_word(const std::string& role) {
  if (role == "active" || role == "standby") return "no";
  return role == "sealed" || role == "uninitialized" ? "yes" : "?";
}

std::string age_of(const std::string& last_success) {
  if (last_success.empty()) return "never";
  std::ostringstream out;
  out << std::fixed << std::setprecision(1)
      << std::max(0.0, unix_seconds(WallClock::now()) - std::stod(last_success)) << "s";
  return out.str();
}

Table node_table(const std::vector<std::pair<std::string, Row>>& rows) {
  Table table = {{"NODE", "ROLE", "SEALED", "VERSION", "SAMPLES", "AGE", "LAST REASON"}};
  for (const auto& [name, row] : rows) {
    table.push_back({name, row.role, sealed_word(row.role), row.version, row.samples,
                     age_of(row.last_success), row.reason});
  }
  return table;
}

}  // namespace

int nodes(const Config& config) {
  Result<Request> request = request_to_port(config.listener, "/metrics", kPatience);
  if (!request.ok()) {
    std::cerr << request.error().detail << '\n';
    return kUsage;
  }
  const Result<std::string> body = fetch(std::move(request).value());
  if (!body.ok()) {
    std::cerr << body.error().detail << '\n';
    return kFailed;
  }
  ParseLimits limits;
  limits.samples_max = limits.series_per_family_max = std::size_t{1} << 30;
  const auto exposition = parse(body.value(), limits, 0);
  if (!exposition.ok()) {
    std::cerr << "the exporter's own answer does not parse: " << exposition.error().detail << '\n';
    return kFailed;
  }
  std::vector<std::pair<std::string, Row>> rows;
  std::map<std::string, std::size_t> index;
  for (const Sample& sample : exposition.value().samples) {
    if (!sample.name.starts_with("bao_node_")) continue;
    const std::string name = label_of(exposition.value(), sample, "cluster") + "/" +
                             label_of(exposition.value(), sample, "node_name");
    const auto [at, added] = index.try_emplace(name, rows.size());
    if (added) rows.emplace_back(name, Row{});
    note(exposition.value(), sample, rows[at->second].second);
  }
  if (!config.clusters.empty()) print(node_table(rows));
  if (!config.certctls.empty()) {
    if (!config.clusters.empty()) std::cout << '\n';
    print(certctl_table(config.certctls, exposition.value()));
  }
  return kGood;
}

}  // namespace bao_exporter::cli
