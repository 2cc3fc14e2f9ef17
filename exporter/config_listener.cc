#include "config_listener.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "config_url.h"

namespace bao_exporter {

namespace {

constexpr Milliseconds kRequestTimeoutMin{100};
constexpr Milliseconds kLongest = std::chrono::hours(24);
constexpr int kConnectionsMin = 1;
constexpr int kConnectionsMax = 10'000;
constexpr std::array<Word<std::string_view>, 2> kTlsVersions = {{{"1.2", "1.2"}, {"1.3", "1.3"}}};

void read_addresses(TableReader& table, std::vector<std::string>& to) {
  table.text_or_list("address", to);
  if (!table.sound("address")) return;
  if (to.empty()) return table.complain("address", "must name at least one address");
  std::vector<std::pair<std::string, std::uint16_t>> seen;
  for (const std::string& text : to) {
    ListenAddress address;
    if (std::string problem = listen_address_problem(text, address); !problem.empty()) {
      return table.complain("address", std::move(problem));
    }
    std::pair<std::string, std::uint16_t> one(address.host, address.port);
    if (address.port != 0 && std::find(seen.begin(), seen.end(), one) != seen.end()) {
      return table.complain("address", "names an address twice; remove one");
    }
    seen.push_back(std::move(one));
  }
}

void read_advertised_address(TableReader& table, std::string& to) {
  constexpr std::string_view kKey = "advertised_address";
  table.text(kKey, to);
  if (!table.sound(kKey) || to.empty()) return;
  ListenAddress address;
  if (!parse_listen_address(to, address)) {
    return table.complain(
        kKey, "must be host:port or [IPv6]:port, like \"bao-exporter.example.org:9825\"");
  }
  if (address.port == 0) {
    return table.complain(kKey, "has no valid port; it must be a number from 1 to 65535");
  }
  if (is_wildcard_host(address.host)) {
    return table.complain(kKey, "names every address; name one that Prometheus can connect to");
  }
  to = Url{"", address.host, address.port, ""}.authority();
}

constexpr std::string_view kOnlyInDemo =
    "only where every cluster has profile = \"demo\" and every listener.address is a loopback one, "
    "as a number";

// No default once client certificates are asked for: then a token is a second proof, if wanted.
void read_token_files(TableReader& table, ListenerConfig& listener, bool demo) {
  std::vector<std::string>& to = listener.token_files;
  to = {"scrape.token"};
  table.paths("token_files", to);
  if (!table.given("token_files") && !listener.client_ca_file.empty()) to.clear();
  if (!table.sound("token_files")) return;
  if (to.empty() && !demo && listener.client_ca_file.empty() && table.sound("client_ca_file")) {
    return table.complain("token_files",
                          "must name at least one file, or listener.client_ca_file be set; nobody "
                          "is let in without a token or a client certificate, but " +
                              std::string(kOnlyInDemo));
  }
  if (std::find(to.begin(), to.end(), "") != to.end()) {
    table.complain("token_files", "has an empty path in it; remove it or name a file");
  }
}

// Which of the names in a client's certificate are let in.
void read_client_names(TableReader& table, ListenerConfig& listener) {
  constexpr std::string_view kKey = "client_allowed_names";
  table.texts(kKey, listener.client_allowed_names);
  if (!table.sound(kKey) || !table.sound("client_ca_file")) return;
  const auto& names = listener.client_allowed_names;
  if (std::find(names.begin(), names.end(), "") != names.end()) {
    return table.complain(kKey, "has an empty name in it; remove it, or name a DNS or URI name");
  }
  if (listener.client_ca_file.empty() && !names.empty()) {
    return table.complain(kKey, "is for client certificates; set listener.client_ca_file too");
  }
  const bool alone = !listener.client_ca_file.empty() && listener.token_files.empty();
  if (alone && names.empty() && table.sound("token_files")) {
    table.complain(kKey,
                   "must name at least one DNS or URI name where there is no token: else every "
                   "certificate of that authority is let in");
  }
}

void read_allowed_networks(TableReader& table, ListenerConfig& listener) {
  constexpr std::string_view kKey = "allowed_networks";
  std::vector<std::string> texts;
  table.texts(kKey, texts);
  if (!table.sound(kKey)) return;
  for (const std::string& text : texts) {
    const std::optional<Network> network = parse_network(text);
    if (!network) {
      return table.complain(kKey,
                            "must be networks like \"10.0.0.0/8\" or \"2001:db8::/32\", or single "
                            "addresses; no bit may be set beyond the length");
    }
    listener.allowed_networks.push_back(*network);
  }
}

// Health for probes, in clear: nothing but loopback may ask.
void read_admin_address(TableReader& table, ListenerConfig& listener) {
  constexpr std::string_view kKey = "admin_address";
  table.text(kKey, listener.admin_address);
  if (!table.sound(kKey) || listener.admin_address.empty()) return;
  ListenAddress address;
  if (std::string problem = listen_address_problem(listener.admin_address, address);
      !problem.empty()) {
    return table.complain(kKey, std::move(problem));
  }
  if (!is_loopback(address.host)) {
    return table.complain(kKey, "must be a loopback address, as a number: it is plain HTTP");
  }
  const auto& others = listener.addresses;
  if (address.port != 0 &&
      std::find(others.begin(), others.end(), listener.admin_address) != others.end()) {
    table.complain(kKey, "is listener.address too; give it a port of its own");
  }
}

void read_connections(TableReader& table, ListenerConfig& listener) {
  table.integer("connections_max", listener.connections_max, kConnectionsMin, kConnectionsMax);
  table.integer("connections_per_address_max", listener.connections_per_address_max, 1,
                kConnectionsMax);
  table.duration("request_timeout", listener.request_timeout, kRequestTimeoutMin, kLongest);
}

void name_files(TableReader& table, const ListenerConfig& listener) {
  const bool group = listener.allow_group_read;
  table.names_file("tls_cert_file", listener.tls_cert_file, NamedFile::Kind::kCertificate, group);
  table.names_file("tls_key_file", listener.tls_key_file, NamedFile::Kind::kPrivateKey, group);
  table.names_file("client_ca_file", listener.client_ca_file, NamedFile::Kind::kCertificate, group);
  for (const std::string& path : listener.token_files) {
    table.names_file("token_files", path, NamedFile::Kind::kSecretList, group);
  }
  table.names_file("self_token_file", listener.self_token_file, NamedFile::Kind::kSecret, group);
  table.names_file("self_ca_file", listener.self_ca_file, NamedFile::Kind::kCertificate, group);
}

bool all_loopback(const std::vector<std::string>& addresses) {
  return std::all_of(addresses.begin(), addresses.end(), [](const std::string& text) {
    ListenAddress address;
    return parse_listen_address(text, address) && is_loopback(address.host);
  });
}

// In a demo both may be left out, or empty: then the port is plain HTTP.
void read_server_pair(TableReader& table, ListenerConfig& listener, bool demo) {
  listener.tls_cert_file = "tls/tls.crt";
  listener.tls_key_file = "tls/tls.key";
  table.path("tls_cert_file", listener.tls_cert_file);
  table.path("tls_key_file", listener.tls_key_file);
  if (demo && !table.given("tls_cert_file") && !table.given("tls_key_file")) {
    listener.tls_cert_file.clear();
    listener.tls_key_file.clear();
  }
  const bool both_empty = listener.tls_cert_file.empty() && listener.tls_key_file.empty();
  if (demo && both_empty) return;
  for (const auto& [key, path] : {std::pair("tls_cert_file", &listener.tls_cert_file),
                                  std::pair("tls_key_file", &listener.tls_key_file)}) {
    if (!table.sound(key) || !path->empty()) continue;
    table.complain(key, "must not be empty; name a file (certificate and key may both be empty " +
                            std::string(kOnlyInDemo) + ")");
  }
}

}  // namespace

void read_listener(TableReader& table, ListenerConfig& listener, bool all_demo) {
  std::string_view tls_min_version = kTlsVersions.front().value;

  read_addresses(table, listener.addresses);
  read_advertised_address(table, listener.advertised_address);
  const bool demo = all_demo && all_loopback(listener.addresses);
  listener.demo = demo;
  read_server_pair(table, listener, demo);
  table.word("tls_min_version", tls_min_version, kTlsVersions);
  listener.tls_min_version = tls_min_version;
  table.path("client_ca_file", listener.client_ca_file);
  if (listener.plain_http() && !listener.client_ca_file.empty()) {
    table.complain("client_ca_file", "needs TLS; set tls_cert_file and tls_key_file too");
  }
  read_token_files(table, listener, demo);
  read_client_names(table, listener);
  read_allowed_networks(table, listener);
  read_connections(table, listener);
  table.boolean("allow_group_read", listener.allow_group_read);
  table.path("self_token_file", listener.self_token_file);
  table.path("self_ca_file", listener.self_ca_file);
  read_admin_address(table, listener);
  name_files(table, listener);
}

}  // namespace bao_exporter
