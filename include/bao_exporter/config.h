// The configuration: one plain struct per TOML table, defaults in the struct, units in the names.
//
// Contract: load_config() reads one TOML file and returns either a complete, valid Config or every
// problem that it found (never only the first), each as "file:line: key: what is wrong; what to
// do". It opens no connection and keeps no secret. A Config is const after load and may be shared
// between threads. Relative paths start at the folder of the file; ${CREDENTIALS_DIRECTORY} and
// ${NODE_NAME} are the only environment that is read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bao_exporter/network.h"
#include "bao_exporter/relabel.h"
#include "bao_exporter/time.h"

namespace bao_exporter {

enum class Profile : std::uint8_t { kActive, kAllNodes, kDemo };
enum class RoleLabel : std::uint8_t { kInfo, kSamples };
enum class RelabelPreset : std::uint8_t { kNone, kSafe };
enum class AuthMethod : std::uint8_t { kNone, kTokenFile, kAppRole, kKubernetes, kJwt, kCert };
enum class LogLevel : std::uint8_t { kDebug, kInfo, kWarn, kError };
enum class LogFormat : std::uint8_t { kLogfmt, kJson };
enum class CertctlCollector : std::uint8_t {
  kMetrics,
  kCertificates,
  kAgents,
  kJobs,
  kIssuers,
  kNotifications,
  kDiscovery,
  kHealthChecks
};
inline constexpr std::size_t kCertctlCollectorCount = 8;
// As in the configuration and in the label `collector`: "metrics", ... "health_checks".
[[nodiscard]] std::string_view certctl_collector_name(CertctlCollector collector) noexcept;

struct ListenerConfig {
  std::vector<std::string> addresses{
      "127.0.0.1:9825"};  // "host:port", "[v6]:port"; port 0: the kernel's choice
  // "host:port" as Prometheus reaches it; empty: the first address.
  std::string advertised_address;
  std::string tls_cert_file;  // empty, and so the key: plain HTTP (demo on loopback only)
  std::string tls_key_file;
  std::string tls_min_version = "1.2";
  std::string client_ca_file;                     // empty: no client certificates are asked for
  std::vector<std::string> client_allowed_names;  // DNS or URI names; empty: any of that authority
  // Empty: no token is asked for (with client certificates, or in a demo on loopback addresses).
  std::vector<std::string> token_files;
  std::vector<Network> allowed_networks;  // empty: any
  int connections_max = 200;
  int connections_per_address_max = 32;
  Milliseconds request_timeout{5'000};
  bool allow_group_read = false;
  std::string self_token_file;
  std::string self_ca_file;
  std::string admin_address;  // plain /-/healthy and /-/ready, loopback only; empty: none
  // Every cluster is a demo and every address a loopback one: only then may there be no certificate
  // or no token.
  bool demo = false;
  [[nodiscard]] bool plain_http() const { return demo && tls_cert_file.empty(); }
  // Nobody is asked for anything.
  [[nodiscard]] bool open_to_all() const { return token_files.empty() && client_ca_file.empty(); }
  friend bool operator==(const ListenerConfig&, const ListenerConfig&) = default;
};

struct PollConfig {
  Milliseconds interval{15'000};
  Milliseconds timeout{8'000};
  Milliseconds stale_after{45'000};
  friend bool operator==(const PollConfig&, const PollConfig&) = default;
};

struct LimitsConfig {
  std::size_t body_bytes_max = std::size_t{16} << 20;  // decoded
  std::size_t samples_max = 50'000;                    // per node
  std::size_t series_per_family_max = 10'000;
  std::size_t series_max = 1'000'000;  // of all nodes together
  std::size_t line_bytes_max = std::size_t{64} << 10;
  std::size_t labels_per_sample_max = 64;
  friend bool operator==(const LimitsConfig&, const LimitsConfig&) = default;
};

struct OutputConfig {
  RoleLabel role_label = RoleLabel::kInfo;
  bool leader_only_from_active = true;
  std::vector<RelabelRule> relabel;  // as listed; the preset's follow
  RelabelPreset relabel_preset = RelabelPreset::kNone;
  OnDuplicate on_duplicate = OnDuplicate::kSum;
  friend bool operator==(const OutputConfig&, const OutputConfig&) = default;
};

struct LogConfig {
  LogLevel level = LogLevel::kInfo;
  LogFormat format = LogFormat::kLogfmt;
  friend bool operator==(const LogConfig&, const LogConfig&) = default;
};

struct AuthConfig {
  AuthMethod method = AuthMethod::kTokenFile;
  std::string token_file;  // the files below: empty where the method has none
  std::string mount;       // of the login method, without slashes around it
  std::string role;        // kubernetes, jwt, cert
  std::string jwt_file;
  std::string role_id_file;
  std::string secret_id_file;
  bool secret_id_wrapped = false;
  bool allow_group_read = false;
  bool renew = true;
  bool refuse_excess = false;  // on_excess_capabilities = "refuse"
  // The token comes from a login, not from a file.
  [[nodiscard]] bool logs_in() const {
    return method != AuthMethod::kNone && method != AuthMethod::kTokenFile;
  }
  friend bool operator==(const AuthConfig&, const AuthConfig&) = default;
};

struct NodeConfig {
  std::string name;
  std::string api_url;       // scheme://host:port; empty where only metrics_url can be reached
  std::string metrics_url;   // whole URL; empty: api_url + /v1/sys/metrics
  bool metrics_auth = true;  // false: no token is sent with metrics requests
  std::string server_name;   // name to verify; empty: the cluster's, else the URL's host
  std::string pod;
  friend bool operator==(const NodeConfig&, const NodeConfig&) = default;
};

struct ClusterConfig {
  std::string cluster;
  Profile profile = Profile::kAllNodes;
  std::string kubernetes_namespace;
  std::string ca_file;  // a path, or "system"; empty: no URL is https (demo only)
  std::string server_name;
  std::string client_cert_file;
  std::string client_key_file;
  int expected_nodes = 0;  // 0: as many as listed
  AuthConfig auth;
  std::vector<NodeConfig> nodes;
  friend bool operator==(const ClusterConfig&, const ClusterConfig&) = default;
};

struct CertctlConfig {
  std::string name;
  std::string url;  // https://host:port
  std::string api_key_file;
  std::string ca_file;      // a path, or "system"
  std::string server_name;  // name to verify; empty: the URL's host
  bool allow_group_read = false;
  Milliseconds interval{60'000};             // of its metrics
  Milliseconds inventory_interval{900'000};  // of its lists
  Milliseconds timeout{20'000};              // of one request
  bool auto_collectors = true;               // what the key may read
  std::vector<CertctlCollector> collectors;  // when not auto: as listed, each once
  int soonest_expiries = 20;                 // 0: none
  bool refuse_excess = false;                // on_excess_capabilities = "refuse"
  friend bool operator==(const CertctlConfig&, const CertctlConfig&) = default;
};

struct Config {
  std::string file;
  ListenerConfig listener;
  PollConfig poll;
  LimitsConfig limits;
  OutputConfig output;
  std::shared_ptr<const Relabel> relabel;  // output's rules, ready to be run; null: there are none
  LogConfig log;
  std::vector<ClusterConfig> clusters;  // not empty where there is no certctl server
  std::vector<CertctlConfig> certctls;
};

struct ConfigProblem {
  std::string file;
  int line = 0;      // 1-based; 0: the file as a whole
  std::string key;   // "openbao.node.api_url"; empty: none
  std::string text;  // what is wrong and what to do
  [[nodiscard]] std::string to_string() const;
};

// A file that the configuration names, and where it does so.
struct NamedFile {
  enum class Kind : std::uint8_t { kCertificate, kSecret, kSecretList, kPrivateKey };
  std::string path;
  Kind kind = Kind::kCertificate;
  bool allow_group_read = false;
  int line = 0;
  std::string key;
};

struct ConfigOutcome {
  Config config;                        // valid only when problems is empty
  std::vector<ConfigProblem> problems;  // in the order of the file
  std::vector<NamedFile> files;         // every file that the configuration names
};

// The environment that a value may name with ${...}.
struct ConfigEnvironment {
  std::string credentials_directory;
  std::string node_name;
};

// Parts of a URL that the configuration accepts: scheme, host (without brackets), port, path.
struct Url {
  std::string scheme;
  std::string host;
  std::uint16_t port = 0;
  std::string path;  // "" or starts with '/'

  // "host:port" as users see it (IPv6 in brackets): the `instance` label.
  [[nodiscard]] std::string authority() const;
};
[[nodiscard]] bool parse_url(std::string_view text, Url& out);

// Parts of a listener's address: "host:port" or "[v6]:port". Port 0: the kernel's choice.
struct ListenAddress {
  std::string host;  // without brackets
  std::uint16_t port = 0;
};
[[nodiscard]] bool parse_listen_address(std::string_view text, ListenAddress& out);

// "debug", "info", "warn", "error".
[[nodiscard]] bool parse_log_level(std::string_view text, LogLevel& out);

// One key that a configuration may have, in the order of the contract.
struct ConfigKey {
  std::string path;          // "openbao.node.api_url"
  std::string type;          // "duration", "list of strings", "one of \"info\", \"samples\""
  std::string default_text;  // as TOML; empty where the key is required
  bool required = false;
};
// Every key that this version supports: made by the same reads as parse_config.
[[nodiscard]] std::vector<ConfigKey> config_keys();

// Reads and validates `text` as the content of `file`. Pure: no I/O. (Whether files that it names
// can be read is asked by check_files.)
[[nodiscard]] ConfigOutcome parse_config(std::string_view text, const std::string& file,
                                         const ConfigEnvironment& environment);

// One problem for each named file that cannot be used: missing, unreadable, a folder, a secret
// that others can read (Secret's rules). Opens no connection.
[[nodiscard]] std::vector<ConfigProblem> check_files(const std::string& config_file,
                                                     const std::vector<NamedFile>& files);

// Reads the file, then parse_config: what can be said before the files that it names are there.
[[nodiscard]] ConfigOutcome read_config(const std::string& file,
                                        const ConfigEnvironment& environment);

// read_config, then check_files; all problems of both, in line order.
[[nodiscard]] ConfigOutcome load_config(const std::string& file,
                                        const ConfigEnvironment& environment);

}  // namespace bao_exporter
