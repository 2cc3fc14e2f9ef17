// The token of a cluster, as polls take it, and what polls tell of it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bao_exporter/result.h"
#include "bao_exporter/secret.h"
#include "bao_exporter/time.h"

namespace bao_exporter {

// What is in force. A slot with no TokenInForce in it: not decided yet, a poll waits for it.
struct TokenInForce {
  std::shared_ptr<const Secret> secret = nullptr;  // null: none may be sent, for the reason `why`
  std::uint64_t generation = 0;                    // counts the tokens of the cluster, from 1
  // Of a login: until then a standby may not know it yet, and is asked again. (Measured on OpenBao
  // 2.7.2: 62 to 120 ms after the login it does.)
  TimePoint fresh_until{};
  Error why{ErrorCode::kOk, {}};  // kLoginFailed, kTokenExcess, ... where there is none
};

// What the polls of a cluster tell of its tokens, at each publication.
struct TokenNews {
  std::string cluster;
  // The oldest generation that a node which answered with samples took at its last poll; 0: none
  // did. Tokens before it are not used any more.
  std::uint64_t in_use = 0;
  // The newest generation that counts as rejected: the active node said so, or standbys did for
  // three rounds. 0: none.
  std::uint64_t rejected = 0;
  std::optional<std::size_t> active_node;  // place in the cluster's list of nodes
};

// Who is asked when a node rejects a token, and is told what polls saw.
class TokenSource {
 public:
  virtual ~TokenSource() = default;

  enum class Newer : std::uint8_t {
    kNone,  // that generation is the newest there is
    kSoon,  // a newer one is being checked: its end is told in any case
    kNow,   // a newer one is in force
  };
  // Looks at the token's file at once.
  [[nodiscard]] virtual Newer newer_than(const std::string& cluster, std::uint64_t generation) = 0;
  virtual void note(const std::vector<TokenNews>& news) = 0;
};

}  // namespace bao_exporter
