// A growable array of plain values whose new room is not initialised, and which keeps its room when
// it is emptied: what is written once per line.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <new>
#include <type_traits>
#include <utility>

#include "bao_exporter/check.h"

namespace bao_exporter {

// Like realloc, but never null.
[[nodiscard]] void* grown_room(void* room, std::size_t bytes);

template <typename T>
class Pod {
 public:
  static_assert(std::is_trivially_copyable_v<T>);

  Pod() = default;
  Pod(const Pod&) = delete;
  Pod& operator=(const Pod&) = delete;
  ~Pod() { std::free(data_); }

  [[nodiscard]] T* data() { return data_; }
  [[nodiscard]] const T* data() const { return data_; }
  [[nodiscard]] std::uint32_t size() const { return size_; }
  [[nodiscard]] std::uint32_t capacity() const { return capacity_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  T& operator[](std::size_t i) { return data_[i]; }
  const T& operator[](std::size_t i) const { return data_[i]; }
  T& back() { return data_[size_ - 1]; }
  [[nodiscard]] const T* begin() const { return data_; }
  [[nodiscard]] const T* end() const { return data_ + size_; }

  void clear() { size_ = 0; }
  // Up to capacity(); what is new has no value yet.
  void set_size(std::uint32_t size) { size_ = size; }
  void reserve(std::size_t wanted) {
    if (wanted <= capacity_) return;
    std::size_t room = std::size_t{capacity_} + capacity_ / 2;
    constexpr std::size_t kMost = std::numeric_limits<std::uint32_t>::max();
    BAO_CHECK(wanted <= kMost);  // the limits of the configuration see to it
    room = std::min(std::max(room, wanted), kMost);
    data_ = static_cast<T*>(grown_room(data_, room * sizeof(T)));
    capacity_ = static_cast<std::uint32_t>(room);
  }
  T& push_back(const T& value) {
    if (size_ == capacity_) reserve(std::size_t{size_} + 16);
    data_[size_] = value;
    return data_[size_++];
  }

 private:
  T* data_ = nullptr;
  std::uint32_t size_ = 0;
  std::uint32_t capacity_ = 0;
};

}  // namespace bao_exporter
