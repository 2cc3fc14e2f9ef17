// What certctl's answers mean. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "bao_exporter/answer.h"
#include "bao_exporter/result.h"

namespace bao_exporter::certctl {

enum class Expected : std::uint8_t { kJson, kExposition };

// Nothing: a 200 with the type that is expected. Else the transport's failure, or kTokenRejected
// (401: no key that is known), kForbidden (403: the key lacks the permission), kNotFound,
// kRateLimited, kRedirect, kServerError (500 and above; whether the database is down is what /ready
// says), kProtocol, kUnexpectedStatus.
[[nodiscard]] std::optional<Error> judge(const Answer& answer, Expected expected);

// GET /ready: true, or false where certctl says that its database is not reachable (503).
[[nodiscard]] Result<bool> read_ready(const Answer& answer);

// GET /api/v1/version: "2.1.7"; "dev" where it was built without one.
[[nodiscard]] Result<std::string> read_version(const Answer& answer);

// GET /api/v1/auth/me: what the key may do.
struct KeyPowers {
  std::set<std::string, std::less<>> permissions;
  bool admin = false;
  // Permissions that are for more than reading, and admin.
  [[nodiscard]] std::size_t excess() const;
  // "admin, cert.write", for people: at most eight, then how many more.
  [[nodiscard]] std::string excess_words() const;
  [[nodiscard]] bool may(std::string_view permission) const;
};
[[nodiscard]] Result<KeyPowers> read_powers(const Answer& answer);

// certctl writes label values with Go's %q: escapes that the format does not know (\t \x7f \u00e9)
// become the bytes they stand for, or U+FFFD where those are not UTF-8 or control characters that
// no label can carry; all others, and everything outside label values, stay as they are.
[[nodiscard]] std::string with_legal_escapes(std::string body);

}  // namespace bao_exporter::certctl
