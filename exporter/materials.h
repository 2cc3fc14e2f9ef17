// What is read from files before anything starts: whom to trust, and the tokens.
#pragma once

#include <functional>
#include <map>
#include <memory>
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

// Whom to trust, by the name of the cluster or of the certctl server: no name is both.
using Trusts = std::map<std::string, std::shared_ptr<const TlsTrust>>;

// Reads everything that `config` names of this. Errors: kConfig, kIo, kTokenUnreadable, naming the
// file.
[[nodiscard]] Result<Trusts> load_trusts(const Config& config);

// What is the same as before keeps its object: connections need not be made anew for it. True when
// nothing has changed.
[[nodiscard]] bool keep_known(Trusts& wanted, const Trusts& before);

// Where polls of a cluster take their token from; null: it needs none.
using TokenSlots =
    std::function<std::shared_ptr<const Slot<TokenInForce>>(const std::string& cluster)>;

// poll_targets() with whom to trust and which token to send.
[[nodiscard]] std::vector<PollTarget> equip(const Config& config, const Trusts& trusts,
                                            const TokenSlots& tokens);

}  // namespace bao_exporter
