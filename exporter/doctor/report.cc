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

// Of whom each line is, in the order of the lines.
struct Line {
  std::string name;
  const Finding& finding;
};

std::vector<Line> lines_of(const DoctorReport& report) {
  std::vector<Line> lines;
  for (const Examined& node : report.nodes) {
    for (const Finding& finding : node.findings) {
      lines.push_back({node.cluster + "/" + node.node, finding});
    }
  }
  for (const ExaminedCertctl& certctl : report.certctls) {
    for (const Finding& finding : certctl.findings) lines.push_back({certctl.name, finding});
  }
  return lines;
}

std::string summary(const DoctorReport& report) {
  std::array<std::size_t, kResultNames.size()> counts{};
  for (const Line& line : lines_of(report)) ++counts[static_cast<std::size_t>(line.finding.result)];
  std::string words;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    words += (i == 0 ? "" : ", ") + std::to_string(counts[i]) + " " + std::string(kResultNames[i]);
  }
  return std::string(check_result_name(report.result())) + ": " + words + "\n";
}

using Json = nlohmann::ordered_json;

Json checks_of(const std::vector<Finding>& findings) {
  Json checks = Json::array();
  for (const Finding& finding : findings) {
    Json check = {{"check", finding.check}, {"result", check_result_name(finding.result)}};
    if (finding.reason) check["reason"] = reason_name(*finding.reason);
    check["finding"] = finding.finding;
    if (!finding.remedy.empty()) check["remedy"] = finding.remedy;
    checks.push_back(std::move(check));
  }
  return checks;
}

}  // namespace

std::string_view check_result_name(CheckResult result) noexcept {
  return kResultNames[static_cast<std::size_t>(result)];
}

CheckResult DoctorReport::result() const {
  CheckResult worst = CheckResult::kOk;
  for (const Line& line : lines_of(*this)) worst = std::max(worst, line.finding.result);
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
  for (const CertctlEvidence& server : evidence.certctls) {
    report.certctls.push_back({server.config.name, doctor::check_certctl(server, evidence)});
  }
  return report;
}

std::string doctor_text(const DoctorReport& report) {
  Column names;
  Column checks;
  Column results;
  names.fit("NODE");
  checks.fit("CHECK");
  results.fit("RESULT");
  const std::vector<Line> lines = lines_of(report);
  for (const auto& [name, finding] : lines) {
    names.fit(name);
    checks.fit(finding.check);
  }
  std::string text = names.pad("NODE") + checks.pad("CHECK") + results.pad("RESULT") + "FINDING\n";
  for (const auto& [name, finding] : lines) {
    text += names.pad(name) + checks.pad(finding.check) +
            results.pad(std::string(check_result_name(finding.result))) + words_of(finding) + "\n";
  }
  return text + summary(report);
}

std::string doctor_json(const DoctorReport& report) {
  Json nodes = Json::array();
  for (const Examined& node : report.nodes) {
    nodes.push_back(
        {{"cluster", node.cluster}, {"node", node.node}, {"checks", checks_of(node.findings)}});
  }
  Json certctls = Json::array();
  for (const ExaminedCertctl& one : report.certctls) {
    certctls.push_back({{"certctl", one.name}, {"checks", checks_of(one.findings)}});
  }
  Json whole = {{"nodes", nodes}};
  if (!certctls.empty()) whole["certctls"] = certctls;
  whole["result"] = check_result_name(report.result());
  return whole.dump() + "\n";
}

}  // namespace bao_exporter
