// What OpenBao 2.7.2 answers about tokens.
#pragma once

#include <string>

#include "answers.h"

namespace bao_exporter::test {

inline Answer logged_in_answer(const std::string& token, int ttl, bool renewable = true) {
  return json(200,
              R"({"request_id":"7836a948","lease_id":"","data":null,"auth":{"client_token":")" +
                  token + R"(","accessor":"IzlL3Zlq","policies":["metrics-read"],)" +
                  R"("lease_duration":)" + std::to_string(ttl) + R"(,"renewable":)" +
                  (renewable ? "true" : "false") + R"(,"token_type":"service"}})");
}

// ttl 0: it never ends.
inline Answer looked_up_answer(int ttl, bool renewable = true) {
  return json(200, R"({"request_id":"fb757c18","data":{"accessor":"5QSxdbt2","id":"s.itself",)"
                   R"("expire_time":)" +
                       std::string(ttl == 0 ? "null" : R"("2026-11-23T09:04:22Z")") +
                       R"(,"renewable":)" + (renewable ? "true" : "false") + R"(,"ttl":)" +
                       std::to_string(ttl) + R"(},"auth":null})");
}

inline Answer unwrapped_answer(const std::string& secret_id) {
  return json(200, R"({"data":{"secret_id":")" + secret_id +
                       R"(","secret_id_accessor":"e8dcad4c"},"auth":null})");
}

inline Answer capabilities_answer(const std::string& mounts = R"(["deny"])",
                                  const std::string& metrics = R"(["read"])") {
  return json(200, R"({"data":{"sys/metrics":)" + metrics + R"(,"sys/mounts":)" + mounts +
                       R"(,"sys/seal":["deny"],"kv/data/x":["deny"],)" +
                       R"("auth/token/create":["deny"]}})");
}

}  // namespace bao_exporter::test
