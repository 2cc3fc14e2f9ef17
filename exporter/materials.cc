#include "materials.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>
#include <utility>

#include "bao_exporter/node_book.h"

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

}  // namespace

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
  if (ca_file.empty()) return std::shared_ptr<const TlsTrust>(std::move(trust));  // no https at all
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
    if (!holds_certificate(trust->authorities_pem)) {
      return Error{ErrorCode::kConfig, ca_file + ": holds no certificate that can be read"};
    }
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
  if (config.open_to_all()) tokens->let_everybody_in();
  return std::shared_ptr<const ScrapeTokens>(std::move(tokens));
}

namespace {

bool same_trust(const TlsTrust& a, const TlsTrust& b) {
  return a.system_authorities == b.system_authorities && a.authorities_pem == b.authorities_pem &&
         a.client_certificate_pem == b.client_certificate_pem &&
         a.client_key_pem == b.client_key_pem;
}

}  // namespace

Result<Trusts> load_trusts(const Config& config) {
  Trusts trusts;
  for (const ClusterConfig& cluster : config.clusters) {
    auto trust = load_trust(cluster.ca_file, cluster.client_cert_file, cluster.client_key_file);
    if (!trust.ok()) return trust.error();
    trusts.emplace(cluster.cluster, std::move(trust).value());
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
