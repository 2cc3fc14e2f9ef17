// Outcome of an operation that can fail while running.
//
// Operating errors (a node that hangs, a body that does not parse, a key file that vanished) are
// values of this type. Errors of ours abort through BAO_CHECK. Nothing here throws, and nothing of
// ours throws across a callback that a C library owns.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "bao_exporter/check.h"

namespace bao_exporter {

// The closed list of reasons: at once the error code, the `reason` label of our metrics, the
// log field and the heading of the runbook. Append only; names are a contract with users.
enum class ErrorCode : std::uint8_t {
  // transport
  kOk,
  kNotPolled,
  kDns,
  kConnect,
  kTimeout,
  kTls,
  kReset,
  kTruncated,
  kTooLarge,
  kCancelled,
  kOverdue,
  // HTTP
  kRedirect,
  kStandbyRedirect,
  kStandbyRejected,
  kTokenRejected,
  kForbidden,
  kMetricsDisabled,
  kTelemetryDisabled,
  kNamespaceRestricted,
  kNotFound,
  kRateLimited,
  kNoLeader,
  kSealed,
  kUninitialized,
  kServerError,
  kUnexpectedStatus,
  // body
  kProtocol,
  kMalformed,
  kDuplicateSeries,
  kLimitSamples,
  kLimitLine,
  kLimitLabels,
  // judgement
  kIdentityMismatch,
  kIdentityChanged,
  kDuplicateNode,
  kSuperseded,
  // credential
  kTokenUnreadable,
  kTokenExcess,
  kLoginFailed,
  // certctl
  kDatabaseDown,
  kInconsistent,
  // local
  kConfig,
  kIo,
  kInternal,
};

inline constexpr std::size_t kErrorCodeCount = static_cast<std::size_t>(ErrorCode::kInternal) + 1;

// The name users see: "ok", "standby_rejected", ... Static storage.
[[nodiscard]] std::string_view reason_name(ErrorCode code) noexcept;

// What an operator does about it, in short: what "Do" of that reason in docs/operations.md begins
// with. Static storage, never empty.
[[nodiscard]] std::string_view reason_remedy(ErrorCode code) noexcept;

struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string detail;  // For an operator's log. Never a token, never a body.
};

// A value or an Error. Asking for the one that is not there is a bug and aborts.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT(*-explicit-*)
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT(*-explicit-*)

  [[nodiscard]] bool ok() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return ok(); }

  [[nodiscard]] T& value() & {
    BAO_CHECK(ok());
    return *std::get_if<0>(&state_);
  }
  [[nodiscard]] const T& value() const& {
    BAO_CHECK(ok());
    return *std::get_if<0>(&state_);
  }
  [[nodiscard]] T&& value() && {
    BAO_CHECK(ok());
    return std::move(*std::get_if<0>(&state_));
  }
  [[nodiscard]] const Error& error() const {
    BAO_CHECK(!ok());
    return *std::get_if<1>(&state_);
  }

 private:
  std::variant<T, Error> state_;
};

}  // namespace bao_exporter
