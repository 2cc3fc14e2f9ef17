#include "bao_exporter/own_tail.h"

#include <algorithm>

namespace bao_exporter {

// A bucket of kAtOnce, filled again by one each kEvery.
bool OwnTail::may_make(TimePoint now) {
  const TimePoint from = std::max(paid_until_, now);
  if (from + kEvery > now + kAtOnce * kEvery) return false;
  paid_until_ = from + kEvery;
  return true;
}

OwnTail::Text OwnTail::text(TimePoint now) {
  {
    const std::scoped_lock lock(mutex_);
    if (!may_make(now) && text_ != nullptr) return text_;
  }
  auto made = std::make_shared<const std::string>(render_(now));
  const std::scoped_lock lock(mutex_);
  // One that began later may have ended sooner: nothing counts backwards.
  if (text_ == nullptr || now >= made_at_) {
    text_ = made;
    made_at_ = now;
  }
  return made;
}

OwnTail::Text OwnTail::deflated(const DeflatedPart& part, std::uint64_t generation, TimePoint now) {
  const Text own = text(now);
  {
    const std::scoped_lock lock(mutex_);
    if (deflated_ != nullptr && tail_of_ == own && generation_ == generation) return deflated_;
  }
  auto made = std::make_shared<const std::string>(deflate_tail(part, *own));
  const std::scoped_lock lock(mutex_);
  tail_of_ = own;
  generation_ = generation;
  deflated_ = made;
  return made;
}

}  // namespace bao_exporter
