// Secrets that libcurl and OpenSSL copy for themselves (what is sent and received, keys) do not
// stay behind in the heap: each block is wiped when they free it, or move it to a larger one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace bao_exporter {

// First thing in the process: before any use of libcurl or OpenSSL, and before any other thread
// (but after SSLKEYLOGFILE has left the environment: this initialises libcurl, which reads it).
// A second call does nothing. Aborts when OpenSSL has memory already.
void wipe_what_libraries_free();

// The C library's heap.
struct SystemHeap {
  static void* allocate(std::size_t bytes);
  static std::size_t bytes_of(void* block);  // at least those asked for, all of which may be used
  static void give_back(void* block);
};

// malloc() and its like on `Heap`, a parameter for tests. What it gives back is zero.
template <typename Heap>
struct WipingHeap {
  static void* allocate(std::size_t bytes) noexcept { return Heap::allocate(bytes); }

  static void release(void* block) noexcept {
    if (block == nullptr) return;
    ::explicit_bzero(block, Heap::bytes_of(block));
    Heap::give_back(block);
  }

  // realloc() may leave the old block behind as it was: always a new one.
  static void* resize(void* block, std::size_t bytes) noexcept {
    if (block == nullptr) return allocate(bytes);
    void* moved = allocate(bytes);
    if (moved == nullptr) return nullptr;  // and the old one is still there
    const std::size_t before = Heap::bytes_of(block);
    std::memcpy(moved, block, before < bytes ? before : bytes);
    release(block);
    return moved;
  }

  static void* zeroed(std::size_t count, std::size_t size) noexcept {
    if (size != 0 && count > SIZE_MAX / size) return nullptr;
    void* block = allocate(count * size);
    if (block != nullptr) std::memset(block, 0, count * size);
    return block;
  }

  static char* duplicate(const char* text) noexcept {
    const std::size_t bytes = std::strlen(text) + 1;
    auto* copy = static_cast<char*>(allocate(bytes));
    if (copy != nullptr) std::memcpy(copy, text, bytes);
    return copy;
  }
};

}  // namespace bao_exporter
