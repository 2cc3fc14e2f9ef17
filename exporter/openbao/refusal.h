// Why a node does not give what it was asked for: what OpenBao's refusals mean, whatever was asked.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "bao_exporter/answer.h"

namespace bao_exporter::refusal {

[[nodiscard]] bool has_words(const Answer& answer, std::string_view words);
[[nodiscard]] bool is_json(const Answer& answer);

// "HTTP 403"
[[nodiscard]] std::string status_words(const Answer& answer);
// With the HTTP status before the words.
[[nodiscard]] Error error(ErrorCode code, const Answer& answer, std::string_view words);

// Of statuses from 300 to 399.
[[nodiscard]] Error redirect(const Answer& answer);
// A standby did not pass the request on because of its token; nullopt: it is something else.
[[nodiscard]] std::optional<Error> not_forwarded(const Answer& answer);
// A 403 with JSON: of a token that is known (a policy is missing), or of one that is not.
[[nodiscard]] bool token_is_known(const Answer& answer);
[[nodiscard]] Error rate_limited(const Answer& answer);
// Of statuses from 500.
[[nodiscard]] Error server_error(const Answer& answer);

// Of a question about a token: nullopt when it was answered (200).
[[nodiscard]] std::optional<Error> of_token_question(const Answer& answer);

}  // namespace bao_exporter::refusal
