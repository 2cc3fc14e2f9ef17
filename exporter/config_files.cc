// The part of the configuration that touches the disk: the file itself, and those that it names.
#include <algorithm>
#include <utility>

#include "bao_exporter/config.h"
#include "bao_exporter/secret.h"
#include "text_file.h"

namespace bao_exporter {

namespace {

constexpr std::string_view kPemStart = "-----BEGIN ";

std::string certificate_problem(const NamedFile& file) {
  const Result<std::string> content = read_text_file(file.path);
  if (!content.ok()) return file.path + ": " + content.error().detail;
  if (content.value().empty()) return file.path + ": is empty";
  if (content.value().find(kPemStart) != std::string::npos) return {};
  return file.path +
         ": holds no certificate; it must be PEM, with a line \"-----BEGIN CERTIFICATE-----\"";
}

std::string secret_problem(const NamedFile& file) {
  const SecretFileRules rules{file.allow_group_read};
  const auto secret = file.kind == NamedFile::Kind::kSecret ? Secret::load(file.path, rules)
                                                            : Secret::load_lines(file.path, rules);
  if (!secret.ok()) return secret.error().detail;
  if (file.kind != NamedFile::Kind::kPrivateKey) return {};
  if (secret.value()->reveal().find(kPemStart) != std::string_view::npos) return {};
  return file.path + ": holds no private key; it must be PEM";
}

}  // namespace

std::string ConfigProblem::to_string() const {
  std::string out = file;
  if (line != 0) out.append(":").append(std::to_string(line));
  if (!key.empty()) out += ": " + key;
  return out + ": " + text;
}

std::vector<ConfigProblem> check_files(const std::string& config_file,
                                       const std::vector<NamedFile>& files) {
  std::vector<ConfigProblem> problems;
  for (const NamedFile& file : files) {
    std::string problem = file.kind == NamedFile::Kind::kCertificate ? certificate_problem(file)
                                                                     : secret_problem(file);
    if (problem.empty()) continue;
    problems.push_back({config_file, file.line, file.key, std::move(problem)});
  }
  return problems;
}

ConfigOutcome read_config(const std::string& file, const ConfigEnvironment& environment) {
  const Result<std::string> text = read_text_file(file);
  if (!text.ok()) {
    ConfigOutcome outcome;
    outcome.config.file = file;
    outcome.problems.push_back({file, 0, "", text.error().detail});
    return outcome;
  }
  return parse_config(text.value(), file, environment);
}

ConfigOutcome load_config(const std::string& file, const ConfigEnvironment& environment) {
  ConfigOutcome outcome = read_config(file, environment);
  for (ConfigProblem& problem : check_files(file, outcome.files)) {
    outcome.problems.push_back(std::move(problem));
  }
  std::stable_sort(outcome.problems.begin(), outcome.problems.end(),
                   [](const ConfigProblem& a, const ConfigProblem& b) { return a.line < b.line; });
  return outcome;
}

}  // namespace bao_exporter
