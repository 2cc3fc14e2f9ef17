#include "io/wiping_memory.h"

#include <curl/curl.h>
#include <malloc.h>
#include <openssl/crypto.h>

#include <cstdlib>

#include "bao_exporter/check.h"

namespace bao_exporter {

namespace {

using Wiping = WipingHeap<SystemHeap>;

// As OpenSSL's own: no bytes are no block.
void* openssl_allocate(std::size_t bytes, const char*, int) noexcept {
  return bytes == 0 ? nullptr : Wiping::allocate(bytes);
}

void openssl_release(void* block, const char*, int) noexcept { Wiping::release(block); }

void* openssl_resize(void* block, std::size_t bytes, const char*, int) noexcept {
  if (bytes != 0) return Wiping::resize(block, bytes);
  Wiping::release(block);
  return nullptr;
}

bool set_up() {
  // OpenSSL refuses once it has allocated, libcurl's first initialisation is the one that counts.
  BAO_CHECK(::CRYPTO_set_mem_functions(&openssl_allocate, &openssl_resize, &openssl_release) == 1);
  BAO_CHECK(::curl_global_init_mem(CURL_GLOBAL_DEFAULT, &Wiping::allocate, &Wiping::release,
                                   &Wiping::resize, &Wiping::duplicate,
                                   &Wiping::zeroed) == CURLE_OK);
  return true;
}

}  // namespace

// NOLINTBEGIN(cppcoreguidelines-no-malloc): this is what stands in for them
void* SystemHeap::allocate(std::size_t bytes) { return std::malloc(bytes); }
void SystemHeap::give_back(void* block) { std::free(block); }
// NOLINTEND(cppcoreguidelines-no-malloc)
std::size_t SystemHeap::bytes_of(void* block) { return ::malloc_usable_size(block); }

void wipe_what_libraries_free() {
  static const bool kDone = set_up();
  (void)kDone;
}

}  // namespace bao_exporter
