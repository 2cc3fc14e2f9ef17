// What each answer of an OpenBao node means by itself.
#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <nlohmann/json.hpp>

#include "bao_exporter/outcome.h"
#include "openbao/refusal.h"

namespace bao_exporter {

namespace {

using Json = nlohmann::json;

constexpr std::size_t kTextBytesMax = 256;

// 400, and 500 of OpenBao up to 2.4.
std::optional<Error> judge_known_refusal(const Answer& answer) {
  if (auto standby = refusal::not_forwarded(answer)) return standby;
  if (refusal::has_words(answer, "prometheus is not enabled")) {
    return refusal::error(ErrorCode::kTelemetryDisabled, answer,
                          "set prometheus_retention_time in the node's telemetry stanza");
  }
  if (refusal::has_words(answer, "operation unavailable in namespaces")) {
    return refusal::error(ErrorCode::kNamespaceRestricted, answer,
                          "sys/metrics is served in the root namespace only");
  }
  return std::nullopt;
}

Error judge_denied(const Answer& answer) {
  if (!refusal::is_json(answer)) {
    return refusal::error(ErrorCode::kMetricsDisabled, answer,
                          "disallow_metrics is set on this listener");
  }
  if (refusal::token_is_known(answer)) {
    return refusal::error(ErrorCode::kForbidden, answer,
                          "the token's policy lacks read on sys/metrics");
  }
  return refusal::error(ErrorCode::kTokenRejected, answer,
                        "the token is unknown, expired or revoked");
}

std::optional<Error> judge_good_status(const Answer& answer) {
  if (!answer.content_encoding.empty() && answer.content_encoding != "identity") {
    return refusal::error(ErrorCode::kProtocol, answer, "an encoding that was not asked for");
  }
  if (!answer.content_type.starts_with("text/plain")) {
    return refusal::error(ErrorCode::kProtocol, answer, "the content type is not text/plain");
  }
  return std::nullopt;
}

std::string text_of(const Json& json, const char* key) {
  const auto at = json.find(key);
  std::string text = at != json.end() && at->is_string() ? at->get<std::string>() : std::string();
  // It becomes a label: no exposition may hold these bytes, and nobody needs more of them.
  std::erase_if(text, [](char c) { return (c >= 0 && c < 0x20) || c == 0x7f; });
  return text.size() > kTextBytesMax ? std::string() : text;
}

std::optional<int> digits_at(std::string_view text, std::size_t at, std::size_t count) {
  int value = 0;
  if (text.size() < at + count) return std::nullopt;
  const char* end = text.data() + at + count;
  const auto read = std::from_chars(text.data() + at, end, value);
  if (read.ec != std::errc() || read.ptr != end || value < 0) return std::nullopt;
  return value;
}

// "+01:30" at the end of a time, in seconds.
std::optional<std::int64_t> offset_of(std::string_view text) {
  if (text == "Z") return 0;
  const auto hours = digits_at(text, 1, 2);
  const auto minutes = digits_at(text, 4, 2);
  const bool shaped = text.size() == 6 && (text[0] == '+' || text[0] == '-') && text[3] == ':';
  if (!shaped || !hours || !minutes || *hours > 23 || *minutes > 59) return std::nullopt;
  const std::int64_t seconds = *hours * 3600LL + *minutes * 60LL;
  return text[0] == '+' ? seconds : -seconds;
}

// ".734479023": nanoseconds, and how many bytes it took; nothing there is 0.
std::pair<std::int64_t, std::size_t> fraction_of(std::string_view text) {
  if (text.size() < 2 || text[0] != '.') return {0, 0};
  std::int64_t nanoseconds = 0;
  std::int64_t unit = 100'000'000;
  std::size_t at = 1;
  for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at, unit /= 10) {
    nanoseconds += (text[at] - '0') * unit;
  }
  return {nanoseconds, at > 1 ? at : 0};
}

// RFC 3339 as Go writes it: 2026-11-23T00:20:45.734479023Z, or +01:00 at the end. A time that does
// not exist, or that no node can have become active at (Go's zero time), is none.
std::optional<std::int64_t> nanoseconds_of(std::string_view text) {
  constexpr std::string_view kShape = "0000-00-00T00:00:00";
  if (text.size() <= kShape.size()) return std::nullopt;
  for (std::size_t i = 0; i < kShape.size(); ++i) {
    if (kShape[i] != '0' && text[i] != kShape[i]) return std::nullopt;
  }
  std::array<int, 6> field{};
  constexpr std::array<std::pair<std::size_t, std::size_t>, 6> kPlaces = {
      {{0, 4}, {5, 2}, {8, 2}, {11, 2}, {14, 2}, {17, 2}}};
  for (std::size_t i = 0; i < kPlaces.size(); ++i) {
    const auto value = digits_at(text, kPlaces[i].first, kPlaces[i].second);
    if (!value) return std::nullopt;
    field[i] = *value;
  }
  const std::chrono::year_month_day date{std::chrono::year(field[0]),
                                         std::chrono::month(static_cast<unsigned>(field[1])),
                                         std::chrono::day(static_cast<unsigned>(field[2]))};
  const bool in_range =
      field[0] >= 1970 && field[0] < 2262 && field[3] < 24 && field[4] < 60 && field[5] < 60;
  if (!date.ok() || !in_range) return std::nullopt;
  const auto [fraction, fraction_bytes] = fraction_of(text.substr(kShape.size()));
  const auto offset = offset_of(text.substr(kShape.size() + fraction_bytes));
  if (!offset) return std::nullopt;
  const std::int64_t days = std::chrono::sys_days(date).time_since_epoch().count();
  const std::int64_t seconds = ((days * 24 + field[3]) * 60 + field[4]) * 60 + field[5] - *offset;
  return seconds * 1'000'000'000 + fraction;
}

}  // namespace

