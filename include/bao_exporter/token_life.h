// The life of one cluster's token: when to log in, to check what it may do, to look up and to renew
// it. A pure machine: no I/O, no clock, no dice of its own; it never sees a token, only its number.
//
// At most one request is under way; a newer task replaces it, and what comes back for the old one
// is dropped. Durations, and what they rest on (measured on OpenBao 2.7.2):
//   - a renewal comes at two thirds of what is left, up to a tenth of that earlier (jitter);
//   - a renewal that no longer gives the whole time (max TTL) is followed by a login at once;
//   - denied logins are tried again after 10 s, 1 min, then each 10 min: OpenBao locks an AppRole
//   for
//     15 min at the fifth denial within 15 min; whatever else failed after 1 s, 2 s, ... 60 s.
// A new token is checked (sys/capabilities-self) before it comes into force, and the one before
// stays in force meanwhile. Where nobody answers the check within kCheckPatience and there is none
// before it, it comes into force unchecked (never with refuse_excess), and the check is tried on.
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
  bool can_ask = true;  // some node has an api_url; else nothing is checked, looked up, renewed
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
    kNotRenewable,   // of a file's token: nobody can lengthen its life; detail: when it ends
    kLifeUnknown,    // it may not look itself up
    kInForce,        // this generation is in force from now on
    kExcess,         // it may more than it needs; detail: what
    kExcessUnknown,  // it may not ask what it may do
    kRefused,        // not used: root, or excess with refuse_excess; detail: what
    kRejected,       // polls say so
  };
  Kind kind = Kind::kInForce;
  std::uint64_t generation = 0;
  std::string detail;  // in words, without anything secret
};

// What holds now.
struct TokenStatus {
  bool decided = false;               // false: polls wait for the first token
  std::uint64_t in_force = 0;         // generation; 0: none
  Error why{ErrorCode::kOk, {}};      // decided and none in force: why
  std::optional<WallTime> expiry;     // of the one in force; nullopt: not known, or never
  std::optional<std::size_t> excess;  // capabilities beyond reading metrics; nullopt: not known
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
  // A file that a login needs has changed, or somebody asks (SIGHUP): a login that waits for its
  // next try is tried at once.
  [[nodiscard]] TokenSteps try_now(const Moment& moment);
  [[nodiscard]] TokenSteps answered(std::uint64_t id, TokenAnswer answer, const Moment& moment);
  // Polls say that `generation` is rejected. Nothing happens when it is not the newest one; a login
  // method logs in (not more often than its denials would).
  [[nodiscard]] TokenSteps rejected(std::uint64_t generation, const Moment& moment);
  // At wake_at() or later.
  [[nodiscard]] TokenSteps time_came(const Moment& moment);

  [[nodiscard]] const TokenStatus& status() const;
  [[nodiscard]] std::optional<TimePoint> wake_at() const;
  // Generations whose secret is still needed: the one in force, the one that is being checked.
  [[nodiscard]] bool needs(std::uint64_t generation) const;
};

}  // namespace bao_exporter
