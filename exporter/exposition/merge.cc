#include "bao_exporter/merge.h"

#include <algorithm>
#include <functional>
#include <iterator>
#include <queue>
#include <utility>

#include "bao_exporter/format.h"

namespace bao_exporter {

// How the last merge went: it goes the same way again for the same sources with the same families.
struct MergePlan {
  struct Source {
    std::uint32_t rank;
    std::uint64_t sequence;
    friend bool operator==(const Source&, const Source&) = default;
  };
  // The lines of a family of a source, or a header.
  struct Piece {
    static constexpr std::uint32_t kHeader = ~std::uint32_t{0};
    std::uint32_t source;
    std::uint32_t family;        // of a header: where it begins
    std::uint32_t header_bytes;  // of a header
  };
  struct Lost {
    std::uint32_t source;
    std::uint32_t family;
  };

  std::vector<Source> sources;
  std::vector<Piece> pieces;
  std::vector<Lost> lost;
  std::shared_ptr<std::string> headers = std::make_shared<std::string>();
};

// Finds the plan of a merge.
class Merger {
 public:
  Merger(const std::vector<MergeSource>& sources, TypeBook& types)
      : sources_(sources), types_(types), known_(types.entries_.begin()), next_(sources.size()) {}

  static Merged merge(const std::vector<MergeSource>& sources, TypeBook& types) {
    if (types.plan_ == nullptr || !fits(*types.plan_, sources)) {
      if (types.entries_.size() > TypeBook::kFamiliesMax) types.entries_.clear();
      auto plan = Merger(sources, types).make();
      types.plan_ = std::make_unique<MergePlan>(std::move(plan));
    }
    return carry_out(*types.plan_, sources);
  }

 private:
  // Where we are in one source.
  struct Position {
    std::uint32_t source;
    std::string_view name;

    // For a queue whose top is the smallest name, then the first source.
    friend bool operator>(const Position& a, const Position& b) {
      return a.name != b.name ? a.name > b.name : a.source > b.source;
    }
  };
  using Queue = std::priority_queue<Position, std::vector<Position>, std::greater<>>;

  static bool fits(const MergePlan& plan, const std::vector<MergeSource>& sources) {
    return std::equal(plan.sources.begin(), plan.sources.end(), sources.begin(), sources.end(),
                      [](const MergePlan::Source& planned, const MergeSource& source) {
                        return planned.rank == source.rank &&
                               planned.sequence == source.part->sequence();
                      });
  }

  static Merged carry_out(const MergePlan& plan, const std::vector<MergeSource>& sources) {
    Merged merged;
    merged.type_conflicts.resize(sources.size());
    for (const MergeSource& source : sources) merged.samples += source.part->samples();
    for (const MergePlan::Lost& lost : plan.lost) {
      const FamilyPart& family = sources[lost.source].part->families()[lost.family];
      merged.type_conflicts[lost.source] += family.samples;
      merged.samples -= family.samples;
      merged.lost.push_back({lost.source, family.name});
    }
    merged.rope.reserve(plan.pieces.size());
    const std::string_view headers = *plan.headers;
    for (const MergePlan::Piece& piece : plan.pieces) {
      if (piece.source == MergePlan::Piece::kHeader) {
        merged.rope.append(headers.substr(piece.family, piece.header_bytes));
      } else {
        merged.rope.append(sources[piece.source].part->families()[piece.family].lines);
      }
    }
    merged.rope.own(plan.headers);
    for (const MergeSource& source : sources) merged.rope.own(source.part);
    return merged;
  }

  MergePlan make() {
    for (const MergeSource& source : sources_) {
      plan_.sources.push_back({source.rank, source.part->sequence()});
    }
    while (all_are_at_one()) {
      write_family(same_);
      for (const std::uint32_t source : same_) ++next_[source];
    }
    for (std::uint32_t i = 0; i < sources_.size(); ++i) push(i);
    while (!queue_.empty()) {
      same_.clear();
      const std::string_view name = queue_.top().name;
      while (!queue_.empty() && queue_.top().name == name) {
        same_.push_back(queue_.top().source);
        queue_.pop();
      }
      write_family(same_);
      for (const std::uint32_t source : same_) {
        ++next_[source];
        push(source);
      }
    }
    return std::move(plan_);
  }

  [[nodiscard]] const std::vector<FamilyPart>& families_of(std::uint32_t source) const {
    return sources_[source].part->families();
  }

  [[nodiscard]] const FamilyPart& family_at(std::uint32_t source) const {
    return families_of(source)[next_[source]];
  }

  // Nodes of one kind mostly have the same families: then nothing is to be sorted.
  bool all_are_at_one() {
    same_.clear();
    for (std::uint32_t i = 0; i < sources_.size(); ++i) {
      if (next_[i] == families_of(i).size()) return false;
      if (i > 0 && family_at(i).name != family_at(0).name) return false;
      same_.push_back(i);
    }
    return !same_.empty();
  }

