// The doctor: from what one round of polls brought to a line for each node and check, each with its
// remedy. Pure: no I/O, no clock, no log.
//
// A check that could not be made because one before it failed has no line: what is wrong stands in
// one line, not in five. Lines come in the order of the configuration, a cluster's own ones (node
// "-") after its nodes.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bao_exporter/capabilities.h"
#include "bao_exporter/config.h"
#include "bao_exporter/node_book.h"
#include "bao_exporter/tls_probe.h"
#include "bao_exporter/token_life.h"

namespace bao_exporter {

// --- what was gathered ---------------------------------------------------------------

// One address that a node or a certctl server was asked at.
struct AddressEvidence {
  Url url;
  std::optional<Error> failure;    // of the first request to it
  std::string connected_to;        // empty: no connection came about
  std::string verified_name;       // looked for in the certificate
  std::optional<TlsFindings> tls;  // absent: plain HTTP, or no connection
};

struct NodeEvidence {
  std::string name;                        // without the cluster
  std::optional<AddressEvidence> api;      // absent: the node has no api_url
  std::optional<AddressEvidence> metrics;  // absent: not asked, or the same address as the api's
  std::optional<Error> health_problem;     // why sys/health told nothing
  std::string token_from;                  // in words; empty: no token is sent
  NodeState state;                         // as the book has it
  double poll_began = 0;                   // unix seconds, by our clock
  double poll_ended = 0;
};

// The login of a cluster with a login method.
struct LoginEvidence {
  std::string method;  // as the configuration calls it
  std::optional<Error> failure;
  Grant grant;           // without failure
  bool revoked = false;  // ... and at its end the token was
  bool used_up = false;  // not tried: a wrapped secret id works once, and is not the doctor's
};

struct ClusterEvidence {
  std::string name;
  bool is_demo = false;
  bool refuse_excess = false;
  std::optional<LoginEvidence> login;
  int expected_nodes = 0;
  std::string ca_file;
  std::vector<NodeEvidence> nodes;
  std::optional<Result<Capabilities>> capabilities;  // absent: there was nobody to ask, or no token
};

// What became of one collector of a certctl server.
struct CollectorEvidence {
  CertctlCollector collector = CertctlCollector::kMetrics;
  bool may = false;           // where it is known what the key may
  std::string permission;     // that it takes
  bool switched_off = false;  // at the server
  // kOk, or why it was not read.
  Error error{ErrorCode::kNotPolled, {}};
  std::size_t requests = 0;  // for its lists
  int inventories = 1;       // so often it is read: at each, at every sixth
};

// What the key may do.
struct KeyEvidence {
  std::size_t permissions = 0;
  std::string excess;  // for more than reading, in words; empty: none
};

// A family that certctl counts itself, and what its lists have.
struct CountEvidence {
  std::string family;
  double theirs = 0;
  double ours = 0;
  bool wrong = false;
};

struct CertctlEvidence {
  CertctlConfig config;
  AddressEvidence address;
  std::optional<Result<bool>> ready;  // absent: not asked
  std::string version;
  std::optional<Result<KeyEvidence>> key;     // absent: not asked
  std::vector<CollectorEvidence> collectors;  // that the configuration asks for
  std::shared_ptr<const NodePart> metrics;    // null: they were not read
  std::vector<CountEvidence> counts;
  std::size_t requests = 0;  // in all
  std::size_t limited = 0;   // of them answered with 429
  double inventory_seconds = 0;
};

struct Evidence {
  PollConfig poll;
  std::int64_t now = 0;  // unix seconds
  std::vector<ClusterEvidence> clusters;
  std::vector<CertctlEvidence> certctls;
};

// --- what it means -------------------------------------------------------------------

enum class CheckResult : std::uint8_t { kOk, kWarn, kFail };

// "OK", "WARN", "FAIL".
[[nodiscard]] std::string_view check_result_name(CheckResult result) noexcept;

struct Finding {
  std::string check;  // "dns", "tls", ...
  CheckResult result = CheckResult::kOk;
  std::optional<ErrorCode> reason;  // where the finding is one of the closed list
  std::string finding;              // in plain words; printable ASCII
  std::string remedy;               // empty when the result is OK
};

struct Examined {
  std::string cluster;
  std::string node;  // "-": the cluster as a whole
  std::vector<Finding> findings;
};

struct ExaminedCertctl {
  std::string name;
  std::vector<Finding> findings;
};

struct DoctorReport {
  std::vector<Examined> nodes;
  std::vector<ExaminedCertctl> certctls;

  [[nodiscard]] CheckResult result() const;  // the worst one
};

[[nodiscard]] DoctorReport examine(const Evidence& evidence);

// A line each, in aligned columns, and a last one that sums up.
[[nodiscard]] std::string doctor_text(const DoctorReport& report);

// {"nodes":[{"cluster","node","checks":[{"check","result","reason","finding","remedy"}]}],
//  "certctls":[{"certctl","checks"}],"result"}; "certctls" only where there are some.
[[nodiscard]] std::string doctor_json(const DoctorReport& report);

}  // namespace bao_exporter
