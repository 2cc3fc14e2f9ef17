// The part of the configuration that touches the disk: the file itself, and those that it names.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "bao_exporter/config.h"
#include "bao_exporter/secret.h"

namespace bao_exporter {

namespace {

constexpr std::size_t kFileBytesMax = std::size_t{1} << 20;
constexpr std::string_view kPemStart = "-----BEGIN ";

// Reads a regular file of at most kFileBytesMax. What is wrong and what to do, or empty.
std::string read_file(const std::string& path, std::string& out) {
  // Not to hang on a pipe: O_NONBLOCK.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) return std::string("cannot be opened: ") + std::strerror(errno);
  std::string problem;
  struct stat st {};
  if (::fstat(fd, &st) != 0) {
    problem = std::string("cannot be read: ") + std::strerror(errno);
  } else if (S_ISDIR(st.st_mode)) {
    problem = "is a folder; name a file in it";
  } else if (!S_ISREG(st.st_mode)) {
    problem = "is not a regular file";
  }
  out.resize(problem.empty() ? kFileBytesMax + 1 : 0);
  std::size_t size = 0;
  while (size < out.size()) {
    const ssize_t got = ::read(fd, out.data() + size, out.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) problem = std::string("cannot be read: ") + std::strerror(errno);
    if (got <= 0) break;
    size += static_cast<std::size_t>(got);
  }
  ::close(fd);
  if (problem.empty() && size > kFileBytesMax) problem = "is larger than 1 MiB";
  out.resize(problem.empty() ? size : 0);
  return problem;
}

std::string certificate_problem(const NamedFile& file) {
  std::string content;
  std::string problem = read_file(file.path, content);
  if (problem.empty() && content.empty()) problem = "is empty";
  if (problem.empty() && content.find(kPemStart) == std::string::npos) {
    problem = "holds no certificate; it must be PEM, with a line \"-----BEGIN CERTIFICATE-----\"";
  }
  return problem.empty() ? problem : file.path + ": " + problem;
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
  std::string text;
  if (std::string problem = read_file(file, text); !problem.empty()) {
    ConfigOutcome outcome;
    outcome.config.file = file;
    outcome.problems.push_back({file, 0, "", std::move(problem)});
    return outcome;
  }
  return parse_config(text, file, environment);
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
