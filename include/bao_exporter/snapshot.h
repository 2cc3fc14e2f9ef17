// Snapshot: the immutable answer that scrapes are served from, made once per publication.
//
// Threads: immutable but for the compressed form, which is made once, by whoever needs it first.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>

#include "bao_exporter/gzip.h"
#include "bao_exporter/merge.h"
#include "bao_exporter/time.h"

namespace bao_exporter {

class Snapshot {
 public:
  // `body`: everything but bao_exporter_*. `overdue`: what is served after `valid_until` instead:
  // our families about nodes with up 0 and reason overdue, and no sample of a node.
  Snapshot(Rope body, std::string overdue, TimePoint valid_until, std::uint64_t generation)
      : body_(std::move(body)),
        overdue_(std::move(overdue)),
        valid_until_(valid_until),
        generation_(generation) {}

  [[nodiscard]] bool overdue_at(TimePoint now) const { return now > valid_until_; }
  [[nodiscard]] const Rope& body() const { return body_; }
  [[nodiscard]] std::string_view overdue_text() const { return overdue_; }
  [[nodiscard]] std::uint64_t generation() const { return generation_; }

  // The body, deflated; the first call pays.
  [[nodiscard]] const DeflatedPart& deflated() const {
    std::call_once(deflate_once_, [this] { deflated_ = deflate_open(body_); });
    return deflated_;
  }

 private:
  Rope body_;
  std::string overdue_;
  TimePoint valid_until_;
  std::uint64_t generation_;
  mutable std::once_flag deflate_once_;
  mutable DeflatedPart deflated_;
};

}  // namespace bao_exporter
