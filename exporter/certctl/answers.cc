#include "certctl/answers.h"

#include <array>
#include <vector>

#include "certctl/json_reader.h"

namespace bao_exporter::certctl {

namespace {

constexpr std::size_t kWordsMax = 8;

Error told(ErrorCode code, const Answer& answer, std::string_view words) {
  return Error{code, "HTTP " + std::to_string(answer.status) + ": " + std::string(words)};
}

std::optional<Error> judge_good_status(const Answer& answer, Expected expected) {
  if (!answer.content_encoding.empty() && answer.content_encoding != "identity") {
    return told(ErrorCode::kProtocol, answer, "an encoding that was not asked for");
  }
  const std::string_view type = expected == Expected::kJson ? "application/json" : "text/plain";
  if (!answer.content_type.starts_with(type)) {
    return told(ErrorCode::kProtocol, answer, "the content type is not " + std::string(type));
  }
  return std::nullopt;
}

bool is_excess(std::string_view permission) { return !permission.ends_with(".read"); }

std::vector<std::string_view> excess_of(const KeyPowers& powers) {
  std::vector<std::string_view> excess;
  if (powers.admin) excess.emplace_back("admin");
  for (const std::string& permission : powers.permissions) {
    if (is_excess(permission)) excess.emplace_back(permission);
  }
  return excess;
}

}  // namespace

std::optional<Error> judge(const Answer& answer, Expected expected) {
  if (answer.failure) return answer.failure;
  const int status = answer.status;
  if (status == 200) return judge_good_status(answer, expected);
  if (status >= 300 && status < 400) {
    return told(ErrorCode::kRedirect, answer, "redirects are never followed");
  }
  if (status == 401) return told(ErrorCode::kTokenRejected, answer, "the API key is not known");
  if (status == 403) return told(ErrorCode::kForbidden, answer, "the API key lacks the permission");
  if (status == 404) return told(ErrorCode::kNotFound, answer, "nothing at this path");
  if (status == 429) return told(ErrorCode::kRateLimited, answer, "too many requests from here");
  if (status >= 500) return told(ErrorCode::kServerError, answer, "the server failed to answer");
  return told(ErrorCode::kUnexpectedStatus, answer, "not an answer that certctl gives");
}

Result<bool> read_ready(const Answer& answer) {
  const bool may_tell = !answer.failure && (answer.status == 200 || answer.status == 503);
  if (!may_tell) {
    if (auto error = judge(answer, Expected::kJson)) return *std::move(error);
  }
  const auto json = read_json(answer.body, "/ready");
  std::string status;
  if (json.ok()) status = Fields(json.value(), "/ready").text("status");
  if (answer.status == 200 && status == "ready") return true;
  if (answer.status == 503 && status == "db_unavailable") return false;
  if (answer.status == 503) {
    return told(ErrorCode::kServerError, answer, "/ready: not certctl's word on its database");
  }
  return told(ErrorCode::kProtocol, answer, "/ready: not what certctl answers");
}

Result<std::string> read_version(const Answer& answer) {
  if (auto error = judge(answer, Expected::kJson)) return *std::move(error);
  const auto json = read_json(answer.body, "version");
  if (!json.ok()) return json.error();
  Fields fields(json.value(), "version: the answer");
  std::string version = label_text(fields.word("version"));
  if (fields.error()) return *fields.error();
  return version;
}

std::size_t KeyPowers::excess() const { return excess_of(*this).size(); }

std::string KeyPowers::excess_words() const {
  const auto excess = excess_of(*this);
  std::string words;
  for (std::size_t i = 0; i < excess.size() && i < kWordsMax; ++i) {
    if (i > 0) words += ", ";
    words += excess[i];
  }
  if (excess.size() > kWordsMax) {
    words += " and " + std::to_string(excess.size() - kWordsMax) + " more";
  }
  return words;
}

bool KeyPowers::may(std::string_view permission) const { return permissions.contains(permission); }

Result<KeyPowers> read_powers(const Answer& answer) {
  if (auto error = judge(answer, Expected::kJson)) return *std::move(error);
  const auto json = read_json(answer.body, "auth/me");
  if (!json.ok()) return json.error();
  Fields fields(json.value(), "auth/me: the answer");
  KeyPowers powers;
  powers.admin = fields.flag("admin");
  const Json* list = fields.list("effective_permissions");
  if (fields.error()) return *fields.error();
  if (list == nullptr) return powers;
  for (std::size_t i = 0; i < list->size(); ++i) {
    Fields permission((*list)[i], "auth/me: effective_permissions[" + std::to_string(i) + "]");
    powers.permissions.insert(label_text(permission.word("permission")));
    if (permission.error()) return *permission.error();
  }
  return powers;
}

}  // namespace bao_exporter::certctl
