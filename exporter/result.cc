#include "bao_exporter/result.h"

#include <array>
#include <cstdio>
#include <cstdlib>

namespace bao_exporter {

namespace {

constexpr std::array<std::string_view, kErrorCodeCount> kReasonNames = {
    "ok",
    "not_polled",
    "dns",
    "connect",
    "timeout",
    "tls",
    "reset",
    "truncated",
    "too_large",
    "cancelled",
    "overdue",
    "redirect",
    "standby_redirect",
    "standby_rejected",
    "token_rejected",
    "forbidden",
    "metrics_disabled",
    "telemetry_disabled",
    "namespace_restricted",
    "not_found",
    "rate_limited",
    "no_leader",
    "sealed",
    "uninitialized",
    "server_error",
    "unexpected_status",
    "protocol",
    "malformed",
    "duplicate_series",
    "limit_samples",
    "limit_line",
    "limit_labels",
    "identity_mismatch",
    "identity_changed",
    "duplicate_node",
    "superseded",
    "token_unreadable",
    "token_excess",
    "login_failed",
    "database_down",
    "inconsistent",
    "config",
    "io",
    "internal",
};
static_assert(!kReasonNames.back().empty(), "every ErrorCode needs a name");

constexpr std::array<std::string_view, kErrorCodeCount> kRemedies = {
    "nothing",
    "wait poll.timeout",
    "repair the name or the nameserver, or use the address in api_url with server_name",
    "start OpenBao; open the way (firewall, NetworkPolicy, IPAddressAllow); correct the port",
    "look at the node's load and storage; packets that are dropped without a word look the same",
    "put the right authority into ca_file, the name in the certificate into server_name, or renew "
    "the node's certificate",
    "look after the node",
    "remove the proxy between, or make it pass the length on",
    "find the family that grew; when it is right so, raise the limit",
    "report it, if you see it",
    "restart it",
    "give the node's own address, not that of a proxy",
    "poll a metrics_only listener of the node (metrics_url), or set disable_standby_reads = false "
    "on "
    "the nodes, or profile = \"active\" here",
    "right after minting or a step-down it passes by itself; else write a good token to "
    "openbao.auth.token_file",
    "make a new one: bao token create -orphan -period=24h -policy=metrics-read, and write it to "
    "openbao.auth.token_file",
    "add path \"sys/metrics\" { capabilities = [\"read\"] } to one of its policies, or make a "
    "token "
    "that has it: bao token create -orphan -period=24h -policy=metrics-read",
    "set metrics_url to the node's listener for metrics, or take disallow_metrics out",
    "set prometheus_retention_time in the node's telemetry stanza, well above poll.interval",
    "use the root namespace's path, and a token of the root namespace",
    "correct the path",
    "exempt sys/metrics, or raise poll.interval",
    "during a failover wait some seconds; longer: quorum is lost, look after the nodes",
    "unseal it: bao operator unseal; with auto-unseal, the node's log says why it failed",
    "initialize it or join it; is its storage the right one?",
    "look after the node, or after the proxy that answered in its place",
    "something else answers at this address: correct it",
    "a proxy or another service answers: correct the address",
    "report it to OpenBao or to whose plugin writes that metric",
    "report it to OpenBao or to whose plugin writes that metric",
    "find what makes so many series (mounts, roles, namespaces); when it is right so, raise the "
    "limit",
    "look who puts so much into a label; when it is right so, raise the limit",
    "look who puts so much into a label; when it is right so, raise the limit",
    "api_url or metrics_url leads to a load balancer, to another node or into another cluster: "
    "give "
    "the node's own address",
    "behind a load balancer, give each node's own address",
    "one of the two addresses is wrong, or both are a load balancer's: give each entry its own "
    "node's address",
    "one poll of it is a failover; longer: that node hangs or is cut off, look after it, or "
    "restart it",
    "do what bao-exporter check says of the file",
    "give the token, or the role of the login, the policy that bao-exporter policy prints, and no "
    "other",
    "run bao-exporter policy: its commands set the login up, with method, mount, role and files as "
    "the configuration has them",
    "nothing",
    "nothing",
    "do what it says",
    "do what it says",
    "report it with the log",
};
static_assert(!kRemedies.back().empty(), "every ErrorCode needs a remedy");

}  // namespace

std::string_view reason_name(ErrorCode code) noexcept {
  return kReasonNames[static_cast<std::size_t>(code)];
}

std::string_view reason_remedy(ErrorCode code) noexcept {
  return kRemedies[static_cast<std::size_t>(code)];
}

void check_failed(const char* condition, const char* file, int line) noexcept {
  std::fprintf(stderr,
               "level=error msg=\"internal check failed, aborting\" check=\"%s\" at=%s:%d\n",
               condition, file, line);
  std::abort();
}

}  // namespace bao_exporter