  void push(std::uint32_t source) {
    if (next_[source] < families_of(source).size()) {
      queue_.push({source, family_at(source).name});
    }
  }

  void write_family(const std::vector<std::uint32_t>& same) {
    const FamilyPart& first = family_at(same.front());
    const MetricType type =
        types_.settle_at(known_, first.name, sources_[same.front()].rank, first.type);
    const bool taken = is_part_of_written(first.name);
    bool header_written = false;
    for (const std::uint32_t source : same) {
      const FamilyPart& family = family_at(source);
      if (family.type != type || taken) {
        plan_.lost.push_back({source, next_[source]});
        continue;
      }
      if (!header_written) write_header(family);
      header_written = true;
      plan_.pieces.push_back({source, next_[source], 0});
    }
    if (header_written && (type == MetricType::kSummary || type == MetricType::kHistogram)) {
      suffixed_.emplace_back(first.name, type);
    }
  }

  // Gauge `x_sum` of one node beside summary `x` of another: readers of the format take its samples
  // for the summary's. `x` comes before `x_sum`, so it is known by now, and it stays.
  [[nodiscard]] bool is_part_of_written(std::string_view name) const {
    for (const std::string_view suffix : {"_sum", "_count", "_bucket"}) {
      if (!name.ends_with(suffix)) continue;
      const std::string_view base = name.substr(0, name.size() - suffix.size());
      const auto at =
          std::lower_bound(suffixed_.begin(), suffixed_.end(), base,
                           [](const auto& one, std::string_view key) { return one.first < key; });
      if (at == suffixed_.end() || at->first != base) continue;
      if (suffix != "_bucket" || at->second == MetricType::kHistogram) return true;
    }
    return false;
  }

  void write_header(const FamilyPart& family) {
    std::string& headers = *plan_.headers;
    const auto from = static_cast<std::uint32_t>(headers.size());
    append_family_header(headers, family.name, family.has_help, family.help, family.type);
    plan_.pieces.push_back(
        {MergePlan::Piece::kHeader, from, static_cast<std::uint32_t>(headers.size()) - from});
  }

  const std::vector<MergeSource>& sources_;
  TypeBook& types_;
  TypeBook::Entries::iterator known_;  // families come in the book's order
  std::vector<std::uint32_t> next_;    // family of each source
  Queue queue_;
  std::vector<std::uint32_t> same_;
  std::vector<std::pair<std::string_view, MetricType>> suffixed_;  // written so far, by name
  MergePlan plan_;
};

void Rope::append(std::string_view piece) {
  if (piece.empty()) return;
  bytes_ += piece.size();
  pieces_.push_back(piece);
}

void Rope::append(Rope other) {
  pieces_.insert(pieces_.end(), other.pieces_.begin(), other.pieces_.end());
  for (auto& owner : other.owners_) owners_.push_back(std::move(owner));
  bytes_ += other.bytes_;
}

std::string Rope::to_string() const {
  std::string out;
  out.reserve(bytes_);
  for (const std::string_view piece : pieces_) out += piece;
  return out;
}

TypeBook::TypeBook() = default;
TypeBook::TypeBook(TypeBook&&) noexcept = default;
TypeBook& TypeBook::operator=(TypeBook&&) noexcept = default;
TypeBook::~TypeBook() = default;

MetricType TypeBook::settle(std::string_view family, std::uint32_t rank, MetricType said) {
  plan_.reset();
  auto at = entries_.end();
  return settle_at(at, family, rank, said);
}

// `at`: where the family may well be; then one behind it.
MetricType TypeBook::settle_at(Entries::iterator& at, std::string_view family, std::uint32_t rank,
                               MetricType said) {
  const auto belongs_before = [&] {
    return (at == entries_.end() || family < at->first) &&
           (at == entries_.begin() || std::prev(at)->first < family);
  };
  const auto is_at = [&] { return at != entries_.end() && at->first == family; };
  if (!is_at() && !belongs_before()) at = entries_.lower_bound(family);
  if (!is_at()) {
    entries_.emplace_hint(at, std::string(family), Entry{rank, said});
    return said;
  }
  if (rank <= at->second.rank) at->second = {rank, said};
  const MetricType type = at->second.type;
  ++at;
  return type;
}

void TypeBook::forget(std::uint32_t rank) {
  plan_.reset();
  std::erase_if(entries_, [&](const auto& item) { return item.second.rank == rank; });
}

Merged merge(const std::vector<MergeSource>& sources, TypeBook& types) {
  return Merger::merge(sources, types);
}

}  // namespace bao_exporter
