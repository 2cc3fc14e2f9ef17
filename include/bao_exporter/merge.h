// Merges the families of many sources into one exposition: each family once, with one HELP and one
// TYPE, in the order of their names; samples stay where they are (a rope of views).
//
// Rule (design, rule 7): where sources disagree on TYPE, the first in rank order wins, also while
// it is down; the others lose that family, and it is counted.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bao_exporter/node_part.h"

namespace bao_exporter {

// Text as a list of views, with shared ownership of what they point into. Immutable when shared.
class Rope {
 public:
  // The view must point into something that `own` keeps alive.
  void append(std::string_view piece);
  void own(std::shared_ptr<const void> owner) { owners_.push_back(std::move(owner)); }
  void reserve(std::size_t pieces) { pieces_.reserve(pieces); }
  // The other's pieces and owners, after ours.
  void append(Rope other);

  [[nodiscard]] const std::vector<std::string_view>& pieces() const { return pieces_; }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }
  [[nodiscard]] std::string to_string() const;

 private:
  std::vector<std::string_view> pieces_;
  std::vector<std::shared_ptr<const void>> owners_;
  std::size_t bytes_ = 0;
};

struct MergeSource {
  std::uint32_t rank = 0;  // unique; smaller wins
  std::shared_ptr<const NodePart> part;
};

struct MergePlan;

// What is known of the TYPE of each family, by the rank of who said it. Lives from one merge to the
// next, so that a source that is down keeps its say, and that nothing is sorted again while sources
// and their families stay the same. A node may send new names for ever: of more than kFamiliesMax
// those are forgotten that nobody sends now. Not shared between threads.
class TypeBook {
 public:
  static constexpr std::size_t kFamiliesMax = 100'000;

  TypeBook();
  TypeBook(TypeBook&&) noexcept;
  TypeBook& operator=(TypeBook&&) noexcept;
  ~TypeBook();

  // Notes what the source of the lowest rank among those present says, and gives the TYPE in force.
  MetricType settle(std::string_view family, std::uint32_t rank, MetricType said);
  [[nodiscard]] std::size_t families() const { return entries_.size(); }
  // A source that is configured no more loses its say.
  void forget(std::uint32_t rank);

 private:
  friend class Merger;
  struct Entry {
    std::uint32_t rank;
    MetricType type;
  };
  using Entries = std::map<std::string, Entry, std::less<>>;

  MetricType settle_at(Entries::iterator& at, std::string_view family, std::uint32_t rank,
                       MetricType said);

  Entries entries_;
  std::unique_ptr<MergePlan> plan_;  // of the last merge; null: none that still holds
};

// A family that a source lost.
struct LostFamily {
  std::size_t source = 0;  // as given
  std::string_view name;   // in that source's part
};

struct Merged {
  Rope rope;
  std::vector<std::uint64_t> type_conflicts;  // samples lost, for each source as given
  std::vector<LostFamily> lost;               // by name, then by source
  std::uint64_t samples = 0;
};

// `sources` in rank order, ranks ascending.
[[nodiscard]] Merged merge(const std::vector<MergeSource>& sources, TypeBook& types);

}  // namespace bao_exporter
