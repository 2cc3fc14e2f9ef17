// One shared value that many threads read: a mutex held for one pointer copy.
// (std::atomic<std::shared_ptr> of libstdc++ 12 is reported by TSan; measured.)
#pragma once

#include <memory>
#include <mutex>

namespace bao_exporter {

template <typename T>
class Slot {
 public:
  [[nodiscard]] std::shared_ptr<const T> get() const {
    std::scoped_lock lock(mutex_);
    return value_;
  }
  void set(std::shared_ptr<const T> value) {
    {
      std::scoped_lock lock(mutex_);
      value_.swap(value);
    }
    // The old value is released here, outside the lock.
  }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const T> value_;
};

}  // namespace bao_exporter
