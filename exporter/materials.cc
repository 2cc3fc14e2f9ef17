#include "materials.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include <utility>

#include "bao_exporter/node_book.h"
#include "text_file.h"

namespace bao_exporter {

namespace {

// libcurl takes what it can read and says nothing of the rest: then no node would be trusted.
bool holds_certificate(const std::string& pem) {
  const std::unique_ptr<BIO, int (*)(BIO*)> bio(
      ::BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), &::BIO_free);
  const std::unique_ptr<X509, void (*)(X509*)> certificate(
      ::PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr), &::X509_free);
  ::ERR_clear_error();
  return certificate != nullptr;
}

std::optional<Error> read_pem(const std::string& file, std::string& pem) {
  if (file.empty()) return std::nullopt;
  Result<std::string> text = read_text_file(file);
  if (!text.ok()) return Error{text.error().code, file + ": " + text.error().detail};
  pem = std::move(text).value();
  return std::nullopt;
}

std::optional<Error> read_key(const std::string& file, const SecretFileRules& rules,
                              std::shared_ptr<const Secret>& key) {
  if (file.empty()) return std::nullopt;
  auto text = Secret::load_lines(file, rules);
  if (!text.ok()) return text.error();
  key = std::move(text).value();
  return std::nullopt;
}

}  // namespace

Result<std::shared_ptr<const TlsTrust>> load_trust(const TrustFiles& files) {
  auto trust = std::make_shared<TlsTrust>();
  if (files.ca.empty()) return std::shared_ptr<const TlsTrust>(std::move(trust));  // no https
  trust->system_authorities = files.ca == "system";
  if (!trust->system_authorities) {
    if (auto error = read_pem(files.ca, trust->authorities_pem)) return *std::move(error);
    if (!holds_certificate(trust->authorities_pem)) {
      return Error{ErrorCode::kConfig, files.ca + ": holds no certificate that can be read"};
    }
  }
  if (auto error = read_pem(files.certificate, trust->client_certificate_pem)) {
    return *std::move(error);
  }
  if (auto error = read_key(files.key, files.key_rules, trust->client_key_pem)) {
    return *std::move(error);
  }
  return std::shared_ptr<const TlsTrust>(std::move(trust));
}

Result<std::shared_ptr<const ScrapeTokens>> load_scrape_tokens(const ListenerConfig& config) {
  auto tokens = std::make_shared<ScrapeTokens>();
  for (const std::string& file : config.token_files) {
    auto text = Secret::load_lines(file, {config.allow_group_read});
    if (!text.ok()) return text.error();
    if (auto error = tokens->add(text.value()->reveal(), file)) return *std::move(error);
  }
  if (config.open_to_all()) tokens->let_everybody_in();
  return std::shared_ptr<const ScrapeTokens>(std::move(tokens));
}

namespace {

bool same_key(const Secret* a, const Secret* b) {
  if (a == nullptr || b == nullptr) return a == b;
  return a->reveal() == b->reveal();
}

bool same_trust(const TlsTrust* a, const TlsTrust& b) {
  return a != nullptr && a->system_authorities == b.system_authorities &&
         a->authorities_pem == b.authorities_pem &&
         a->client_certificate_pem == b.client_certificate_pem &&
         same_key(a->client_key_pem.get(), b.client_key_pem.get());
}

bool same_secret(const Slot<Secret>* slot, const Secret& secret) {
  if (slot == nullptr) return false;
  const auto known = slot->get();
  return known != nullptr && known->reveal() == secret.reveal();
}

}  // namespace

Result<Credentials::Materials> Credentials::read(const Config& config) {
  Materials materials;
  for (const ClusterConfig& cluster : config.clusters) {
    Material& mine = materials[cluster.cluster];
    auto trust = load_trust({cluster.ca_file,
                             cluster.client_cert_file,
                             cluster.client_key_file,
                             {cluster.auth.allow_group_read}});
    if (!trust.ok()) return trust.error();
    mine.trust = std::move(trust).value();
    if (cluster.auth.method == AuthMethod::kNone) continue;
    auto token = Secret::load(cluster.auth.token_file, {cluster.auth.allow_group_read});
    if (!token.ok()) return token.error();
    mine.token = std::move(token).value();
  }
  return materials;
}

void Credentials::take(const Materials& materials) {
  std::map<std::string, Credential> before = std::exchange(credentials_, {});
  trust_changed_ = false;
  for (const auto& [cluster, mine] : materials) {
    Credential credential = std::move(before[cluster]);
    if (!same_trust(credential.trust.get(), *mine.trust)) {
      credential.trust = mine.trust;
      trust_changed_ = true;
    }
    if (mine.token == nullptr) {
      credential.token = nullptr;
    } else if (!same_secret(credential.token.get(), *mine.token)) {
      if (credential.token == nullptr) credential.token = std::make_shared<Slot<Secret>>();
      credential.token->set(mine.token);
      ++credential.generation;
      credential.loaded = WallClock::now();
    }
    credentials_.emplace(cluster, std::move(credential));
  }
}

std::vector<PollTarget> Credentials::equip(const Config& config) const {
  std::vector<PollTarget> targets = poll_targets(config);
  std::size_t target = 0;
  for (const ClusterConfig& cluster : config.clusters) {
    const Credential& credential = credentials_.at(cluster.cluster);
    for (const NodeConfig& node : cluster.nodes) {
      targets[target].trust = credential.trust;
      if (node.metrics_auth) targets[target].token = credential.token;
      ++target;
    }
  }
  return targets;
}

}  // namespace bao_exporter
