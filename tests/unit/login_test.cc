#include "bao_exporter/login.h"

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>
#include <random>

#include "catch.h"
#include "support/answers.h"

namespace bao_exporter {

namespace {

using namespace test;  // NOLINT(google-build-using-namespace): the helpers of this test
using Json = nlohmann::json;

constexpr const char* kToken = "s.zRt6m9Rq57NezHX0gMBFuUfn";

std::shared_ptr<const Secret> secret(std::string_view text) { return Secret::join({text}); }

AuthConfig auth_of(AuthMethod method, const std::string& mount, const std::string& role = "") {
  AuthConfig auth;
  auth.method = method;
  auth.mount = mount;
  auth.role = role;
  return auth;
}

// As OpenBao 2.7.2 gives them.
std::string logged_in(const std::string& token = kToken, int ttl = 20) {
  return R"({"request_id":"7836a948-94ed-4448-1bfd-17a6d001c66b","lease_id":"","renewable":false,)"
         R"("lease_duration":0,"data":null,"wrap_info":null,"warnings":null,"auth":{"client_token":")" +
         token +
         R"(","accessor":"IzlL3Zlqo1K8K4zXbD0MKQTV","policies":["default","metrics-read"],)"
         R"("metadata":{"role_name":"m"},"lease_duration":)" +
         std::to_string(ttl) +
         R"(,"renewable":true,"entity_id":"c25e746a","token_type":"service","orphan":true,)"
         R"("mfa_requirement":null,"num_uses":0}})"
         "\n";
}

std::string looked_up(const std::string& life) {
  return R"({"request_id":"fb757c18","data":{"accessor":"5QSxdbt2GLUCvhxpz1UXOSOG","id":")" +
         std::string(kToken) + R"(","meta":null,"num_uses":0,)" + life +
         R"(,"type":"service"},"wrap_info":null,"auth":null})" + "\n";
}

std::string errors(const std::string& words) { return Json{{"errors", {words}}}.dump() + "\n"; }

Error refused_login(Answer answer) {
  const auto login = read_login(answer);
  REQUIRE_FALSE(login.ok());
  CHECK(answer.body.empty());
  return login.error();
}

bool has(const std::string& text, std::string_view words) {
  return text.find(words) != std::string::npos;
}

}  // namespace

// --- requests ---

TEST_CASE("login: each method posts what OpenBao wants to its mount, without a bearer") {
  const LoginSecrets secrets{secret("role-1"), secret("secret-1"), secret("a.b.c")};
  const auto approle = login_request(auth_of(AuthMethod::kAppRole, "approle"), secrets);
  CHECK(approle.path == "/v1/auth/approle/login");
  CHECK(approle.secret_body->reveal() == R"({"role_id":"role-1","secret_id":"secret-1"})");
  CHECK(approle.json_body.empty());
  CHECK_FALSE(approle.bearer);
  for (const AuthMethod method : {AuthMethod::kJwt, AuthMethod::kKubernetes}) {
    const auto jwt = login_request(auth_of(method, "deep/k8s", "exporter"), secrets);
    CHECK(jwt.path == "/v1/auth/deep/k8s/login");
    CHECK(jwt.secret_body->reveal() == R"({"role":"exporter","jwt":"a.b.c"})");
  }
  CHECK(login_request(auth_of(AuthMethod::kCert, "cert", "web"), {}).json_body ==
        R"({"name":"web"})");
  CHECK(login_request(auth_of(AuthMethod::kCert, "cert"), {}).json_body == "{}");
}

TEST_CASE("login: an approle without a secret id leaves it out") {
  const auto request =
      login_request(auth_of(AuthMethod::kAppRole, "approle"), {secret("role-1"), nullptr, nullptr});
  CHECK(request.secret_body->reveal() == R"({"role_id":"role-1"})");
}

