#include "bao_exporter/policy.h"

#include <algorithm>
#include <string_view>

namespace bao_exporter {

namespace {

constexpr std::string_view kName = "bao-exporter";
constexpr std::string_view kLifetimes = " token_type=service token_ttl=1h token_max_ttl=24h";

// As one word of a POSIX shell.
std::string quoted(std::string_view text) {
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=:,./@%";
  if (!text.empty() && text.find_first_not_of(kPlain) == std::string_view::npos) {
    return std::string(text);
  }
  std::string out = "'";
  for (const char c : text) c == '\'' ? out += "'\\''" : out += c;
  return out + "'";
}

// What stands above and below the policy, as comments in its language.
class Comments {
 public:
  void line(const std::string& words = {}) { text_ += words.empty() ? "#\n" : "# " + words + "\n"; }
  void command(const std::string& words) { line("  " + words); }
  // Only its owner may read the file, and it is never there by halves.
  void command_into(const std::string& file, const std::string& words) {
    const std::string half = quoted(file + ".new");
    command("(umask 077; " + words + " >" + half + " && mv " + half + " " + quoted(file) + ")");
  }
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  std::string text_;
};

struct Writer {
  const Config& config;
  bool no_default_policy;
  Comments& out;

  void cluster(const ClusterConfig& cluster) const;

