#include "cli/own_port.h"

#include <memory>
#include <optional>

#include "bao_exporter/curl_transport.h"
#include "materials.h"

namespace bao_exporter::cli {

namespace {

constexpr std::size_t kBodyMax = std::size_t{1} << 30;

std::optional<Error> address_to(Request& request, const std::string& scheme,
                                const std::string& address, std::string path,
                                Milliseconds patience) {
  if (!parse_url(scheme + address, request.url)) {
    return Error{ErrorCode::kConfig, address + ": is not host:port with a port that can be asked"};
  }
  // A wildcard is where to listen; to ask, this host is meant.
  if (request.url.host == "0.0.0.0") request.url.host = "127.0.0.1";
  if (request.url.host == "::") request.url.host = "::1";
  request.url.path = std::move(path);
  request.deadline = Clock::now() + patience;
  request.body_bytes_max = kBodyMax;
  return std::nullopt;
}

}  // namespace

Result<Request> request_to_port(const ListenerConfig& listener, std::string path,
                                Milliseconds patience) {
  const bool needs_token = !listener.token_files.empty();
  const bool needs_authority = !listener.plain_http();
  if ((needs_token && listener.self_token_file.empty()) ||
      (needs_authority && listener.self_ca_file.empty())) {
    return Error{ErrorCode::kConfig,
                 "listener.self_token_file and listener.self_ca_file are needed: a token that this "
                 "listener accepts, and the authority of its certificate"};
  }
  Request request;
  if (needs_token) {
    auto token = Secret::load(listener.self_token_file, {listener.allow_group_read});
    if (!token.ok()) return token.error();
    request.bearer = std::move(token).value();
  }
  auto trust = load_trust({needs_authority ? listener.self_ca_file : "", "", "", {}});
  if (!trust.ok()) return trust.error();
  request.trust = std::move(trust).value();
  const std::string scheme = needs_authority ? "https://" : "http://";
  if (auto error =
          address_to(request, scheme, listener.addresses.front(), std::move(path), patience)) {
    return *std::move(error);
  }
  return request;
}

Result<Request> request_to_admin(const ListenerConfig& listener, std::string path,
                                 Milliseconds patience) {
  Request request;
  auto trust = load_trust({"", "", "", {}});
  if (!trust.ok()) return trust.error();
  request.trust = std::move(trust).value();
  if (auto error =
          address_to(request, "http://", listener.admin_address, std::move(path), patience)) {
    return *std::move(error);
  }
  return request;
}

Result<std::string> fetch(Request request) {
  const std::unique_ptr<Transport> transport = make_curl_transport();
  std::optional<Answer> answer;
  const TimePoint deadline = request.deadline;
  const std::string where = request.url.scheme + "://" + request.url.authority() + request.url.path;
  transport->start(std::move(request), [&](Answer got) { answer = std::move(got); });
  while (!answer) transport->run_once(deadline);
  if (answer->failure) {
    return Error{ErrorCode::kIo, where + ": " + std::string(reason_name(answer->failure->code)) +
                                     ": " + answer->failure->detail};
  }
  if (answer->status != 200) {
    return Error{ErrorCode::kIo,
                 where + ": HTTP " + std::to_string(answer->status) + " " + answer->body};
  }
  return std::move(answer->body);
}

}  // namespace bao_exporter::cli
