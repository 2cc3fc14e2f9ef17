#include "bao_exporter/result.h"

#include <array>
#include <cstdio>
#include <cstdlib>

namespace bao_exporter {

namespace {

constexpr std::array<std::string_view, kErrorCodeCount> kReasonNames = {
    "ok",
    "not_polled",
    "dns",
    "connect",
    "timeout",
    "tls",
    "reset",
    "truncated",
    "too_large",
    "cancelled",
    "overdue",
    "redirect",
    "standby_redirect",
    "standby_rejected",
    "token_rejected",
    "forbidden",
    "metrics_disabled",
    "telemetry_disabled",
    "namespace_restricted",
    "not_found",
    "rate_limited",
    "no_leader",
    "sealed",
    "uninitialized",
    "server_error",
    "unexpected_status",
    "protocol",
    "malformed",
    "duplicate_series",
    "limit_samples",
    "limit_line",
    "limit_labels",
    "identity_mismatch",
    "identity_changed",
    "duplicate_node",
    "superseded",
    "token_unreadable",
    "token_excess",
    "login_failed",
    "database_down",
    "inconsistent",
    "config",
    "io",
    "internal",
};
static_assert(!kReasonNames.back().empty(), "every ErrorCode needs a name");

}  // namespace

std::string_view reason_name(ErrorCode code) noexcept {
  return kReasonNames[static_cast<std::size_t>(code)];
}

void check_failed(const char* condition, const char* file, int line) noexcept {
  std::fprintf(stderr,
               "level=error msg=\"internal check failed, aborting\" check=\"%s\" at=%s:%d\n",
               condition, file, line);
  std::abort();
}

}  // namespace bao_exporter