TEST_CASE("login: what is sent says what was meant, whatever characters it has") {
  const std::string odd = R"("a\b"","x":"\)";
  const auto approle = login_request(auth_of(AuthMethod::kAppRole, "approle"),
                                     {secret(odd), secret("\\" + odd), nullptr});
  const Json sent = Json::parse(approle.secret_body->reveal());
  CHECK(sent == Json{{"role_id", odd}, {"secret_id", "\\" + odd}});
  const std::string role = "Zoë \"the\" \\ \n exporter";
  const auto jwt =
      login_request(auth_of(AuthMethod::kJwt, "jwt", role), {nullptr, nullptr, secret(odd)});
  CHECK(Json::parse(jwt.secret_body->reveal()) == Json{{"role", role}, {"jwt", odd}});
  const auto cert = login_request(auth_of(AuthMethod::kCert, "cert", role), {});
  CHECK(Json::parse(cert.json_body) == Json{{"name", role}});
}

TEST_CASE("login: secrets of nothing but quotes, as long as may be, are no end of the process") {
  const std::string quotes(Secret::kBytesMax, '"');
  const auto request = login_request(auth_of(AuthMethod::kAppRole, "approle"),
                                     {secret(quotes), secret(quotes), nullptr});
  CHECK(Json::parse(request.secret_body->reveal()) == Json{{"role_id", quotes}});
}

TEST_CASE("login: what is asked about a token has it as the bearer") {
  const auto token = secret(kToken);
  CHECK(look_up_request(token).path == "/v1/auth/token/lookup-self");
  CHECK(look_up_request(token).json_body.empty());
  CHECK(renew_request(token).path == "/v1/auth/token/renew-self");
  CHECK(revoke_request(token).path == "/v1/auth/token/revoke-self");
  CHECK(unwrap_request(token).path == "/v1/sys/wrapping/unwrap");
  CHECK(check_request(token).path == kCapabilitiesPath);
  CHECK(check_request(token).json_body == capabilities_question());
  for (const auto& request : {renew_request(token), revoke_request(token), unwrap_request(token)}) {
    CHECK(request.json_body == "{}");
    CHECK(request.bearer == token);
    CHECK_FALSE(request.secret_body);
  }
}

// --- answers ---

TEST_CASE("login: a good login gives the token and how long it lives") {
  Answer answer = json(200, logged_in());
  const auto login = read_login(answer);
  REQUIRE(login.ok());
  CHECK(login.value().token->reveal() == kToken);
  CHECK(login.value().grant.ttl == std::chrono::seconds(20));
  CHECK(login.value().grant.renewable);
  CHECK(answer.body.empty());
}

TEST_CASE("login: what a node denies is a failed login, with what to do") {
  const std::vector<std::tuple<int, const char*, const char*>> denials = {
      {400, "invalid role or secret ID", "secret_id_file"},
      {400, "missing secret_id", "bind_secret_id"},
      {500, "missing role_id", "role_id_file"},
      {400,
       R"(source address "127.0.0.1" unauthorized by CIDR restrictions on the role: %!w(<nil>))",
       "secret_id_bound_cidrs"},
      {403, "permission denied", "mount"},
      {403, "error validating wrapping token: token is empty", "secret_id_file"},
      {400, R"(role "nope" could not be found)", "correct role"},
      {400, R"(invalid role name "nope")", "correct role"},
      {400, "missing role", "set role"},
      {400,
       "error validating token: invalid audience (aud) claim: audience claim does not match any",
       "bound_audiences"},
      {400, "error validating token: invalid subject (sub) claim", "bound_subject"},
      {400, "error validating token: invalid expiration time (exp) claim: token is expired",
       "expired"},
      {403, "invalid expiration time (exp) claim: token is expired", "expired"},
      {400, "error validating token: invalid not before (nbf) claim: token not yet valid",
       "clocks"},
      {400, "error validating token: invalid issuer (iss) claim", "bound_issuer"},
      {400,
       "error validating token: error verifying token signature: no known key successfully "
       "validated the token signature",
       "keys of another cluster"},
      {400, "error validating token: error verifying token signature: go-jose/go-jose: compact JWS",
       "no JSON web token"},
      {400, "missing token", "jwt_file"},
      {400, R"(error validating claims: claim "x" is missing)", "bound_claims"},
      {400, R"(claim "missing" not found in token)", "user_claim"},
      {400, "could not load configuration", "not configured"},
      {400, "no client certificate found", "tls_disable_client_certs"},
      {400, "invalid certificate or no client certificate supplied", "client_cert_file"},
      {400, "no chain matching all constraints could be found for this login certificate",
       "allowed_*"},
      {403, "service account name not authorized", "bound_service_account_names"},
      {403, "namespace not authorized", "bound_service_account_namespaces"},
      {404, "no handler for route", "mount"},
      {405, "unsupported operation", "mount"},
      {400, "s.SomethingNew", "the node's log"},
  };
  for (const auto& [status, words, remedy] : denials) {
    const Error error = refused_login(json(status, errors(words)));
    CAPTURE(words, error.detail);
    CHECK(error.code == ErrorCode::kLoginFailed);
    CHECK(error.detail.starts_with("HTTP " + std::to_string(status) + ": "));
    CHECK(has(error.detail, remedy));
    CHECK_FALSE(has(error.detail, "s.Something"));
  }
}

