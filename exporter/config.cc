#include "bao_exporter/config.h"

#include <algorithm>
#include <array>
#include <utility>

#include "config_auth.h"
#include "config_certctl.h"
#include "config_listener.h"
#include "config_parts.h"
#include "config_reader.h"
#include "config_relabel.h"
#include "config_url.h"
#include "config_values.h"

namespace bao_exporter {

namespace {

using std::chrono::hours;

constexpr Milliseconds kShortest{1};
constexpr Milliseconds kLongest = hours(24);
constexpr std::size_t kBodyBytesMax = std::size_t{256} << 20;
constexpr std::size_t kLineBytesMax = std::size_t{16} << 20;
// With identity labels of 1,100 bytes and each label exported_, a rendered body stays below 3 GiB:
// offsets in it have 32 bits.
constexpr std::size_t kSamplesMax = 2'000'000;
constexpr std::size_t kSeriesMax = 100'000'000;
constexpr std::size_t kLabelsMax = 1'000;
constexpr int kNodesMax = 10'000;
constexpr std::string_view kMetricsPath = "/v1/sys/metrics";

constexpr std::array<Word<Profile>, 3> kProfiles = {
    {{"active", Profile::kActive}, {"all_nodes", Profile::kAllNodes}, {"demo", Profile::kDemo}}};
constexpr std::array<Word<RoleLabel>, 2> kRoleLabels = {
    {{"info", RoleLabel::kInfo}, {"samples", RoleLabel::kSamples}}};
constexpr std::array<Word<LogLevel>, 4> kLogLevels = {{{"debug", LogLevel::kDebug},
                                                       {"info", LogLevel::kInfo},
                                                       {"warn", LogLevel::kWarn},
                                                       {"error", LogLevel::kError}}};
constexpr std::array<Word<LogFormat>, 2> kLogFormats = {
    {{"logfmt", LogFormat::kLogfmt}, {"json", LogFormat::kJson}}};
constexpr std::array<Word<bool>, 2> kMetricsAuth = {{{"token", true}, {"none", false}}};

// What is unique in the whole file.
struct Seen {
  FirstSeen clusters;
  FirstSeen certctls;
  FirstSeen api_urls;
  FirstSeen metrics_urls;
};

void read_poll(TableReader& table, PollConfig& poll) {
  table.duration("interval", poll.interval, kShortest, kLongest);
  table.duration("timeout", poll.timeout, kShortest, kLongest);
  table.duration("stale_after", poll.stale_after, kShortest, kLongest);
  if (!table.sound("interval")) return;
  const std::string interval = format_duration(poll.interval);
  if (table.sound("timeout") && poll.timeout >= poll.interval) {
    table.complain(table.given("timeout") ? "timeout" : "interval",
                   "poll.timeout (" + format_duration(poll.timeout) +
                       ") must be less than poll.interval (" + interval +
                       "); lower the one or raise the other");
  }
  if (table.sound("stale_after") && poll.stale_after < poll.interval) {
    table.complain(table.given("stale_after") ? "stale_after" : "interval",
                   "poll.stale_after (" + format_duration(poll.stale_after) +
                       ") must not be less than poll.interval (" + interval +
                       "); three times the interval is a good value");
  }
}

void read_limits(TableReader& table, LimitsConfig& limits) {
  table.size("body_bytes_max", limits.body_bytes_max, kBodyBytesMax);
  table.count("samples_max", limits.samples_max, kSamplesMax);
  table.count("series_per_family_max", limits.series_per_family_max, kSamplesMax);
  table.count("series_max", limits.series_max, kSeriesMax);
  table.size("line_bytes_max", limits.line_bytes_max, kLineBytesMax);
  table.count("labels_per_sample_max", limits.labels_per_sample_max, kLabelsMax);
}

void read_output(TableReader& table, OutputConfig& output) {
  table.word("role_label", output.role_label, kRoleLabels);
  table.boolean("leader_only_from_active", output.leader_only_from_active);
  read_relabel(table, output);
}

void read_log(TableReader& table, LogConfig& log) {
  table.word("level", log.level, kLogLevels);
  table.word("format", log.format, kLogFormats);
}

// Why this URL may not be plain HTTP, or empty.
std::string plain_problem(const Url& url, Profile profile) {
  if (profile != Profile::kDemo) {
    return "must start with https://; over http the token would travel in clear";
  }
  if (is_loopback(url.host)) return {};
  return "must start with https://; in the profile demo http is for loopback addresses as a number "
         "(127.0.0.1, [::1])";
}

// Reads a URL, takes it apart, and writes it back whole: lower-case host, port always there.
void read_url(TableReader& table, std::string_view key, bool is_base, Profile profile,
              std::string& to) {
  table.text(key, to);
  if (to.empty() || !table.sound(key)) return;
  Url url;
  std::string problem = url_problem(to, url);
  if (problem.empty() && url.scheme != "https") problem = plain_problem(url, profile);
  if (problem.empty() && is_base && !url.path.empty()) {
    problem = "must end after the port; remove the path (metrics_url takes a whole URL)";
  }
  if (problem.empty() && !is_base && (url.path.empty() || url.path == "/")) {
    problem = "must have a path; add " + std::string(kMetricsPath);
  }
  if (!problem.empty()) return table.complain(key, std::move(problem));
  to = url.scheme + "://" + url.authority() + url.path;
}

// Two nodes at one address would be one server under two names.
void refuse_same_address(TableReader& table, const NodeConfig& node, Seen& seen) {
  const std::string text =
      "another node has this address; each node needs an address of its own, not that of a load "
      "balancer";
  refuse_duplicate(table, "api_url", node.api_url, seen.api_urls, text);
  if (!node.metrics_url.empty()) {
    refuse_duplicate(table, "metrics_url", node.metrics_url, seen.metrics_urls, text);
  } else if (!node.api_url.empty()) {
    refuse_duplicate(table, "api_url", node.api_url + std::string(kMetricsPath), seen.metrics_urls,
                     text);
  }
}

void read_node(TableReader& table, Profile profile, NodeConfig& node, FirstSeen& names,
               Seen& seen) {
  read_name(table, "name", node.name, names, "node");
  read_url(table, "api_url", true, profile, node.api_url);
  read_url(table, "metrics_url", false, profile, node.metrics_url);
  table.word("metrics_auth", node.metrics_auth, kMetricsAuth);
  read_server_name(table, node.server_name);
  table.text("pod", node.pod);
  const bool sound = table.sound("api_url") && table.sound("metrics_url");
  if (sound && node.api_url.empty() && node.metrics_url.empty()) {
    table.complain("api_url", "is required; set it, or metrics_url where only that can be reached");
  }
  refuse_same_address(table, node, seen);
}

void read_client_certificate(TableReader& table, ClusterConfig& cluster) {
  table.path("client_cert_file", cluster.client_cert_file);
  table.path("client_key_file", cluster.client_key_file);
  const bool sound = table.sound("client_cert_file") && table.sound("client_key_file");
  if (!sound || cluster.client_cert_file.empty() == cluster.client_key_file.empty()) return;
  const bool has_key = cluster.client_cert_file.empty();
  table.complain(has_key ? "client_key_file" : "client_cert_file",
                 std::string("needs its other half; set ") +
                     (has_key ? "client_cert_file" : "client_key_file") + " too, or neither");
}

// A demo without TLS: there is nobody to verify.
bool is_all_plain(const ClusterConfig& cluster) {
  if (cluster.profile != Profile::kDemo || cluster.nodes.empty()) return false;
  return std::none_of(cluster.nodes.begin(), cluster.nodes.end(), [](const NodeConfig& node) {
    return node.api_url.starts_with("https:") || node.metrics_url.starts_with("https:");
  });
}

void read_cluster(TableReader& table, ClusterConfig& cluster, Seen& seen) {
  cluster.ca_file = "openbao-ca.pem";
  read_name(table, "cluster", cluster.cluster, seen.clusters, "cluster");
  table.word("profile", cluster.profile, kProfiles);
  table.text("kubernetes_namespace", cluster.kubernetes_namespace);
  table.path_or_word("ca_file", cluster.ca_file, kSystemStore);
  read_server_name(table, cluster.server_name);
  read_client_certificate(table, cluster);
  table.integer("expected_nodes", cluster.expected_nodes, 0, kNodesMax);
  table.not_yet({"node_local", "discovery"});
  table.table("auth", [&](TableReader& auth) { read_auth(auth, cluster.auth); });
  FirstSeen names;
  table.tables("node", [&](TableReader& node) {
    read_node(node, cluster.profile, cluster.nodes.emplace_back(), names, seen);
  });
  if (cluster.nodes.empty() && table.sound("node") && table.sound("discovery")) {
    table.complain("node", "is required; add an [[openbao.node]] for each node of the cluster");
  }

  check_auth(table, cluster);
  const bool group = cluster.auth.allow_group_read;
  if (is_all_plain(cluster)) {
    cluster.ca_file.clear();
  } else {
    check_ca_file(table, cluster.ca_file, group);
  }
  table.names_file("client_cert_file", cluster.client_cert_file, NamedFile::Kind::kCertificate,
                   group);
  table.names_file("client_key_file", cluster.client_key_file, NamedFile::Kind::kPrivateKey, group);
}

void read_config(TableReader& top, Config& config) {
  const bool all_demo = top.each_has("openbao", "profile", "demo");
  top.table("listener",
            [&](TableReader& table) { read_listener(table, config.listener, all_demo); });
  top.table("poll", [&](TableReader& table) { read_poll(table, config.poll); });
  top.table("limits", [&](TableReader& table) { read_limits(table, config.limits); });
  top.table("output", [&](TableReader& table) { read_output(table, config.output); });
  top.table("log", [&](TableReader& table) { read_log(table, config.log); });
  top.not_yet({"shard"});
  Seen seen;
  top.tables("openbao", [&](TableReader& table) {
    read_cluster(table, config.clusters.emplace_back(), seen);
  });
  top.tables("certctl", [&](TableReader& table) {
    read_certctl(table, config.certctls.emplace_back(), seen.certctls, seen.clusters);
  });
  const bool none = config.clusters.empty() && config.certctls.empty();
  if (none && top.sound("openbao") && top.sound("certctl")) {
    top.complain("openbao",
                 "is required where there is no [[certctl]]; add an [[openbao]] for each cluster, "
                 "or a [[certctl]] for each certctl server");
  }
  top.finish();
}

template <typename T>
void sort_by_line(std::vector<T>& list) {
  std::stable_sort(list.begin(), list.end(),
                   [](const T& a, const T& b) { return a.line < b.line; });
}

}  // namespace

bool parse_log_level(std::string_view text, LogLevel& out) {
  for (const auto& word : kLogLevels) {
    if (word.text != text) continue;
    out = word.value;
    return true;
  }
  return false;
}

std::vector<ConfigKey> config_keys() {
  ReadContext context;
  context.list_keys = true;
  TableReader top(context, nullptr, "", 0);
  Config config;
  read_config(top, config);
  return std::move(context.keys);
}

ConfigOutcome parse_config(std::string_view text, const std::string& file,
                           const ConfigEnvironment& environment) {
  ConfigOutcome outcome;
  outcome.config.file = file;
  const TomlDocument document = parse_toml(text);
  if (!document.error.empty()) {
    outcome.problems.push_back({file, document.error_line, "", document.error});
    return outcome;
  }
  ReadContext context;
  context.file = file;
  context.environment = environment;
  TableReader top(context, &document.root, "", 0);
  read_config(top, outcome.config);
  sort_by_line(context.problems);
  sort_by_line(context.files);
  outcome.problems = std::move(context.problems);
  outcome.files = std::move(context.files);
  if (outcome.problems.empty()) outcome.config.relabel = ready_relabel(outcome.config.output);
  return outcome;
}

}  // namespace bao_exporter
