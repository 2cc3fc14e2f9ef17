#include "cli/doctor_login.h"

#include <utility>

#include "bao_exporter/login.h"

namespace bao_exporter::cli {

namespace {

constexpr std::size_t kSmallBodyMax = std::size_t{64} << 10;
constexpr std::uint64_t kChannel = std::uint64_t{1} << 33;  // beyond those of polls

void put(Slot<TokenInForce>& slot, std::shared_ptr<const Secret> secret, Error why = {}) {
  slot.set(std::make_shared<const TokenInForce>(
      TokenInForce{std::move(secret), secret == nullptr ? 0U : 1U, {}, std::move(why)}));
}

Result<LoginSecrets> read_secrets(const AuthConfig& auth) {
  LoginSecrets secrets;
  for (const auto& [path, to] : {std::pair(&auth.role_id_file, &secrets.role_id),
                                 std::pair(&auth.secret_id_file, &secrets.secret_id),
                                 std::pair(&auth.jwt_file, &secrets.jwt)}) {
    if (path->empty()) continue;
    auto secret = Secret::load(*path, {auth.allow_group_read});
    if (!secret.ok()) return secret.error();
    *to = std::move(secret).value();
  }
  return secrets;
}

// Another node may do better.
bool nobody_said_no(ErrorCode code) { return code != ErrorCode::kLoginFailed; }

void fill(Request& request, TokenRequest what) {
  request.url.path = std::move(what.path);
  request.bearer = std::move(what.bearer);
  request.json_body = std::move(what.json_body);
  request.secret_body = std::move(what.secret_body);
}

}  // namespace

DoctorTokens::DoctorTokens(const Config& config, const Trusts& trusts, Transport& transport)
    : config_(config), trusts_(trusts), transport_(transport) {}

bool DoctorTokens::revoke(const std::string& cluster) {
  Known& known = known_[cluster];
  if (!known.revocation) return false;
  const Answer answer = ask(*std::exchange(known.revocation, std::nullopt));
  return answer.answered() && (answer.status == 204 || answer.status == 200);
}

std::optional<Error> DoctorTokens::get() {
  for (const ClusterConfig& cluster : config_.clusters) {
    if (cluster.auth.method == AuthMethod::kNone) continue;
    Known& known = known_[cluster.cluster];
    known.slot = std::make_shared<Slot<TokenInForce>>();
    if (cluster.auth.logs_in()) {
      log_in(cluster, known);
      continue;
    }
    auto token = Secret::load(cluster.auth.token_file, {cluster.auth.allow_group_read});
    if (!token.ok()) return token.error();
    put(*known.slot, std::move(token).value());
  }
  return std::nullopt;
}

void DoctorTokens::log_in(const ClusterConfig& cluster, Known& known) {
  LoginEvidence& evidence = known.login.emplace();
  evidence.method = cluster.auth.mount;
  const auto fail = [&](const Error& error) {
    evidence.failure = error;
    put(*known.slot, nullptr, {ErrorCode::kLoginFailed, error.detail});
  };
  if (cluster.auth.secret_id_wrapped) {
    evidence.used_up = true;
    return put(*known.slot, nullptr, {ErrorCode::kLoginFailed, "not tried"});
  }
  auto secrets = read_secrets(cluster.auth);
  if (!secrets.ok()) return fail(secrets.error());
  for (Request request : templates(cluster)) {
    Request revocation = request;
    fill(request, login_request(cluster.auth, secrets.value()));
    Answer answer = ask(std::move(request));
    auto login = read_login(answer);
    if (!login.ok()) {
      fail(login.error());
      if (nobody_said_no(login.error().code)) continue;
      return;
    }
    evidence.failure.reset();
    evidence.grant = login.value().grant;
    put(*known.slot, login.value().token);
    fill(revocation, revoke_request(login.value().token));
    known.revocation = std::move(revocation);
    return;
  }
}

// To each node that can be asked.
std::vector<Request> DoctorTokens::templates(const ClusterConfig& cluster) const {
  std::vector<Request> requests;
  for (const NodeConfig& node : cluster.nodes) {
    if (node.api_url.empty()) continue;
    Request request;
    BAO_CHECK(parse_url(node.api_url, request.url));
    request.server_name = node.server_name.empty() ? cluster.server_name : node.server_name;
    request.trust = trusts_.at(cluster.cluster);
    requests.push_back(std::move(request));
  }
  return requests;
}

Answer DoctorTokens::ask(Request request) {
  request.channel = kChannel;
  request.secret_answer = true;
  request.deadline = Clock::now() + config_.poll.timeout;
  request.body_bytes_max = kSmallBodyMax;
  std::optional<Answer> answer;
  transport_.start(std::move(request), [&](Answer got) { answer = std::move(got); });
  while (!answer) transport_.run_once(Clock::now() + config_.poll.timeout);
  return *std::move(answer);
}

std::shared_ptr<const Slot<TokenInForce>> DoctorTokens::slot(const std::string& cluster) const {
  const auto at = known_.find(cluster);
  return at == known_.end() ? nullptr : at->second.slot;
}

std::optional<LoginEvidence> DoctorTokens::login(const std::string& cluster) const {
  const auto at = known_.find(cluster);
  return at == known_.end() ? std::nullopt : at->second.login;
}

}  // namespace bao_exporter::cli
