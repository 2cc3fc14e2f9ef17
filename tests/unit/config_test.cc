#include "bao_exporter/config.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "catch.h"
#include "config_url.h"
#include "config_values.h"
#include "support/config_texts.h"

namespace bao_exporter {

namespace {

namespace fs = std::filesystem;
using test::all_problems;
using test::kEnvironment;
using test::kMinimal;

#ifndef BAO_SOURCE_DIR
const fs::path kSourceDir = fs::path(__FILE__).parent_path().parent_path().parent_path();
#else
const fs::path kSourceDir = BAO_SOURCE_DIR;
#endif

const std::string kFile = "/etc/bao/bao.toml";

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

std::vector<fs::path> cases(const std::string& ending) {
  std::vector<fs::path> paths;
  for (const auto& entry : fs::directory_iterator(kSourceDir / "tests" / "configs")) {
    const std::string name = entry.path().filename().string();
    if (name.size() > ending.size() && name.ends_with(ending)) paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

struct Want {
  int line = 0;
  std::string key;
  std::string text;
};

// The lines "# want: LINE: KEY: TEXT" at the start of a case.
std::vector<Want> wants(const std::string& content) {
  constexpr std::string_view kStart = "# want: ";
  std::vector<Want> list;
  std::istringstream in(content);
  for (std::string line; std::getline(in, line) && line.starts_with(kStart);) {
    line.erase(0, kStart.size());
    const auto first = line.find(": ");
    const auto second = line.find(": ", first + 1);
    list.push_back({std::stoi(line.substr(0, first)),
                    second == first + 1 ? "" : line.substr(first + 2, second - first - 2),
                    line.substr(second + 2)});
  }
  return list;
}

bool meets(const ConfigProblem& problem, const Want& want) {
  return problem.line == want.line && problem.key == want.key &&
         problem.text.find(want.text) != std::string::npos;
}

ConfigOutcome parse(std::string_view text) { return parse_config(text, kFile, kEnvironment); }

void check_lines_are_clean(const ConfigOutcome& outcome) {
  for (const ConfigProblem& problem : outcome.problems) {
    REQUIRE_FALSE(problem.text.empty());
    REQUIRE_FALSE(has_control_character(problem.to_string()));
  }
}

}  // namespace

TEST_CASE("every good configuration is accepted") {
  const auto paths = cases(".good.toml");
  REQUIRE(paths.size() >= 6);
  for (const fs::path& path : paths) {
    INFO(path);
    const ConfigOutcome outcome = parse(read_file(path));
    CHECK(all_problems(outcome.problems) == "");
  }
}

TEST_CASE("every bad configuration gives exactly the problems that it announces") {
  const auto paths = cases(".bad.toml");
  REQUIRE(paths.size() >= 25);
  for (const fs::path& path : paths) {
    const std::string content = read_file(path);
    std::vector<ConfigProblem> problems = parse(content).problems;
    INFO(path.filename() << "\n" << all_problems(problems));
    const std::vector<Want> wanted = wants(content);
    REQUIRE_FALSE(wanted.empty());
    CHECK(problems.size() == wanted.size());
    for (const Want& want : wanted) {
      INFO("wanted: " << want.line << ": " << want.key << ": " << want.text);
      const auto at = std::find_if(problems.begin(), problems.end(),
                                   [&](const ConfigProblem& p) { return meets(p, want); });
      CHECK(at != problems.end());
      if (at != problems.end()) problems.erase(at);
    }
  }
}

TEST_CASE("problems come in the order of the file and say where they are") {
  for (const fs::path& path : cases(".bad.toml")) {
    const auto problems = parse(read_file(path)).problems;
    CHECK(std::is_sorted(
        problems.begin(), problems.end(),
        [](const ConfigProblem& a, const ConfigProblem& b) { return a.line < b.line; }));
    for (const ConfigProblem& problem : problems) CHECK(problem.file == kFile);
  }
  CHECK(ConfigProblem{"f", 3, "a.b", "is bad"}.to_string() == "f:3: a.b: is bad");
  CHECK(ConfigProblem{"f", 0, "a.b", "is bad"}.to_string() == "f: a.b: is bad");
  CHECK(ConfigProblem{"f", 3, "", "is bad"}.to_string() == "f:3: is bad");
  CHECK(ConfigProblem{"f", 0, "", "is bad"}.to_string() == "f: is bad");
}

TEST_CASE("a minimal configuration has the defaults of the contract") {
  const ConfigOutcome outcome = parse(kMinimal);
  REQUIRE(all_problems(outcome.problems) == "");
  const Config& config = outcome.config;
  CHECK(config.file == kFile);
  CHECK(config.listener.addresses == std::vector<std::string>{"127.0.0.1:9825"});
  CHECK(config.listener.tls_cert_file == "/etc/bao/tls/tls.crt");
  CHECK(config.listener.tls_key_file == "/etc/bao/tls/tls.key");
  CHECK(config.listener.tls_min_version == "1.2");
  CHECK(config.listener.token_files == std::vector<std::string>{"/etc/bao/scrape.token"});
  CHECK(config.listener.connections_max == 200);
  CHECK(config.listener.request_timeout == Milliseconds(5'000));
  CHECK(config.listener.self_token_file == "");
  CHECK(config.poll.interval == Milliseconds(15'000));
  CHECK(config.poll.timeout == Milliseconds(8'000));
  CHECK(config.poll.stale_after == Milliseconds(45'000));
  CHECK(config.limits.body_bytes_max == 16u << 20);
  CHECK(config.limits.samples_max == 50'000);
  CHECK(config.limits.series_max == 1'000'000);
  CHECK(config.relabel == nullptr);
  REQUIRE(config.clusters.size() == 1);
  const ClusterConfig& cluster = config.clusters[0];
  CHECK(cluster.profile == Profile::kAllNodes);
  CHECK(cluster.ca_file == "/etc/bao/openbao-ca.pem");
  CHECK(cluster.auth.method == AuthMethod::kTokenFile);
  CHECK(cluster.auth.token_file == "/etc/bao/openbao.token");
  REQUIRE(cluster.nodes.size() == 1);
  CHECK(cluster.nodes[0].api_url == "https://10.0.0.10:8200");
  CHECK(cluster.nodes[0].metrics_auth);
}

TEST_CASE("relabel rules reach the struct as they stand, and are ready to be run") {
  const auto text = read_file(kSourceDir / "tests" / "configs" / "relabel.good.toml");
  const ConfigOutcome outcome = parse(text);
  REQUIRE(outcome.problems.empty());
  const OutputConfig& output = outcome.config.output;
  CHECK(output.relabel_preset == RelabelPreset::kSafe);
  CHECK(output.on_duplicate == OnDuplicate::kDrop);
  CHECK(outcome.config.limits.series_max == 4'000'000);
  REQUIRE(output.relabel.size() == 11);
  RelabelRule first;
  first.source_labels = {"mount_point", "cluster"};
  first.separator = "${NODE_NAME}";
  first.regex = "(?P<mount>[^/]+)/.*";
  first.target_label = "mount_${1}";
  first.replacement = "${mount}:$$";
  CHECK(output.relabel[0] == first);
  CHECK(output.relabel[2].regex == "0\\.1");
  CHECK(output.relabel[6].modulus == 2'147'483'647);
  CHECK(output.relabel[10].action == RelabelAction::kDropEqual);
  REQUIRE(outcome.config.relabel != nullptr);
  CHECK(outcome.config.relabel->on_duplicate() == OnDuplicate::kDrop);
  CHECK(outcome.config.relabel->is_fixed("node_name"));
}

TEST_CASE("one rule more than 100 is refused") {
  const auto rules = [](int count) {
    std::string text;
    for (int i = 0; i < count; ++i) {
      text += "[[output.relabel]]\naction = \"labeldrop\"\nregex = \"x\"\n";
    }
    return parse(text + std::string(kMinimal)).problems;
  };
  CHECK(rules(100).empty());
  REQUIRE(rules(101).size() == 1);
  CHECK(rules(101)[0].to_string().find("output.relabel: are more than 100 rules") !=
        std::string::npos);
}

TEST_CASE("values reach the struct, paths are resolved and variables replaced") {
  const auto text = read_file(kSourceDir / "tests" / "configs" / "listener.good.toml");
  const ConfigOutcome outcome = parse(text);
  REQUIRE(outcome.problems.empty());
  const ListenerConfig& listener = outcome.config.listener;
  CHECK(listener.addresses.size() == 4);
  CHECK(listener.advertised_address == "exporter.example.org:9825");
  CHECK(listener.tls_cert_file == "/etc/ssl/exporter.crt");
  CHECK(listener.tls_key_file == "/run/credentials/bao/exporter.key");
  CHECK(listener.tls_min_version == "1.3");
  CHECK(listener.token_files ==
        std::vector<std::string>{"/etc/bao/a.token", "/run/credentials/bao/host-1.token"});
  CHECK(listener.connections_max == 10'000);
  CHECK(listener.request_timeout == Milliseconds(100));
  CHECK(listener.allow_group_read);
  CHECK(listener.self_ca_file == "/etc/bao/self-ca.pem");
}

TEST_CASE("once client certificates are asked for, a token is asked for only where one is named") {
  const auto listener_of = [](const char* name) {
    const ConfigOutcome outcome = parse(read_file(kSourceDir / "tests" / "configs" / name));
    REQUIRE(all_problems(outcome.problems) == "");
    return outcome.config.listener;
  };
  const ListenerConfig alone = listener_of("client_certificates.good.toml");
  CHECK(alone.client_ca_file == "/etc/bao/clients-ca.pem");
  CHECK(alone.client_allowed_names.size() == 2);
  CHECK(alone.token_files.empty());
  CHECK_FALSE(alone.open_to_all());
  const ListenerConfig both = listener_of("client_certificates_and_tokens.good.toml");
  CHECK(both.token_files == std::vector<std::string>{"/etc/bao/scrape.token"});
}

TEST_CASE("clusters and nodes keep their order and their own settings") {
  const auto text = read_file(kSourceDir / "tests" / "configs" / "three_clusters.good.toml");
  const ConfigOutcome outcome = parse(text);
  REQUIRE(outcome.problems.empty());
  REQUIRE(outcome.config.clusters.size() == 3);
  const ClusterConfig& prod = outcome.config.clusters[0];
  CHECK(prod.ca_file == "system");
  CHECK(prod.client_key_file == "/etc/bao/client.key");
  CHECK(prod.auth.token_file == "/run/secrets/openbao.token");
  CHECK_FALSE(prod.nodes[1].metrics_auth);
  CHECK(prod.nodes[1].api_url == "");
  const ClusterConfig& dev = outcome.config.clusters[1];
  CHECK(dev.auth.method == AuthMethod::kNone);
  CHECK(dev.auth.token_file == "");
  CHECK(dev.nodes[0].api_url == "https://[2001:db8::1]:443");
  CHECK(dev.nodes[0].metrics_url == "https://[2001:db8::1]:8202/v1/sys/metrics");
  CHECK(outcome.config.clusters[2].nodes[0].api_url == "https://openbao.example:443");
}

TEST_CASE("every file that is named is listed with its kind and its line") {
  const auto text = read_file(kSourceDir / "tests" / "configs" / "three_clusters.good.toml");
  const auto files = parse(text).files;
  const auto find = [&](const std::string& path) {
    return std::find_if(files.begin(), files.end(),
                        [&](const NamedFile& file) { return file.path == path; });
  };
  CHECK(find("system") == files.end());
  REQUIRE(find("/etc/bao/client.key") != files.end());
  CHECK(find("/etc/bao/client.key")->kind == NamedFile::Kind::kPrivateKey);
  CHECK(find("/etc/bao/client.key")->allow_group_read);
  CHECK(find("/etc/bao/client.key")->line == 8);
  CHECK(find("/etc/bao/client.key")->key == "openbao.client_key_file");
  CHECK(find("/run/secrets/openbao.token")->kind == NamedFile::Kind::kSecret);
  CHECK(find("/etc/bao/scrape.token")->kind == NamedFile::Kind::kSecretList);
  CHECK(find("/etc/bao/scrape.token")->line == 0);
  CHECK(std::count_if(files.begin(), files.end(), [](const NamedFile& file) {
          return file.key == "openbao.auth.token_file";
        }) == 2);  // dev has method = "none"
}

TEST_CASE("relative paths start at the folder of the file, wherever that is") {
  const auto ca_file = [](const std::string& file) {
    return parse_config(kMinimal, file, kEnvironment).config.clusters.at(0).ca_file;
  };
  CHECK(ca_file("/a/b/c.toml") == "/a/b/openbao-ca.pem");
  CHECK(ca_file("/c.toml") == "/openbao-ca.pem");
  CHECK(ca_file("c.toml") == "openbao-ca.pem");
  CHECK(ca_file("../x/c.toml") == "../x/openbao-ca.pem");
}

TEST_CASE("a variable that is not set is a problem") {
  const std::string text =
      "[listener]\ntls_cert_file = \"${CREDENTIALS_DIRECTORY}/a\"\n"
      "tls_key_file = \"${NODE_NAME}\"\n" +
      std::string(kMinimal);
  const auto problems = parse_config(text, kFile, {}).problems;
  REQUIRE(problems.size() == 2);
  CHECK(problems[0].to_string() ==
        "/etc/bao/bao.toml:2: listener.tls_cert_file: needs ${CREDENTIALS_DIRECTORY}, which is not "
        "set; systemd sets it for a unit with LoadCredential=");
  CHECK(problems[1].text.find("${NODE_NAME}, which is not set") != std::string::npos);
}

TEST_CASE("the example names every key, with its default") {
  const std::string text = read_file(kSourceDir / "configs" / "bao-exporter.toml");
  CHECK(all_problems(parse(text).problems) == "");
  std::string table;
  std::vector<std::string> found;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with('[')) {
      const auto start = line.find_first_not_of('[');
      table = line.substr(start, line.find(']') - start);
    }
    const auto equals = line.find(" = ");
    if (line.starts_with('#') || line.starts_with('[') || equals == std::string::npos) continue;
    std::string value = line.substr(equals + 3);
    value = value.substr(0, value.find("  "));
    found.push_back(table + "." + line.substr(0, equals) + " = " + value);
  }
  for (const ConfigKey& key : config_keys()) {
    INFO(key.path << " = " << key.default_text);
    const bool no_default = key.required || key.path == "openbao.node.api_url" ||
                            key.path == "output.relabel.target_label";
    const std::string start = key.path + " = " + (no_default ? "" : key.default_text);
    CHECK(std::any_of(found.begin(), found.end(), [&](const std::string& line) {
      return no_default ? line.starts_with(start) : line == start;
    }));
  }
}

TEST_CASE("the list of keys has each once, with type and default") {
  const auto keys = config_keys();
  const auto find = [&](const std::string& path) {
    const auto same = [&](const ConfigKey& key) { return key.path == path; };
    REQUIRE(std::count_if(keys.begin(), keys.end(), same) == 1);
    return *std::find_if(keys.begin(), keys.end(), same);
  };
  CHECK(keys.front().path == "listener.address");
  CHECK(find("listener.address").default_text == "\"127.0.0.1:9825\"");
  CHECK(find("listener.token_files").default_text == "[\"scrape.token\"]");
  CHECK(find("poll.interval").type == "duration");
  CHECK(find("poll.interval").default_text == "\"15s\"");
  CHECK(find("limits.body_bytes_max").default_text == "\"16MiB\"");
  CHECK(find("openbao.cluster").required);
  CHECK(find("openbao.cluster").default_text == "");
  CHECK(find("openbao.ca_file").default_text == "\"openbao-ca.pem\"");
  CHECK(find("openbao.node.metrics_auth").type == "one of \"token\", \"none\"");
  CHECK_FALSE(find("openbao.node.pod").required);
  for (const ConfigKey& key : keys) {
    CHECK(std::count_if(keys.begin(), keys.end(),
                        [&](const ConfigKey& other) { return other.path == key.path; }) == 1);
  }
}

TEST_CASE("no problem quotes a value, whatever key it is given to") {
  const std::string secret = "hvs.CAESIJhunter2";
  const std::vector<std::string> forms = {"\"hvs.CAESIJhunter2\"",
                                          "[\"hvs.CAESIJhunter2\"]",
                                          "[[\"hvs.CAESIJhunter2\"]]",
                                          "{ a = \"hvs.CAESIJhunter2\" }",
                                          "\"https://root:hvs.CAESIJhunter2@h:1\"",
                                          "\"${hvs.CAESIJhunter2}\"",
                                          "hvs.CAESIJhunter2",
                                          "'hvs.CAESIJhunter2",
                                          "truehvs.CAESIJhunter2",
                                          "\"a\\nhvs.CAESIJhunter2\""};
  std::vector<ConfigKey> keys = config_keys();
  for (const char* name : {"listener.token", "poll.secret", "openbao.password", "listener.other"}) {
    keys.push_back({name, "", "", false});
  }
  for (const ConfigKey& key : keys) {
    const auto dot = key.path.rfind('.');
    const std::string table = key.path.substr(0, dot);
    const bool in_list = table == "openbao" || table == "openbao.node" || table == "certctl";
    for (const std::string& form : forms) {
      const std::string text =
          (table == "openbao.node" || table == "openbao.auth" ? std::string("[[openbao]]\n")
                                                              : std::string()) +
          (in_list ? "[[" + table + "]]\n" : "[" + table + "]\n") + key.path.substr(dot + 1) +
          " = " + form + "\n";
      INFO(text);
      CHECK(all_problems(parse(text).problems).find(secret) == std::string::npos);
    }
  }
}

TEST_CASE("numbers that toml++ would quote in an error are not shown") {
  for (const char* value : {"123456789012345678901234567890", "0xdeadbeefdeadbeefdeadbeef",
                            "1.5e99999", "falsehunter2", "infhunter2", "12345678hunter2"}) {
    const auto problems = parse("[poll]\ninterval = " + std::string(value) + "\n").problems;
    INFO(all_problems(problems));
    REQUIRE(problems.size() == 1);
    CHECK(problems[0].line == 2);
    for (const char* part : {"3456", "deadbeef", "99999", "hunter"}) {
      CHECK(problems[0].text.find(part) == std::string::npos);
    }
  }
}

TEST_CASE("text that is not UTF-8 is found, with its line") {
  CHECK(first_line_not_utf8("") == 0);
  CHECK(first_line_not_utf8("a\nb\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80") == 0);
  for (const char* bad : {"\x80", "\xc0\xaf", "\xc3", "\xc3(", "\xe0\x80\xaf", "\xed\xa0\x80",
                          "\xf0\x80\x80\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff"}) {
    CHECK(first_line_not_utf8(std::string("a\n\n") + bad) == 3);
  }
  const auto problems = parse(std::string(kMinimal) + "# \xff\n").problems;
  REQUIRE(problems.size() == 1);
  CHECK(problems[0].line == 0);
  CHECK(problems[0].text.find("not UTF-8 (see line 7)") != std::string::npos);
}

TEST_CASE("a byte order mark, Windows line ends and text that is not ASCII are accepted") {
  const ConfigOutcome outcome = parse(
      "\xef\xbb\xbf# \xc3\xa4\r\n[[openbao]]\r\ncluster = \"prod\"  # \xc3\xa4\r\n"
      "kubernetes_namespace = \"n\xc3\xa4\"\r\n[[openbao.node]]\r\nname = \"a\"\r\n"
      "api_url = \"https://a\"\r\npod = '\xc3\xbc'\r\n");
  CHECK(all_problems(outcome.problems) == "");
  CHECK(outcome.config.clusters.at(0).kubernetes_namespace == "n\xc3\xa4");
}

TEST_CASE("random bytes never crash the reader") {
  std::mt19937 random(20'240'601);  // NOLINT: the same bytes in every run
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(800);
  const std::string alphabet = "[]{}=\"'.,#\n\\ab0-:_${}openbao";
  for (int round = 0; round < 20'000 && std::chrono::steady_clock::now() < end; ++round) {
    std::string text(random() % 200, ' ');
    const bool bytes = round % 4 == 0;
    for (char& c : text) {
      c = bytes ? static_cast<char>(random() & 0xff) : alphabet[random() % alphabet.size()];
    }
    const ConfigOutcome outcome = parse(text);
    REQUIRE_FALSE(outcome.problems.empty());  // no cluster by chance
    check_lines_are_clean(outcome);
  }
}

TEST_CASE("a mutated configuration gives problems or is valid") {
  std::mt19937 random(7);  // NOLINT: the same mutations in every run
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(1'500);
  std::vector<std::string> seeds = {read_file(kSourceDir / "configs" / "bao-exporter.toml")};
  for (const fs::path& path : cases(".good.toml")) seeds.push_back(read_file(path));
  const std::string alphabet = "[]{}=\"'.,#\n\\ab019-:_$/\t\xff";
  for (int round = 0; round < 20'000 && std::chrono::steady_clock::now() < end; ++round) {
    std::string text = seeds[random() % seeds.size()];
    for (auto changes = 1 + random() % 4; changes > 0; --changes) {
      const std::size_t at = random() % text.size();
      switch (random() % 4) {
        case 0:
          text[at] = alphabet[random() % alphabet.size()];
          break;
        case 1:
          text.erase(at, 1 + random() % 40);
          break;
        case 2:
          text.insert(at, 1, alphabet[random() % alphabet.size()]);
          break;
        default:
          text.insert(at, text.substr(random() % text.size(), 1 + random() % 60));
          break;
      }
      if (text.empty()) text.push_back('\n');
    }
    const ConfigOutcome outcome = parse(text);
    check_lines_are_clean(outcome);
    if (!outcome.problems.empty()) continue;
    const Config& config = outcome.config;
    REQUIRE_FALSE((config.clusters.empty() && config.certctls.empty()));
    REQUIRE(config.poll.timeout < config.poll.interval);
    REQUIRE(config.poll.interval <= config.poll.stale_after);
    const ListenerConfig& listener = config.listener;
    REQUIRE((listener.demo || !listener.token_files.empty() ||
             (!listener.client_ca_file.empty() && !listener.client_allowed_names.empty())));
    REQUIRE((config.listener.demo || !config.listener.tls_cert_file.empty()));
    for (const CertctlConfig& certctl : config.certctls) {
      Url url;
      REQUIRE(is_name(certctl.name));
      REQUIRE((parse_url(certctl.url, url) && url.scheme == "https" && url.path.empty()));
      REQUIRE_FALSE((certctl.api_key_file.empty() || certctl.ca_file.empty()));
      REQUIRE(certctl.timeout < certctl.interval);
      REQUIRE(certctl.interval <= certctl.inventory_interval);
      REQUIRE(certctl.auto_collectors == certctl.collectors.empty());
    }
    for (const ClusterConfig& cluster : config.clusters) {
      REQUIRE(is_name(cluster.cluster));
      REQUIRE_FALSE(cluster.nodes.empty());
      for (const NodeConfig& node : cluster.nodes) {
        Url url;
        REQUIRE(is_name(node.name));
        REQUIRE((parse_url(node.api_url, url) || parse_url(node.metrics_url, url)));
        const bool plain = cluster.profile == Profile::kDemo && is_loopback(url.host);
        REQUIRE((url.scheme == "https" || plain));
      }
    }
  }
}

TEST_CASE("large and strange files end quickly") {
  const auto begin = std::chrono::steady_clock::now();
  std::string many_keys;
  for (int i = 0; i < 50'000; ++i) many_keys += "key" + std::to_string(i) + " = 1\n";
  CHECK(parse(many_keys).problems.size() < 100);
  std::string many_clusters;
  for (int i = 0; i < 5'000; ++i) many_clusters += "[[openbao]]\n[[openbao.node]]\n";
  CHECK(parse(many_clusters).problems.size() == 15'000);
  CHECK_FALSE(parse(std::string(1 << 20, '[')).problems.empty());
  CHECK_FALSE(parse("a = " + std::string(1 << 20, '[')).problems.empty());
  CHECK_FALSE(parse("a = " + std::string(1 << 20, '{')).problems.empty());
  CHECK_FALSE(parse("a = \"" + std::string(1 << 20, '.')).problems.empty());
  std::string deep = "[a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a]\n";
  for (int i = 0; i < 250; ++i) deep += "a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a={";
  CHECK(parse(deep + std::string(250, '}')).problems.size() == 2);  // 4,000 levels: unknown key
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(20));
}

}  // namespace bao_exporter
