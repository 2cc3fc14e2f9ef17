// Our own families as they follow a snapshot: as text, and as the end of a gzip member.
//
// Made anew for each scrape, so that each sees the one before it. Where scrapes come faster than
// kEvery, after the first kAtOnce, the last one made serves them all: it is kEvery old at most, and
// half the work of a packed scrape is saved.
//
// No clock. Threads: any number at once; `render` is called without a lock.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "bao_exporter/gzip.h"
#include "bao_exporter/time.h"

namespace bao_exporter {

class OwnTail {
 public:
  using Text = std::shared_ptr<const std::string>;

  static constexpr int kAtOnce = 50;
  static constexpr Milliseconds kEvery{10};

  explicit OwnTail(std::function<std::string(TimePoint)> render) : render_(std::move(render)) {}

  [[nodiscard]] Text text(TimePoint now);
  // What has to follow `part.bytes`; `generation` is that of the snapshot that `part` is of.
  [[nodiscard]] Text deflated(const DeflatedPart& part, std::uint64_t generation, TimePoint now);

 private:
  [[nodiscard]] bool may_make(TimePoint now);

  std::function<std::string(TimePoint)> render_;
  std::mutex mutex_;  // guards all below
  TimePoint paid_until_{};
  Text text_;
  TimePoint made_at_{};
  std::uint64_t generation_ = 0;
  Text tail_of_;  // the text that deflated_ is of
  Text deflated_;
};

}  // namespace bao_exporter
