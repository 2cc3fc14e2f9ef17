// What is sent to OpenBao about a token, and what its answers mean. Pure.
//
// Secrets go through locked pages only: a login's body is put together in a Secret, and a token
// that comes back is lifted out of the answer's text (and overwritten there) before any parser sees
// it. Source: measured on OpenBao 2.7.2 (facts on tokens), its documentation for the login methods.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "bao_exporter/answer.h"
#include "bao_exporter/config.h"
#include "bao_exporter/secret.h"
#include "bao_exporter/token_life.h"

namespace bao_exporter {

// A POST, or (no body at all) a GET.
struct TokenRequest {
  std::string path;                           // "/v1/auth/approle/login"
  std::string json_body;                      // nothing secret
  std::shared_ptr<const Secret> secret_body;  // instead of json_body
  std::shared_ptr<const Secret> bearer;       // null: a login
};

// What a login method reads from files. Null where the method has no such thing.
struct LoginSecrets {
  std::shared_ptr<const Secret> role_id;
  std::shared_ptr<const Secret> secret_id;  // unwrapped
  std::shared_ptr<const Secret> jwt;
};

[[nodiscard]] TokenRequest login_request(const AuthConfig& auth, const LoginSecrets& secrets);
[[nodiscard]] TokenRequest unwrap_request(std::shared_ptr<const Secret> wrapping_token);
[[nodiscard]] TokenRequest check_request(std::shared_ptr<const Secret> token);
[[nodiscard]] TokenRequest look_up_request(std::shared_ptr<const Secret> token);
[[nodiscard]] TokenRequest renew_request(std::shared_ptr<const Secret> token);
[[nodiscard]] TokenRequest revoke_request(std::shared_ptr<const Secret> token);

struct LoggedIn {
  std::shared_ptr<const Secret> token;
  Grant grant;
};

// All errors: kLoginFailed (login, unwrap), kForbidden or kTokenRejected (the others) where the
// node said no; else what happened (connect, timeout, sealed, no_leader, standby_redirect,
// server_error, rate_limited, protocol, ...). The detail has the HTTP status and, of OpenBao's own
// words, only phrases of a closed list. Each of these answers has a token in it: whatever comes
// out, its body is wiped and empty afterwards.
[[nodiscard]] Result<LoggedIn> read_login(Answer& answer);
[[nodiscard]] Result<std::shared_ptr<const Secret>> read_unwrapped_secret_id(Answer& answer);
[[nodiscard]] Result<Grant> read_look_up(Answer& answer);
[[nodiscard]] Result<Grant> read_renewal(Answer& answer);

// Of an answer that nobody reads any more.
void wipe(Answer& answer);

// Lifts the value of the member `key` (wherever it is in the JSON text) out of `json`: it becomes a
// Secret, and its bytes in `json` become '*'. Null when there is no such member with a string of 1
// to Secret::kBytesMax printable ASCII characters without escapes. Of several such members all are
// overwritten, and the first fit one is returned. The text need not be JSON.
[[nodiscard]] std::shared_ptr<const Secret> lift_secret(std::string& json, std::string_view key);

}  // namespace bao_exporter
