// The configuration's own file, and the files that it names.
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "bao_exporter/config.h"
#include "catch.h"
#include "support/config_texts.h"
#include "support/folder.h"

namespace bao_exporter {

namespace {

namespace fs = std::filesystem;
using test::all_problems;
using test::Folder;
using test::kEnvironment;
using test::kMinimal;

const std::string kPem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
const std::string kPemKey = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";

// The default files of kMinimal.
void write_default_files(Folder& folder) {
  fs::create_directory(folder.path("tls"));
  folder.write("tls/tls.crt", kPem, 0644);
  folder.write("tls/tls.key", kPemKey);
  folder.write("scrape.token", "prometheus:abc\nother:def\n");
  folder.write("openbao.token", "hvs.x\n");
  folder.write("openbao-ca.pem", kPem, 0644);
}

}  // namespace

TEST_CASE("a configuration file that cannot be read is one clear problem") {
  Folder folder;
  const auto only_problem = [](const std::string& path) {
    const ConfigOutcome outcome = load_config(path, kEnvironment);
    REQUIRE(outcome.problems.size() == 1);
    CHECK(outcome.problems[0].file == path);
    CHECK(outcome.problems[0].line == 0);
    return outcome.problems[0].text;
  };
  CHECK(only_problem(folder.path("none.toml")) == "cannot be opened: No such file or directory");
  CHECK(only_problem(folder.path("")).starts_with("is a folder"));
  CHECK(only_problem("/dev/null") == "is not a regular file");
  REQUIRE(::mkfifo(folder.path("pipe").c_str(), 0600) == 0);
  CHECK(only_problem(folder.path("pipe")) == "is not a regular file");
  CHECK(only_problem(folder.write("big.toml", std::string((1 << 20) + 1, '\n'))) ==
        "is larger than 1 MiB");
  CHECK(only_problem(folder.write("latin1.toml", "# \xe4\n")).starts_with("the file is not UTF-8"));
  if (::geteuid() != 0) {
    CHECK(only_problem(folder.write("closed.toml", "", 0000)).starts_with("cannot be opened"));
  }
}

TEST_CASE("a configuration whose files are all there loads") {
  Folder folder;
  write_default_files(folder);
  const ConfigOutcome outcome = load_config(folder.write("bao.toml", kMinimal), kEnvironment);
  CHECK(all_problems(outcome.problems) == "");
  CHECK(outcome.files.size() == 5);
}

TEST_CASE("files that are missing and keys that are wrong are told together, in line order") {
  Folder folder;
  write_default_files(folder);
  fs::remove(folder.path("openbao.token"));
  fs::remove(folder.path("scrape.token"));
  const std::string file = folder.write("bao.toml", std::string(kMinimal) + "podd = 1\n");
  const auto problems = load_config(file, kEnvironment).problems;
  INFO(all_problems(problems));
  REQUIRE(problems.size() == 3);
  CHECK(problems[0].key == "listener.token_files");
  CHECK(problems[0].line == 0);
  CHECK(problems[1].to_string() ==
        file + ":2: openbao.auth.token_file: " + folder.path("openbao.token") +
            ": cannot be opened: No such file or directory");
  CHECK(problems[2].key == "openbao.node.podd");
}

TEST_CASE("each kind of file is checked by its own rules") {
  Folder folder;
  const auto problem = [](const std::string& path, NamedFile::Kind kind, bool group = false) {
    const auto problems = check_files("f", {{path, kind, group, 7, "a.b"}});
    if (problems.empty()) return std::string();
    CHECK(problems[0].line == 7);
    CHECK(problems[0].key == "a.b");
    const std::string& text = problems[0].text;
    CHECK(text.find(path) == 0);
    CHECK(text.find(path, 1) == std::string::npos);
    return text.substr(path.size());
  };
  using Kind = NamedFile::Kind;
  CHECK(problem(folder.write("crt", kPem, 0644), Kind::kCertificate) == "");
  CHECK(problem(folder.write("der", "\x30\x82"), Kind::kCertificate)
            .starts_with(": holds no certificate; it must be PEM"));
  CHECK(problem(folder.write("none", ""), Kind::kCertificate) == ": is empty");
  CHECK(problem(folder.path(""), Kind::kCertificate) == ": is a folder; name a file in it");
  CHECK(problem(folder.path("missing"), Kind::kCertificate) ==
        ": cannot be opened: No such file or directory");
  CHECK(problem(folder.write("key", kPemKey), Kind::kPrivateKey) == "");
  CHECK(problem(folder.write("nokey", "x\n"), Kind::kPrivateKey).starts_with(": holds no private"));
  CHECK(problem(folder.write("openkey", kPemKey, 0644), Kind::kPrivateKey)
            .starts_with(": is accessible to others"));
  CHECK(problem(folder.write("token", "abc\n"), Kind::kSecret) == "");
  CHECK(problem(folder.write("two", "abc\ndef\n"), Kind::kSecret).find("more than one line") !=
        std::string::npos);
  CHECK(problem(folder.write("list", "a:abc\ndef\n"), Kind::kSecretList) == "");
  CHECK(problem(folder.write("group", "abc\n", 0640), Kind::kSecret)
            .starts_with(": is readable by its group"));
  CHECK(problem(folder.write("group", "abc\n", 0640), Kind::kSecret, true) == "");
}

}  // namespace bao_exporter
