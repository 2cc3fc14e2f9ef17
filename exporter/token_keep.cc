#include "token_keep.h"

#include <algorithm>

#include "bao_exporter/log.h"

namespace bao_exporter {

TokenLifeOptions TokenKeep::options_of(const ClusterConfig& cluster, std::size_t nodes,
                                       Milliseconds timeout) {
  TokenLifeOptions options;
  options.logs_in = cluster.auth.logs_in();
  options.renew = cluster.auth.renew;
  options.refuse_excess = cluster.auth.refuse_excess;
  options.accept_root = cluster.profile == Profile::kDemo;
  options.nodes = nodes;
  options.can_ask = nodes > 0;
  // The polls that wait for the first token have to ask for metrics with it, too.
  options.check_patience = std::min(options.check_patience, timeout / 2);
  return options;
}

TokenKeep::TokenKeep(const ClusterConfig& cluster, std::shared_ptr<const TlsTrust> trust,
                     Milliseconds timeout, std::uint64_t generations, Outside outside)
    : name_(cluster.cluster),
      auth_(cluster.auth),
      profile_(cluster.profile),
      trust_(std::move(trust)),
      timeout_(timeout),
      outside_(std::move(outside)),
      nodes_(asked_nodes(cluster, trust_)),
      life_(options_of(cluster, nodes_.size(), timeout)),
      before_(generations) {
  const SecretFileRules rules{auth_.allow_group_read};
  const auto open = [&](const std::string& path, std::optional<SecretFile>& file) {
    if (!path.empty()) files_.push_back(&file.emplace(path, rules));
  };
  open(auth_.token_file, token_);
  open(auth_.role_id_file, role_id_);
  open(auth_.secret_id_file, secret_id_);
  open(auth_.jwt_file, jwt_);
}

TokenKeep::~TokenKeep() = default;

bool TokenKeep::fits(const ClusterConfig& cluster,
                     const std::shared_ptr<const TlsTrust>& trust) const {
  return auth_ == cluster.auth && profile_ == cluster.profile && trust_ == trust &&
         asked_nodes(cluster, trust).empty() == nodes_.empty();
}

void TokenKeep::take_nodes(const ClusterConfig& cluster, Milliseconds timeout) {
  timeout_ = timeout;
  nodes_ = asked_nodes(cluster, trust_);
}

void TokenKeep::start(const Moment& moment) {
  if (auth_.renew && !nodes_.empty()) outside_.metrics.expect_renewals(name_);
  if (auth_.logs_in()) {
    outside_.metrics.expect_logins(name_);
    for (SecretFile* file : files_) (void)file->read();
    return take_step(life_.start(moment), moment);
  }
  if (token_) note_found(*token_, token_->read(), moment);
}

void TokenKeep::look(const Moment& moment) {
  for (SecretFile* file : files_) note_found(*file, file->look(), moment);
}

void TokenKeep::look_now(const Moment& moment) {
  for (SecretFile* file : files_) note_found(*file, file->read(), moment);
  take_step(life_.try_now(moment), moment);
}

void TokenKeep::note_found(SecretFile& file, SecretFile::Found found, const Moment& moment) {
  if (found == SecretFile::Found::kBad) {
    log::warn("token file",
              {{"credential", name_}, {"file", file.path()}, {"problem", file.problem()->detail}});
    const bool nothing = !auth_.logs_in() && file.secret() == nullptr;
    if (nothing) {
      slot_->set(std::make_shared<const TokenInForce>(TokenInForce{.why = *file.problem()}));
      outside_.changed();
    }
  }
  if (found != SecretFile::Found::kNew) return;
  forget_unwrapped(file);
  if (auth_.logs_in()) return take_step(life_.try_now(moment), moment);
  secrets_[file.generation()] = file.secret();
  take_step(life_.token_read(file.generation(), moment), moment);
}

// It came out of what the file had in it before.
void TokenKeep::forget_unwrapped(const SecretFile& changed) {
  if (secret_id_ && &changed == &*secret_id_) unwrapped_ = nullptr;
}

void TokenKeep::time_came(const Moment& moment) { take_step(life_.time_came(moment), moment); }

void TokenKeep::note(const TokenNews& news, const Moment& moment) {
  active_ = news.active_node;
  // Those of a keep before this one came into force there: their times are gone.
  if (news.in_use > std::max(told_in_use_, before_)) tell_in_use(news.in_use);
  if (news.rejected > before_) take_step(life_.rejected(news.rejected - before_, moment), moment);
}

void TokenKeep::tell_in_use(std::uint64_t generation) {
  told_in_use_ = generation;
  outside_.metrics.note_token_in_use(name_, generation, since_[generation]);
  since_.erase(since_.begin(), since_.lower_bound(generation));
}

TokenSource::Newer TokenKeep::newer_than(std::uint64_t generation, const Moment& moment) {
  if (token_) note_found(*token_, token_->look_at_once(), moment);
  if (before_ + life_.status().in_force > generation) return TokenSource::Newer::kNow;
  awaited_ = has_candidate() && generations() > generation;
  return awaited_ ? TokenSource::Newer::kSoon : TokenSource::Newer::kNone;
}

// A newer token than the one in force is being checked.
bool TokenKeep::has_candidate() const {
  const std::uint64_t newest = generations() - before_;
  return newest > life_.status().in_force && life_.needs(newest);
}

std::uint64_t TokenKeep::generations() const {
  return before_ + (token_ ? token_->generation() : logins_);
}

// --- what the machine wants ----------------------------------------------------------------------

void TokenKeep::take_step(TokenSteps steps, const Moment& moment) {
  for (;;) {
    for (const TokenNote& note : steps.notes) tell(note);
    if (!steps.order) break;
    order_ = *steps.order;
    const std::optional<Error> error = carry_out(order_, moment);
    if (!error) break;
    steps = life_.answered(order_.id, *error, moment);
  }
  publish(moment);
}

std::optional<Error> TokenKeep::carry_out(const TokenOrder& order, const Moment& moment) {
  if (order.task == TokenTask::kLogIn) return log_in(moment);
  const auto& token = secrets_.at(order.generation);
  switch (order.task) {
    case TokenTask::kCheck:
      send(check_request(token), Purpose::kTask, moment);
      break;
    case TokenTask::kLookUp:
      send(look_up_request(token), Purpose::kTask, moment);
      break;
    default:
      send(renew_request(token), Purpose::kTask, moment);
  }
  return std::nullopt;
}

std::optional<Error> TokenKeep::log_in(const Moment& moment) {
  for (SecretFile* file : files_) {
    const SecretFile::Found found = file->read();  // service account tokens are short-lived
    if (found == SecretFile::Found::kNew) forget_unwrapped(*file);
    if (file->problem()) return file->problem();
  }
  if (auth_.secret_id_wrapped && unwrapped_ == nullptr) {
    send(unwrap_request(secret_id_->secret()), Purpose::kUnwrap, moment);
    return std::nullopt;
  }
  const auto secret_of = [](const std::optional<SecretFile>& file) {
    return file ? file->secret() : nullptr;
  };
  const LoginSecrets secrets{secret_of(role_id_),
                             auth_.secret_id_wrapped ? unwrapped_ : secret_of(secret_id_),
                             secret_of(jwt_)};
  send(login_request(auth_, secrets), Purpose::kTask, moment);
  return std::nullopt;
}

// The active node first: others pass most of this on to it.
const AskedNode& TokenKeep::node_for(std::size_t attempt) {
  if (attempt == 0) {
    // Kept for the attempts that follow: each goes to another node, whoever becomes active.
    first_ = 0;
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      if (nodes_[i].place == active_) first_ = i;
    }
  }
  return nodes_[(first_ + attempt) % nodes_.size()];
}

