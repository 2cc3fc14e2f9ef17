#include "config_auth.h"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <string>
#include <string_view>

#include "config_parts.h"

namespace bao_exporter {

namespace {

using Method = AuthMethod;
using Methods = std::initializer_list<Method>;

constexpr std::array<Word<Method>, 6> kMethods = {{{"none", Method::kNone},
                                                   {"token_file", Method::kTokenFile},
                                                   {"approle", Method::kAppRole},
                                                   {"kubernetes", Method::kKubernetes},
                                                   {"jwt", Method::kJwt},
                                                   {"cert", Method::kCert}}};
constexpr std::string_view kServiceAccountToken =
    "/var/run/secrets/kubernetes.io/serviceaccount/token";
constexpr std::size_t kMountBytesMax = 128;
constexpr std::size_t kRoleBytesMax = 128;

std::string_view name_of(Method method) {
  const auto at = std::find_if(kMethods.begin(), kMethods.end(),
                               [&](const auto& word) { return word.value == method; });
  return at->text;
}

std::string with_method(Method method) {
  return "method = \"" + std::string(name_of(method)) + "\"";
}

std::string with_methods(Methods methods) {
  std::string text;
  std::size_t left = methods.size();
  for (const Method method : methods) {
    if (!text.empty()) text += left == 1 ? " or " : ", ";
    text += text.empty() ? with_method(method) : "\"" + std::string(name_of(method)) + "\"";
    --left;
  }
  return text;
}

bool is_mount_byte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_' || c == '.';
}

bool is_mount_part(std::string_view part) {
  return !part.empty() && part != "." && part != ".." &&
         std::all_of(part.begin(), part.end(), is_mount_byte);
}

// It becomes a part of the path /v1/auth/MOUNT/login.
bool is_mount(std::string_view text) {
  if (text.size() > kMountBytesMax) return false;
  for (;;) {
    const auto slash = text.find('/');
    if (!is_mount_part(text.substr(0, slash))) return false;
    if (slash == std::string_view::npos) return true;
    text.remove_prefix(slash + 1);
  }
}

// Reads the keys of the methods one after the other, and says of each that is set whose it is.
class AuthReader {
 public:
  AuthReader(TableReader& table, AuthConfig& auth) : table_(table), auth_(auth) {}

  void read() {
    table_.word("method", auth_.method, kMethods);
    read_token_file();
    read_mount();
    read_role();
    read_jwt_file();
    read_approle();
    table_.boolean("allow_group_read", auth_.allow_group_read);
    table_.boolean("renew", auth_.renew);
    table_.word("on_excess_capabilities", auth_.refuse_excess, kOnExcess);
    belongs_to("renew", !auth_.renew, kWithToken);
    belongs_to("on_excess_capabilities", auth_.refuse_excess, kWithToken);
    name_files();
  }

 private:
  static constexpr Methods kLogins = {Method::kAppRole, Method::kKubernetes, Method::kJwt,
                                      Method::kCert};
  static constexpr Methods kWithToken = {Method::kTokenFile, Method::kAppRole, Method::kKubernetes,
                                         Method::kJwt, Method::kCert};

  // False when the method does not use the key: a problem where it `is_set` all the same. Of a
  // method that could not be read, nothing is said.
  bool belongs_to(std::string_view key, bool is_set, Methods methods) {
    if (!table_.sound("method")) return false;
    if (std::find(methods.begin(), methods.end(), auth_.method) != methods.end()) return true;
    if (is_set && table_.given(key) && table_.sound(key)) {
      table_.complain(key, "is for " + with_methods(methods) + "; remove it");
    }
    return false;
  }

  void must_be_set(std::string_view key, const std::string& value, const std::string& remedy) {
    if (!value.empty() || !table_.sound(key)) return;
    table_.complain(key, std::string(table_.given(key) ? "must not be empty" : "is required") +
                             " with " + with_method(auth_.method) + "; " + remedy);
  }

  // A path of a method; empty where the method does not use it.
  bool read_path(std::string_view key, std::string& to, Methods methods) {
    table_.path(key, to);
    const bool used = belongs_to(key, !to.empty(), methods);
    if (!used) to.clear();
    return used;
  }

  void read_token_file() {
    auth_.token_file = "openbao.token";
    if (!read_path("token_file", auth_.token_file, {Method::kTokenFile})) return;
    must_be_set("token_file", auth_.token_file, "name a file, or set method = \"none\"");
  }

