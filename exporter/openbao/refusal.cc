#include "openbao/refusal.h"

namespace bao_exporter::refusal {

bool has_words(const Answer& answer, std::string_view words) {
  return answer.body.find(words) != std::string::npos;
}

bool is_json(const Answer& answer) { return answer.content_type.starts_with("application/json"); }

std::string status_words(const Answer& answer) { return "HTTP " + std::to_string(answer.status); }

Error error(ErrorCode code, const Answer& answer, std::string_view words) {
  return Error{code, status_words(answer) + ": " + std::string(words)};
}

Error redirect(const Answer& answer) {
  if (answer.status == 307) {
    return error(ErrorCode::kStandbyRedirect, answer, "a standby that does not serve reads");
  }
  return error(ErrorCode::kRedirect, answer, "redirects are never followed");
}

std::optional<Error> not_forwarded(const Answer& answer) {
  if (!has_words(answer, "cannot forward local-only request")) return std::nullopt;
  return error(ErrorCode::kStandbyRejected, answer,
               "the standby did not take the token (wrong, just minted, or num_uses)");
}

bool token_is_known(const Answer& answer) { return has_words(answer, "1 error occurred"); }

Error rate_limited(const Answer& answer) {
  return error(ErrorCode::kRateLimited, answer, "a quota of the node was hit");
}

Error server_error(const Answer& answer) {
  if (has_words(answer, "Vault is sealed")) {
    return error(ErrorCode::kSealed, answer, "the node is sealed");
  }
  if (has_words(answer, "active cluster node not found")) {
    return error(ErrorCode::kNoLeader, answer, "the cluster has no leader");
  }
  return error(ErrorCode::kServerError, answer, "the node failed to answer");
}

std::optional<Error> of_token_question(const Answer& answer) {
  if (answer.failure) return answer.failure;
  const int status = answer.status;
  if (status == 200) return std::nullopt;
  // A standby without an active node to pass it on to answers 307, too.
  if (status >= 300 && status < 400) return redirect(answer);
  if (auto known = not_forwarded(answer)) return known;
  if (status == 403 && is_json(answer)) {
    return token_is_known(answer)
               ? error(ErrorCode::kForbidden, answer, "no policy of the token allows it")
               : error(ErrorCode::kTokenRejected, answer,
                       "the token is unknown, expired or revoked");
  }
  if (status == 404) return error(ErrorCode::kNotFound, answer, "nothing at this path");
  if (status == 429) return rate_limited(answer);
  if (status >= 500) return server_error(answer);
  return error(ErrorCode::kUnexpectedStatus, answer, "not an answer that OpenBao gives");
}

}  // namespace bao_exporter::refusal
