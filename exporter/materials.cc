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
  if (config.token_files.empty()) tokens->let_everybody_in();
  return std::shared_ptr<const ScrapeTokens>(std::move(tokens));
}

namespace {

bool same_key(const Secret* a, const Secret* b) {
  if (a == nullptr || b == nullptr) return a == b;
  return a->reveal() == b->reveal();
}

bool same_trust(const TlsTrust& a, const TlsTrust& b) {
  return a.system_authorities == b.system_authorities && a.authorities_pem == b.authorities_pem &&
         a.client_certificate_pem == b.client_certificate_pem &&
         same_key(a.client_key_pem.get(), b.client_key_pem.get());
}

}  // namespace

Result<Trusts> load_trusts(const Config& config) {
  Trusts trusts;
  for (const ClusterConfig& cluster : config.clusters) {
    auto trust = load_trust({cluster.ca_file,
                             cluster.client_cert_file,
                             cluster.client_key_file,
                             {cluster.auth.allow_group_read}});
    if (!trust.ok()) return trust.error();
    trusts.emplace(cluster.cluster, std::move(trust).value());
  }
  for (const CertctlConfig& certctl : config.certctls) {
    auto trust = load_trust({certctl.ca_file, "", "", {}});
    if (!trust.ok()) return trust.error();
    trusts.emplace(certctl.name, std::move(trust).value());
  }
  return trusts;
}

bool keep_known(Trusts& wanted, const Trusts& before) {
  bool same = true;
  for (auto& [cluster, trust] : wanted) {
    const auto old = before.find(cluster);
    if (old != before.end() && same_trust(*old->second, *trust)) {
      trust = old->second;
    } else {
      same = false;
    }
  }
  return same;
}

std::vector<PollTarget> equip(const Config& config, const Trusts& trusts,
                              const TokenSlots& tokens) {
  std::vector<PollTarget> targets = poll_targets(config);
  std::size_t target = 0;
  for (const ClusterConfig& cluster : config.clusters) {
    const auto token = tokens(cluster.cluster);
    for (const NodeConfig& node : cluster.nodes) {
      targets[target].trust = trusts.at(cluster.cluster);
      if (node.metrics_auth) targets[target].token = token;
      ++target;
    }
  }
  return targets;
}

}  // namespace bao_exporter
