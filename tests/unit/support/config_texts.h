// What tests of the configuration start from.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "bao_exporter/config.h"

namespace bao_exporter::test {

inline const ConfigEnvironment kEnvironment{"/run/credentials/bao", "host-1"};

inline constexpr std::string_view kMinimal = R"(
[[openbao]]
cluster = "prod"
[[openbao.node]]
name = "openbao-0"
api_url = "https://10.0.0.10:8200"
)";

inline std::string all_problems(const std::vector<ConfigProblem>& problems) {
  std::string out;
  for (const ConfigProblem& problem : problems) out += problem.to_string() + "\n";
  return out;
}

}  // namespace bao_exporter::test
