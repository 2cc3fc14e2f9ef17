// The doctor's checks, in the order of their lines. Each adds its findings to the list.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "bao_exporter/doctor.h"

namespace bao_exporter::doctor {

class Findings {
 public:
  void ok(std::string_view check, const std::string& finding);
  void warn(std::string_view check, const std::string& finding, const std::string& remedy,
            std::optional<ErrorCode> reason = std::nullopt);
  void fail(std::string_view check, const std::string& finding, const std::string& remedy,
            std::optional<ErrorCode> reason = std::nullopt);
  // FAIL with the remedy that the reason has.
  void fail(std::string_view check, ErrorCode reason, const std::string& finding);

  [[nodiscard]] std::vector<Finding> take() { return std::move(list_); }

 private:
  void add(std::string_view check, CheckResult result, std::optional<ErrorCode> reason,
           const std::string& finding, const std::string& remedy);

  std::vector<Finding> list_;
};

// Whose address it is.
struct Surroundings {
  const ClusterEvidence* cluster = nullptr;  // null: a certctl server's
  std::string ca_file;
  Milliseconds timeout{0};
  std::int64_t now = 0;
};

// dns, tcp, tls. False when they say why nothing was answered at this address.
[[nodiscard]] bool check_address(const AddressEvidence& address, const Surroundings& around,
                                 Findings& out);

// dns to identity, of one node.
[[nodiscard]] std::vector<Finding> check_node(const NodeEvidence& node,
                                              const ClusterEvidence& cluster, const Evidence& all);

// retention: what the body tells of prometheus_retention_time.
void check_retention(const NodeEvidence& node, const Evidence& all, Findings& out);

// login, capability, active, nodes, versions, names: of the cluster as a whole.
[[nodiscard]] std::vector<Finding> check_cluster(const ClusterEvidence& cluster);

// dns to counts, of one certctl server.
[[nodiscard]] std::vector<Finding> check_certctl(const CertctlEvidence& server,
                                                 const Evidence& all);

// "14 s", "5 min", "3 h", "12 days"; rounded down.
[[nodiscard]] std::string duration_words(std::int64_t seconds);
// "2026-11-23", in UTC.
[[nodiscard]] std::string date_words(std::int64_t unix_seconds);
// "a, b, c and 4 more".
[[nodiscard]] std::string list_words(const std::vector<std::string>& names);

}  // namespace bao_exporter::doctor
