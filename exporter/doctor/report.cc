// All checks, and how they are printed.
#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "doctor/checks.h"

namespace bao_exporter {

namespace {

constexpr std::array<std::string_view, 3> kResultNames = {"OK", "WARN", "FAIL"};

struct Column {
  std::size_t width = 0;
  void fit(const std::string& text) { width = std::max(width, text.size()); }
  [[nodiscard]] std::string pad(const std::string& text) const {
    return text + std::string(width - text.size() + 2, ' ');
  }
};

std::string words_of(const Finding& finding) {
  std::string words = finding.finding;
  if (finding.reason) words += " [" + std::string(reason_name(*finding.reason)) + "]";
  if (!finding.remedy.empty()) words += " -> " + finding.remedy;
  return words;
}

std::string summary(const DoctorReport& report) {
  std::array<std::size_t, kResultNames.size()> counts{};
  for (const Examined& node : report.nodes) {
    for (const Finding& finding : node.findings) ++counts[static_cast<std::size_t>(finding.result)];
  }
  std::string words;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    words += (i == 0 ? "" : ", ") + std::to_string(counts[i]) + " " + std::string(kResultNames[i]);
  }
  return std::string(check_result_name(report.result())) + ": " + words + "\n";
}

}  // namespace

std::string_view check_result_name(CheckResult result) noexcept {
  return kResultNames[static_cast<std::size_t>(result)];
}

CheckResult DoctorReport::result() const {
  CheckResult worst = CheckResult::kOk;
  for (const Examined& node : nodes) {
    for (const Finding& finding : node.findings) worst = std::max(worst, finding.result);
  }
  return worst;
}

DoctorReport examine(const Evidence& evidence) {
  DoctorReport report;
  for (const ClusterEvidence& cluster : evidence.clusters) {
    for (const NodeEvidence& node : cluster.nodes) {
      report.nodes.push_back(
          {cluster.name, node.name, doctor::check_node(node, cluster, evidence)});
    }
    report.nodes.push_back({cluster.name, "-", doctor::check_cluster(cluster)});
  }
  return report;
}

std::string doctor_text(const DoctorReport& report) {
  Column names;
  Column checks;
  Column results;
  const auto name_of = [](const Examined& node) { return node.cluster + "/" + node.node; };
  names.fit("NODE");
  checks.fit("CHECK");
  results.fit("RESULT");
  for (const Examined& node : report.nodes) {
    names.fit(name_of(node));
    for (const Finding& finding : node.findings) checks.fit(finding.check);
  }
  std::string text = names.pad("NODE") + checks.pad("CHECK") + results.pad("RESULT") + "FINDING\n";
  for (const Examined& node : report.nodes) {
    for (const Finding& finding : node.findings) {
      text += names.pad(name_of(node)) + checks.pad(finding.check) +
              results.pad(std::string(check_result_name(finding.result))) + words_of(finding) +
              "\n";
    }
  }
  return text + summary(report);
}

std::string doctor_json(const DoctorReport& report) {
  using Json = nlohmann::ordered_json;
  Json nodes = Json::array();
  for (const Examined& node : report.nodes) {
    Json checks = Json::array();
    for (const Finding& finding : node.findings) {
      Json check = {{"check", finding.check}, {"result", check_result_name(finding.result)}};
      if (finding.reason) check["reason"] = reason_name(*finding.reason);
      check["finding"] = finding.finding;
      if (!finding.remedy.empty()) check["remedy"] = finding.remedy;
      checks.push_back(std::move(check));
    }
    nodes.push_back({{"cluster", node.cluster}, {"node", node.node}, {"checks", checks}});
  }
  const Json whole = {{"nodes", nodes}, {"result", check_result_name(report.result())}};
  return whole.dump() + "\n";
}

}  // namespace bao_exporter
