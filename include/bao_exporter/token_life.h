// The life of one cluster's token: when to log in, to check what it may do, to look up and to renew
// it. A pure machine: no I/O, no clock, no dice of its own; it never sees a token, only its number.
//
// At most one request is under way; a newer task replaces it, and what comes back for the old one
// is dropped. Durations, and what they rest on (measured on OpenBao 2.7.2):
//   - a renewal comes at two thirds of what is left, up to a tenth of that earlier (jitter);
//   - a renewal that no longer gives the whole time (max TTL) is followed by a login at once;
//   - denied logins are tried again after 10 s, 1 min, then each 10 min: OpenBao locks an AppRole
//     for 15 min at the fifth denial within 15 min;
//   - whatever else failed: each node once, then after 1 s, 2 s, ... 60 s.
// A new token is checked (sys/capabilities-self) before it comes into force, and the one before
// stays in force meanwhile. Where nobody answers the check within check_patience and there is none
// before it, or the one before is rejected or has ended, it comes into force unchecked (never with
// refuse_excess), and the check is tried on.
// A token in force stays so until another one takes its place, past its end, too: polls that use it
// are rejected and say so, which tells more than having none. Only a check that refuses it ends it.
// A refused token stays refused: what helps is another token.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "bao_exporter/capabilities.h"
#include "bao_exporter/result.h"
#include "bao_exporter/time.h"

namespace bao_exporter {

enum class TokenTask : std::uint8_t { kLogIn, kCheck, kLookUp, kRenew };

struct TokenLifeOptions {
  bool logs_in = false;  // by a login method; else the token is read from a file
  bool renew = true;
  bool refuse_excess = false;  // on_excess_capabilities = "refuse"
  bool accept_root = false;    // profile demo
  Milliseconds check_patience{1'000};
  bool can_ask = true;    // some node has an api_url; else nothing is checked, looked up, renewed
  std::size_t nodes = 1;  // how many can be asked: each once without delay
};

// Read from the clock and the dice when an event came.
struct Moment {
  TimePoint now;
  WallTime wall;
  double dice = 0;  // in [0, 1)
};

// How long a token lives from when the answer came.
struct Grant {
  Milliseconds ttl{0};  // 0: it does not end
  bool renewable = false;
};

// What became of a task. kLogIn, kLookUp, kRenew: Grant; kCheck: Capabilities.
// Errors: kLoginFailed, kTokenRejected, kForbidden are denials (the node answered and said no; of
// kForbidden: the token is known and may not do this); every other code means that nobody answered,
// or not in a way that tells anything.
using TokenAnswer = std::variant<Error, Grant, Capabilities>;

// To be sent; what comes back goes to answered() with the same id.
struct TokenOrder {
  std::uint64_t id = 0;
  TokenTask task = TokenTask::kLogIn;
  std::uint64_t generation = 0;  // whose token; kLogIn: the number that the new one gets
  std::size_t attempt = 0;       // 0, 1, 2, ... : each next one goes to the next node
};

// Worth a line in the log, and a counter where it ends a login or a renewal.
struct TokenNote {
  enum class Kind : std::uint8_t {
    kLoggedIn,  // detail: its TTL
    kLoginDenied,
    kLoginError,
    kRenewed,  // detail: the TTL
    kRenewalDenied,
    kRenewalError,
    kNotRenewable,  // of a file's token: nobody can lengthen its life; detail: when it ends
    kLifeUnknown,   // it may not look itself up (nor renew); detail: why
    kInForce,       // this generation is in force from now on
    kExcess,        // it may more than it needs; detail: what
    // It may not ask what it may do; or (with refuse_excess) there is nobody to ask.
    kExcessUnknown,
    kRefused,   // not used: root, or excess with refuse_excess; detail: what
    kRejected,  // polls say so
  };
  Kind kind = Kind::kInForce;
  std::uint64_t generation = 0;
  std::string detail;  // in words, without anything secret
};

// What holds now.
struct TokenStatus {
  bool decided = false;            // false: polls wait for the first token
  std::uint64_t in_force = 0;      // generation; 0: none
  Error why{ErrorCode::kOk, {}};   // decided and none in force: why
  std::optional<WallTime> expiry;  // of the one in force; nullopt: not known, or never
  // Capabilities beyond reading metrics: of the one in force, or of the one refused where there is
  // none. nullopt: not known.
  std::optional<std::size_t> excess;
};

struct TokenSteps {
  std::optional<TokenOrder> order;
  std::vector<TokenNote> notes;
};

class TokenLife {
 public:
  explicit TokenLife(const TokenLifeOptions& options);