  void read_mount() {
    table_.text("mount", auth_.mount);
    if (!belongs_to("mount", !auth_.mount.empty(), kLogins)) return auth_.mount.clear();
    if (auth_.mount.empty()) {
      auth_.mount = name_of(auth_.method);
    } else if (!is_mount(auth_.mount)) {
      table_.complain(
          "mount",
          "must be the path of a login method, as bao auth list has it, without slashes "
          "around it: up to 128 letters, digits and - _ . and / between them, like \"" +
              std::string(name_of(auth_.method)) + "\"");
    }
  }

  void read_role() {
    table_.text("role", auth_.role);
    const bool used =
        belongs_to("role", !auth_.role.empty(), {Method::kKubernetes, Method::kJwt, Method::kCert});
    if (!used) return auth_.role.clear();
    if (auth_.role.size() > kRoleBytesMax) {
      table_.complain("role", "must be the name of a role, 1 to 128 characters");
    }
    if (auth_.method == Method::kCert) return;
    must_be_set("role", auth_.role, "name the role of auth/" + auth_.mount + " to log in with");
  }

  void read_jwt_file() {
    if (!read_path("jwt_file", auth_.jwt_file, {Method::kKubernetes, Method::kJwt})) return;
    if (auth_.method == Method::kKubernetes && auth_.jwt_file.empty()) {
      auth_.jwt_file = kServiceAccountToken;
    }
    must_be_set("jwt_file", auth_.jwt_file, "name the file that holds the JWT");
  }

  void read_approle() {
    const Methods approle = {Method::kAppRole};
    if (read_path("role_id_file", auth_.role_id_file, approle)) {
      must_be_set("role_id_file", auth_.role_id_file, "name the file that holds the role id");
    }
    read_path("secret_id_file", auth_.secret_id_file, approle);
    table_.boolean("secret_id_wrapped", auth_.secret_id_wrapped);
    const bool used = belongs_to("secret_id_wrapped", auth_.secret_id_wrapped, approle);
    if (!used) auth_.secret_id_wrapped = false;
    if (auth_.secret_id_wrapped && auth_.secret_id_file.empty() && table_.sound("secret_id_file")) {
      table_.complain("secret_id_wrapped",
                      "needs the file to unwrap; set secret_id_file, or secret_id_wrapped = false");
    }
  }

  void name_files() {
    for (const auto& [key, path] :
         {std::pair("token_file", &auth_.token_file), std::pair("jwt_file", &auth_.jwt_file),
          std::pair("role_id_file", &auth_.role_id_file),
          std::pair("secret_id_file", &auth_.secret_id_file)}) {
      table_.names_file(key, *path, NamedFile::Kind::kSecret, auth_.allow_group_read);
    }
  }

  TableReader& table_;
  AuthConfig& auth_;
};

// A node that a login can be sent to.
bool takes_logins(const NodeConfig& node, bool tls) {
  return tls ? node.api_url.starts_with("https:") : !node.api_url.empty();
}

void check_nodes(TableReader& table, const ClusterConfig& cluster) {
  const bool tls = cluster.auth.method == Method::kCert;
  const auto& nodes = cluster.nodes;
  if (nodes.empty() || !table.sound("auth")) return;
  if (std::none_of(nodes.begin(), nodes.end(),
                   [&](const NodeConfig& node) { return takes_logins(node, tls); })) {
    return table.complain("auth", "has nowhere to log in; " + with_method(cluster.auth.method) +
                                      " needs an api_url" + (tls ? " with https://" : "") +
                                      " of at least one node");
  }
  if (std::none_of(nodes.begin(), nodes.end(),
                   [](const NodeConfig& node) { return node.metrics_auth; })) {
    table.complain("auth",
                   "logs in for nobody: every node has metrics_auth = \"none\"; set method = "
                   "\"none\", or metrics_auth = \"token\"");
  }
}

}  // namespace

void read_auth(TableReader& table, AuthConfig& auth) { AuthReader(table, auth).read(); }

void check_auth(TableReader& cluster_table, const ClusterConfig& cluster) {
  if (!cluster.auth.logs_in()) return;
  check_nodes(cluster_table, cluster);
  if (cluster.auth.method != Method::kCert || !cluster.client_cert_file.empty()) return;
  if (!cluster_table.sound("client_cert_file") || !cluster_table.sound("client_key_file")) return;
  cluster_table.complain("client_cert_file",
                         "is required with openbao.auth." + with_method(Method::kCert) +
                             "; name the certificate to log in with, and client_key_file");
}

}  // namespace bao_exporter
