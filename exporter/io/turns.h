// So many at once, the others wait. A semaphore that sleeps: std::counting_semaphore spins first,
// and a crowd that spins is what it is to keep off the processors.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <mutex>

namespace bao_exporter {

class Turns {
 public:
  explicit Turns(std::size_t at_once) : left_(at_once) {}
  void take() {
    std::unique_lock lock(mutex_);
    given_back_.wait(lock, [this] { return left_ > 0; });
    --left_;
  }
  void give_back() {
    {
      const std::scoped_lock lock(mutex_);
      ++left_;
    }
    given_back_.notify_one();
  }

 private:
  std::mutex mutex_;
  std::condition_variable given_back_;
  std::size_t left_;
};

}  // namespace bao_exporter
