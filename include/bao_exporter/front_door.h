// Who is let in, and to what: the decision about one HTTP request, before anything is served. Pure.
//
// Order (design, "What the port serves"): not exactly one valid Authorization: 401, the same bytes
// whatever path, method or body; a body, or not exactly one Host: 400; unknown exact path: 404;
// other method than GET and HEAD: 405.
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bao_exporter/network.h"
#include "bao_exporter/scrape_tokens.h"

namespace bao_exporter {

// As received: the path raw, not decoded or normalised, without query.
struct HttpRequest {
  std::string_view method;
  std::string_view path;
  std::vector<std::pair<std::string_view, std::string_view>> headers;
  PeerAddress peer = {};
  bool admin = false;  // came to listener.admin_address
  std::string_view version = "1.1";
};

enum class Route : std::uint8_t {
  kNone,
  kMetrics,
  kNode,
  kExporter,
  kDiscovery,
  kDiscoveryCertctl,
  kDiscoveryExporter,
  kCertctl,
};

// What the configuration lists and what has paths of its own: "CLUSTER/NAME" of every node, or the
// name of every certctl server.
using NodeNames = std::set<std::string, std::less<>>;

// Label `path` of bao_exporter_scrapes_total.
[[nodiscard]] std::string_view route_name(Route route) noexcept;

// Label `cause` of bao_exporter_auth_failures_total.
enum class AuthFailure : std::uint8_t {
  kNone,
  kMissing,
  kMalformed,
  kMultiple,
  kWrong,
  kRateLimited,  // any of these, from an address that has failed too often
};
[[nodiscard]] std::string_view auth_failure_name(AuthFailure failure) noexcept;

struct Admission {
  int status = 401;
  Route route = Route::kNone;
  AuthFailure auth_failure = AuthFailure::kNone;
  std::string_view token_name;  // points into the ScrapeTokens
  // kNode: "CLUSTER/NAME"; kCertctl: the server's name. Points into the request's path.
  std::string_view node;
  bool head = false;
  bool gzip = false;
  bool open_metrics = false;
  bool close = true;  // the connection ends after the answer
};

[[nodiscard]] Admission admit(const HttpRequest& request, const ScrapeTokens& tokens,
                              const NodeNames& nodes, const NodeNames& certctls);

// What is left of the request once its head is read, and what is to come of the connection.
[[nodiscard]] bool has_body(const HttpRequest& request);
[[nodiscard]] bool asks_to_close(const HttpRequest& request);

// True when Accept-Encoding allows gzip (RFC 9110: q=0 forbids, "*" counts where gzip is not
// named).
[[nodiscard]] bool accepts_gzip(std::string_view accept_encoding);

// True when Accept names OpenMetrics 1.0 and does not allow text/plain, neither by its name nor by
// "text/*" or "*/*": whoever takes text gets text.
[[nodiscard]] bool accepts_open_metrics_only(std::string_view accept);

}  // namespace bao_exporter
