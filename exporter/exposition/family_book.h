// The rules over many lines: the lines of a family stand together, HELP and TYPE once and before
// its samples, names fit the TYPE, no name of samples in two families, and the limits on numbers.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "bao_exporter/exposition.h"
#include "exposition/grammar.h"
#include "exposition/pod.h"

namespace bao_exporter {

// What samples of a family may be called: its name, or that and a suffix.
enum class Part : std::uint8_t { kBase, kSum, kCount, kBucket };
inline constexpr std::size_t kPartCount = 4;
inline constexpr std::array<Part, 3> kSuffixed = {Part::kSum, Part::kCount, Part::kBucket};
[[nodiscard]] std::string_view part_suffix(Part part);
[[nodiscard]] constexpr std::uint8_t part_bit(Part part) {
  return static_cast<std::uint8_t>(1U << static_cast<unsigned>(part));
}

// Of the samples that a family of that TYPE may have, the bits of their parts.
[[nodiscard]] constexpr std::uint8_t parts_of(MetricType type) {
  if (type == MetricType::kSummary) return 0b0111;
  if (type == MetricType::kHistogram) return 0b1110;
  return 0b0001;
}

enum class Fate : std::uint8_t { kUnknown, kServed, kReserved, kLeaderOnly, kNameTaken };

// What relabel rules made of a family.
struct ByRules {
  bool touched = false;
  bool merged = false;  // samples became equal: what is rendered depends on all values
  std::uint64_t dropped = 0;
  std::uint64_t duplicates = 0;
  std::uint64_t refused = 0;
};

struct FamilyRecord {
  std::string_view name;
  std::string_view help;
  std::uint64_t name_hash = 0;
  std::uint32_t head_at = 0;  // its text before its first sample: [head_at, head_end) of the body
  std::uint32_t head_end = 0;
  std::uint32_t line_begin = 0;
  std::uint32_t line_count = 0;
  std::uint32_t out_begin = 0;  // of what is rendered
  std::uint32_t out_end = 0;
  std::uint32_t kept = 0;  // lines that are
  MetricType type = MetricType::kUntyped;
  bool has_help = false;
  bool has_type = false;
  std::uint8_t parts = 0;  // that it has samples of
  Fate fate = Fate::kUnknown;
  bool is_special = false;   // its lines can only be rendered with a look at all of them
  std::uint8_t removed = 0;  // which value of the removed label its samples have
  bool is_renamed = false;   // it is served as served_metric_name()
  ByRules by_rules;
};

class FamilyBook {
 public:
  static constexpr std::uint32_t kNone = ~std::uint32_t{0};

  FamilyBook();
  // For a text; `families`, which is filled, must outlive the use.
  void begin(const char* text, Pod<FamilyRecord>& families, const ParseLimits& limits,
             std::uint64_t seed);

  [[nodiscard]] std::uint32_t current() const { return current_; }
  [[nodiscard]] FamilyRecord& family() { return (*families_)[current_]; }
  [[nodiscard]] std::uint32_t samples() const { return samples_; }
  [[nodiscard]] const ParseLimits& limits() const { return limits_; }

  // One line, without its newline; `is_sample` tells whether `sample` was filled and counted.
  [[nodiscard]] Verdict take(std::string_view line, SampleLine& sample, bool& is_sample);

  // For lines that were read already.
  [[nodiscard]] bool is_closed(std::string_view name) const;
  FamilyRecord& announce(std::string_view name, const char* line);
  // The same, but null where is_closed().
  FamilyRecord* announce_open(std::string_view name, const char* line);
  // Whether the current family may have samples of that part; then it does.
  [[nodiscard]] bool claim(Part part, std::string_view name);
  [[nodiscard]] bool is_full() const {
    return samples_ >= limits_.samples_max ||
           (*families_)[current_].line_count >= limits_.series_per_family_max;
  }
  // For families that are known from an earlier text: they are not looked up by name.
  void enter_known(const FamilyRecord& record) {
    families_->push_back(record);
    current_ = families_->size() - 1;
  }
  void set_counts(std::uint32_t samples) {
    samples_ = samples;
    family().line_count = samples - family().line_begin;
  }
  void count_sample() {
    ++samples_;
    ++(*families_)[current_].line_count;
  }

 private:
  // A family, and of its name's hash what tells most of them apart: names that are not there are
  // looked up without a look at others.
  struct Slot {
    std::uint32_t hash = 0;
    std::uint32_t index = kNone;
  };

  [[nodiscard]] std::uint32_t find(std::string_view name, std::uint64_t hash) const;
  [[nodiscard]] std::uint32_t find(std::string_view name) const;
  FamilyRecord& make(std::string_view name, std::uint64_t hash, const char* line);
  void enter(Slot slot);
  void widen();
  [[nodiscard]] Verdict take_comment(Cursor& cursor, const char* line);
  [[nodiscard]] Verdict add(const SampleLine& sample, const char* line);
  [[nodiscard]] Verdict choose_family(const SampleLine& sample, const char* line);
  [[nodiscard]] bool is_part_of_earlier(std::string_view name) const;

  const char* text_ = nullptr;
  Pod<FamilyRecord>* families_ = nullptr;
  ParseLimits limits_;
  std::uint64_t seed_ = 0;
  std::vector<Slot> table_;  // open addressing, a power of two
  std::uint32_t current_ = kNone;
  std::uint32_t samples_ = 0;
};

// How a sample relates to a family; `part` is set for what is a member or nearly so.
enum class Kinship : std::uint8_t { kStranger, kMember, kBareHistogram, kLacksQuantile, kLacksLe };
[[nodiscard]] Kinship kinship_of(const FamilyRecord& family, const SampleLine& sample, Part& part);

}  // namespace bao_exporter