  // The beginning, for a login method: logs in.
  [[nodiscard]] TokenSteps start(const Moment& moment);
  // A token was read from its file; `generation` counts up from 1.
  [[nodiscard]] TokenSteps token_read(std::uint64_t generation, const Moment& moment);
  // A file that a login needs has changed, or somebody asks (SIGHUP): what waits for its next try
  // is tried at once. Denied logins stay counted: another denial waits as long as it would have.
  [[nodiscard]] TokenSteps try_now(const Moment& moment);
  [[nodiscard]] TokenSteps answered(std::uint64_t id, const TokenAnswer& answer,
                                    const Moment& moment);
  // Polls say that `generation` is rejected. When it is the newest one, a login method logs in: at
  // once, but 10 s, 1 min, 10 min after the last login when fresh tokens are rejected, too. When it
  // is the one in force, a newer one that is being checked does not wait for it any more.
  [[nodiscard]] TokenSteps rejected(std::uint64_t generation, const Moment& moment);
  // At wake_at() or later.
  [[nodiscard]] TokenSteps time_came(const Moment& moment);

  [[nodiscard]] const TokenStatus& status() const { return status_; }
  // When time_came() must be called next; nullopt: nothing is due but an answer.
  [[nodiscard]] std::optional<TimePoint> wake_at() const;
  // Generations whose secret is still needed: the one in force, the one that is being checked.
  [[nodiscard]] bool needs(std::uint64_t generation) const;

 private:
  struct Held {
    std::uint64_t generation = 0;
    bool checked = false;   // nothing to ask any more about what it may do
    bool rejected = false;  // polls say so
    bool renewable = false;
    Milliseconds whole{0};          // what its login gave
    std::optional<TimePoint> ends;  // nullopt: not known, or never
    std::optional<WallTime> expiry;
    TimePoint since;  // when it was read or came from its login, then when it came into force
  };
  struct Schedule {
    std::optional<TimePoint> due;
    std::size_t failures = 0;  // in a row: the attempt of the next order
    bool waiting = false;      // for another try, as against for its time
  };

  // token_life.cc
  void take_candidate(Held token, const Moment& moment, TokenSteps& steps);
  void put_in_force(const Moment& moment, TokenSteps& steps);
  void plan_login_life(const Moment& moment);
  void settle(const Moment& moment, TokenSteps& steps);
  void log_in_by(TimePoint time);
  void fresh_token_rejected(const Held& token, const Moment& moment);
  [[nodiscard]] bool patience_ended(TimePoint now) const;
  [[nodiscard]] std::optional<TimePoint> patience_ends() const;
  [[nodiscard]] bool login_may_replace() const;
  [[nodiscard]] std::optional<TokenTask> due_task(TimePoint now) const;
  [[nodiscard]] TokenOrder order_of(TokenTask task);
  [[nodiscard]] Schedule& schedule_of(TokenTask task);
  [[nodiscard]] const Held* check_target() const;

  // token_life_answers.cc
  void login_answered(const TokenOrder& order, const TokenAnswer& answer, const Moment& moment,
                      TokenSteps& steps);
  void login_denied(const Error& error, const Moment& moment);
  void login_unanswered(const Error& error, const Moment& moment);
  void check_answered(const TokenAnswer& answer, const Moment& moment, TokenSteps& steps);
  void check_failed(const Error& error, const Moment& moment, TokenSteps& steps);
  void judge(const Capabilities& capabilities, const Moment& moment, TokenSteps& steps);
  void check_done(std::optional<std::size_t> excess, const Moment& moment, TokenSteps& steps);
  void refuse(std::size_t excess, const std::string& words, const Moment& moment,
              TokenSteps& steps);
  void look_up_answered(const TokenAnswer& answer, const Moment& moment, TokenSteps& steps);
  void look_up_denied(const Error& error, const Moment& moment, TokenSteps& steps);
  void renewal_answered(const TokenAnswer& answer, const Moment& moment, TokenSteps& steps);
  void renewal_failed(const Error& error, const Moment& moment, TokenSteps& steps);
  void login_token_renewed(const Grant& grant, const Moment& moment);
  void file_token_renewed(const Grant& grant, const Moment& moment, TokenSteps& steps);
  void set_life(Held& token, const Grant& grant, const Moment& moment);
  void plan_file_renewal(const Moment& moment, TokenSteps& steps);
  void try_again(Schedule& schedule, const Moment& moment) const;
  void decide(Error why);

  TokenLifeOptions options_;
  TokenStatus status_;
  std::uint64_t newest_ = 0;  // generation
  std::uint64_t last_id_ = 0;
  std::optional<Held> in_force_;
  std::optional<Held> candidate_;  // newer than the one in force, not checked yet
  std::optional<TokenOrder> under_way_;

  Schedule login_;
  Schedule check_;    // of the candidate, else of the one in force where it is unchecked
  Schedule look_up_;  // of the one in force, as the renewal
  Schedule renew_;
  bool learns_by_renewal_ = false;   // the token may not look itself up
  std::size_t checks_rejected_ = 0;  // of the token that is being checked
  std::size_t look_ups_rejected_ = 0;

  std::optional<TimePoint> started_;
  std::optional<TimePoint> last_login_;  // a good one
  TimePoint no_login_before_ = TimePoint::min();
  std::optional<TimePoint> last_denial_;
  std::size_t denials_ = 0;         // of logins, none more than 15 min after the one before
  std::size_t fresh_rejected_ = 0;  // tokens in a row that polls rejected soon
};

}  // namespace bao_exporter
