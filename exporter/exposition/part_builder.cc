#include <array>
#include <atomic>
#include <cstddef>
#include <mutex>
#include <optional>
#include <utility>

#include "bao_exporter/check.h"
#include "bao_exporter/node_part.h"
#include "exposition/fault_text.h"
#include "exposition/isa.h"
#include "exposition/part_finisher.h"
#include "exposition/part_store.h"
#include "exposition/pass.h"
#include "exposition/plan_image.h"

namespace bao_exporter {

namespace {

constexpr std::size_t kSpareMax = 2;
// Of all builders together. Room that waits for the next round serves nobody meanwhile: that of a
// large fleet would be more than half of what is served.
constexpr std::size_t kSpareBytesMax = std::size_t{32} << 20;
std::atomic<std::size_t> spare_bytes{0};
constexpr std::size_t kBodyMax = 0xF0000000;  // offsets have 32 bits

bool same_limits(const ParseLimits& a, const ParseLimits& b) {
  return a.samples_max == b.samples_max && a.series_per_family_max == b.series_per_family_max &&
         a.line_bytes_max == b.line_bytes_max && a.labels_per_sample_max == b.labels_per_sample_max;
}

}  // namespace

// Parts without an owner. They come back from whatever thread let the last owner go.
class PartPool {
 public:
  // A part, and room for the count of its owners beside it.
  struct Slot {
    NodePart part;
    alignas(std::max_align_t) std::array<std::byte, 128> count{};
    std::size_t spare_bytes = 0;  // what is counted of it while nobody has it
  };

  ~PartPool() {
    for (const auto& slot : spare_) spare_bytes -= slot->spare_bytes;
  }
  PartPool() { spare_.reserve(kSpareMax); }  // give() must not fail
  PartPool(const PartPool&) = delete;
  PartPool& operator=(const PartPool&) = delete;

  std::unique_ptr<Slot> take() {
    {
      const std::scoped_lock lock(mutex_);
      if (!spare_.empty()) {
        std::unique_ptr<Slot> slot = std::move(spare_.back());
        spare_.pop_back();
        spare_bytes -= std::exchange(slot->spare_bytes, 0);
        return slot;
      }
    }
    return std::unique_ptr<Slot>(new Slot());
  }

  void give(std::unique_ptr<Slot> slot) {
    std::string().swap(slot->part.store_->body);  // the next body brings its own room
    slot->part.store_->renamed.clear();
    const std::size_t bytes = slot->part.store_->room();
    const std::scoped_lock lock(mutex_);
    if (spare_.size() == kSpareMax) return;
    if (spare_bytes.fetch_add(bytes) + bytes > kSpareBytesMax) {
      spare_bytes -= bytes;
      return;
    }
    slot->spare_bytes = bytes;
    spare_.push_back(std::move(slot));
  }

  static PartStore& store_of(Slot& slot) { return *slot.part.store_; }
  static std::shared_ptr<const NodePart> share(std::unique_ptr<Slot> slot,
                                               const std::shared_ptr<PartPool>& pool);

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<Slot>> spare_;
};

namespace {

// Puts the count of owners into the slot, and gives the slot back when nobody counts any more.
template <typename T>
class SlotAllocator {
 public:
  using value_type = T;

  SlotAllocator(PartPool::Slot* slot, std::shared_ptr<PartPool> pool)
      : slot_(slot), pool_(std::move(pool)) {}
  template <typename U>
  SlotAllocator(const SlotAllocator<U>& other)  // NOLINT(google-explicit-constructor)
      : slot_(other.slot_), pool_(other.pool_) {}

  T* allocate(std::size_t n) {
    BAO_CHECK(n * sizeof(T) <= slot_->count.size() && alignof(T) <= alignof(std::max_align_t));
    return reinterpret_cast<T*>(slot_->count.data());
  }
  void deallocate(T*, std::size_t) { pool_->give(std::unique_ptr<PartPool::Slot>(slot_)); }

  template <typename U>
  bool operator==(const SlotAllocator<U>& other) const {
    return slot_ == other.slot_;
  }

 private:
  template <typename U>
  friend class SlotAllocator;
  PartPool::Slot* slot_;
  std::shared_ptr<PartPool> pool_;
};

}  // namespace

std::shared_ptr<const NodePart> PartPool::share(std::unique_ptr<Slot> slot,
                                                const std::shared_ptr<PartPool>& pool) {
  Slot* const raw = slot.release();
  return {const_cast<const NodePart*>(&raw->part), [](const NodePart*) {},
          SlotAllocator<NodePart>(raw, pool)};
}

struct PartBuilder::Room {
  std::shared_ptr<PartPool> pool = std::make_shared<PartPool>();
  std::optional<PlanImage> image;
  Pass pass;
  std::uint64_t steady = 0;
};

PartBuilder::PartBuilder() : room_(std::make_unique<Room>()) {}
PartBuilder::PartBuilder(PartBuilder&&) noexcept = default;
PartBuilder& PartBuilder::operator=(PartBuilder&&) noexcept = default;
PartBuilder::~PartBuilder() = default;

std::uint64_t PartBuilder::steady_parts() const { return room_->steady; }

std::size_t PartBuilder::spare_bytes() { return bao_exporter::spare_bytes; }

Result<std::shared_ptr<const NodePart>> PartBuilder::build(std::string body,
                                                           const ParseLimits& limits,
                                                           const RelabelPlan& plan,
                                                           const NodePart* previous) {
  if (auto error = truncation(body)) return *std::move(error);
  if (body.size() > kBodyMax) return Error{ErrorCode::kTooLarge, "the body has 4 GB or more"};
  Room& room = *room_;
  if (!room.image || !same_plan(room.image->plan(), plan)) room.image.emplace(plan);
  auto slot = room.pool->take();
  PartStore& store = *slot->part.store_;
  store.body = std::move(body);
  store.limits = limits;
  if (previous != nullptr && (previous->store_->plan != room.image->number() ||
                              !same_limits(previous->store_->limits, limits))) {
    previous = nullptr;
  }
  const PassLoops& loops = pass_loops();
  bool same_families = false;
  if (previous != nullptr) {
    room.pass.begin(store, *room.image);
    room.pass.begin_steady(*previous->store_);
    same_families = loops.steady(room.pass);
    room.steady += same_families ? 1 : 0;
  }
  if (!same_families) {
    room.pass.begin(store, *room.image);
    if (!loops.cold(room.pass)) {
      Error error = room.pass.error();
      room.pool->give(std::move(slot));
      return error;
    }
  }
  PartFinisher(slot->part, room.image->plan()).run(same_families ? previous : nullptr);
  return PartPool::share(std::move(slot), room.pool);
}

Result<std::shared_ptr<const NodePart>> PartBuilder::with_plan(std::shared_ptr<const NodePart> part,
                                                               const RelabelPlan& plan) {
  const bool is_its_own = part->store_->plan == room_->image->number();
  if (is_its_own && same_plan(room_->image->plan(), plan)) return part;
  return build(part->store_->body, part->store_->limits, plan, nullptr);
}

}  // namespace bao_exporter
