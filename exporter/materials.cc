#include "materials.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "bao_exporter/node_book.h"

namespace bao_exporter {

Result<std::string> read_file(const std::string& path) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (!file || !(text << file.rdbuf())) {
    const char* why = errno != 0 ? std::strerror(errno) : "empty or unreadable";
    return Error{ErrorCode::kIo, path + ": cannot be read: " + why};
  }
  return std::move(text).str();
}

Result<std::shared_ptr<const TlsTrust>> load_trust(const std::string& ca_file,
                                                   const std::string& cert_file,
                                                   const std::string& key_file) {
  auto trust = std::make_shared<TlsTrust>();
  trust->system_authorities = ca_file == "system";
  const auto fill = [](const std::string& file, std::string& pem) -> std::optional<Error> {
    if (file.empty()) return std::nullopt;
    Result<std::string> text = read_file(file);
    if (!text.ok()) return text.error();
    pem = std::move(text).value();
    return std::nullopt;
  };
  if (!trust->system_authorities) {
    if (auto error = fill(ca_file, trust->authorities_pem)) return *std::move(error);
  }
  if (auto error = fill(cert_file, trust->client_certificate_pem)) return *std::move(error);
  if (auto error = fill(key_file, trust->client_key_pem)) return *std::move(error);
  return std::shared_ptr<const TlsTrust>(std::move(trust));
}

Result<std::shared_ptr<const ScrapeTokens>> load_scrape_tokens(const ListenerConfig& config) {
  auto tokens = std::make_shared<ScrapeTokens>();
  for (const std::string& file : config.token_files) {
    auto text = Secret::load_lines(file, {config.allow_group_read});
    if (!text.ok()) return text.error();
    if (auto error = tokens->add(text.value()->reveal(), file)) return *std::move(error);
  }
  return std::shared_ptr<const ScrapeTokens>(std::move(tokens));
}

Result<std::unique_ptr<Credentials>> Credentials::load(const Config& config) {
  auto credentials = std::make_unique<Credentials>();
  for (const ClusterConfig& cluster : config.clusters) {
    auto trust = load_trust(cluster.ca_file, cluster.client_cert_file, cluster.client_key_file);
    if (!trust.ok()) return trust.error();
    credentials->trusts_.push_back(std::move(trust).value());
    credentials->tokens_.push_back(nullptr);
    if (cluster.auth.method == AuthMethod::kNone) continue;
    auto token = Secret::load(cluster.auth.token_file, {cluster.auth.allow_group_read});
    if (!token.ok()) return token.error();
    credentials->tokens_.back() = std::make_unique<Slot<Secret>>();
    credentials->tokens_.back()->set(std::move(token).value());
  }
  return credentials;
}

std::vector<PollTarget> Credentials::equip(const Config& config) const {
  std::vector<PollTarget> targets = poll_targets(config);
  std::size_t target = 0;
  for (std::size_t cluster = 0; cluster < config.clusters.size(); ++cluster) {
    for (const NodeConfig& node : config.clusters[cluster].nodes) {
      targets[target].trust = trusts_[cluster];
      if (node.metrics_auth) targets[target].token = tokens_[cluster].get();
      ++target;
    }
  }
  return targets;
}

}  // namespace bao_exporter
