#include "bao_exporter/capabilities.h"

#include <nlohmann/json.hpp>

#include "catch.h"
#include "support/answers.h"

namespace bao_exporter {

namespace {

using namespace test;  // NOLINT(google-build-using-namespace): the helpers of this test

// As OpenBao 2.7.2 gives it: the lists stand in the top level and in `data`.
Answer told(const std::string& metrics, const std::string& others) {
  const std::string lists = R"("auth/token/create":)" + others + R"(,"kv/data/x":)" + others +
                            R"(,"sys/metrics":)" + metrics + R"(,"sys/mounts":)" + others +
                            R"(,"sys/seal":)" + others;
  return json(200, "{" + lists + R"(,"request_id":"05065451","lease_id":"","renewable":false,)" +
                       R"("lease_duration":0,"data":{)" + lists +
                       R"(},"wrap_info":null,"warnings":null,"auth":null})" + "\n");
}

CapabilityVerdict judged(const Answer& answer) {
  const auto capabilities = read_capabilities(answer);
  REQUIRE(capabilities.ok());
  return judge_capabilities(capabilities.value());
}

ErrorCode refused(const Answer& answer) {
  const auto capabilities = read_capabilities(answer);
  REQUIRE_FALSE(capabilities.ok());
  return capabilities.error().code;
}

}  // namespace

TEST_CASE("the question has sys/metrics and paths where a token for metrics may do nothing") {
  const auto question = nlohmann::json::parse(capabilities_question());
  CHECK(question["paths"] ==
        nlohmann::json{"sys/metrics", "sys/mounts", "sys/seal", "kv/data/x", "auth/token/create"});
  CHECK(question.size() == 1);
}

TEST_CASE("a token with read and list on sys/metrics and nothing else is right") {
  for (const char* metrics : {R"(["list","read"])", R"(["read"])"}) {
    const CapabilityVerdict verdict = judged(told(metrics, R"(["deny"])"));
    CHECK_FALSE(verdict.root);
    CHECK(verdict.reads_metrics);
    CHECK(verdict.excess.empty());
  }
}

TEST_CASE("list alone does not read metrics, nor does deny") {
  for (const char* metrics : {R"(["list"])", R"(["deny"])", "[]"}) {
    const CapabilityVerdict verdict = judged(told(metrics, R"(["deny"])"));
    CHECK_FALSE(verdict.reads_metrics);
    CHECK(verdict.excess.empty());
  }
}

TEST_CASE("a root token is known as such") {
  const CapabilityVerdict verdict = judged(told(R"(["root"])", R"(["root"])"));
  CHECK(verdict.root);
  CHECK(verdict.reads_metrics);
}

TEST_CASE("what a token may do beyond reading metrics is named by path, in the order asked for") {
  const CapabilityVerdict verdict =
      judged(told(R"(["read","update","sudo"])", R"(["update","create"])"));
  CHECK(verdict.reads_metrics);
  CHECK(verdict.excess ==
        std::vector<std::string>{"sys/metrics: sudo, update", "sys/mounts: create, update",
                                 "sys/seal: create, update", "kv/data/x: create, update",
                                 "auth/token/create: create, update"});
}

TEST_CASE("an answer that refuses the question says why") {
  CHECK(refused(json(403, kNoPolicy)) == ErrorCode::kForbidden);
  CHECK(refused(json(403, kDenied)) == ErrorCode::kTokenRejected);
  CHECK(refused(json(400, kCannotForward)) == ErrorCode::kStandbyRejected);
  CHECK(refused(json(503, kVaultSealed)) == ErrorCode::kSealed);
  CHECK(refused(json(500, "{}")) == ErrorCode::kServerError);
  CHECK(refused(json(307, "")) == ErrorCode::kStandbyRedirect);
  CHECK(refused(failed(ErrorCode::kTimeout)) == ErrorCode::kTimeout);
}

TEST_CASE("an answer that is not OpenBao's tells no capability") {
  for (const char* body :
       {"", "null", "[]", "<html>", "{}", R"({"data":{}})", R"({"data":{"sys/metrics":["read"]}})",
        R"({"data":{"sys/metrics":"read"}})", R"({"data":7})"}) {
    CAPTURE(body);
    CHECK(refused(json(200, body)) == ErrorCode::kProtocol);
  }
  const std::string number = R"([1])";
  CHECK(refused(told(number, R"(["deny"])")) == ErrorCode::kProtocol);
}

}  // namespace bao_exporter