 private:
  [[nodiscard]] std::string write_command() const;
  [[nodiscard]] std::string token_settings() const;
  void where(const ClusterConfig& cluster) const;
  void enable(const AuthConfig& auth, std::string_view type) const;
  void token_file(const AuthConfig& auth) const;
  void approle(const AuthConfig& auth) const;
  void secret_id(const AuthConfig& auth, const std::string& role) const;
  void kubernetes(const AuthConfig& auth) const;
  void jwt(const AuthConfig& auth) const;
  void cert(const ClusterConfig& cluster) const;
};

std::string Writer::write_command() const {
  return "bao-exporter policy --config.file " + quoted(config.file) +
         (no_default_policy ? " --no-default-policy" : "") + " | bao policy write " +
         std::string(kName) + " -";
}

// Of a role: the policy, and how long its tokens live.
std::string Writer::token_settings() const {
  return " token_policies=" + std::string(kName) +
         (no_default_policy ? " token_no_default_policy=true" : "") + std::string(kLifetimes);
}

// Where bao finds the cluster.
void Writer::where(const ClusterConfig& cluster) const {
  const auto node = std::find_if(cluster.nodes.begin(), cluster.nodes.end(),
                                 [](const NodeConfig& one) { return !one.api_url.empty(); });
  const bool found = node != cluster.nodes.end();
  std::string words = "export BAO_ADDR=" + (found ? quoted(node->api_url) : "https://ADDRESS:8200");
  if (!cluster.ca_file.empty() && cluster.ca_file != "system") {
    words += " BAO_CACERT=" + quoted(cluster.ca_file);
  }
  std::string name = cluster.server_name;
  if (found && !node->server_name.empty()) name = node->server_name;
  if (!name.empty()) words += " BAO_TLS_SERVER_NAME=" + quoted(name);
  out.command(words);
}

void Writer::enable(const AuthConfig& auth, std::string_view type) const {
  out.line("Where `bao auth list` does not have " + auth.mount + "/ yet:");
  out.command("bao auth enable -path=" + quoted(auth.mount) + " " + std::string(type));
}

void Writer::token_file(const AuthConfig& auth) const {
  out.line("A token that lives as long as somebody renews it" +
           std::string(auth.renew ? ", which the exporter does:"
                                  : ". With renew = false the exporter does not:"));
  out.command_into(auth.token_file,
                   "bao token create -orphan -period=24h -policy=" + std::string(kName) +
                       (no_default_policy ? " -no-default-policy" : "") + " -field=token");
}

void Writer::secret_id(const AuthConfig& auth, const std::string& role) const {
  const std::string command =
      "bao write -f" + std::string(auth.secret_id_wrapped ? " -wrap-ttl=10m" : "") +
      " -field=" + (auth.secret_id_wrapped ? "wrapping_token " : "secret_id ") +
      quoted(role + "/secret-id");
  if (auth.secret_id_wrapped) {
    out.line("The exporter must unwrap it within 10 minutes, and needs a new one at each start:");
  }
  out.command_into(auth.secret_id_file, command);
}

void Writer::approle(const AuthConfig& auth) const {
  enable(auth, "approle");
  const std::string role = "auth/" + auth.mount + "/role/" + std::string(kName);
  const bool bound_to_secret_id = !auth.secret_id_file.empty();
  if (bound_to_secret_id) {
    out.line(
        "secret_id_ttl=0: the secret id does not end. With an end, say secret_id_ttl=720h, put");
    out.line("a new one into its file before: the exporter logs in with it again and again, so");
    out.line("secret_id_num_uses must stay 0.");
  } else {
    out.line("Without a secret id the role is bound to where the exporter's requests come from:");
  }
  out.command("bao write " + quoted(role) + token_settings() +
              (bound_to_secret_id ? " secret_id_ttl=0 secret_id_num_uses=0"
                                  : " bind_secret_id=false token_bound_cidrs=ADDRESS/32"));
  out.command_into(auth.role_id_file, "bao read -field=role_id " + quoted(role + "/role-id"));
  if (bound_to_secret_id) secret_id(auth, role);
}

void Writer::kubernetes(const AuthConfig& auth) const {
  enable(auth, "kubernetes");
  out.line("With kubernetes_ca_cert=@CA.pem, where OpenBao is no pod of that Kubernetes itself:");
  out.command("bao write " + quoted("auth/" + auth.mount + "/config") +
              " kubernetes_host=https://KUBERNETES-API:443");
  out.line("The exporter's service account and its namespace, as in our manifests:");
  out.command("bao write " + quoted("auth/" + auth.mount + "/role/" + auth.role) +
              " bound_service_account_names=" + std::string(kName) +
              " bound_service_account_namespaces=" + std::string(kName) + token_settings());
  out.line("The pod needs that account's token at " + auth.jwt_file);
}

void Writer::jwt(const AuthConfig& auth) const {
  enable(auth, "jwt");
  out.line("Who signs the JWT (or jwt_validation_pubkeys=@KEYS.pem), and whose it is:");
  out.command("bao write " + quoted("auth/" + auth.mount + "/config") +
              " oidc_discovery_url=https://ISSUER");
  out.command("bao write " + quoted("auth/" + auth.mount + "/role/" + auth.role) +
              " role_type=jwt user_claim=sub bound_subject=SUBJECT bound_audiences=AUDIENCE" +
              token_settings());
  out.line("Whoever makes the JWT keeps a valid one in " + auth.jwt_file);
}

void Writer::cert(const ClusterConfig& cluster) const {
  const AuthConfig& auth = cluster.auth;
  const std::string role = auth.role.empty() ? std::string(kName) : auth.role;
  enable(auth, "cert");
  out.line(
      "That certificate and no other; write it again when it is renewed, or name its authority");
  out.line("here, with allowed_common_names or allowed_dns_sans:");
  out.command("bao write " + quoted("auth/" + auth.mount + "/certs/" + role) + " certificate=@" +
              quoted(cluster.client_cert_file) + token_settings());
}

void Writer::cluster(const ClusterConfig& cluster) const {
  const AuthConfig& auth = cluster.auth;
  out.line("Cluster " + cluster.cluster);
  if (auth.method == AuthMethod::kNone) {
    out.line("No token is sent there (method = \"none\"): it needs no policy.");
    return;
  }
  where(cluster);
  out.command(write_command());
  if (auth.method == AuthMethod::kTokenFile) token_file(auth);
  if (auth.method == AuthMethod::kAppRole) approle(auth);
  if (auth.method == AuthMethod::kKubernetes) kubernetes(auth);
  if (auth.method == AuthMethod::kJwt) jwt(auth);
  if (auth.method == AuthMethod::kCert) cert(cluster);
}

std::string rule(std::string_view path, std::string_view capability) {
  return "path \"" + std::string(path) + "\" {\n  capabilities = [\"" + std::string(capability) +
         "\"]\n}\n";
}

std::string rules(bool no_default_policy) {
  std::string text = rule("sys/metrics", "read");
  if (!no_default_policy) return text;
  return text + "\n# What the policy \"default\" would let the exporter ask of its own token.\n" +
         rule("auth/token/lookup-self", "read") + "\n" + rule("auth/token/renew-self", "update") +
         "\n" + rule("sys/capabilities-self", "update");
}

}  // namespace

std::string policy_text(const Config& config, bool no_default_policy) {
  Comments comments;
  comments.line("All that the exporter's token has to be able to do: read the metrics of a node.");
  comments.line("For OpenBao's root namespace; sys/metrics is answered in no other.");
  if (!no_default_policy) {
    comments.line(
        "The policy \"default\", which a token has beside it, lets it look itself up, renew");
    comments.line("itself and ask what it may do; --no-default-policy grants that here instead.");
  }
  const Writer writer{config, no_default_policy, comments};
  for (const ClusterConfig& cluster : config.clusters) {
    comments.line();
    writer.cluster(cluster);
  }
  return comments.text() + "\n" + rules(no_default_policy);
}

}  // namespace bao_exporter