TEST_CASE("login: what a node cannot answer is no denial") {
  CHECK(refused_login(json(503, kVaultSealed)).code == ErrorCode::kSealed);
  CHECK(refused_login(json(307, "")).code == ErrorCode::kStandbyRedirect);
  CHECK(refused_login(json(429, errors("rate limit quota exceeded"))).code ==
        ErrorCode::kRateLimited);
  CHECK(refused_login(json(500, errors("local node not active but active cluster node not found")))
            .code == ErrorCode::kNoLeader);
  CHECK(refused_login(json(500, "{}")).code == ErrorCode::kServerError);
  CHECK(refused_login(json(302, "")).code == ErrorCode::kRedirect);
  CHECK(refused_login(plain(403, "forbidden by the proxy")).code == ErrorCode::kUnexpectedStatus);
  CHECK(refused_login(failed(ErrorCode::kTimeout)).code == ErrorCode::kTimeout);
}

TEST_CASE("login: an answer that is not OpenBao's gives no token, and keeps none") {
  const std::string good = logged_in();
  for (const std::string& body :
       {std::string(), std::string("null"), std::string("{}"), good.substr(0, good.size() / 2),
        std::string(R"({"auth":{"client_token":7,"lease_duration":20}})"),
        std::string(R"({"auth":{"client_token":"a b","lease_duration":20}})"),
        std::string(R"({"auth":{"client_token":"s.x"}})"), logged_in(kToken, -1)}) {
    CAPTURE(body);
    CHECK(refused_login(json(200, body)).code == ErrorCode::kProtocol);
  }
}

TEST_CASE("login: a role that asks for a second factor is a failed login") {
  const Error error = refused_login(
      json(200, R"({"auth":{"client_token":"","lease_duration":0,)"
                R"("mfa_requirement":{"mfa_request_id":"d0c9eec7","mfa_constraints":{}}}})"));
  CHECK(error.code == ErrorCode::kLoginFailed);
  CHECK(has(error.detail, "second factor"));
}

TEST_CASE("login: a life beyond every clock is cut, not wrapped round") {
  Answer answer =
      json(200, R"({"auth":{"client_token":"s.x","lease_duration":18446744073709551615}})");
  const auto login = read_login(answer);
  REQUIRE(login.ok());
  CHECK(login.value().grant.ttl > std::chrono::hours(24) * 365 * 99);
}

TEST_CASE("login: an unwrapped secret id comes out, and what else was wrapped does not") {
  Answer good = json(200, R"({"data":{"secret_id":"872b4d37-3540","secret_id_accessor":"e8dcad4c",)"
                          R"("secret_id_num_uses":0,"secret_id_ttl":0},"auth":null})");
  const auto secret_id = read_unwrapped_secret_id(good);
  REQUIRE(secret_id.ok());
  CHECK(secret_id.value()->reveal() == "872b4d37-3540");
  CHECK(good.body.empty());
  Answer other = json(200, logged_in());
  const auto refused = read_unwrapped_secret_id(other);
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().code == ErrorCode::kLoginFailed);
  CHECK(other.body.empty());
  Answer used = json(400, errors("wrapping token is not valid or does not exist"));
  const auto twice = read_unwrapped_secret_id(used);
  REQUIRE_FALSE(twice.ok());
  CHECK(twice.error().code == ErrorCode::kLoginFailed);
  CHECK(has(twice.error().detail, "stolen"));
}

