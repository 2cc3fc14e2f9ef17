// Finds out whether a secret has stayed behind anywhere in the memory of this process. Reads it
// through /proc/self/mem: memory that was freed may not be touched by ourselves.
#pragma once

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <random>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bao_exporter/check.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define BAO_TEST_NO_MEMORY_SCAN 1  // their shadows are terabytes
#endif

namespace bao_exporter::test {

class MemoryScan {
 public:
  MemoryScan() {
    void* pages =
        ::mmap(nullptr, kMapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    BAO_CHECK(pages != MAP_FAILED);
    own_ = static_cast<char*>(pages);
    memory_ = ::open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    BAO_CHECK(memory_ >= 0);
    std::random_device random;
    for (std::size_t i = 0; i < kSecretBytes; ++i) {
      own_[i] = "abcdefghijklmnopqrstuvwxyz234567"[random() % 32];
    }
  }
  ~MemoryScan() {
    ::close(memory_);
    ::munmap(own_, kMapped);
  }
  MemoryScan(const MemoryScan&) = delete;
  MemoryScan& operator=(const MemoryScan&) = delete;

  // Made anew for each scan; it stands in pages of its own, which are not looked at.
  [[nodiscard]] std::string_view secret() const { return {own_, kSecretBytes}; }

  // How many times it stands in memory that can be written.
  [[nodiscard]] std::size_t found() const {
    std::size_t places = 0;
    for (const auto& [from, to] : writable()) places += found_in(from, to);
    return places;
  }

 private:
  using Range = std::pair<std::uintptr_t, std::uintptr_t>;
  static constexpr std::size_t kSecretBytes = 40;
  static constexpr std::size_t kPage = 4096;
  static constexpr std::size_t kMapped = std::size_t{1} << 20;

  [[nodiscard]] std::vector<Range> writable() const {
    const auto own = reinterpret_cast<std::uintptr_t>(own_);  // NOLINT: an address as number
    std::vector<Range> ranges;
    std::ifstream maps("/proc/self/maps");
    for (std::string line; std::getline(maps, line);) {
      std::istringstream fields(line);
      std::uintptr_t from = 0, to = 0;
      char dash = 0;
      std::string rights;
      fields >> std::hex >> from >> dash >> to >> rights;
      if (rights.compare(0, 2, "rw") != 0) continue;
      // The kernel makes one of neighbours.
      if (from < own && own < to) ranges.emplace_back(from, own);
      if (from < own + kMapped && own + kMapped < to) ranges.emplace_back(own + kMapped, to);
      if (to <= own || own + kMapped <= from) ranges.emplace_back(from, to);
    }
    return ranges;
  }

  [[nodiscard]] std::size_t found_in(std::uintptr_t from, std::uintptr_t to) const {
    char* buffer = own_ + kPage;
    std::size_t places = 0;
    std::size_t kept = 0;  // of the end of the last part: the secret may lie across
    while (from < to) {
      const std::size_t wanted = std::min<std::size_t>(to - from, kMapped - kPage - kSecretBytes);
      const ssize_t got = ::pread(memory_, buffer + kept, wanted, static_cast<off_t>(from));
      if (got <= 0) break;  // a mapping that cannot be read, as of a device
      from += static_cast<std::size_t>(got);
      const std::size_t size = kept + static_cast<std::size_t>(got);
      places += count(buffer, size);
      kept = std::min(size, kSecretBytes - 1);
      std::memmove(buffer, buffer + size - kept, kept);
    }
    return places;
  }

  [[nodiscard]] std::size_t count(const char* buffer, std::size_t size) const {
    std::size_t places = 0;
    const char* end = buffer + size;
    for (const char* at = buffer; at < end; ++at) {
      at = static_cast<const char*>(
          ::memmem(at, static_cast<std::size_t>(end - at), own_, kSecretBytes));
      if (at == nullptr) break;
      ++places;
    }
    return places;
  }

  char* own_ = nullptr;  // the secret, then what is read
  int memory_ = -1;
};

}  // namespace bao_exporter::test
