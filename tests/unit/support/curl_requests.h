// Requests to the servers of a test, and their answers, by the real transport.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "../catch.h"
#include "bao_exporter/curl_transport.h"
#include "certificate.h"
#include "listening.h"

namespace bao_exporter::test {

inline const std::string kToken = "abcdefghijklmnopqrstuvwxyz";

inline std::shared_ptr<const TlsTrust> trust_in(const Identity& authority) {
  auto trust = std::make_shared<TlsTrust>();
  trust->authorities_pem = authority.certificate_pem();
  return trust;
}

inline Request request_to(std::uint16_t port, const std::string& scheme = "http") {
  Request request;
  request.url = {scheme, "127.0.0.1", port, "/v1/sys/metrics?format=prometheus"};
  request.deadline = Clock::now() + std::chrono::seconds(20);
  request.body_bytes_max = std::size_t{1} << 20;
  return request;
}

inline Request request_to(const Listening& listening) {
  Request request = request_to(listening.port(), "https");
  request.trust = trust_in(listening.authority);
  return request;
}

// The answer to one request alone.
inline Answer ask(Transport& transport, Request request) {
  std::optional<Answer> answer;
  const TimePoint limit = request.deadline + std::chrono::seconds(20);
  transport.start(std::move(request), [&](Answer got) {
    CHECK_FALSE(answer.has_value());
    answer = std::move(got);
  });
  while (!answer && Clock::now() < limit) transport.run_once(limit);
  REQUIRE(answer.has_value());
  return *std::move(answer);
}
inline Answer ask(Request request) { return ask(*make_curl_transport(), std::move(request)); }

inline std::string reason_of(const Answer& answer) {
  return answer.failure ? std::string(reason_name(answer.failure->code)) : "ok";
}

inline bool has(const std::string& text, std::string_view words) {
  return text.find(words) != std::string::npos;
}

}  // namespace bao_exporter::test
