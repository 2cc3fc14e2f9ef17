#include "exposition/name_sort.h"

#include <algorithm>
#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

namespace bao_exporter {

namespace {

// Up to eight bytes of a name as a number, in the order of names.
std::uint64_t number_of(std::string_view piece) {
  std::uint64_t number = 0;
  for (std::size_t i = 0; i < sizeof number; ++i) {
    number = number << 8U | (i < piece.size() ? static_cast<unsigned char>(piece[i]) : 0U);
  }
  return number;
}

// Sorts by eight bytes of the names at a time. Names lie all over the body: fetched once for all
// comparisons, they cost no more for each family when there are many.
class NameSort {
 public:
  NameSort(const Pod<FamilyRecord>& families, std::uint32_t* order)
      : families_(families), order_(order), keys_(families.size()) {}

  void run() {
    for (std::uint32_t i = 0; i < keys_.size(); ++i) keys_[i].index = i;
    equal_.push_back({keys_, 0});
    while (!equal_.empty()) {
      const Range range = equal_.back();
      equal_.pop_back();
      sort(range.keys, range.same + common_bytes(range));
    }
    std::transform(keys_.begin(), keys_.end(), order_, [](const Key& key) { return key.index; });
  }

 private:
  static constexpr std::size_t kStep = 64;

  struct Key {
    std::uint64_t piece = 0;
    std::uint32_t index = 0;
  };
  // Families whose names have equal bytes up to `same`.
  struct Range {
    std::span<Key> keys;
    std::size_t same;
  };

  [[nodiscard]] std::string_view rest_of(const Key& key, std::size_t from) const {
    return families_[key.index].name.substr(from);
  }

  [[nodiscard]] std::size_t common_bytes(const Range& range) const {
    // Not all of it: names that begin with one another would be read to their ends again and again.
    std::string_view common = rest_of(range.keys.front(), range.same).substr(0, kStep);
    for (const Key& key : range.keys) {
      const std::string_view rest = rest_of(key, range.same);
      const auto* const end =
          std::mismatch(common.begin(), common.end(), rest.begin(), rest.end()).first;
      common = common.substr(0, static_cast<std::size_t>(end - common.begin()));
    }
    return common.size();
  }

  void sort(std::span<Key> keys, std::size_t from) {
    for (Key& key : keys) key.piece = number_of(rest_of(key, from));
    const auto less = [](const Key& a, const Key& b) { return a.piece < b.piece; };
    std::stable_sort(keys.begin(), keys.end(), less);  // quick where they came in runs
    for (auto at = keys.begin(); at != keys.end();) {
      const auto end = std::find_if(at, keys.end(), [&](const Key& key) { return less(*at, key); });
      if (end - at > 1) equal_.push_back({{at, end}, from + sizeof at->piece});
      at = end;
    }
  }

  const Pod<FamilyRecord>& families_;
  std::uint32_t* order_;
  std::vector<Key> keys_;
  std::vector<Range> equal_;  // that are still to be sorted
};

}  // namespace

void sort_by_name(const Pod<FamilyRecord>& families, std::uint32_t* order) {
  NameSort(families, order).run();
}

}  // namespace bao_exporter
