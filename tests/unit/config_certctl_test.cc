#include <algorithm>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "bao_exporter/config.h"
#include "catch.h"
#include "support/folder.h"

namespace bao_exporter {

namespace {

using test::Folder;

constexpr std::string_view kPem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

std::string with_certctl(const std::string& keys) {
  return "[[certctl]]\nname = \"certctl\"\nurl = \"https://certctl.example:8443\"\n" + keys;
}

ConfigOutcome parse(const std::string& text) {
  return parse_config(text, "/etc/bao/bao.toml", {"/run/credentials/bao", ""});
}

CertctlConfig certctl_of(const std::string& keys) {
  const ConfigOutcome outcome = parse(with_certctl(keys));
  INFO(keys << (outcome.problems.empty() ? "" : outcome.problems[0].to_string()));
  REQUIRE(outcome.problems.empty());
  return outcome.config.certctls.at(0);
}

// Of the table [[certctl]], in the order of its keys.
std::string files_of(const std::string& keys) {
  std::string out;
  for (const NamedFile& file : parse(with_certctl(keys)).files) {
    if (!file.key.starts_with("certctl.")) continue;
    out += file.key.substr(8) + "=" + file.path +
           (file.kind == NamedFile::Kind::kSecret        ? " secret"
            : file.kind == NamedFile::Kind::kCertificate ? " certificate"
                                                         : " other") +
           (file.allow_group_read ? " (group)" : "") + "\n";
  }
  return out;
}

}  // namespace

TEST_CASE("a certctl server has the contract's defaults") {
  const CertctlConfig certctl = certctl_of("");
  CHECK(certctl.name == "certctl");
  CHECK(certctl.url == "https://certctl.example:8443");
  CHECK(certctl.api_key_file == "/etc/bao/certctl.key");
  CHECK(certctl.ca_file == "/etc/bao/certctl-ca.pem");
  CHECK(certctl.server_name == "");
  CHECK_FALSE(certctl.allow_group_read);
  CHECK(certctl.interval == Milliseconds(60'000));
  CHECK(certctl.inventory_interval == Milliseconds(900'000));
  CHECK(certctl.timeout == Milliseconds(20'000));
  CHECK(certctl.auto_collectors);
  CHECK(certctl.collectors.empty());
  CHECK(certctl.soonest_expiries == 20);
  CHECK_FALSE(certctl.refuse_excess);
}

TEST_CASE("every value of a certctl server reaches the struct") {
  const CertctlConfig certctl = certctl_of(
      "api_key_file = \"${CREDENTIALS_DIRECTORY}/key\"\nca_file = \"system\"\n"
      "server_name = \"certctl.internal\"\nallow_group_read = true\ninterval = \"30s\"\n"
      "inventory_interval = \"1h\"\ntimeout = \"5s\"\nsoonest_expiries = 0\n"
      "on_excess_capabilities = \"refuse\"\n");
  CHECK(certctl.api_key_file == "/run/credentials/bao/key");
  CHECK(certctl.ca_file == "system");
  CHECK(certctl.server_name == "certctl.internal");
  CHECK(certctl.allow_group_read);
  CHECK(certctl.interval == Milliseconds(30'000));
  CHECK(certctl.inventory_interval == Milliseconds(3'600'000));
  CHECK(certctl.timeout == Milliseconds(5'000));
  CHECK(certctl.soonest_expiries == 0);
  CHECK(certctl.refuse_excess);
}

TEST_CASE("a certctl URL is kept whole: lower-case host, and always a port") {
  const auto url_of = [](const std::string& url) {
    return parse("[[certctl]]\nname = \"c\"\nurl = \"" + url + "\"\n").config.certctls.at(0).url;
  };
  CHECK(url_of("HTTPS://CertCtl.Example") == "https://certctl.example:443");
  CHECK(url_of("https://[2001:DB8::1]") == "https://[2001:db8::1]:443");
}

TEST_CASE("collectors are kept as listed; auto is no list") {
  using C = CertctlCollector;
  const CertctlConfig listed = certctl_of("collectors = [\"jobs\", \"metrics\"]\n");
  CHECK_FALSE(listed.auto_collectors);
  CHECK(listed.collectors == std::vector<C>{C::kJobs, C::kMetrics});
  const CertctlConfig automatic = certctl_of("collectors = [\"auto\"]\n");
  CHECK(automatic == certctl_of(""));
  const CertctlConfig all = certctl_of(
      "collectors = [\"metrics\", \"certificates\", \"agents\", \"jobs\", \"issuers\", "
      "\"notifications\", \"discovery\", \"health_checks\"]\n");
  CHECK_FALSE(all.auto_collectors);
  REQUIRE(all.collectors.size() == kCertctlCollectorCount);
  CHECK(std::is_sorted(all.collectors.begin(), all.collectors.end()));
  CHECK(certctl_collector_name(all.collectors.front()) == "metrics");
  CHECK(certctl_collector_name(all.collectors.back()) == "health_checks");
}

TEST_CASE("a certctl server's key is a secret file and its CA a certificate") {
  CHECK(files_of("") ==
        "api_key_file=/etc/bao/certctl.key secret\nca_file=/etc/bao/certctl-ca.pem certificate\n");
  CHECK(files_of("ca_file = \"system\"\nallow_group_read = true\n") ==
        "api_key_file=/etc/bao/certctl.key secret (group)\n");
  CHECK(files_of("api_key_file = \"\"\nca_file = \"\"\n") == "");
}

TEST_CASE("the files of a certctl server are judged before the start") {
  Folder folder;
  std::filesystem::create_directory(folder.path("tls"));
  folder.write("tls/tls.crt", std::string(kPem), 0644);
  folder.write("tls/tls.key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
  folder.write("scrape.token", "prometheus:abc\n");
  folder.write("certctl-ca.pem", std::string(kPem), 0644);
  folder.write("certctl.key", "a-key\n");
  const std::string file = folder.write("bao.toml", with_certctl(""));
  CHECK(load_config(file, {}).problems.empty());

  const auto only_problem = [&] {
    const auto problems = load_config(file, {}).problems;
    REQUIRE(problems.size() == 1);
    return problems[0].to_string();
  };
  folder.write("certctl.key", "a-key\n", 0644);
  const std::string at_key =
      file + ":1: certctl.api_key_file: " + folder.path("certctl.key") + ": ";
  CHECK(only_problem().starts_with(at_key + "is accessible to others"));
  folder.write("certctl.key", "a-key\n", 0640);
  CHECK(only_problem().starts_with(at_key + "is readable by its group"));
  folder.write("bao.toml", with_certctl("allow_group_read = true\n"));
  CHECK(load_config(file, {}).problems.empty());
  folder.write("certctl-ca.pem", "no certificate\n", 0644);
  CHECK(only_problem().starts_with(file + ":1: certctl.ca_file: " + folder.path("certctl-ca.pem") +
                                   ": holds no certificate"));
}

TEST_CASE("certctl servers alone are a configuration, and no demo") {
  const ConfigOutcome outcome = parse(with_certctl(""));
  CHECK(outcome.problems.empty());
  CHECK(outcome.config.clusters.empty());
  CHECK_FALSE(outcome.config.listener.demo);
  const auto problems = parse("[listener]\ntoken_files = []\n" + with_certctl("")).problems;
  REQUIRE(problems.size() == 1);
  CHECK(problems[0].key == "listener.token_files");
}

TEST_CASE("a certctl server beside a demo neither ends the demo nor may do without TLS") {
  const std::string demo =
      "[[openbao]]\ncluster = \"demo\"\nprofile = \"demo\"\nauth = { method = \"none\" }\n"
      "[[openbao.node]]\nname = \"a\"\napi_url = \"http://127.0.0.1:8200\"\n";
  const ConfigOutcome outcome = parse(demo + with_certctl(""));
  CHECK(outcome.problems.empty());
  CHECK(outcome.config.listener.demo);
  const auto problems =
      parse(demo + "[[certctl]]\nname = \"c\"\nurl = \"http://127.0.0.1:8443\"\n").problems;
  REQUIRE(problems.size() == 1);
  CHECK(problems[0].to_string() ==
        "/etc/bao/bao.toml:10: certctl.url: must start with https://; certctl speaks TLS 1.3 only, "
        "and over http the key would travel in clear");
}

TEST_CASE("certctl's keys are in the list of keys") {
  const auto keys = config_keys();
  const auto find = [&](const std::string& name) {
    const auto at = std::find_if(keys.begin(), keys.end(), [&](const ConfigKey& key) {
      return key.path == "certctl." + name;
    });
    REQUIRE(at != keys.end());
    return *at;
  };
  CHECK(find("name").required);
  CHECK(find("url").required);
  CHECK(find("api_key_file").default_text == "\"certctl.key\"");
  CHECK(find("ca_file").type == "path or \"system\"");
  CHECK(find("inventory_interval").default_text == "\"15m\"");
  CHECK(find("collectors").type ==
        "list of \"auto\", \"metrics\", \"certificates\", \"agents\", \"jobs\", \"issuers\", "
        "\"notifications\", \"discovery\", \"health_checks\"");
  CHECK(find("collectors").default_text == "[\"auto\"]");
}

}  // namespace bao_exporter
