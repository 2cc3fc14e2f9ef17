#include "bao_exporter/capabilities.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "openbao/refusal.h"

namespace bao_exporter {

namespace {

using Json = nlohmann::json;

constexpr std::string_view kMetrics = "sys/metrics";
constexpr std::array<std::string_view, 5> kPaths = {kMetrics, "sys/mounts", "sys/seal", "kv/data/x",
                                                    "auth/token/create"};

bool has(const std::vector<std::string>& capabilities, std::string_view name) {
  return std::find(capabilities.begin(), capabilities.end(), name) != capabilities.end();
}

std::optional<std::vector<std::string>> list_at(const Json& json, std::string_view path) {
  const auto at = json.find(std::string(path));
  if (at == json.end() || !at->is_array()) return std::nullopt;
  std::vector<std::string> names;
  for (const Json& name : *at) {
    if (!name.is_string()) return std::nullopt;
    names.push_back(name.get<std::string>());
  }
  std::sort(names.begin(), names.end());
  return names;
}

// The capabilities at that path that reading metrics does not need.
std::vector<std::string> excess_at(std::string_view path, const std::vector<std::string>& names) {
  std::vector<std::string> excess;
  for (const std::string& name : names) {
    const bool allowed = name == "deny" || (path == kMetrics && (name == "read" || name == "list"));
    if (!allowed) excess.push_back(name);
  }
  return excess;
}

std::string excess_words(const std::string& path, const std::vector<std::string>& names) {
  std::string words;
  for (const std::string& name : names) words += (words.empty() ? path + ": " : ", ") + name;
  return words;
}

}  // namespace

std::string capabilities_question() { return Json{{"paths", kPaths}}.dump(); }

Result<Capabilities> read_capabilities(const Answer& answer) {
  if (auto error = refusal::of_token_question(answer)) return *std::move(error);
  const Json json = Json::parse(answer.body, nullptr, /*allow_exceptions=*/false);
  const Error unreadable{ErrorCode::kProtocol, "sys/capabilities-self: not the JSON of OpenBao"};
  if (!json.is_object()) return unreadable;
  const auto data = json.find("data");
  const Json& source = data != json.end() && data->is_object() ? *data : json;
  Capabilities capabilities;
  for (const std::string_view path : kPaths) {
    auto names = list_at(source, path);
    if (!names) return unreadable;
    capabilities.emplace(path, *std::move(names));
  }
  return capabilities;
}

CapabilityVerdict judge_capabilities(const Capabilities& capabilities) {
  CapabilityVerdict verdict;
  for (const std::string_view path : kPaths) {
    const auto at = capabilities.find(std::string(path));
    if (at == capabilities.end()) continue;
    const bool root = has(at->second, "root");
    verdict.root = verdict.root || root;
    if (path == kMetrics) verdict.reads_metrics = root || has(at->second, "read");
    const std::vector<std::string> excess = excess_at(path, at->second);
    if (excess.empty()) continue;
    verdict.excess.push_back(excess_words(at->first, excess));
    verdict.excess_capabilities += excess.size();
  }
  return verdict;
}

}  // namespace bao_exporter
