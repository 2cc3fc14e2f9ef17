#include "io/ticket_key.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include <algorithm>

#include "bao_exporter/check.h"

namespace bao_exporter {

namespace {

constexpr std::size_t kCipherKeyBytes = 32;
constexpr std::size_t kMacKeyBytes = 32;
constexpr int kIvBytes = 16;

}  // namespace

TicketKey::TicketKey() {
  BAO_CHECK(::RAND_bytes(name_.data(), static_cast<int>(name_.size())) == 1);
  std::array<unsigned char, kCipherKeyBytes + kMacKeyBytes> random{};
  BAO_CHECK(::RAND_priv_bytes(random.data(), static_cast<int>(random.size())) == 1);
  keys_ = Secret::join({{reinterpret_cast<const char*>(random.data()), random.size()}});  // NOLINT
  ::OPENSSL_cleanse(random.data(), random.size());
}

bool TicketKey::is_named(const unsigned char* name) const {
  return std::equal(name_.begin(), name_.end(), name);
}

const unsigned char* TicketKey::cipher_key() const {
  return reinterpret_cast<const unsigned char*>(keys_->reveal().data());  // NOLINT
}

bool TicketKey::key_mac(EVP_MAC_CTX* mac) const {
  auto* key = const_cast<unsigned char*>(cipher_key() + kCipherKeyBytes);  // NOLINT: it only reads
  std::array<char, 7> digest{"SHA256"};
  const std::array<OSSL_PARAM, 3> params = {
      ::OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key, kMacKeyBytes),
      ::OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest.data(), 0),
      ::OSSL_PARAM_construct_end()};
  return ::EVP_MAC_CTX_set_params(mac, params.data()) == 1;
}

bool TicketKey::seal(unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher,
                     EVP_MAC_CTX* mac) const {
  std::copy(name_.begin(), name_.end(), name);
  return ::RAND_bytes(iv, kIvBytes) == 1 &&
         ::EVP_EncryptInit_ex(cipher, ::EVP_aes_256_cbc(), nullptr, cipher_key(), iv) == 1 &&
         key_mac(mac);
}

bool TicketKey::open(const unsigned char* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac) const {
  return key_mac(mac) &&
         ::EVP_DecryptInit_ex(cipher, ::EVP_aes_256_cbc(), nullptr, cipher_key(), iv) == 1;
}

}  // namespace bao_exporter
