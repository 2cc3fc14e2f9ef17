#include <string>
#include <string_view>

#include "bao_exporter/config.h"
#include "catch.h"
#include "support/folder.h"

namespace bao_exporter {

namespace {

using test::Folder;

constexpr std::string_view kServiceAccountToken =
    "/var/run/secrets/kubernetes.io/serviceaccount/token";

std::string with_auth(const std::string& auth) {
  return "[[openbao]]\ncluster = \"prod\"\nclient_cert_file = \"client.crt\"\n"
         "client_key_file = \"client.key\"\n[openbao.auth]\n" +
         auth + "[[openbao.node]]\nname = \"a\"\napi_url = \"https://a\"\n";
}

ConfigOutcome parse(const std::string& text) {
  return parse_config(text, "/etc/bao/bao.toml", {"/run/credentials/bao", ""});
}

AuthConfig auth_of(const std::string& auth) {
  const ConfigOutcome outcome = parse(with_auth(auth));
  INFO(auth << (outcome.problems.empty() ? "" : outcome.problems[0].to_string()));
  REQUIRE(outcome.problems.empty());
  return outcome.config.clusters.at(0).auth;
}

// Of the table [openbao.auth], in the order of the file.
std::string files_of(const std::string& auth) {
  std::string out;
  for (const NamedFile& file : parse(with_auth(auth)).files) {
    if (!file.key.starts_with("openbao.auth.")) continue;
    CHECK(file.kind == NamedFile::Kind::kSecret);
    out += file.key.substr(13) + "=" + file.path + (file.allow_group_read ? " (group)" : "") + "\n";
  }
  return out;
}

}  // namespace

TEST_CASE("a login method's mount is its name until another is given") {
  CHECK(auth_of("method = \"approle\"\nrole_id_file = \"x\"\n").mount == "approle");
  CHECK(auth_of("method = \"kubernetes\"\nrole = \"x\"\n").mount == "kubernetes");
  CHECK(auth_of("method = \"jwt\"\nrole = \"x\"\njwt_file = \"x\"\n").mount == "jwt");
  CHECK(auth_of("method = \"cert\"\n").mount == "cert");
  CHECK(auth_of("method = \"cert\"\nmount = \"team-1/c.x_y\"\n").mount == "team-1/c.x_y");
  CHECK(auth_of("").mount == "");
  CHECK(auth_of("method = \"none\"\n").mount == "");
}

TEST_CASE("the JWT of kubernetes is the service account's token until another is given") {
  CHECK(auth_of("method = \"kubernetes\"\nrole = \"x\"\n").jwt_file == kServiceAccountToken);
  CHECK(auth_of("method = \"kubernetes\"\nrole = \"x\"\njwt_file = \"\"\n").jwt_file ==
        kServiceAccountToken);
  CHECK(auth_of("method = \"kubernetes\"\nrole = \"x\"\njwt_file = \"my.jwt\"\n").jwt_file ==
        "/etc/bao/my.jwt");
}

TEST_CASE("tokens are renewed, and excess is a warning, until it is said otherwise") {
  const AuthConfig plain = auth_of("");
  CHECK(plain.method == AuthMethod::kTokenFile);
  CHECK(plain.renew);
  CHECK_FALSE(plain.refuse_excess);
  CHECK_FALSE(plain.logs_in());
  const AuthConfig said = auth_of("renew = false\non_excess_capabilities = \"refuse\"\n");
  CHECK_FALSE(said.renew);
  CHECK(said.refuse_excess);
  CHECK_FALSE(auth_of("on_excess_capabilities = \"warn\"\n").refuse_excess);
}

TEST_CASE("a method keeps no file of another") {
  const AuthConfig approle =
      auth_of("method = \"approle\"\nrole_id_file = \"id\"\nsecret_id_file = \"s\"\n");
  CHECK(approle.logs_in());
  CHECK(approle.token_file == "");
  CHECK(approle.jwt_file == "");
  CHECK(approle.role_id_file == "/etc/bao/id");
  CHECK(approle.secret_id_file == "/etc/bao/s");
  CHECK_FALSE(approle.secret_id_wrapped);
  const AuthConfig none = auth_of("method = \"none\"\n");
  CHECK(none.token_file == "");
  CHECK_FALSE(none.logs_in());
}

TEST_CASE("each method's secret files are named, and only those") {
  CHECK(files_of("") == "token_file=/etc/bao/openbao.token\n");
  CHECK(files_of("method = \"none\"\n") == "");
  CHECK(files_of("method = \"cert\"\n") == "");
  CHECK(files_of("method = \"approle\"\nrole_id_file = \"id\"\n") == "role_id_file=/etc/bao/id\n");
  CHECK(files_of("method = \"approle\"\nrole_id_file = \"id\"\nsecret_id_file = "
                 "\"${CREDENTIALS_DIRECTORY}/s\"\nallow_group_read = true\n") ==
        "role_id_file=/etc/bao/id (group)\nsecret_id_file=/run/credentials/bao/s (group)\n");
  CHECK(files_of("method = \"kubernetes\"\nrole = \"x\"\n") ==
        "jwt_file=" + std::string(kServiceAccountToken) + "\n");
  CHECK(files_of("method = \"jwt\"\nrole = \"x\"\njwt_file = \"j\"\n") == "jwt_file=/etc/bao/j\n");
}

TEST_CASE("a JWT of Kubernetes, 2 KiB on one line, is a good secret file") {
  Folder folder;
  const std::string jwt = folder.write("jwt", std::string(2048, 'x') + "\n");
  CHECK(check_files("f", {{jwt, NamedFile::Kind::kSecret, false, 1, "openbao.auth.jwt_file"}})
            .empty());
}

TEST_CASE("nothing is said of the other keys while the method is not known") {
  const auto problems =
      parse(with_auth("method = \"ldap\"\nrole_id_file = \"id\"\nmount = \"//\"\n")).problems;
  REQUIRE(problems.size() == 1);
  CHECK(problems[0].key == "openbao.auth.method");
}

}  // namespace bao_exporter