void TokenKeep::send(TokenRequest what, Purpose purpose, const Moment& moment) {
  const AskedNode& node = node_for(order_.attempt);
  outside_.send(to_request(std::move(what), node, moment.now + timeout_), order_.id, purpose);
}

void TokenKeep::take(std::uint64_t order, Purpose purpose, Answer answer, const Moment& moment) {
  if (order != order_.id) return wipe(answer);  // of a task that was given up
  if (purpose == Purpose::kTask) {
    return take_step(life_.answered(order, read(answer), moment), moment);
  }
  auto unwrapped = read_unwrapped_secret_id(answer);
  if (!unwrapped.ok()) return take_step(life_.answered(order, unwrapped.error(), moment), moment);
  unwrapped_ = std::move(unwrapped).value();
  if (const auto error = log_in(moment)) take_step(life_.answered(order, *error, moment), moment);
}

TokenAnswer TokenKeep::read(Answer& answer) {
  const auto plain = [](auto result) {
    return result.ok() ? TokenAnswer(std::move(result).value()) : TokenAnswer(result.error());
  };
  switch (order_.task) {
    case TokenTask::kCheck:
      return plain(read_capabilities(answer));
    case TokenTask::kLookUp:
      return plain(read_look_up(answer));
    case TokenTask::kRenew:
      return plain(read_renewal(answer));
    case TokenTask::kLogIn:
      break;
  }
  auto login = read_login(answer);
  if (!login.ok()) return login.error();
  secrets_[order_.generation] = login.value().token;
  logins_ = order_.generation;
  return login.value().grant;
}

