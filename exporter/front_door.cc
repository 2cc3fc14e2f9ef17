#include "bao_exporter/front_door.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "ascii.h"

namespace bao_exporter {

namespace {

using ascii::equal_ignoring_case;
using ascii::lower;
using ascii::trimmed;

constexpr std::size_t kTokenBytesMax = 512;
// The listener's library keeps 64 headers and drops the rest silently: at 64 nobody can tell
// whether there was another Authorization.
constexpr std::size_t kHeadersMax = 63;

// Calls `each` with every comma separated part, trimmed.
template <typename Each>
void for_each_part(std::string_view text, Each each) {
  while (!text.empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    each(trimmed(text.substr(0, comma)));
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
}

// A header name as civetweb gives it may carry blanks before the colon ("Authorization :").
bool is_header(std::string_view name, std::string_view wanted) {
  return equal_ignoring_case(trimmed(name), wanted);
}

std::optional<std::string_view> bearer_of(std::string_view value) {
  constexpr std::string_view kScheme = "bearer ";
  if (value.size() <= kScheme.size() || value.size() > kScheme.size() + kTokenBytesMax) {
    return std::nullopt;
  }
  if (!equal_ignoring_case(value.substr(0, kScheme.size()), kScheme)) return std::nullopt;
  const std::string_view token = value.substr(kScheme.size());
  const bool printable = std::all_of(token.begin(), token.end(),
                                     [](char c) { return c > 0x20 && c < 0x7f && c != ','; });
  if (!printable) return std::nullopt;
  return token;
}

AuthFailure authenticate(const HttpRequest& request, const ScrapeTokens& tokens,
                         std::string_view& token_name) {
  if (tokens.lets_everybody_in()) {
    token_name = "unnamed";
    return AuthFailure::kNone;
  }
  if (request.headers.size() > kHeadersMax) return AuthFailure::kMalformed;
  std::optional<std::string_view> value;
  for (const auto& [name, content] : request.headers) {
    if (!is_header(name, "authorization")) continue;
    if (value) return AuthFailure::kMultiple;
    if (name.size() != std::string_view("authorization").size()) return AuthFailure::kMalformed;
    value = content;
  }
  if (!value) return AuthFailure::kMissing;
  const auto token = bearer_of(*value);
  if (!token) return AuthFailure::kMalformed;
  const auto name = tokens.match(*token);
  if (!name) return AuthFailure::kWrong;
  token_name = *name;
  return AuthFailure::kNone;
}

bool has_body(const HttpRequest& request) {
  return std::any_of(request.headers.begin(), request.headers.end(), [](const auto& header) {
    if (is_header(header.first, "transfer-encoding")) return true;
    return is_header(header.first, "content-length") && trimmed(header.second) != "0";
  });
}

bool asks_to_close(const HttpRequest& request) {
  bool close = false;
  for (const auto& [name, value] : request.headers) {
    if (!is_header(name, "connection")) continue;
    for_each_part(
        value, [&](std::string_view part) { close = close || equal_ignoring_case(part, "close"); });
  }
  return close;
}

// Those that have one path; its name is that path.
constexpr std::array<Route, 5> kFixedRoutes = {Route::kMetrics, Route::kExporter, Route::kDiscovery,
                                               Route::kDiscoveryCertctl, Route::kDiscoveryExporter};
constexpr std::string_view kNodePaths = "/metrics/nodes/";
constexpr std::string_view kCertctlPaths = "/metrics/certctl/";

// Of one node or certctl server; `name` is set where it has one.
std::optional<Route> single_route_of(std::string_view path, const NodeNames& nodes,
                                     const NodeNames& certctls, std::string_view& name) {
  const auto find = [&](std::string_view prefix, const NodeNames& names, Route route) {
    const std::string_view rest = path.substr(prefix.size());
    if (!names.contains(rest)) return Route::kNone;
    name = rest;
    return route;
  };
  if (path.starts_with(kNodePaths)) return find(kNodePaths, nodes, Route::kNode);
  if (path.starts_with(kCertctlPaths)) return find(kCertctlPaths, certctls, Route::kCertctl);
  return std::nullopt;
}

Route fixed_route_of(std::string_view path) {
  const auto* const at = std::find_if(kFixedRoutes.begin(), kFixedRoutes.end(),
                                      [&](Route route) { return route_name(route) == path; });
  return at == kFixedRoutes.end() ? Route::kNone : *at;
}

// The q of "gzip;q=0.5"; 1 without one, 0 when it cannot be read.
double quality_of(std::string_view parameters) {
  while (!parameters.empty()) {
    const std::size_t end = std::min(parameters.find(';'), parameters.size());
    const std::string_view parameter = trimmed(parameters.substr(0, end));
    parameters.remove_prefix(std::min(end + 1, parameters.size()));
    if (parameter.size() < 2 || lower(parameter[0]) != 'q' || parameter[1] != '=') continue;
    double q = 0;
    const char* last = parameter.data() + parameter.size();
    const auto read = std::from_chars(parameter.data() + 2, last, q);
    return read.ec == std::errc() && read.ptr == last ? q : 0.0;
  }
  return 1.0;
}

}  // namespace

std::string_view route_name(Route route) noexcept {
  constexpr std::array<std::string_view, 8> kNames = {
      "other", "/metrics",    "/metrics/nodes", "/metrics/exporter",
      "/sd",   "/sd/certctl", "/sd/exporter",   "/metrics/certctl"};
  return kNames[static_cast<std::size_t>(route)];
}

std::string_view auth_failure_name(AuthFailure failure) noexcept {
  constexpr std::array<std::string_view, 5> kNames = {"none", "missing", "malformed", "multiple",
                                                      "wrong"};
  return kNames[static_cast<std::size_t>(failure)];
}

bool accepts_gzip(std::string_view accept_encoding) {
  std::optional<double> named;
  std::optional<double> any;
  for_each_part(accept_encoding, [&](std::string_view part) {
    const std::size_t semicolon = std::min(part.find(';'), part.size());
    const std::string_view coding = trimmed(part.substr(0, semicolon));
    const double q = quality_of(part.substr(semicolon));
    if (equal_ignoring_case(coding, "gzip") || equal_ignoring_case(coding, "x-gzip")) named = q;
    if (coding == "*") any = q;
  });
  return named.value_or(any.value_or(0.0)) > 0.0;
}

Admission admit(const HttpRequest& request, const ScrapeTokens& tokens, const NodeNames& nodes,
                const NodeNames& certctls) {
  Admission admission;
  admission.auth_failure = authenticate(request, tokens, admission.token_name);
  if (admission.auth_failure != AuthFailure::kNone) return admission;
  admission.head = request.method == "HEAD";
  if (has_body(request)) {
    admission.status = 400;
    return admission;
  }
  admission.close = asks_to_close(request);
  const auto single = single_route_of(request.path, nodes, certctls, admission.node);
  admission.route = single ? *single : fixed_route_of(request.path);
  if (admission.route == Route::kNone) {
    admission.status = 404;
    return admission;
  }
  if (request.method != "GET" && !admission.head) {
    admission.status = 405;
    return admission;
  }
  std::string encodings;  // several headers of one name are one list (RFC 9110, 5.3)
  for (const auto& [name, value] : request.headers) {
    if (is_header(name, "accept-encoding")) encodings.append(value).append(",");
  }
  admission.gzip = accepts_gzip(encodings);
  admission.status = 200;
  return admission;
}

}  // namespace bao_exporter
