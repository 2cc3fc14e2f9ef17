// The texts are tests/golden/policy/CASE.txt; BAO_UPDATE_GOLDEN=1 writes them anew: read the
// difference before you commit it.
#include "bao_exporter/policy.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <sstream>

#include "catch.h"

namespace bao_exporter {

namespace {

namespace fs = std::filesystem;

const fs::path kGolden = fs::path(BAO_TEST_DIR) / "golden" / "policy";
const std::string kNode = "[[openbao.node]]\nname = \"a\"\napi_url = \"https://10.0.0.10\"\n";

std::string cluster(const std::string& keys, const std::string& auth,
                    const std::string& node = kNode) {
  return "[[openbao]]\n" + keys + "[openbao.auth]\n" + auth + node;
}

std::string prod(const std::string& auth) { return cluster("cluster = \"prod\"\n", auth); }

Config parsed(const std::string& text, const std::string& file = "/etc/bao/bao.toml") {
  const ConfigOutcome outcome = parse_config(text, file, {});
  INFO((outcome.problems.empty() ? "" : outcome.problems[0].to_string()));
  REQUIRE(outcome.problems.empty());
  return outcome.config;
}

struct Case {
  std::string text;
  bool no_default_policy = false;
};

const std::map<std::string, Case> kCases = {
    {"token_file", {prod("")}},
    {"token_file_no_default_policy", {prod(""), true}},
    {"token_file_not_renewed", {prod("renew = false\n")}},
    {"none", {prod("method = \"none\"\n")}},
    {"approle", {prod("method = \"approle\"\nrole_id_file = \"id\"\nsecret_id_file = \"s\"\n")}},
    {"approle_no_default_policy",
     {prod("method = \"approle\"\nrole_id_file = \"id\"\nsecret_id_file = \"s\"\n"), true}},
    {"approle_wrapped",
     {prod("method = \"approle\"\nmount = \"team-1/approle\"\nrole_id_file = \"id\"\n"
           "secret_id_file = \"s\"\nsecret_id_wrapped = true\n")}},
    {"approle_without_secret_id", {prod("method = \"approle\"\nrole_id_file = \"id\"\n")}},
    {"kubernetes", {prod("method = \"kubernetes\"\nrole = \"metrics\"\n")}},
    {"jwt", {prod("method = \"jwt\"\nrole = \"metrics\"\njwt_file = \"/run/it's a jwt\"\n")}},
    {"cert",
     {cluster("cluster = \"prod\"\nca_file = \"system\"\nserver_name = \"bao.example\"\n"
              "client_cert_file = \"my client.crt\"\nclient_key_file = \"k\"\n",
              "method = \"cert\"\n")}},
    {"three_clusters",
     {prod("") +
      cluster("cluster = \"dev\"\n", "method = \"none\"\n",
              "[[openbao.node]]\nname = \"a\"\napi_url = \"https://dev.example\"\n") +
      cluster("cluster = \"edge\"\nca_file = \"system\"\n", "",
              "[[openbao.node]]\nname = \"a\"\n"
              "metrics_url = \"https://edge.example:8202/v1/sys/metrics\"\n")}},
};

std::string content_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// The text without its comments: what OpenBao takes for the policy.
std::string rules_of(const std::string& text) {
  std::istringstream in(text);
  std::string rules;
  for (std::string line; std::getline(in, line);) {
    if (!line.empty() && line.front() != '#') rules += line + "\n";
  }
  return rules;
}

}  // namespace

TEST_CASE("the policy and the commands are to the word what is written down") {
  const bool update = std::getenv("BAO_UPDATE_GOLDEN") != nullptr;  // NOLINT(concurrency-mt-unsafe)
  for (const auto& [name, one] : kCases) {
    CAPTURE(name);
    const std::string got = policy_text(parsed(one.text), one.no_default_policy);
    const fs::path file = kGolden / (name + ".txt");
    if (update) std::ofstream(file, std::ios::binary) << got;
    CHECK(got == content_of(file));
  }
}

TEST_CASE("each text of a policy that is written down belongs to a case") {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(kGolden)) {
    names.insert(entry.path().stem().string());
  }
  REQUIRE(names.size() == kCases.size());
  for (const auto& [name, one] : kCases) CHECK(names.contains(name));
}

TEST_CASE("outside of comments there is reading metrics, and nothing else") {
  const std::string metrics = "path \"sys/metrics\" {\n  capabilities = [\"read\"]\n}\n";
  const std::string self =
      "path \"auth/token/lookup-self\" {\n  capabilities = [\"read\"]\n}\n"
      "path \"auth/token/renew-self\" {\n  capabilities = [\"update\"]\n}\n"
      "path \"sys/capabilities-self\" {\n  capabilities = [\"update\"]\n}\n";
  for (const auto& [name, one] : kCases) {
    CAPTURE(name);
    const Config config = parsed(one.text);
    CHECK(rules_of(policy_text(config, false)) == metrics);
    CHECK(rules_of(policy_text(config, true)) == metrics + self);
  }
}

TEST_CASE("names that a shell would read as commands stay words") {
  const std::string file = "/etc/$(reboot)/it's `x`; bao.toml";
  const std::string text = policy_text(
      parsed(prod("method = \"approle\"\nrole_id_file = \"a b;c\"\nsecret_id_file = \"$x\"\n"),
             file),
      false);
  INFO(text);
  CHECK(text.find("--config.file '/etc/$(reboot)/it'\\''s `x`; bao.toml' |") != std::string::npos);
  CHECK(text.find("'/etc/$(reboot)/a b;c'") != std::string::npos);
  CHECK(text.find(" >'/etc/$(reboot)/$x.new' && mv ") != std::string::npos);
  CHECK(text.find(" /etc/$(reboot)") == std::string::npos);
}

TEST_CASE("the policy is told before the files are there that it fills") {
  const ConfigOutcome outcome = parse_config(prod(""), "/nowhere/bao.toml", {});
  REQUIRE(outcome.problems.empty());
  REQUIRE_FALSE(check_files("/nowhere/bao.toml", outcome.files).empty());
  CHECK(policy_text(outcome.config, false).find("/nowhere/openbao.token") != std::string::npos);
}

}  // namespace bao_exporter
