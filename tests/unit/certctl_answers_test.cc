#include "catch.h"
#include "certctl/answers.h"
#include "support/answers.h"

namespace bao_exporter::certctl {

namespace {

using namespace test;  // NOLINT(google-build-using-namespace): the helpers of this test

std::optional<ErrorCode> judged(const Answer& answer, Expected expected = Expected::kJson) {
  const auto error = judge(answer, expected);
  return error ? std::optional(error->code) : std::nullopt;
}

Result<KeyPowers> powers(const std::string& body) { return read_powers(json(200, body)); }

ErrorCode powers_refused(const std::string& body) {
  const auto read = powers(body);
  REQUIRE_FALSE(read.ok());
  return read.error().code;
}

}  // namespace

TEST_CASE("certctl: an answer is good with 200, the type asked for, and no encoding") {
  CHECK_FALSE(judged(json(200, "{}")));
  CHECK_FALSE(judged(answer(200, "application/json; charset=utf-8", "{}")));
  CHECK_FALSE(judged(exposition("x 1\n"), Expected::kExposition));
  CHECK(judged(plain(200, "{}")) == ErrorCode::kProtocol);
  CHECK(judged(json(200, "{}"), Expected::kExposition) == ErrorCode::kProtocol);
  Answer packed = json(200, "{}");
  packed.content_encoding = "gzip";
  CHECK(judged(packed) == ErrorCode::kProtocol);
}

TEST_CASE("certctl: each status has its reason") {
  // 401 comes with a JSON body, but as text.
  CHECK(judged(plain(401, R"({"error":"Invalid API key"})")) == ErrorCode::kTokenRejected);
  CHECK(judged(json(403, R"({"error":"Insufficient permissions"})")) == ErrorCode::kForbidden);
  CHECK(judged(plain(404, "404 page not found")) == ErrorCode::kNotFound);
  CHECK(judged(plain(429, R"({"error":"Rate limit exceeded"})")) == ErrorCode::kRateLimited);
  CHECK(judged(json(500, R"({"error":"Internal error"})")) == ErrorCode::kServerError);
  CHECK(judged(plain(502, "bad gateway")) == ErrorCode::kServerError);
  CHECK(judged(json(301, "")) == ErrorCode::kRedirect);
  CHECK(judged(json(204, "")) == ErrorCode::kUnexpectedStatus);
  CHECK(judged(plain(400, "Client sent an HTTP request to an HTTPS server.")) ==
        ErrorCode::kUnexpectedStatus);
  CHECK(judged(failed(ErrorCode::kTls)) == ErrorCode::kTls);
  CHECK(judge(json(403, "secret words"), Expected::kJson)->detail ==
        "HTTP 403: the API key lacks the permission");
}

TEST_CASE("certctl: /ready tells a database that is down from a server that is") {
  const auto up = read_ready(json(200, R"({"db":"reachable","status":"ready"})"));
  REQUIRE(up.ok());
  CHECK(up.value());
  const auto down = read_ready(json(503, R"({"error":"dial unix","status":"db_unavailable"})"));
  REQUIRE(down.ok());
  CHECK_FALSE(down.value());

  CHECK(read_ready(plain(503, "no server is available")).error().code == ErrorCode::kServerError);
  CHECK(read_ready(json(503, R"({"status":"ready"})")).error().code == ErrorCode::kServerError);
  CHECK(read_ready(json(200, R"({"status":"db_unavailable"})")).error().code ==
        ErrorCode::kProtocol);
  CHECK(read_ready(plain(200, "<html>")).error().code == ErrorCode::kProtocol);
  CHECK(read_ready(json(200, "[]")).error().code == ErrorCode::kProtocol);
  CHECK(read_ready(plain(429, "")).error().code == ErrorCode::kRateLimited);
  CHECK(read_ready(failed(ErrorCode::kTimeout)).error().code == ErrorCode::kTimeout);
}

TEST_CASE("certctl: the version is told as it is, dev too") {
  for (const std::string version : {"dev", "2.1.7"}) {
    const auto read = read_version(json(200, R"({"version":")" + version + R"(","commit":""})"));
    REQUIRE(read.ok());
    CHECK(read.value() == version);
  }
  for (const char* body : {"", "{}", R"({"version":""})", R"({"version":2})", R"(["dev"])"}) {
    CHECK(read_version(json(200, body)).error().code == ErrorCode::kProtocol);
  }
  CHECK(read_version(json(500, "{}")).error().code == ErrorCode::kServerError);
}

TEST_CASE("certctl: a key that may only read has no excess") {
  const auto read =
      powers(R"({"actor_id":"viewer","admin":false,"roles":["r-viewer"],"effective_permissions":[)"
             R"({"permission":"agent.read","scope_type":"global"},)"
             R"({"permission":"cert.read","scope_type":"global"}]})");
  REQUIRE(read.ok());
  CHECK(read.value().may("cert.read"));
  CHECK_FALSE(read.value().may("metrics.read"));
  CHECK(read.value().excess() == 0);
  CHECK(read.value().excess_words().empty());
}

TEST_CASE("certctl: what a key may do beyond reading is counted and named") {
  const auto read = powers(R"({"admin":true,"effective_permissions":[{"permission":"cert.write"},)"
                           R"({"permission":"cert.read"},{"permission":"read"}]})");
  REQUIRE(read.ok());
  CHECK(read.value().excess() == 3);
  CHECK(read.value().excess_words() == "admin, cert.write, read");
}

TEST_CASE("certctl: of many permissions eight are named") {
  std::string list;
  for (int i = 0; i < 11; ++i) {
    list += (i == 0 ? "" : ",") + std::string(R"({"permission":"p)") + static_cast<char>('a' + i) +
            R"(.write"})";
  }
  const auto read = powers(R"({"admin":true,"effective_permissions":[)" + list + "]}");
  REQUIRE(read.ok());
  CHECK(read.value().excess() == 12);
  CHECK(read.value().excess_words() ==
        "admin, pa.write, pb.write, pc.write, pd.write, pe.write, pf.write, pg.write and 4 more");
}

TEST_CASE("certctl: a key without any permission has null for a list") {
  const auto read = powers(R"({"admin":false,"effective_permissions":null})");
  REQUIRE(read.ok());
  CHECK(read.value().permissions.empty());
}

TEST_CASE("certctl: powers that cannot be read are not taken for none") {
  for (const char* body : {"", "[]", "{}", R"({"admin":false})", R"({"effective_permissions":[]})",
                           R"({"admin":"no","effective_permissions":[]})",
                           R"({"admin":false,"effective_permissions":{}})",
                           R"({"admin":false,"effective_permissions":["cert.read"]})",
                           R"({"admin":false,"effective_permissions":[{}]})",
                           R"({"admin":false,"effective_permissions":[{"permission":1}]})",
                           R"({"admin":true,"admin":false,"effective_permissions":[]})"}) {
    INFO(body);
    CHECK(powers_refused(body) == ErrorCode::kProtocol);
  }
  CHECK(read_powers(plain(401, "{}")).error().code == ErrorCode::kTokenRejected);
}

}  // namespace bao_exporter::certctl