Role Health::role() const {
  if (!initialized) return Role::kUninitialized;
  if (sealed) return Role::kSealed;
  return standby ? Role::kStandby : Role::kActive;
}

Result<Health> read_health(const Answer& answer) {
  if (answer.failure) return *answer.failure;
  const Json json = Json::parse(answer.body, nullptr, /*allow_exceptions=*/false);
  const auto flag = [&](const char* key) {
    const auto at = json.find(key);
    return at != json.end() && at->is_boolean() ? std::optional<bool>(at->get<bool>())
                                                : std::nullopt;
  };
  if (!json.is_object()) {
    return Error{ErrorCode::kProtocol,
                 "sys/health: " + refusal::status_words(answer) + " without JSON"};
  }
  const auto initialized = flag("initialized");
  const auto sealed = flag("sealed");
  const auto standby = flag("standby");
  if (!initialized || !sealed || !standby) {
    return Error{ErrorCode::kProtocol, "sys/health: " + refusal::status_words(answer) +
                                           " without initialized, sealed and standby"};
  }
  Health health;
  health.initialized = *initialized;
  health.sealed = *sealed;
  health.standby = *standby;
  health.version = text_of(json, "version");
  health.cluster_name = text_of(json, "cluster_name");
  health.cluster_id = text_of(json, "cluster_id");
  const auto time = json.find("server_time_utc");
  if (time != json.end() && time->is_number_integer()) {
    health.server_time = time->get<std::int64_t>();
  }
  return health;
}

std::optional<std::int64_t> read_active_time(const Answer& answer) {
  if (answer.failure || answer.status != 200) return std::nullopt;
  const Json json = Json::parse(answer.body, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return std::nullopt;
  const auto self = json.find("is_self");
  if (self == json.end() || !self->is_boolean() || !self->get<bool>()) return std::nullopt;
  return nanoseconds_of(text_of(json, "active_time"));
}

std::optional<Error> judge_metrics(const Answer& answer) {
  if (answer.failure) return answer.failure;
  const int status = answer.status;
  if (status == 200) return judge_good_status(answer);
  if (status >= 300 && status < 400) return refusal::redirect(answer);
  if (status == 400 || status == 500) {
    if (auto known = judge_known_refusal(answer)) return known;
  }
  if (status == 403) return judge_denied(answer);
  if (status == 404) {
    return refusal::error(ErrorCode::kNotFound, answer, "no metrics at this path; see metrics_url");
  }
  if (status == 429) return refusal::rate_limited(answer);
  if (status >= 500) return refusal::server_error(answer);
  return refusal::error(ErrorCode::kUnexpectedStatus, answer, "not an answer that OpenBao gives");
}

}  // namespace bao_exporter
