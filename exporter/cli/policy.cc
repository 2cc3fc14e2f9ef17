#include "bao_exporter/policy.h"

#include <iostream>

#include "cli/commands.h"

namespace bao_exporter::cli {

int policy(const ConfigOutcome& outcome, bool no_default_policy) {
  if (const int code = report(outcome); code != kGood) return code;
  std::cout << policy_text(outcome.config, no_default_policy);
  return kGood;
}

}  // namespace bao_exporter::cli
