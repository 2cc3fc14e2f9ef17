#include "bao_exporter/merge.h"

#include <functional>
#include <queue>

#include "bao_exporter/format.h"

namespace bao_exporter {

namespace {

// Where we are in one source.
struct Position {
  std::size_t source;
  std::size_t family;
  std::string_view name;

  // For a queue whose top is the smallest name, then the first source.
  friend bool operator>(const Position& a, const Position& b) {
    return a.name != b.name ? a.name > b.name : a.source > b.source;
  }
};

using Queue = std::priority_queue<Position, std::vector<Position>, std::greater<>>;

// Headers are collected in one string; a piece of it is known by its extent until the string stays.
struct Piece {
  std::string_view lines;  // of a NodePart, or
  std::size_t header_from = 0;
  std::size_t header_bytes = 0;
};

class Merger {
 public:
  Merger(const std::vector<MergeSource>& sources, TypeBook& types)
      : sources_(sources), types_(types), headers_(std::make_shared<std::string>()) {
    merged_.type_conflicts.resize(sources.size());
    for (std::size_t i = 0; i < sources.size(); ++i) push(i, 0);
  }

  Merged run() {
    std::vector<Position> same;
    while (!queue_.empty()) {
      same.clear();
      const std::string_view name = queue_.top().name;
      while (!queue_.empty() && queue_.top().name == name) {
        same.push_back(queue_.top());
        queue_.pop();
        push(same.back().source, same.back().family + 1);
      }
      write_family(same);
    }
    return finish();
  }

 private:
  [[nodiscard]] const FamilyPart& family_at(const Position& p) const {
    return sources_[p.source].part->families()[p.family];
  }

  void push(std::size_t source, std::size_t family) {
    const auto& families = sources_[source].part->families();
    if (family < families.size()) queue_.push({source, family, families[family].name});
  }

  void write_family(const std::vector<Position>& same) {
    const FamilyPart& first = family_at(same.front());
    const MetricType type =
        types_.settle(first.name, sources_[same.front().source].rank, first.type);
    const bool taken = is_part_of_written(first.name);
    bool header_written = false;
    for (const Position& position : same) {
      const FamilyPart& family = family_at(position);
      if (family.type != type || taken) {
        merged_.type_conflicts[position.source] += family.samples;
        merged_.lost.push_back({position.source, family.name});
        continue;
      }
      if (!header_written) write_header(family);
      header_written = true;
      if (type == MetricType::kSummary || type == MetricType::kHistogram) {
        suffixed_.emplace(family.name, type);
      }
      pieces_.push_back({family.lines});
      merged_.samples += family.samples;
    }
  }

  // Gauge `x_sum` of one node beside summary `x` of another: readers of the format take its samples
  // for the summary's. `x` comes before `x_sum`, so it is known by now, and it stays.
  [[nodiscard]] bool is_part_of_written(std::string_view name) const {
    for (const std::string_view suffix : {"_sum", "_count", "_bucket"}) {
      if (!name.ends_with(suffix)) continue;
      const auto base = suffixed_.find(name.substr(0, name.size() - suffix.size()));
      if (base == suffixed_.end()) continue;
      if (suffix != "_bucket" || base->second == MetricType::kHistogram) return true;
    }
    return false;
  }

  void write_header(const FamilyPart& family) {
    const std::size_t from = headers_->size();
    append_family_header(*headers_, family.name, family.has_help, family.help, family.type);
    pieces_.push_back({{}, from, headers_->size() - from});
  }

  Merged finish() {
    for (const Piece& piece : pieces_) {
      merged_.rope.append(piece.header_bytes == 0 ? piece.lines
                                                  : std::string_view(*headers_).substr(
                                                        piece.header_from, piece.header_bytes));
    }
    merged_.rope.own(headers_);
    for (const MergeSource& source : sources_) merged_.rope.own(source.part);
    return std::move(merged_);
  }

  const std::vector<MergeSource>& sources_;
  TypeBook& types_;
  std::shared_ptr<std::string> headers_;
  Queue queue_;
  std::vector<Piece> pieces_;
  std::map<std::string_view, MetricType> suffixed_;  // summaries and histograms written so far
  Merged merged_;
};

}  // namespace

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

MetricType TypeBook::settle(std::string_view family, std::uint32_t rank, MetricType said) {
  const auto at = entries_.find(family);
  if (at == entries_.end()) {
    entries_.emplace(std::string(family), Entry{rank, said});
    return said;
  }
  if (rank <= at->second.rank) at->second = {rank, said};
  return at->second.type;
}

void TypeBook::forget(std::uint32_t rank) {
  std::erase_if(entries_, [&](const auto& item) { return item.second.rank == rank; });
}

Merged merge(const std::vector<MergeSource>& sources, TypeBook& types) {
  return Merger(sources, types).run();
}

}  // namespace bao_exporter
