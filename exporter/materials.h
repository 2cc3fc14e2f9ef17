// What is read from files before anything starts: whom to trust, and the tokens.
#pragma once

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

// Errors: kIo, naming the file.
[[nodiscard]] Result<std::string> read_file(const std::string& path);

[[nodiscard]] Result<std::shared_ptr<const TlsTrust>> load_trust(const std::string& ca_file,
                                                                 const std::string& cert_file,
                                                                 const std::string& key_file);

[[nodiscard]] Result<std::shared_ptr<const ScrapeTokens>> load_scrape_tokens(
    const ListenerConfig& config);

// One credential for each cluster, in configuration order. The slots must outlive the Poller.
class Credentials {
 public:
  [[nodiscard]] static Result<std::unique_ptr<Credentials>> load(const Config& config);

  // poll_targets() with whom to trust and which token to send.
  [[nodiscard]] std::vector<PollTarget> equip(const Config& config) const;

 private:
  std::vector<std::shared_ptr<const TlsTrust>> trusts_;
  std::vector<std::unique_ptr<Slot<Secret>>> tokens_;  // null: the cluster needs none
};

}  // namespace bao_exporter
