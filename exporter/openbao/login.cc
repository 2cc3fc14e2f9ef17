#include "bao_exporter/login.h"

#include <strings.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "openbao/login_words.h"
#include "openbao/refusal.h"

namespace bao_exporter {

namespace {

using Json = nlohmann::json;

// OpenBao gives no token a longer life, and no clock's range ends within it.
constexpr std::int64_t kLongestLifeSeconds = 100LL * 365 * 24 * 3600;

std::string quoted(const std::string& words) {
  return Json(words).dump(-1, ' ', false, Json::error_handler_t::replace);
}

// As the inside of a JSON string. A Secret has printable ASCII only, so two characters matter.
std::shared_ptr<const Secret> escaped(const std::shared_ptr<const Secret>& secret) {
  constexpr std::string_view kSpecial = "\"\\";
  const std::string_view bytes = secret->reveal();
  std::size_t special = bytes.find_first_of(kSpecial);
  if (special == std::string_view::npos) return secret;
  auto made = Secret::join({bytes.substr(0, special)});
  while (special != std::string_view::npos) {
    const std::size_t next = bytes.find_first_of(kSpecial, special + 1);
    made = Secret::join({made->reveal(), "\\", bytes.substr(special, next - special)});
    special = next;
  }
  return made;
}

// What is not there, or (only quotes, thousands of them) cannot be sent, is missing in the body:
// OpenBao says so.
std::shared_ptr<const Secret> approle_body(const LoginSecrets& secrets) {
  constexpr std::string_view kRole = R"({"role_id":")";
  constexpr std::string_view kSecret = R"(","secret_id":")";
  constexpr std::string_view kEnd = R"("})";
  if (!secrets.role_id) return Secret::join({"{}"});
  const auto role = escaped(secrets.role_id);
  if (!secrets.secret_id) return Secret::join({kRole, role->reveal(), kEnd});
  const auto secret = escaped(secrets.secret_id);
  const std::size_t size =
      kRole.size() + role->reveal().size() + kSecret.size() + secret->reveal().size() + kEnd.size();
  if (size > Secret::kJoinedBytesMax) return Secret::join({kRole, role->reveal(), kEnd});
  return Secret::join({kRole, role->reveal(), kSecret, secret->reveal(), kEnd});
}

std::shared_ptr<const Secret> jwt_body(const std::string& role, const LoginSecrets& secrets) {
  const std::string head = R"({"role":)" + quoted(role);
  if (!secrets.jwt) return Secret::join({head, "}"});
  const auto jwt = escaped(secrets.jwt);
  constexpr std::string_view kJwt = R"(,"jwt":")";
  constexpr std::string_view kEnd = R"("})";
  if (head.size() + kJwt.size() + jwt->reveal().size() + kEnd.size() > Secret::kJoinedBytesMax) {
    return Secret::join({"{}"});
  }
  return Secret::join({head, kJwt, jwt->reveal(), kEnd});
}

TokenRequest post(std::string path, std::shared_ptr<const Secret> bearer) {
  return {std::move(path), "{}", nullptr, std::move(bearer)};
}

// Wipes the body of an answer at the end of its reading, whatever came of it.
class Wiped {
 public:
  explicit Wiped(Answer& answer) : answer_(answer) {}
  ~Wiped() { wipe(answer_); }
  Wiped(const Wiped&) = delete;
  Wiped& operator=(const Wiped&) = delete;

 private:
  Answer& answer_;
};

// The member `name` of the answer's JSON, an object; nullopt: there is none.
std::optional<Json> object_in(const Answer& answer, const char* name) {
  const Json json = Json::parse(answer.body, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return std::nullopt;
  const auto at = json.find(name);
  if (at == json.end() || !at->is_object()) return std::nullopt;
  return *at;
}

std::optional<Grant> grant_of(const Json& json, const char* ttl_key) {
  const auto ttl = json.find(ttl_key);
  if (ttl == json.end() || !ttl->is_number_integer()) return std::nullopt;
  const bool too_long = ttl->is_number_unsigned() &&
                        ttl->get<std::uint64_t>() > static_cast<std::uint64_t>(kLongestLifeSeconds);
  const std::int64_t seconds = too_long ? kLongestLifeSeconds : ttl->get<std::int64_t>();
  if (seconds < 0) return std::nullopt;
  const auto renewable = json.find("renewable");  // A root token has none.
  const bool renews = renewable != json.end() && renewable->is_boolean() && renewable->get<bool>();
  return Grant{std::chrono::seconds(seconds), renews};
}

Error unreadable(std::string_view what) {
  return {ErrorCode::kProtocol, std::string(what) + ": not the JSON of OpenBao"};
}

// A login, or an unwrapping: what a node says no to is a failed login.
std::optional<Error> login_refusal(const Answer& answer) {
  if (answer.failure) return answer.failure;
  const int status = answer.status;
  const bool says_no = status == 400 || status == 401 || status == 403 || status == 404 ||
                       status == 405 ||
                       (status == 500 && refusal::has_words(answer, "missing role_id"));
  if (!says_no || !refusal::is_json(answer) || refusal::not_forwarded(answer)) {
    return refusal::of_token_question(answer);
  }
  return refusal::error(ErrorCode::kLoginFailed, answer, login_denial_words(answer.body));
}

}  // namespace

