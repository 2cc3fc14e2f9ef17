// `bao-exporter reference keys|reasons|remedies`: what this very binary knows, a line each, fields
// separated by tabs. The tests hold the documents against it.
#include <iostream>

#include "bao_exporter/config.h"
#include "bao_exporter/result.h"
#include "cli/commands.h"

namespace bao_exporter::cli {

int reference(const std::string& what) {
  if (what == "keys") {
    for (const ConfigKey& key : config_keys()) {
      std::cout << key.path << '\t' << key.type << '\t' << key.default_text << '\t'
                << (key.required ? "required" : "optional") << '\n';
    }
    return kGood;
  }
  if (what == "reasons") {
    for (std::size_t code = 0; code < kErrorCodeCount; ++code) {
      std::cout << reason_name(static_cast<ErrorCode>(code)) << '\n';
    }
    return kGood;
  }
  if (what == "remedies") {
    for (std::size_t code = 0; code < kErrorCodeCount; ++code) {
      std::cout << reason_name(static_cast<ErrorCode>(code)) << '\t'
                << reason_remedy(static_cast<ErrorCode>(code)) << '\n';
    }
    return kGood;
  }
  std::cerr << "reference: keys, reasons or remedies\n";
  return kUsage;
}

}  // namespace bao_exporter::cli
