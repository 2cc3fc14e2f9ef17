#include "config_certctl.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "config_url.h"
#include "config_values.h"

namespace bao_exporter {

namespace {

using std::chrono::hours;
using std::chrono::seconds;

// Nearly each request is a row in certctl's audit log, for good.
constexpr Milliseconds kIntervalMin = seconds(1);
constexpr Milliseconds kInventoryIntervalMin = seconds(2);
constexpr Milliseconds kIntervalMax = hours(1);
constexpr Milliseconds kInventoryIntervalMax = hours(24);
constexpr Milliseconds kTimeoutMin{100};
constexpr int kSoonestExpiriesMax = 1'000;
constexpr std::string_view kAuto = "auto";

void read_url(TableReader& table, std::string& to) {
  constexpr std::string_view kKey = "url";
  table.text(kKey, to);
  table.require(kKey, "name the server, like \"https://certctl.example:8443\"");
  if (!table.sound(kKey)) return;
  Url url;
  std::string problem = url_problem(to, url);
  if (problem.empty() && url.scheme != "https") {
    problem =
        "must start with https://; certctl speaks TLS 1.3 only, and over http the key would travel "
        "in clear";
  }
  if (problem.empty() && !url.path.empty()) problem = "must end after the port; remove the path";
  if (!problem.empty()) return table.complain(kKey, std::move(problem));
  to = url.scheme + "://" + url.authority();
}

void read_files(TableReader& table, CertctlConfig& certctl) {
  certctl.api_key_file = "certctl.key";
  certctl.ca_file = "certctl-ca.pem";
  table.path("api_key_file", certctl.api_key_file);
  table.path_or_word("ca_file", certctl.ca_file, kSystemStore);
  table.boolean("allow_group_read", certctl.allow_group_read);
  if (table.sound("api_key_file") && certctl.api_key_file.empty()) {
    table.complain("api_key_file", "must not be empty; name the file that holds the API key");
  }
  table.names_file("api_key_file", certctl.api_key_file, NamedFile::Kind::kSecret,
                   certctl.allow_group_read);
  check_ca_file(table, certctl.ca_file, certctl.allow_group_read);
}

// The one of two keys to complain about: that which is in the file.
std::string_view given_of(const TableReader& table, std::string_view key, std::string_view other) {
  return table.given(key) ? key : other;
}

void read_rhythm(TableReader& table, CertctlConfig& certctl) {
  table.duration("interval", certctl.interval, kIntervalMin, kIntervalMax);
  table.duration("inventory_interval", certctl.inventory_interval, kInventoryIntervalMin,
                 kInventoryIntervalMax);
  table.duration("timeout", certctl.timeout, kTimeoutMin, kIntervalMax);
  if (!table.sound("interval")) return;
  const std::string interval = format_duration(certctl.interval);
  if (table.sound("timeout") && certctl.timeout >= certctl.interval) {
    table.complain(given_of(table, "timeout", "interval"),
                   "certctl.timeout (" + format_duration(certctl.timeout) +
                       ") must be less than certctl.interval (" + interval +
                       "); lower the one or raise the other");
  }
  if (table.sound("inventory_interval") && certctl.inventory_interval < certctl.interval) {
    table.complain(given_of(table, "inventory_interval", "interval"),
                   "certctl.inventory_interval (" + format_duration(certctl.inventory_interval) +
                       ") must not be less than certctl.interval (" + interval +
                       "); raise the one or lower the other");
  }
}

// "auto", and the names of the collectors in their order.
std::vector<std::string_view> collector_words() {
  std::vector<std::string_view> words = {kAuto};
  for (std::size_t i = 0; i < kCertctlCollectorCount; ++i) {
    words.push_back(certctl_collector_name(static_cast<CertctlCollector>(i)));
  }
  return words;
}

void read_collectors(TableReader& table, CertctlConfig& certctl) {
  constexpr std::string_view kKey = "collectors";
  constexpr std::size_t kAutoWord = 0;
  std::vector<std::size_t> chosen = {kAutoWord};
  table.words(kKey, chosen, collector_words());
  if (!table.sound(kKey)) return;
  const bool has_auto = std::find(chosen.begin(), chosen.end(), kAutoWord) != chosen.end();
  if (has_auto && chosen.size() > 1) {
    return table.complain(kKey, "has \"auto\" beside others; keep it alone, or name them all");
  }
  certctl.auto_collectors = has_auto;
  if (has_auto) return;
  for (const std::size_t word : chosen) {
    certctl.collectors.push_back(static_cast<CertctlCollector>(word - 1));
  }
}

}  // namespace

void read_certctl(TableReader& table, CertctlConfig& certctl, FirstSeen& names,
                  const FirstSeen& clusters) {
  read_name(table, "name", certctl.name, names, "certctl server");
  if (const auto at = clusters.find(certctl.name); table.sound("name") && at != clusters.end()) {
    table.complain("name", "the name '" + certctl.name + "' is that of a cluster (line " +
                               std::to_string(at->second) + "); give another one");
  }
  read_url(table, certctl.url);
  read_files(table, certctl);
  read_server_name(table, certctl.server_name);
  read_rhythm(table, certctl);
  read_collectors(table, certctl);
  table.integer("soonest_expiries", certctl.soonest_expiries, 0, kSoonestExpiriesMax);
  table.word("on_excess_capabilities", certctl.refuse_excess, kOnExcess);
}

}  // namespace bao_exporter