// --- what others see of it -----------------------------------------------------------------------

void TokenKeep::publish(const Moment& moment) {
  const TokenStatus& status = life_.status();
  const bool same = status.decided == told_.decided && status.in_force == told_.in_force &&
                    status.why.code == told_.why.code;
  const bool words_changed = status.why.detail != told_.why.detail;
  const bool decided = status.decided;
  told_ = status;
  outside_.metrics.note_token_life(name_, status.expiry, status.excess);
  // Words that differ (the time that a try took) are no reason to poll anew.
  if (decided && (!same || words_changed)) put_in_force(status, moment);
  if (decided && !same) awaited_ = true;
  // Also when a new token was refused: somebody waits for its end.
  if (awaited_ && (!same || !has_candidate())) {
    awaited_ = false;
    outside_.changed();
  }
  std::erase_if(secrets_, [&](const auto& one) { return !life_.needs(one.first); });
}

void TokenKeep::put_in_force(const TokenStatus& status, const Moment& moment) {
  constexpr Milliseconds kFresh{2'000};
  TokenInForce token{.why = status.why};
  if (status.in_force != 0) {
    token.secret = secrets_.at(status.in_force);
    token.generation = before_ + status.in_force;
    if (auth_.logs_in()) token.fresh_until = moment.now + kFresh;
    since_.emplace(token.generation, moment.wall);
    if (told_in_use_ == 0) tell_in_use(token.generation);
  }
  slot_->set(std::make_shared<const TokenInForce>(std::move(token)));
}

void TokenKeep::count(TokenNote::Kind kind) {
  using Kind = TokenNote::Kind;
  OwnMetrics& metrics = outside_.metrics;
  switch (kind) {
    case Kind::kLoggedIn:
      return metrics.count_login(name_, TokenResult::kSuccess);
    case Kind::kLoginDenied:
      return metrics.count_login(name_, TokenResult::kDenied);
    case Kind::kLoginError:
      return metrics.count_login(name_, TokenResult::kError);
    case Kind::kRenewed:
      return metrics.count_renewal(name_, TokenResult::kSuccess);
    case Kind::kRenewalDenied:
      return metrics.count_renewal(name_, TokenResult::kDenied);
    case Kind::kRenewalError:
      return metrics.count_renewal(name_, TokenResult::kError);
    default:
      return;
  }
}

void TokenKeep::tell(const TokenNote& note) {
  using Kind = TokenNote::Kind;
  count(note.kind);
  const std::string generation = std::to_string(before_ + note.generation);
  const auto say = [&](auto level, std::string_view message) {
    level(message, {{"credential", name_}, {"generation", generation}, {"detail", note.detail}});
  };
  const auto say_policy = [&](auto level, std::string_view message) {
    level(message, {{"credential", name_},
                    {"generation", generation},
                    {"detail", note.detail},
                    {"remedy", "give it the policy that `bao-exporter policy` prints"}});
  };
  switch (note.kind) {
    case Kind::kLoggedIn:
      return say(log::info, "logged in");
    case Kind::kLoginDenied:
    case Kind::kLoginError:
      return log::warn("login failed", {{"credential", name_}, {"detail", note.detail}});
    case Kind::kRenewed:
      return say(log::debug, "token renewed");
    case Kind::kRenewalDenied:
    case Kind::kRenewalError:
      return say(log::warn, "renewal failed");
    case Kind::kNotRenewable:
      return say(log::warn, "token cannot be renewed");
    case Kind::kLifeUnknown:
      return say_policy(log::warn, "token life unknown");
    case Kind::kInForce:
      return log::info("token in force", {{"credential", name_}, {"generation", generation}});
    case Kind::kExcess:
      return say_policy(log::warn, "token may too much");
    case Kind::kExcessUnknown:
      return say_policy(log::warn, "token power unknown");
    case Kind::kRefused:
      return say_policy(log::error, "token refused");
    case Kind::kRejected:
      return say(log::warn, "token rejected");
  }
}

}  // namespace bao_exporter
