#include "exposition/family_book.h"

#include <algorithm>
#include <array>

#include "bao_exporter/hash.h"
#include "exposition/names.h"

namespace bao_exporter {

namespace {

constexpr std::array<std::string_view, kPartCount> kSuffixes = {"", "_sum", "_count", "_bucket"};
constexpr std::size_t kFirstRoom = 512;

bool has_label(const SampleLine& sample, std::string_view name) {
  return std::any_of(sample.labels.begin(), sample.labels.end(),
                     [&](const Label& label) { return label.name == name; });
}

Verdict fault_at(const SampleLine& sample, std::string_view what,
                 ErrorCode code = ErrorCode::kMalformed) {
  return Fault{code, sample.column, what};
}

}  // namespace

std::string_view part_suffix(Part part) { return kSuffixes[static_cast<std::size_t>(part)]; }

Kinship kinship_of(const FamilyRecord& family, const SampleLine& sample, Part& part) {
  const std::string_view name = sample.sample.name;
  const bool summary = family.type == MetricType::kSummary;
  const bool histogram = family.type == MetricType::kHistogram;
  if (name == family.name) {
    part = Part::kBase;
    if (histogram) return Kinship::kBareHistogram;
    if (summary && !has_label(sample, "quantile")) return Kinship::kLacksQuantile;
    return Kinship::kMember;
  }
  if ((!summary && !histogram) || !name.starts_with(family.name)) return Kinship::kStranger;
  const std::string_view suffix = name.substr(family.name.size());
  for (const Part candidate : kSuffixed) {
    if (suffix != part_suffix(candidate)) continue;
    part = candidate;
    if (candidate != Part::kBucket) return Kinship::kMember;
    if (!histogram) return Kinship::kStranger;
    return has_label(sample, "le") ? Kinship::kMember : Kinship::kLacksLe;
  }
  return Kinship::kStranger;
}

FamilyBook::FamilyBook() : table_(kFirstRoom) {}

void FamilyBook::begin(const char* text, Pod<FamilyRecord>& families, const ParseLimits& limits,
                       std::uint64_t seed) {
  text_ = text;
  families_ = &families;
  limits_ = limits;
  seed_ = seed;
  current_ = kNone;
  samples_ = 0;
  std::fill(table_.begin(), table_.end(), Slot{});
}

Verdict FamilyBook::take(std::string_view line, SampleLine& sample, bool& is_sample) {
  is_sample = false;
  Cursor cursor(line);
  cursor.skip_blanks();
  if (cursor.at_end()) return std::nullopt;
  if (cursor.take('#')) return take_comment(cursor, line.data());
  if (auto fault = read_sample(cursor, limits_.labels_per_sample_max, sample)) return fault;
  is_sample = true;
  return add(sample, line.data());
}

Verdict FamilyBook::take_comment(Cursor& cursor, const char* line) {
  Announcement said;
  if (auto fault = read_announcement(cursor, said)) return fault;
  if (said.word == Announcement::Word::kComment) return std::nullopt;
  const bool help = said.word == Announcement::Word::kHelp;
  if (is_closed(said.name)) return cursor.fault("the lines of a family do not stand together");
  cursor.skip_blanks();
  FamilyRecord& record = announce(said.name, line);
  if (help ? record.has_help : record.has_type) {
    return cursor.fault(help ? "a second HELP for this family" : "a second TYPE for this family");
  }
  if (record.line_count > 0) {
    return cursor.fault(help ? "HELP after samples of its family"
                             : "TYPE after samples of its family");
  }
  (help ? record.has_help : record.has_type) = true;
  return help ? read_help(cursor, record.help) : read_type(cursor, record.type);
}

Verdict FamilyBook::add(const SampleLine& sample, const char* line) {
  if (samples_ == limits_.samples_max) {
    return fault_at(sample, "more samples than limits.samples_max", ErrorCode::kLimitSamples);
  }
  if (auto fault = choose_family(sample, line)) return fault;
  Part part = Part::kBase;
  (void)kinship_of(family(), sample, part);
  if (!claim(part, sample.sample.name)) {
    return fault_at(sample, "another family has samples of this name");
  }
  if (family().line_count == limits_.series_per_family_max) {
    return fault_at(sample, "more series in one family than limits.series_per_family_max",
                    ErrorCode::kLimitSamples);
  }
  count_sample();
  return std::nullopt;
}

Verdict FamilyBook::choose_family(const SampleLine& sample, const char* line) {
  Part part = Part::kBase;
  switch (current_ == kNone ? Kinship::kStranger : kinship_of(family(), sample, part)) {
    case Kinship::kMember:
      return std::nullopt;
    case Kinship::kBareHistogram:
      return fault_at(sample, "a histogram has _bucket, _sum and _count only");
    case Kinship::kLacksQuantile:
      return fault_at(sample, "a summary's sample without quantile label");
    case Kinship::kLacksLe:
      return fault_at(sample, "a histogram's bucket without le label");
    case Kinship::kStranger:
      break;
  }
  const std::string_view name = sample.sample.name;
  if (is_closed(name) || is_part_of_earlier(name)) {
    return fault_at(sample, "the samples of a family do not stand together");
  }
  announce(name, line);
  return std::nullopt;
}

// Known, and other lines came since.
bool FamilyBook::is_closed(std::string_view name) const {
  const std::uint32_t at = find(name);
  return at != kNone && at != current_;
}

// Summary `x` and gauge `x_sum` may both be there, but only one of them has samples `x_sum`: else
// two series of one name would be in two families, and become equal unseen.
bool FamilyBook::claim(Part part, std::string_view name) {
  FamilyRecord& record = family();
  if ((record.parts & part_bit(part)) != 0) return true;
  if (part != Part::kBase) {
    const std::uint32_t namesake = find(name);
    if (namesake != kNone && ((*families_)[namesake].parts & part_bit(Part::kBase)) != 0) {
      return false;
    }
  } else {
    for (const Part other : kSuffixed) {
      const std::string_view suffix = part_suffix(other);
      if (!name.ends_with(suffix)) continue;
      const std::uint32_t base = find(name.substr(0, name.size() - suffix.size()));
      if (base != kNone && ((*families_)[base].parts & part_bit(other)) != 0) return false;
    }
  }
  record.parts = static_cast<std::uint8_t>(record.parts | part_bit(part));
  return true;
}

// `x_sum` that comes when summary `x` is closed already.
bool FamilyBook::is_part_of_earlier(std::string_view name) const {
  for (const Part part : kSuffixed) {
    const std::string_view suffix = part_suffix(part);
    if (!name.ends_with(suffix)) continue;
    const std::uint32_t base = find(name.substr(0, name.size() - suffix.size()));
    if (base == kNone) continue;
    if ((parts_of((*families_)[base].type) & part_bit(part)) != 0) return true;
  }
  return false;
}

// The family of that name, made when it is new; it becomes the current one. `line` names it first.
FamilyRecord& FamilyBook::announce(std::string_view name, const char* line) {
  const std::uint64_t hash = hash_bytes(name, seed_);
  const std::uint32_t known = find(name, hash);
  if (known != kNone) {
    current_ = known;
    return family();
  }
  FamilyRecord& record = make(name, hash, line);
  record.is_renamed = !is_metric_name(name);
  return record;
}

FamilyRecord* FamilyBook::announce_open(std::string_view name, const char* line) {
  if (current_ != kNone && family().name == name) return &family();
  const std::uint64_t hash = hash_bytes(name, seed_);
  return find(name, hash) == kNone ? &make(name, hash, line) : nullptr;
}

FamilyRecord& FamilyBook::make(std::string_view name, std::uint64_t hash, const char* line) {
  FamilyRecord record;
  record.name = name;
  record.name_hash = hash;
  record.line_begin = samples_;
  record.head_at = record.head_end = static_cast<std::uint32_t>(line - text_);
  families_->push_back(record);
  current_ = families_->size() - 1;
  if ((std::size_t{current_} + 1) * 2 > table_.size()) widen();
  enter({static_cast<std::uint32_t>(hash), current_});
  return family();
}

std::uint32_t FamilyBook::find(std::string_view name) const {
  return find(name, hash_bytes(name, seed_));
}

std::uint32_t FamilyBook::find(std::string_view name, std::uint64_t hash) const {
  const auto low = static_cast<std::uint32_t>(hash);
  const std::size_t mask = table_.size() - 1;
  for (std::size_t at = low & mask; table_[at].index != kNone; at = (at + 1) & mask) {
    if (table_[at].hash != low) continue;
    const FamilyRecord& record = (*families_)[table_[at].index];
    if (record.name_hash == hash && record.name == name) return table_[at].index;
  }
  return kNone;
}

void FamilyBook::enter(Slot slot) {
  const std::size_t mask = table_.size() - 1;
  std::size_t at = slot.hash & mask;
  while (table_[at].index != kNone) at = (at + 1) & mask;
  table_[at] = slot;
}

void FamilyBook::widen() {
  std::vector<Slot> narrow(table_.size() * 2);
  table_.swap(narrow);
  for (const Slot& slot : narrow) {
    if (slot.index != kNone) enter(slot);
  }
}

}  // namespace bao_exporter
