// What is read from files before anything starts: whom to trust, and the tokens.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bao_exporter/config.h"
#include "bao_exporter/poller.h"
#include "bao_exporter/scrape_tokens.h"
#include "bao_exporter/secret.h"
#include "bao_exporter/slot.h"
#include "bao_exporter/transport.h"

namespace bao_exporter {

struct TrustFiles {
  std::string ca;           // "system": that of the system; empty: no https at all
  std::string certificate;  // of the client; empty: it has none
  std::string key;
  SecretFileRules key_rules;
};
// Errors: kIo, kConfig, kTokenUnreadable (the key), naming the file.
[[nodiscard]] Result<std::shared_ptr<const TlsTrust>> load_trust(const TrustFiles& files);

[[nodiscard]] Result<std::shared_ptr<const ScrapeTokens>> load_scrape_tokens(
    const ListenerConfig& config);

// One credential for each cluster, by its name. Threads: one; the slots are read by the poll
// thread.
class Credentials {
 public:
  struct Credential {
    std::shared_ptr<const TlsTrust> trust;
    std::shared_ptr<Slot<Secret>> token;  // null: the cluster needs none
    std::uint64_t generation = 0;         // contents of the token's file so far
    WallTime loaded{};
  };

  struct Material {
    std::shared_ptr<const TlsTrust> trust;
    std::shared_ptr<const Secret> token;  // null: the cluster needs none
  };
  using Materials = std::map<std::string, Material>;

  // Reads everything that `config` names. Errors: kConfig, kIo, kTokenUnreadable, naming the file.
  [[nodiscard]] static Result<Materials> read(const Config& config);

  // Puts them in force. A cluster that was there before keeps its slot, so polls take a new token
  // from their next start on.
  void take(const Materials& materials);

  // poll_targets() with whom to trust and which token to send.
  [[nodiscard]] std::vector<PollTarget> equip(const Config& config) const;

  [[nodiscard]] const std::map<std::string, Credential>& by_cluster() const { return credentials_; }
  // True when the last take() changed whom to trust: connections have to be made anew.
  [[nodiscard]] bool trust_changed() const { return trust_changed_; }

 private:
  std::map<std::string, Credential> credentials_;
  bool trust_changed_ = false;
};

}  // namespace bao_exporter
