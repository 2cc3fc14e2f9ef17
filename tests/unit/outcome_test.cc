#include "bao_exporter/outcome.h"

#include <chrono>
#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "catch.h"
#include "support/answers.h"
#include "support/outcomes.h"

namespace bao_exporter {

namespace {

using namespace test;  // NOLINT(google-build-using-namespace): the answers of this test

// --- What sys/metrics answers, each with the reason it has to become.

struct MetricsRow {
  const char* name;
  Answer answer;
  ErrorCode reason;
};

Answer redirect(int status) {
  return answer(status, "text/html; charset=utf-8", "<a href=\"https://10.0.0.10:8200/\">");
}

Answer encoded(Answer made, std::string encoding) {
  made.content_encoding = std::move(encoding);
  return made;
}

std::vector<MetricsRow> metrics_rows() {
  using enum ErrorCode;
  return {
      {"own metrics", exposition(small_body("0")), kOk},
      {"own metrics, identity named", encoded(exposition(small_body("0")), "identity"), kOk},
      {"metrics of a node that never was active", exposition(small_body("")), kOk},
      {"no token, or unknown, revoked, expired: active", json(403, kDenied), kTokenRejected},
      {"token without policy", json(403, kNoPolicy), kForbidden},
      {"any bad token: standby", json(400, kCannotForward), kStandbyRejected},
      {"the same, as 2.4 says it", json(500, kCannotForward), kStandbyRejected},
      {"sealed or uninitialized API", json(503, kVaultSealed), kSealed},
      {"the same, from another status", json(500, kVaultSealed), kSealed},
      {"no format parameter", json(200, R"({"Gauges":[]})"), kProtocol},
      {"no content type", answer(200, "", small_body("0")), kProtocol},
      {"HTML", answer(200, "text/html", "<html>"), kProtocol},
      {"OpenMetrics", answer(200, "application/openmetrics-text; version=1.0.0", "# EOF\n"),
       kProtocol},
      {"gzip nobody asked for", encoded(exposition(small_body("0")), "gzip"), kProtocol},
      {"two encodings", encoded(exposition(small_body("0")), "identity, gzip"), kProtocol},
      {"unknown format", plain(400, "metric response format \"foo\" unknown"), kUnexpectedStatus},
      {"another refusal with 400", json(400, R"({"errors":["missing client token"]})"),
       kUnexpectedStatus},
      {"empty refusal with 400", plain(400, ""), kUnexpectedStatus},
      {"a namespace header", json(400, kInNamespaces), kNamespaceRestricted},
      {"prometheus_retention_time = 0", plain(400, "prometheus is not enabled"),
       kTelemetryDisabled},
      {"disallow_metrics", plain(403, "metrics endpoint is disabled for this listener"),
       kMetricsDisabled},
      {"another path of a metrics_only listener",
       plain(404, "this listener only serves the metrics endpoint"), kNotFound},
      {"404 as JSON", json(404, R"({"errors":[]})"), kNotFound},
      {"405", json(405, R"({"errors":[]})"), kUnexpectedStatus},
      {"401", plain(401, "Unauthorized"), kUnexpectedStatus},
      {"204", plain(204, ""), kUnexpectedStatus},
      {"206", exposition(small_body("0")), kOk},  // status set below
      {"standby without standby reads", redirect(307), kStandbyRedirect},
      {"301", redirect(301), kRedirect},
      {"302", redirect(302), kRedirect},
      {"303", redirect(303), kRedirect},
      {"308", redirect(308), kRedirect},
      {"a rate limit quota", json(429, R"({"errors":["request path: quota exceeded"]})"),
       kRateLimited},
      {"no leader",
       json(500, R"({"errors":["local node not active but active cluster node not found"]})"),
       kNoLeader},
      {"500", json(500, R"({"errors":["internal error"]})"), kServerError},
      {"a proxy's 502", answer(502, "text/html", "<h1>Bad Gateway</h1>"), kServerError},
      {"503 of something else", plain(503, "overloaded"), kServerError},
      {"empty body", exposition(""), kTruncated},
      {"body without newline at its end", exposition("vault_core_active 1"), kTruncated},
      {"not an exposition", exposition("<html>\n"), kMalformed},
      {"a series twice", exposition("a 1\na 1\n"), kDuplicateSeries},
      {"name not found", failed(kDns), kDns},
      {"refused", failed(kConnect), kConnect},
      {"silent", failed(kTimeout), kTimeout},
      {"certificate not trusted", failed(kTls), kTls},
      {"reset", failed(kReset), kReset},
      {"cut", failed(kTruncated), kTruncated},
      {"larger than body_bytes_max", failed(kTooLarge), kTooLarge},
  };
}

std::vector<MetricsRow> all_metrics_rows() {
  auto rows = metrics_rows();
  for (MetricsRow& row : rows) {
    if (std::string_view(row.name) != "206") continue;
    row.answer.status = 206;
    row.reason = ErrorCode::kUnexpectedStatus;
  }
  return rows;
}

struct HealthRow {
  const char* name;
  std::optional<Answer> answer;
  std::optional<Role> role;  // absent: health does not tell
  bool reached = true;
};

std::vector<HealthRow> health_rows() {
  return {
      {"active", health_active(), Role::kActive},
      {"standby", health_standby(), Role::kStandby},
      {"sealed", health_sealed(), Role::kSealed},
      {"uninitialized", health_uninitialized(), Role::kUninitialized},
      {"active behind a code of its own", json(299, health_active().body), Role::kActive},
      {"no api_url", std::nullopt, std::nullopt, false},
      {"refused", failed(ErrorCode::kConnect), std::nullopt, false},
      {"not JSON", plain(404, "this listener only serves the metrics endpoint"), std::nullopt},
      {"a list", json(200, "[]"), std::nullopt},
      {"words for truths", json(200, R"({"initialized":"true","sealed":"false","standby":"no"})"),
       std::nullopt},
      {"standby not told", json(200, R"({"initialized":true,"sealed":false})"), std::nullopt},
      {"cut JSON", json(200, R"({"initialized":true,"sealed":false,"standby":tr)"), std::nullopt},
  };
}

}  // namespace

TEST_CASE("every answer of sys/metrics has its reason, whatever health said") {
  for (const HealthRow& health : health_rows()) {
    for (const MetricsRow& metrics : all_metrics_rows()) {
      INFO("health: " << health.name << ", metrics: " << metrics.name);
      PollAnswers answers{health.answer, metrics.answer, std::nullopt};
      // A second look, so that a contradiction is judged and not asked about again.
      const Outcome outcome = judge_poll(answers, options(true));
      ErrorCode reason = metrics.reason;
      if (reason == ErrorCode::kSealed && health.role == Role::kUninitialized) {
        reason = ErrorCode::kUninitialized;
      }
      CHECK(std::string(reason_name(outcome.reason)) == std::string(reason_name(reason)));
      CHECK_FALSE(outcome.ask_again);
      CHECK((outcome.part != nullptr) == (outcome.reason == ErrorCode::kOk));
      CHECK(outcome.detail.empty() == (outcome.reason == ErrorCode::kOk));

      const bool said_by_body =
          outcome.part != nullptr &&
          all_lines(*outcome.part).find("vault_core_active") != std::string::npos;
      Role role = Role::kUnknown;
      RoleSource source = RoleSource::kNone;
      if (health.role) {
        role = *health.role;
        source = RoleSource::kHealth;
      } else if (said_by_body) {
        role = Role::kStandby;
        source = RoleSource::kCoreActive;
      } else if (!health.reached && metrics.answer.failure) {
        role = Role::kUnreachable;
      }
      CHECK(std::string(role_name(outcome.role)) == std::string(role_name(role)));
      CHECK(std::string(role_source_name(outcome.role_source)) ==
            std::string(role_source_name(source)));
      CHECK(outcome.claims_active == (role == Role::kActive));
    }
  }
}

TEST_CASE("role, source and reason of each state of a node are those of the status table") {
  struct Row {
    const char* name;
    std::optional<Answer> health;
    std::optional<Answer> metrics;
    const char* role;
    const char* source;
    const char* reason;
  };
  const std::vector<Row> rows = {
      {"active, scoped token", health_active(), exposition(small_body("1")), "active", "health",
       "ok"},
      {"active, bad token", health_active(), json(403, kDenied), "active", "health",
       "token_rejected"},
      {"active, no policy", health_active(), json(403, kNoPolicy), "active", "health", "forbidden"},
      {"active, retention 0", health_active(), plain(400, "prometheus is not enabled"), "active",
       "health", "telemetry_disabled"},
      {"standby, scoped token", health_standby(), exposition(small_body("0")), "standby", "health",
       "ok"},
      {"standby, bad token", health_standby(), json(400, kCannotForward), "standby", "health",
       "standby_rejected"},
      {"standby that never was active", health_standby(), exposition(small_body("")), "standby",
       "health", "ok"},
      {"standby without reads", health_standby(), redirect(307), "standby", "health",
       "standby_redirect"},
      {"sealed, API", health_sealed(), json(503, kVaultSealed), "sealed", "health", "sealed"},
      {"sealed, metrics_only", health_sealed(), exposition(small_body("")), "sealed", "health",
       "ok"},
      {"sealed at runtime, metrics_only", health_sealed(), exposition(small_body("0")), "sealed",
       "health", "ok"},
      {"uninitialized, API", health_uninitialized(), json(503, kVaultSealed), "uninitialized",
       "health", "uninitialized"},
      {"uninitialized, metrics_only", health_uninitialized(), exposition(small_body("")),
       "uninitialized", "health", "ok"},
      {"metrics_only, active", std::nullopt, exposition(small_body("1")), "active", "core_active",
       "ok"},
      {"metrics_only, standby", std::nullopt, exposition(small_body("0")), "standby", "core_active",
       "ok"},
      {"metrics_only, freshly started and sealed", std::nullopt, exposition(small_body("")),
       "unknown", "none", "ok"},
      {"metrics_only, refused", std::nullopt, failed(ErrorCode::kConnect), "unreachable", "none",
       "connect"},
      {"metrics_only, sealed API behind it", std::nullopt, json(503, kVaultSealed), "unknown",
       "none", "sealed"},
      {"health silent, metrics at another address", failed(ErrorCode::kTimeout),
       exposition(small_body("1")), "active", "core_active", "ok"},
      {"health silent, metrics at another address, nothing told", failed(ErrorCode::kTimeout),
       exposition(small_body("")), "unknown", "none", "ok"},
      {"health silent, nothing else asked", failed(ErrorCode::kTimeout), std::nullopt,
       "unreachable", "none", "timeout"},
      {"health's certificate not trusted", failed(ErrorCode::kTls), std::nullopt, "unreachable",
       "none", "tls"},
      {"both silent", failed(ErrorCode::kTimeout), failed(ErrorCode::kTimeout), "unreachable",
       "none", "timeout"},
      {"metrics listener down, API says standby", health_standby(), failed(ErrorCode::kConnect),
       "standby", "health", "connect"},
      {"health not readable, metrics failed", plain(200, "hello"), failed(ErrorCode::kReset),
       "unknown", "none", "reset"},
      {"health not readable, core_active decides", plain(200, "hello"), exposition(small_body("0")),
       "standby", "core_active", "ok"},
  };
  for (const Row& row : rows) {
    INFO(row.name);
    const Outcome outcome = judge_poll({row.health, row.metrics, std::nullopt}, options());
    CHECK(role_name(outcome.role) == row.role);
    CHECK(role_source_name(outcome.role_source) == row.source);
    CHECK(reason_name(outcome.reason) == row.reason);
    CHECK((outcome.part != nullptr) == (std::string_view(row.reason) == "ok"));
    CHECK_FALSE(outcome.ask_again);
    CHECK_FALSE(outcome.disagreement);
  }
}

TEST_CASE("the detail of a refusal never quotes the body") {
  for (const MetricsRow& row : all_metrics_rows()) {
    if (row.answer.failure) continue;
    Answer with_mark = row.answer;
    with_mark.body += "s.Hvs0SecretMark";
    const Outcome outcome = judge_poll({health_active(), with_mark, std::nullopt}, options(true));
    INFO(row.name);
    CHECK(outcome.detail.find("Hvs0SecretMark") == std::string::npos);
  }
}

TEST_CASE("limits of the body have reasons of their own") {
  const auto reason_with = [](auto change, const std::string& body) {
    OutcomeOptions strict = options();
    change(strict.limits);
    return judge_poll({std::nullopt, exposition(body), std::nullopt}, strict).reason;
  };
  CHECK(reason_with([](ParseLimits& l) { l.samples_max = 1; }, "a 1\nb 1\n") ==
        ErrorCode::kLimitSamples);
  CHECK(reason_with([](ParseLimits& l) { l.line_bytes_max = 5; }, "abcdef 1\n") ==
        ErrorCode::kLimitLine);
  CHECK(reason_with([](ParseLimits& l) { l.labels_per_sample_max = 1; },
                    "a{b=\"1\",c=\"2\"} 1\n") == ErrorCode::kLimitLabels);
}

TEST_CASE("a disagreement of health and body is asked about once, before anybody is accused") {
  for (const auto& [health, core_active] : std::vector<std::pair<Answer, std::string>>{
           {health_standby(), "1"}, {health_sealed(), "1"}, {health_active(), "0"}}) {
    const Outcome outcome =
        judge_poll({health, exposition(small_body(core_active)), std::nullopt}, options(false));
    CHECK(outcome.ask_again);
    CHECK(outcome.disagreement);
    CHECK(outcome.part == nullptr);
  }
}

TEST_CASE("a standby that says active twice has somebody else's body, which is refused") {
  for (const Answer& health : {health_standby(), health_sealed(), health_uninitialized()}) {
    const Outcome outcome =
        judge_poll({health, exposition(small_body("1")), std::nullopt}, options(true));
    CHECK(outcome.reason == ErrorCode::kIdentityMismatch);
    CHECK(outcome.role == read_health(health).value().role());
    CHECK(outcome.role_source == RoleSource::kHealth);
    CHECK(outcome.part == nullptr);
    CHECK(outcome.disagreement);
    CHECK_FALSE(outcome.ask_again);
    CHECK_FALSE(outcome.claims_active);
  }
}

TEST_CASE("in the profile active a body that does not say active is read and not served") {
  OutcomeOptions active_only = options();
  active_only.active_only = true;
  const Outcome standby =
      judge_poll({std::nullopt, exposition(small_body("0", "1")), std::nullopt}, active_only);
  CHECK(standby.reason == ErrorCode::kOk);
  CHECK(standby.role == Role::kStandby);
  CHECK(standby.part == nullptr);
  CHECK(standby.facts.peer_id == "1");
  const Outcome active =
      judge_poll({std::nullopt, exposition(small_body("1")), std::nullopt}, active_only);
  CHECK(active.role == Role::kActive);
  CHECK(active.part != nullptr);
}

TEST_CASE("without health a node that was unsealed once and is not now is sealed") {
  const auto judged = [](const std::string& body) {
    return judge_poll({std::nullopt, exposition(body), std::nullopt}, options());
  };
  const std::string sealed = "vault_core_unsealed{cluster=\"lab\"} 0\n";
  const Outcome at_runtime = judged("vault_core_active 0\n" + sealed);
  CHECK(at_runtime.role == Role::kSealed);
  CHECK(at_runtime.role_source == RoleSource::kSealStatus);
  CHECK(at_runtime.part != nullptr);
  // The sample of the start stays for a while beside the real one.
  const std::string started = "vault_core_unsealed{cluster=\"\"} 0\n";
  CHECK(
      judged("vault_core_active 0\n" + started + "vault_core_unsealed{cluster=\"lab\"} 1\n").role ==
      Role::kStandby);
  // Never active nor standby: it may as well be uninitialized.
  CHECK(judged(sealed).role == Role::kUnknown);
}

TEST_CASE("an active node whose body says 0 twice is served, with the disagreement told") {
  const Outcome outcome =
      judge_poll({health_active(), exposition(small_body("0")), std::nullopt}, options(true));
  CHECK(outcome.reason == ErrorCode::kOk);
  CHECK(outcome.role == Role::kActive);
  CHECK(outcome.disagreement);
  CHECK_FALSE(outcome.ask_again);
  REQUIRE(outcome.part != nullptr);
  CHECK(all_lines(*outcome.part).find("vault_core_active") != std::string::npos);
}

TEST_CASE("a second look that agrees leaves nothing of the first") {
  const Outcome outcome =
      judge_poll({health_standby(), exposition(small_body("0")), std::nullopt}, options(true));
  CHECK(outcome.reason == ErrorCode::kOk);
  CHECK_FALSE(outcome.disagreement);
}

TEST_CASE("an active node whose metrics failed still claims to be active, with its term") {
  const Outcome outcome = judge_poll(
      {health_active(), failed(ErrorCode::kTimeout), leader_self("2026-11-23T00:20:45.734479023Z")},
      options());
  CHECK(outcome.claims_active);
  CHECK(outcome.active_time.has_value());
  CHECK(outcome.part == nullptr);
}

TEST_CASE("the facts of health, body and certificate reach the outcome") {
  Answer health = health_standby("2.6.2");
  Answer metrics = exposition(small_body("0", "openbao-1"));
  health.certificate_not_after = 1'800'000'000;
  const Outcome from_health = judge_poll({health, metrics, std::nullopt}, options());
  CHECK(from_health.certificate_not_after == 1'800'000'000);
  REQUIRE(from_health.health.has_value());
  CHECK(from_health.health->version == "2.6.2");
  CHECK(from_health.health->cluster_name == "lab");
  CHECK(from_health.health->cluster_id == "5f2c-77");
  CHECK(from_health.health->server_time == 1'795'392'000);
  CHECK(from_health.facts.peer_id == "openbao-1");
  metrics.certificate_not_after = 1'700'000'000;
  CHECK(judge_poll({health, metrics, std::nullopt}, options()).certificate_not_after ==
        1'700'000'000);
}

// --- active_time

namespace {

std::int64_t nanoseconds(int year, unsigned month, unsigned day, int hour, int minute, int second,
                         std::int64_t fraction) {
  using namespace std::chrono;  // NOLINT(google-build-using-namespace)
  const auto days =
      sys_days{std::chrono::year{year} / static_cast<int>(month) / static_cast<int>(day)};
  const auto at = days + hours{hour} + minutes{minute} + seconds{second};
  return duration_cast<std::chrono::nanoseconds>(at.time_since_epoch()).count() + fraction;
}

std::optional<std::int64_t> active_time(const std::string& text) {
  return read_active_time(leader_self(text));
}

}  // namespace

TEST_CASE("active_time is read to the nanosecond, with any offset") {
  const std::int64_t second = nanoseconds(2026, 11, 23, 0, 20, 45, 0);
  CHECK(active_time("2026-11-23T00:20:45Z") == second);
  CHECK(active_time("2026-11-23T00:20:45.7Z") == second + 700'000'000);
  CHECK(active_time("2026-11-23T00:20:45.734Z") == second + 734'000'000);
  CHECK(active_time("2026-11-23T00:20:45.734479Z") == second + 734'479'000);
  CHECK(active_time("2026-11-23T00:20:45.734479023Z") == second + 734'479'023);
  CHECK(active_time("2026-11-23T00:20:45.000000001Z") == second + 1);
  CHECK(active_time("2026-11-23T00:20:45.7344790239999Z") == second + 734'479'023);
  CHECK(active_time("2026-11-23T00:20:45.0" + std::string(200, '9') + "Z") == second + 99'999'999);
  CHECK(active_time("2026-11-23T01:20:45.5+01:00") == second + 500'000'000);
  CHECK(active_time("2026-11-22T18:50:45-05:30") == second);
  CHECK(active_time("2026-11-23T00:20:45+00:00") == second);
  CHECK(active_time("2024-02-29T23:59:59Z") == nanoseconds(2024, 2, 29, 23, 59, 59, 0));
  CHECK(active_time("1970-01-01T00:00:00Z") == 0);
}

TEST_CASE("an active_time that is no time proves nothing") {
  for (const char* text :
       {"", "Z", "now", "2026", "2026-11-23", "2026-11-23T00:20:45", "2026-11-23T00:20Z",
        "2026-11-23T00:20:45z0", "2026-11-23T00:20:45.5", "2026-11-23T00:20:45+1:00",
        "2026-11-23T00:20:45+0100", "2026-11-23T00:20:45+01:0", "2026-11-23T00:20:45+ab:cd",
        "2026-11-23T00:20:45-", "20x6-11-23T00:20:45Z", "-026-11-23T00:20:45Z",
        "2026-11-23T00:20:4aZ", "2026-11-23T00:20:45ZZ", "2026-11-23T00:20:45 Z"}) {
    INFO(text);
    CHECK_FALSE(active_time(text).has_value());
  }
}

TEST_CASE("an active_time with fields out of range or other separators proves nothing") {
  for (const char* text :
       {"2026-13-23T00:20:45Z", "2026-00-23T00:20:45Z", "2026-11-32T00:20:45Z",
        "2026-11-00T00:20:45Z", "2026-11-23T24:20:45Z", "2026-11-23T00:60:45Z",
        "2026-11-23T00:20:61Z", "2026x11x23x00x20x45Z", "2026-11-23T00:20:45+01x00",
        "2026-11-23T00:20:45+99:99", "2026-02-30T00:00:00Z"}) {
    INFO(text);
    CHECK_FALSE(active_time(text).has_value());
  }
}

TEST_CASE("a year beyond what nanoseconds can hold proves nothing") {
  // 0001-01-01 is what Go writes for a time that was never set.
  for (const char* text : {"0001-01-01T00:00:00Z", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59Z",
                           "2262-04-12T00:00:00Z", "1677-09-20T00:00:00Z"}) {
    INFO(text);
    CHECK_FALSE(active_time(text).has_value());
  }
}

TEST_CASE("only the node that calls itself the leader has a term") {
  const std::string time = R"("active_time":"2026-11-23T00:20:45Z")";
  CHECK(read_active_time(json(200, R"({"is_self":true,)" + time + "}")).has_value());
  CHECK_FALSE(read_active_time(json(200, R"({"is_self":false,)" + time + "}")).has_value());
  CHECK_FALSE(read_active_time(json(200, R"({"is_self":"true",)" + time + "}")).has_value());
  CHECK_FALSE(read_active_time(json(200, "{" + time + "}")).has_value());
  CHECK_FALSE(read_active_time(json(200, R"({"is_self":true})")).has_value());
  CHECK_FALSE(read_active_time(json(200, R"({"is_self":true,"active_time":17})")).has_value());
  CHECK_FALSE(read_active_time(json(503, R"({"is_self":true,)" + time + "}")).has_value());
  CHECK_FALSE(read_active_time(json(200, "")).has_value());
  CHECK_FALSE(read_active_time(json(200, "[]")).has_value());
  CHECK_FALSE(read_active_time(leader_other()).has_value());
  Answer cut = leader_self("2026-11-23T00:20:45Z");
  cut.failure = Error{ErrorCode::kTruncated, ""};
  CHECK_FALSE(read_active_time(cut).has_value());
}

TEST_CASE("a leader that cannot be read leaves the claim unproven") {
  for (const Answer& leader : {failed(ErrorCode::kTimeout), json(503, kVaultSealed), leader_other(),
                               leader_self("garbage")}) {
    const Outcome outcome =
        judge_poll({health_active(), exposition(small_body("1")), leader}, options());
    CHECK(outcome.reason == ErrorCode::kOk);
    CHECK(outcome.claims_active);
    CHECK_FALSE(outcome.active_time.has_value());
  }
}

// --- Whatever comes back

TEST_CASE("no answer of sys/health or sys/leader crashes the reader") {
  std::mt19937 random(20'261'123);  // NOLINT: the same each time
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  const std::vector<std::string> seeds = {health_active().body, health_standby().body,
                                          health_sealed().body,
                                          leader_self("2026-11-23T00:20:45.734479023Z").body};
  const std::vector<std::string> pieces = {"null",
                                           "true",
                                           "false",
                                           "{",
                                           "}",
                                           "[",
                                           "]",
                                           "\"",
                                           "\\u0000",
                                           "\\ud800",
                                           "1e999",
                                           "-1",
                                           "18446744073709551615",
                                           "99999999999999999999999",
                                           ":",
                                           ",",
                                           "\xff",
                                           std::string(1, '\0'),
                                           "9999-12-31T23:59:59Z",
                                           "0001-01-01T00:00:00Z",
                                           "T",
                                           "+99:99"};
  std::size_t read = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string body = seeds[below(seeds.size())];
    for (std::size_t changes = 1 + below(4); changes > 0; --changes) {
      const std::size_t at = below(body.size() + 1);
      switch (below(4)) {
        case 0:
          body.insert(at, pieces[below(pieces.size())]);
          break;
        case 1:
          body.erase(at, below(20));
          break;
        case 2:
          if (at < body.size()) body[at] = static_cast<char>(random());
          break;
        default:
          body.resize(at);
          break;
      }
    }
    const Answer made = json(200, body);
    const auto health = read_health(made);
    if (health.ok()) ++read;
    if (!health.ok()) CHECK(health.error().code == ErrorCode::kProtocol);
    (void)read_active_time(made);
  }
  CHECK(read > 100);  // The mutations are not all hopeless.
  CHECK_FALSE(read_health(json(200, std::string(60'000, '['))).ok());
  std::string deep;
  for (int i = 0; i < 10'000; ++i) deep += R"({"a":)";
  CHECK_FALSE(read_health(json(200, deep)).ok());
}

TEST_CASE("random metrics bodies never crash the judge and never pass half") {
  std::mt19937 random(7);  // NOLINT: the same each time
  for (int round = 0; round < 2'000; ++round) {
    std::string body(kRealisticBody);
    for (std::size_t changes = 1 + random() % 5; changes > 0; --changes) {
      body[random() % body.size()] = static_cast<char>(random());
    }
    const Outcome outcome =
        judge_poll({health_active(), exposition(body), std::nullopt}, options());
    CHECK(((outcome.part != nullptr) == (outcome.reason == ErrorCode::kOk)));
  }
}

}  // namespace bao_exporter