TEST_CASE("login: a look-up tells how long a token lives") {
  const auto told = [](const std::string& life) {
    Answer answer = json(200, looked_up(life));
    const auto grant = read_look_up(answer);
    REQUIRE(grant.ok());
    CHECK(answer.body.empty());
    return grant.value();
  };
  const Grant renewable = told(R"("expire_time":"2026-11-23T09:04:22Z","renewable":true,"ttl":20)");
  CHECK(renewable.ttl == std::chrono::seconds(20));
  CHECK(renewable.renewable);
  const Grant root = told(R"("expire_time":null,"ttl":0)");
  CHECK(root.ttl == Milliseconds(0));
  CHECK_FALSE(root.renewable);
  // In its last second.
  CHECK(told(R"("expire_time":"2026-11-23T09:04:22Z","renewable":true,"ttl":0)").ttl ==
        Milliseconds(1));
}

TEST_CASE("login: a renewal tells how long a token lives now") {
  Answer answer = json(200, logged_in(kToken, 15));
  const auto grant = read_renewal(answer);
  REQUIRE(grant.ok());
  CHECK(grant.value().ttl == std::chrono::seconds(15));
  CHECK(answer.body.empty());
}

TEST_CASE("login: a look-up or renewal that is denied says whether the token is known") {
  const auto renewal = [](Answer answer) { return read_renewal(answer).error().code; };
  const auto look_up = [](Answer answer) { return read_look_up(answer).error().code; };
  CHECK(renewal(json(403, kDenied)) == ErrorCode::kTokenRejected);
  CHECK(renewal(json(403, kNoPolicy)) == ErrorCode::kForbidden);
  CHECK(look_up(json(403, kDenied)) == ErrorCode::kTokenRejected);
  CHECK(look_up(json(403, kNoPolicy)) == ErrorCode::kForbidden);
  for (const char* words :
       {"batch tokens cannot be renewed", "lease is not renewable", "invalid lease ID"}) {
    CHECK(renewal(json(400, errors(words))) == ErrorCode::kForbidden);
  }
  CHECK(renewal(json(400, errors("something else"))) == ErrorCode::kUnexpectedStatus);
  CHECK(renewal(json(400, kCannotForward)) == ErrorCode::kStandbyRejected);
  CHECK(renewal(json(307, "")) == ErrorCode::kStandbyRedirect);
  CHECK(renewal(failed(ErrorCode::kConnect)) == ErrorCode::kConnect);
  CHECK(look_up(json(200, "{}")) == ErrorCode::kProtocol);
}

// --- lifting a secret out of a text ---

TEST_CASE("lift_secret: the value becomes a Secret, and stars in the text") {
  std::string text = R"({"a":1,"auth":{ "key" : "s.Token" },"key2":"x"})";
  const auto lifted = lift_secret(text, "key");
  REQUIRE(lifted);
  CHECK(lifted->reveal() == "s.Token");
  CHECK(text == R"({"a":1,"auth":{ "key" : "*******" },"key2":"x"})");
}

TEST_CASE("lift_secret: of several all are overwritten, and the first fit one comes out") {
  std::string text = R"([{"key":""},{"key":"a\nb"},{"key":"one"},{"k\u0065y":"two"},{"key":7}])";
  const auto lifted = lift_secret(text, "key");
  REQUIRE(lifted);
  CHECK(lifted->reveal() == "one");
  CHECK(text == R"([{"key":""},{"key":"****"},{"key":"***"},{"k\u0065y":"***"},{"key":7}])");
}

TEST_CASE("lift_secret: only a member's value counts, not a string that looks like it") {
  for (const std::string before :
       {R"({"a":"key","b":"x"})", R"({"a":"\"key\":\"x\""})", R"(["key","x"])", R"({"kez":"x"})",
        R"({"key":["x"]})", R"({"key":null})", R"("key":)", R"("key)", R"()",
        R"({"ke":"x","keyy":"x"})"}) {
    std::string text = before;
    CHECK_FALSE(lift_secret(text, "key"));
    CHECK(text == before);
  }
}

