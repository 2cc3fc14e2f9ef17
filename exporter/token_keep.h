// One cluster's tokens: TokenLife with its files, its requests, its place in the metrics and the
// log.
//
// Threads: one at a time (TokenKeeper's lock).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bao_exporter/config.h"
#include "bao_exporter/login.h"
#include "bao_exporter/own_metrics.h"
#include "bao_exporter/secret_file.h"
#include "bao_exporter/slot.h"
#include "bao_exporter/token.h"
#include "bao_exporter/token_life.h"
#include "bao_exporter/transport.h"
#include "token_request.h"

namespace bao_exporter {

class TokenKeep {
 public:
  enum class Purpose : std::uint8_t { kTask, kUnwrap };
  struct Outside {
    OwnMetrics& metrics;
    // What comes back goes to take(), with the same number and purpose.
    std::function<void(Request, std::uint64_t order, Purpose)> send;
    std::function<void()> changed;  // what is in force, or why nothing is
  };

  // `generations`: how many tokens this cluster had before.
  TokenKeep(const ClusterConfig& cluster, std::shared_ptr<const TlsTrust> trust,
            Milliseconds timeout, std::uint64_t generations, Outside outside);
  ~TokenKeep();
  TokenKeep(const TokenKeep&) = delete;
  TokenKeep& operator=(const TokenKeep&) = delete;

  // The same authentication and trust, other nodes: nothing else has changed.
  [[nodiscard]] bool fits(const ClusterConfig& cluster,
                          const std::shared_ptr<const TlsTrust>& trust) const;
  void take_nodes(const ClusterConfig& cluster, Milliseconds timeout);

  void start(const Moment& moment);
  // Looks at the files; at one that may still be written only at the next look.
  void look(const Moment& moment);
  // Reads all of them, and tries at once what waits for its next try (SIGHUP).
  void look_now(const Moment& moment);
  void time_came(const Moment& moment);
  void take(std::uint64_t order, Purpose purpose, Answer answer, const Moment& moment);
  void note(const TokenNews& news, const Moment& moment);
  [[nodiscard]] TokenSource::Newer newer_than(std::uint64_t generation, const Moment& moment);

  [[nodiscard]] std::optional<TimePoint> wake_at() const { return life_.wake_at(); }
  [[nodiscard]] const std::shared_ptr<Slot<TokenInForce>>& slot() const { return slot_; }
  [[nodiscard]] std::uint64_t generations() const;

 private:
  [[nodiscard]] static TokenLifeOptions options_of(const ClusterConfig& cluster, std::size_t nodes,
                                                   Milliseconds timeout);
  void take_step(TokenSteps steps, const Moment& moment);
  void count(TokenNote::Kind kind);
  void tell(const TokenNote& note);
  void publish(const Moment& moment);
  void put_in_force(const TokenStatus& status, const Moment& moment);
  void tell_in_use(std::uint64_t generation);
  void note_found(SecretFile& file, SecretFile::Found found, const Moment& moment);
  void forget_unwrapped(const SecretFile& changed);
  // Sends what was ordered; an Error when that cannot be.
  [[nodiscard]] std::optional<Error> carry_out(const TokenOrder& order, const Moment& moment);
  [[nodiscard]] std::optional<Error> log_in(const Moment& moment);
  void send(TokenRequest what, Purpose purpose, const Moment& moment);
  [[nodiscard]] TokenAnswer read(Answer& answer);
  [[nodiscard]] bool has_candidate() const;
  [[nodiscard]] const AskedNode& node_for(std::size_t attempt);

  std::string name_;
  AuthConfig auth_;
  Profile profile_;
  std::shared_ptr<const TlsTrust> trust_;
  Milliseconds timeout_;
  Outside outside_;
  std::vector<AskedNode> nodes_;
  std::optional<std::size_t> active_;
  std::size_t first_ = 0;  // index of the node that the first attempt went to

  // In the order of AuthConfig; those without a path are not there.
  std::optional<SecretFile> token_;
  std::optional<SecretFile> role_id_;
  std::optional<SecretFile> secret_id_;
  std::optional<SecretFile> jwt_;
  std::vector<SecretFile*> files_;
  std::shared_ptr<const Secret> unwrapped_;  // the secret id that came out of its wrapping

  TokenLife life_;
  TokenOrder order_;      // the last one
  std::uint64_t before_;  // what others see as a generation is this more than the machine's number
  std::uint64_t logins_ = 0;
  std::map<std::uint64_t, std::shared_ptr<const Secret>> secrets_;  // by the machine's number
  std::map<std::uint64_t, WallTime> since_;                         // in force, by what others see
  std::shared_ptr<Slot<TokenInForce>> slot_ = std::make_shared<Slot<TokenInForce>>();
  TokenStatus told_;
  std::uint64_t told_in_use_ = 0;
  bool awaited_ = false;  // somebody is to be told when a new token was decided on
};

}  // namespace bao_exporter