void wipe(Answer& answer) {
  answer.body.resize(answer.body.capacity());  // Moves nothing: the bytes behind the end, too.
  ::explicit_bzero(answer.body.data(), answer.body.size());
  answer.body.clear();
}

TokenRequest login_request(const AuthConfig& auth, const LoginSecrets& secrets) {
  TokenRequest request;
  request.path = "/v1/auth/" + auth.mount + "/login";
  switch (auth.method) {
    case AuthMethod::kAppRole:
      request.secret_body = approle_body(secrets);
      break;
    case AuthMethod::kKubernetes:
    case AuthMethod::kJwt:
      request.secret_body = jwt_body(auth.role, secrets);
      break;
    case AuthMethod::kCert:
      request.json_body = auth.role.empty() ? "{}" : R"({"name":)" + quoted(auth.role) + "}";
      break;
    case AuthMethod::kNone:
    case AuthMethod::kTokenFile:
      BAO_CHECK(auth.logs_in());
      break;
  }
  return request;
}

TokenRequest unwrap_request(std::shared_ptr<const Secret> wrapping_token) {
  return post("/v1/sys/wrapping/unwrap", std::move(wrapping_token));
}

TokenRequest check_request(std::shared_ptr<const Secret> token) {
  return {std::string(kCapabilitiesPath), capabilities_question(), nullptr, std::move(token)};
}

TokenRequest look_up_request(std::shared_ptr<const Secret> token) {
  return {"/v1/auth/token/lookup-self", {}, nullptr, std::move(token)};
}

TokenRequest renew_request(std::shared_ptr<const Secret> token) {
  return post("/v1/auth/token/renew-self", std::move(token));
}

TokenRequest revoke_request(std::shared_ptr<const Secret> token) {
  return post("/v1/auth/token/revoke-self", std::move(token));
}

Result<LoggedIn> read_login(Answer& answer) {
  const Wiped wiped(answer);
  auto token = lift_secret(answer.body, "client_token");
  if (auto error = login_refusal(answer)) return *std::move(error);
  const auto auth = object_in(answer, "auth");
  if (!auth) return unreadable("login");
  const auto second_factor = auth->find("mfa_requirement");
  if (!token && second_factor != auth->end() && second_factor->is_object()) {
    return refusal::error(ErrorCode::kLoginFailed, answer,
                          "a second factor is asked for: exempt the role's mount from MFA");
  }
  const auto grant = grant_of(*auth, "lease_duration");
  if (!token || !grant) return unreadable("login");
  return LoggedIn{std::move(token), *grant};
}

Result<std::shared_ptr<const Secret>> read_unwrapped_secret_id(Answer& answer) {
  const Wiped wiped(answer);
  auto secret_id = lift_secret(answer.body, "secret_id");
  const auto token = lift_secret(answer.body, "client_token");  // Something else was wrapped.
  if (auto error = login_refusal(answer)) return *std::move(error);
  if (!secret_id) {
    return refusal::error(ErrorCode::kLoginFailed, answer,
                          "what was wrapped is not a secret id: write the wrapping token of one to "
                          "secret_id_file");
  }
  return secret_id;
}

Result<Grant> read_look_up(Answer& answer) {
  const Wiped wiped(answer);
  (void)lift_secret(answer.body, "id");
  if (auto error = refusal::of_token_question(answer)) return *std::move(error);
  const auto data = object_in(answer, "data");
  if (!data) return unreadable("lookup-self");
  auto grant = grant_of(*data, "ttl");
  if (!grant) return unreadable("lookup-self");
  const auto end = data->find("expire_time");
  const bool ends = end != data->end() && end->is_string();
  // Whole seconds are told: in its last one, 0.
  if (ends && grant->ttl == Milliseconds(0)) grant->ttl = Milliseconds(1);
  return *grant;
}

Result<Grant> read_renewal(Answer& answer) {
  const Wiped wiped(answer);
  (void)lift_secret(answer.body, "client_token");
  if (answer.status == 400 && !answer.failure) {
    const std::string_view words = renewal_denial_words(answer.body);
    if (!words.empty()) return refusal::error(ErrorCode::kForbidden, answer, words);
  }
  if (auto error = refusal::of_token_question(answer)) return *std::move(error);
  const auto auth = object_in(answer, "auth");
  if (!auth) return unreadable("renew-self");
  auto grant = grant_of(*auth, "lease_duration");
  if (!grant) return unreadable("renew-self");
  // What is renewed has an end; in its last second 0 is told.
  grant->ttl = std::max(grant->ttl, Milliseconds(1));
  return *grant;
}

}  // namespace bao_exporter
