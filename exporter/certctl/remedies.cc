#include "certctl/remedies.h"

namespace bao_exporter::certctl {

std::string_view remedy_for(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::kDns:
      return "repair the name or the nameserver, or use the address in url with server_name";
    case ErrorCode::kConnect:
      return "start certctl; open the way (firewall, NetworkPolicy); correct the port in url";
    case ErrorCode::kTimeout:
      return "look at the load of certctl and of its PostgreSQL: while a table is locked it hangs, "
             "and /ready is well";
    case ErrorCode::kTls:
      return "put the right authority into ca_file, the name in the certificate into server_name, "
             "or renew the server's certificate";
    case ErrorCode::kReset:
      return "look after the server, or after what stands before it";
    case ErrorCode::kTokenRejected:
      return "write a key that certctl knows to api_key_file; certctl reads its own list "
             "(CERTCTL_API_KEYS_NAMED) at its start only";
    case ErrorCode::kForbidden:
      return "add the permission to the role of the key: POST /api/v1/auth/roles/ROLE/permissions";
    case ErrorCode::kNotFound:
      return "correct url: something else answers there, or a certctl of another version";
    case ErrorCode::kRateLimited:
      return "certctl counts by address, not by key: look for another client behind ours, or raise "
             "CERTCTL_RATE_LIMIT_RPS and its BURST";
    case ErrorCode::kServerError:
      return "look at certctl's log of that second, or after the proxy that answered in its place";
    case ErrorCode::kRedirect:
    case ErrorCode::kUnexpectedStatus:
    case ErrorCode::kProtocol:
      return "a proxy or another service answers: correct url";
    case ErrorCode::kMalformed:
    case ErrorCode::kDuplicateSeries:
      return "report it to certctl";
    case ErrorCode::kTokenExcess:
      return "make a key whose role has the .read permissions alone, write it to api_key_file, "
             "then "
             "take the old one away";
    case ErrorCode::kDatabaseDown:
      return "look after certctl's PostgreSQL: certctl is well by itself once it reaches it";
    case ErrorCode::kInconsistent:
      return "nothing, if it passes: rows changed during each reading; else look who changes them "
             "all the time";
    default:
      return reason_remedy(code);
  }
}

}  // namespace bao_exporter::certctl
