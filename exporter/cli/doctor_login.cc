#include "cli/doctor_login.h"

#include <utility>

#include "bao_exporter/login.h"
#include "token_request.h"

namespace bao_exporter::cli {

namespace {

constexpr std::uint64_t kChannel = std::uint64_t{1} << 33;  // beyond those of polls

void put(Slot<TokenInForce>& slot, std::shared_ptr<const Secret> secret, Error why = {}) {
  const std::uint64_t generation = secret == nullptr ? 0 : 1;
  slot.set(std::make_shared<const TokenInForce>(
      TokenInForce{.secret = std::move(secret), .generation = generation, .why = std::move(why)}));
}

Result<std::shared_ptr<const Secret>> load(const std::string& path, const AuthConfig& auth) {
  return Secret::load(path, {auth.allow_group_read});
}

Result<LoginSecrets> read_secrets(const AuthConfig& auth) {
  LoginSecrets secrets;
  for (const auto& [path, to] : {std::pair(&auth.role_id_file, &secrets.role_id),
                                 std::pair(&auth.secret_id_file, &secrets.secret_id),
                                 std::pair(&auth.jwt_file, &secrets.jwt)}) {
    if (path->empty()) continue;
    auto secret = load(*path, auth);
    if (!secret.ok()) return secret.error();
    *to = std::move(secret).value();
  }
  return secrets;
}

// Another node may do better.
bool nobody_said_no(ErrorCode code) { return code != ErrorCode::kLoginFailed; }

}  // namespace

DoctorTokens::DoctorTokens(const Config& config, const Trusts& trusts, Transport& transport)
    : config_(config), trusts_(trusts), transport_(transport) {}

bool DoctorTokens::revoke(const std::string& cluster) {
  Known& known = known_[cluster];
  if (!known.revocation) return false;
  auto [request, node] = *std::exchange(known.revocation, std::nullopt);
  const Answer answer = ask(std::move(request), node);
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
    auto token = load(cluster.auth.token_file, cluster.auth);
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
  for (AskedNode& node : asked_nodes(cluster, trusts_.at(cluster.cluster))) {
    Answer answer = ask(login_request(cluster.auth, secrets.value()), node);
    auto login = read_login(answer);
    if (!login.ok()) {
      fail(login.error());
      if (nobody_said_no(login.error().code)) continue;
      return;
    }
    evidence.failure.reset();
    evidence.grant = login.value().grant;
    put(*known.slot, login.value().token);
    known.revocation = {revoke_request(login.value().token), std::move(node)};
    return;
  }
}

Answer DoctorTokens::ask(TokenRequest what, const AskedNode& node) {
  Request request = to_request(std::move(what), node, Clock::now() + config_.poll.timeout);
  request.channel = kChannel;
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
