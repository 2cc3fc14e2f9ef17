#include "cli/nodes_certctl.h"

#include <map>

#include "certctl/relabel.h"

namespace bao_exporter::cli {

namespace {

struct Server {
  std::string ready = "?";
  std::string version = "-";
  std::size_t collectors = 0;
  std::size_t up = 0;
  std::map<std::string, std::string> bad;  // collector to its last reason
};

void note(const Exposition& exposition, const Sample& sample, Server& server) {
  const auto label = [&](std::string_view name) { return label_of(exposition, sample, name); };
  const std::string_view name = sample.name;
  if (name == "certctl_state_ready") server.ready = sample.value == "1" ? "yes" : "no";
  if (name == "certctl_state_info") server.version = label("version");
  if (name == "certctl_state_collector_up") {
    ++server.collectors;
    if (sample.value == "1") ++server.up;
  }
  if (name == "certctl_state_collector_last_reason" && sample.value == "1" &&
      label("reason") != reason_name(ErrorCode::kOk)) {
    server.bad[label("collector")] = label("reason");
  }
}

// That of its metrics first, else that of the first collector, with whom else it is of.
std::string reason_of(const Server& server) {
  if (server.collectors == 0) return "?";
  if (server.bad.empty()) return std::string(reason_name(ErrorCode::kOk));
  const auto metrics = server.bad.find("metrics");
  const std::string& reason =
      metrics == server.bad.end() ? server.bad.begin()->second : metrics->second;
  std::string whose;
  for (const auto& [collector, its] : server.bad) {
    if (its == reason) whose += (whose.empty() ? "" : ", ") + collector;
  }
  return server.up == 0 ? reason : reason + " (" + whose + ")";
}

}  // namespace

Table certctl_table(const std::vector<CertctlConfig>& servers, const Exposition& exposition) {
  std::map<std::string, Server> known;
  for (const Sample& sample : exposition.samples) {
    if (!sample.name.starts_with("certctl_state_")) continue;
    note(exposition, sample, known[label_of(exposition, sample, "certctl")]);
  }
  Table table = {{"CERTCTL", "INSTANCE", "READY", "VERSION", "COLLECTORS", "LAST REASON"}};
  for (const CertctlConfig& config : servers) {
    const Server& server = known[config.name];
    std::string instance;
    for (const auto& [name, value] : certctl_labels(config)) {
      if (name == "instance") instance = value;
    }
    table.push_back({config.name, instance, server.ready, server.version,
                     std::to_string(server.up) + "/" + std::to_string(server.collectors),
                     reason_of(server)});
  }
  return table;
}

}  // namespace bao_exporter::cli
