#include "bao_exporter/login.h"
namespace bao_exporter {
TokenRequest login_request(const AuthConfig&, const LoginSecrets&) { return {}; }
TokenRequest unwrap_request(std::shared_ptr<const Secret> t) { return {"/v1/sys/wrapping/unwrap","{}",nullptr,t}; }
TokenRequest check_request(std::shared_ptr<const Secret> t) { return {std::string(kCapabilitiesPath), capabilities_question(), nullptr, t}; }
TokenRequest look_up_request(std::shared_ptr<const Secret> t) { return {"/v1/auth/token/lookup-self","",nullptr,t}; }
TokenRequest renew_request(std::shared_ptr<const Secret> t) { return {"/v1/auth/token/renew-self","{}",nullptr,t}; }
TokenRequest revoke_request(std::shared_ptr<const Secret> t) { return {"/v1/auth/token/revoke-self","{}",nullptr,t}; }
Result<LoggedIn> read_login(Answer&) { return Error{ErrorCode::kLoginFailed,"stub"}; }
Result<std::shared_ptr<const Secret>> read_unwrapped_secret_id(Answer&) { return Error{ErrorCode::kLoginFailed,"stub"}; }
Result<Grant> read_look_up(const Answer&) { return Grant{Milliseconds(86400000), true}; }
Result<Grant> read_renewal(Answer&) { return Grant{Milliseconds(86400000), true}; }
std::shared_ptr<const Secret> lift_secret(std::string&, std::string_view) { return nullptr; }
}
