// What one request became: an HTTP answer, or why there is none.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "bao_exporter/result.h"

namespace bao_exporter {

struct Answer {
  std::optional<Error> failure;  // set: no complete answer; the rest may be partly filled
  int status = 0;
  std::string content_type;
  std::string content_encoding;
  std::string body;
  // Retry-After of a 429 or 503, where it is a number of seconds.
  std::optional<std::uint64_t> retry_after_seconds;
  // Where the connection led, without port; empty: there was none.
  std::string address;
  // End of validity of the certificate that the server showed, seconds since 1970.
  std::optional<std::int64_t> certificate_not_after;

  [[nodiscard]] bool answered() const { return !failure.has_value(); }
};

}  // namespace bao_exporter
