// A key that session tickets are sealed with, and opened: AES-256-CBC, then HMAC-SHA-256. Random,
// in locked memory, nowhere else.
#pragma once

#include <openssl/evp.h>

#include <array>
#include <memory>

#include "bao_exporter/secret.h"

namespace bao_exporter {

class TicketKey {
 public:
  static constexpr std::size_t kNameBytes = 16;

  TicketKey();  // a new one

  [[nodiscard]] bool is_named(const unsigned char* name) const;

  // As SSL_CTX_set_tlsext_ticket_key_evp_cb wants it; false: OpenSSL failed.
  [[nodiscard]] bool seal(unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher,
                          EVP_MAC_CTX* mac) const;
  [[nodiscard]] bool open(const unsigned char* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac) const;

 private:
  [[nodiscard]] const unsigned char* cipher_key() const;
  [[nodiscard]] bool key_mac(EVP_MAC_CTX* mac) const;

  std::array<unsigned char, kNameBytes> name_{};
  std::shared_ptr<const Secret> keys_;
};

}  // namespace bao_exporter