TEST_CASE("lift_secret: a text that is cut off is overwritten to its end") {
  std::string text = R"({"key":"s.Token\)";
  CHECK_FALSE(lift_secret(text, "key"));
  CHECK(text == R"({"key":"********)");
}

TEST_CASE("lift_secret: a value that is too long is no secret, and overwritten") {
  for (const std::size_t size : {Secret::kBytesMax, Secret::kBytesMax + 1}) {
    std::string text = R"({"key":")" + std::string(size, 'x') + R"("})";
    CHECK((lift_secret(text, "key") != nullptr) == (size == Secret::kBytesMax));
    CHECK_FALSE(has(text, "xx"));
  }
}

namespace {

using Random = std::mt19937_64;

std::string random_token(Random& random) {
  std::string token;
  const std::size_t size = 8 + random() % 60;
  while (token.size() < size) {
    const char c = static_cast<char>(0x21 + random() % 0x5e);
    if (c != '*' && c != '"' && c != '\\') token += c;
  }
  return token;
}

std::string random_words(Random& random) {
  constexpr std::string_view kOdd = "\"\\/ :{}[],\n\tkey*";
  std::string words;
  for (std::size_t n = random() % 6; n > 0; --n) words += kOdd[random() % kOdd.size()];
  return words;
}

Json random_json(Random& random, int depth) {
  switch (depth > 0 ? random() % 6 : random() % 4) {
    case 0:
      return random_words(random);
    case 1:
      return static_cast<std::int64_t>(random() % 1000);
    case 2:
      return nullptr;
    case 3:
      return random() % 2 == 0;
    case 4: {
      Json list = Json::array();
      for (std::size_t n = random() % 4; n > 0; --n) list.push_back(random_json(random, depth - 1));
      return list;
    }
    default: {
      Json object = Json::object();
      for (std::size_t n = random() % 4; n > 0; --n) {
        object[random_words(random)] = random_json(random, depth - 1);
      }
      return object;
    }
  }
}

// No piece of 8 bytes of `value` is in `text`.
bool is_gone(const std::string& text, std::string_view value) {
  for (std::size_t at = 0; at + 8 <= value.size(); ++at) {
    if (has(text, value.substr(at, 8))) return false;
  }
  return true;
}

}  // namespace

TEST_CASE("lift_secret: out of any JSON comes what a parser finds, and nothing of it stays") {
  for (std::uint64_t seed = 1; seed <= 3000; ++seed) {
    Random random(seed);
    Json whole = {{"before", random_json(random, 3)}, {"auth", {{"rest", random_json(random, 2)}}}};
    const std::string token = random_token(random);
    whole["auth"]["client_token"] = token;
    std::string text = whole.dump(random() % 2 == 0 ? -1 : 2);
    const auto lifted = lift_secret(text, "client_token");
    INFO("seed " << seed);
    REQUIRE(lifted);
    REQUIRE(lifted->reveal() == token);
    REQUIRE(is_gone(text, token));
    whole["auth"]["client_token"] = std::string(token.size(), '*');
    REQUIRE(Json::parse(text) == whole);
  }
}

TEST_CASE("lift_secret: any broken text is taken without a word, and keeps its length") {
  const std::string good = logged_in();
  for (std::uint64_t seed = 1; seed <= 3000; ++seed) {
    Random random(seed);
    std::string text = good.substr(0, random() % (good.size() + 1));
    for (std::size_t n = random() % 8; n > 0 && !text.empty(); --n) {
      constexpr std::string_view kTelling = "\"\\:{}u ";
      text[random() % text.size()] = kTelling[random() % kTelling.size()];
    }
    const std::size_t size = text.size();
    text.shrink_to_fit();  // What reads behind the end is seen by the address sanitizer.
    (void)lift_secret(text, "client_token");
    REQUIRE(text.size() == size);
  }
}

}  // namespace bao_exporter
