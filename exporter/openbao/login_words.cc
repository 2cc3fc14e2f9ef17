#include "openbao/login_words.h"

#include <array>

namespace bao_exporter {

namespace {

struct Phrase {
  std::string_view has;    // in the answer
  std::string_view words;  // what is told
};

// The first one that fits counts. Measured on OpenBao 2.7.2, but for those marked [docs].
constexpr std::array kLoginPhrases = {
    // approle
    Phrase{
        "invalid role or secret ID",
        "invalid role or secret ID: the secret id is wrong, of another role, expired or used up, "
        "or the role id is wrong; write new ones to role_id_file and secret_id_file"},
    Phrase{"missing secret_id",
           "missing secret_id: the role wants one; set secret_id_file, or bind_secret_id=false on "
           "the role"},
    Phrase{"missing role_id", "missing role_id: look at role_id_file, and at mount"},
    Phrase{"unauthorized by CIDR",
           "this host's address is not one that the role or secret id is bound to; correct "
           "secret_id_bound_cidrs or token_bound_cidrs"},
    // a wrapped secret id
    Phrase{"wrapping token is not valid or does not exist",
           "wrapping token is not valid or does not exist: it was used before (when not by this "
           "exporter, treat the secret id as stolen), or it expired; write a new one to "
           "secret_id_file"},
    Phrase{"error validating wrapping token", "secret_id_file holds no wrapping token"},
    // jwt, kubernetes
    Phrase{
        "service account name not authorized",
        "service account name not authorized: add it to bound_service_account_names of the role"},
    Phrase{"namespace not authorized",
           "namespace not authorized: add it to bound_service_account_namespaces of the role"},
    Phrase{"invalid role name", "invalid role name: no such role; correct role, or mount"},
    Phrase{"could not be found", "the role could not be found; correct role, or mount"},
    Phrase{"missing role", "missing role: set role"},
    Phrase{"role_type is not allowed",
           "the role is for people (role_type oidc): give it role_type=jwt"},  // [docs]
    Phrase{"invalid audience",
           "invalid audience: the token's aud is not in bound_audiences of the role; correct the "
           "projected volume or the role"},
    Phrase{"invalid subject", "invalid subject: the token's sub is not bound_subject of the role"},
    Phrase{"invalid issuer", "invalid issuer: the token's iss is not bound_issuer of the method"},
    Phrase{"token is expired",
           "the token in jwt_file is expired: who writes it does not renew it, or the clocks of "
           "hosts differ"},
    Phrase{"token not yet valid",
           "the token in jwt_file is not yet valid: the clocks of hosts differ"},
    Phrase{"no known key successfully validated the token signature",
           "no known key successfully validated the token signature: the method has the keys of "
           "another cluster or issuer"},
    Phrase{"error verifying token signature", "jwt_file holds no JSON web token"},
    Phrase{"error validating claims", "the token lacks a claim that the role binds (bound_claims)"},
    Phrase{"not found in token", "the token lacks the claim that the role names as user_claim"},
    Phrase{"error validating token", "error validating token: the role or the method refuses it"},
    Phrase{"missing token", "missing token: look at jwt_file"},
    Phrase{"missing jwt", "missing jwt: look at jwt_file"},  // [docs]
    Phrase{"could not load configuration",
           "the method is not configured on the cluster (auth/MOUNT/config)"},
    // cert
    Phrase{"no client certificate found",
           "no client certificate found: the listener did not ask for it "
           "(tls_disable_client_certs), or a proxy ends TLS"},
    Phrase{"invalid certificate or no client certificate supplied",
           "invalid certificate: no certificate role (of that name) trusts client_cert_file"},
    Phrase{
        "no chain matching all constraints",
        "no chain matching all constraints: the certificate role allows other names (allowed_*)"},
    Phrase{
        "client certificate must be supplied",
        "client certificate must be supplied: set client_cert_file and client_key_file"},  // [docs]
    // any
    Phrase{"missing client token",
           "missing client token: mount is not a login method's"},                // [docs]
    Phrase{"no handler for route", "no handler for route: correct mount"},        // [docs]
    Phrase{"unsupported path", "unsupported path: mount is not of this method"},  // [docs]
    Phrase{"unsupported operation",
           "unsupported operation: mount is not of this method"},  // [docs]
    // As told of a mount that does not exist, of one that locked the role after five failures, and
    // of a Kubernetes token that its API did not confirm.
    Phrase{"permission denied",
           "permission denied: no login method at mount; or locked for 15 min after five failures; "
           "or (kubernetes) a token of another cluster, or OpenBao cannot ask the cluster's API"},
};

constexpr std::array kRenewalPhrases = {
    Phrase{"batch tokens cannot be renewed", "batch tokens cannot be renewed"},
    Phrase{"lease is not renewable", "the token is not renewable"},
    Phrase{"invalid lease ID", "a root token has no lease to renew"},
};

template <std::size_t kCount>
std::string_view words_for(const std::array<Phrase, kCount>& phrases, std::string_view body) {
  for (const Phrase& phrase : phrases) {
    if (body.find(phrase.has) != std::string_view::npos) return phrase.words;
  }
  return {};
}

}  // namespace

std::string_view login_denial_words(std::string_view body) {
  const std::string_view words = words_for(kLoginPhrases, body);
  return words.empty() ? "denied, for a reason that the node's log has" : words;
}

std::string_view renewal_denial_words(std::string_view body) {
  return words_for(kRenewalPhrases, body);
}

}  // namespace bao_exporter
