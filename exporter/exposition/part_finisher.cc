#include "exposition/part_finisher.h"

#include <algorithm>
#include <atomic>
#include <string>

#include "exposition/name_sort.h"

namespace bao_exporter {

namespace {

bool has_prefix_of(const std::vector<std::string>& prefixes, std::string_view name) {
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [&](const std::string& prefix) { return name.starts_with(prefix); });
}

// The samples of summary `x` are called x_sum and x_count.
bool is_reserved(const RelabelPlan& plan, std::string_view name, MetricType type) {
  const auto& prefixes = plan.reserved_family_prefixes;
  if (has_prefix_of(prefixes, name)) return true;
  const bool suffixed = type == MetricType::kSummary || type == MetricType::kHistogram;
  return suffixed && std::any_of(prefixes.begin(), prefixes.end(), [&](const std::string& prefix) {
           return prefix.size() == name.size() + 1 && prefix.back() == '_' &&
                  prefix.starts_with(name);
         });
}

std::uint64_t next_sequence() {
  static std::atomic<std::uint64_t> last{0};
  return ++last;
}

bool is_listed(const FamilyRecord& record) {
  return record.fate == Fate::kServed && record.kept > 0;
}

// A text in slices, without what is cut out of it. Cuts come from the first to the last.
class Slices {
 public:
  Slices(std::string_view text, std::vector<std::string_view>& slices)
      : text_(text), slices_(slices) {}

  void cut(std::size_t from, std::size_t to) {
    if (from > at_) slices_.push_back(text_.substr(at_, from - at_));
    at_ = to;
  }

 private:
  std::string_view text_;
  std::vector<std::string_view>& slices_;
  std::size_t at_ = 0;
};

}  // namespace

Family family_of(const FamilyRecord& record) {
  return {record.name,     record.help,       record.type,      record.has_help,
          record.has_type, record.line_begin, record.line_count};
}

inline std::string_view PartFinisher::served_name(std::uint32_t family) const {
  return served_.empty() ? part_.store_->families[family].name : served_[family];
}

// All at once: each is asked for again and again while they are sorted.
void PartFinisher::note_served_names() {
  const PartStore& store = *part_.store_;
  if (store.renamed.empty()) return;
  served_.reserve(store.families.size());
  for (const FamilyRecord& record : store.families) served_.push_back(record.name);
  for (const auto& [family, name] : store.renamed) served_[family] = name;
}

void PartFinisher::run(const NodePart* previous) {
  PartStore& store = *part_.store_;
  part_.families_.clear();
  part_.own_text_.clear();
  part_.samples_ = 0;
  part_.dropped_ = {};
  part_.relabel_refused_ = 0;
  note_served_names();
  sort_families(previous);
  for (std::uint32_t i = 0; i < store.families.size(); ++i) {
    if (store.families[i].fate == Fate::kUnknown) judge(i);
    count(store.families[i]);
  }
  list_families();
  const bool same_list =
      previous != nullptr && previous->families_.size() == part_.families_.size() &&
      std::equal(store.families.begin(), store.families.end(), previous->store_->families.begin(),
                 [](const FamilyRecord& a, const FamilyRecord& b) {
                   return is_listed(a) == is_listed(b);
                 });
  part_.sequence_ = same_list ? previous->sequence_ : next_sequence();
  slice_own_text();
}

void PartFinisher::judge(std::uint32_t family) const {
  FamilyRecord& record = part_.store_->families[family];
  if (is_reserved(plan_, served_name(family), record.type)) {
    record.fate = Fate::kReserved;
  } else if (is_leader_only(family)) {
    record.fate = Fate::kLeaderOnly;
  } else if (record.is_renamed && is_name_taken(family)) {
    record.fate = Fate::kNameTaken;
  } else {
    record.fate = Fate::kServed;
  }
}

// By the name that it is served as, too: the rule is about what Prometheus sees.
bool PartFinisher::is_leader_only(std::uint32_t family) const {
  if (!plan_.leader_only) return false;
  const FamilyRecord& record = part_.store_->families[family];
  Family as_sent = family_of(record);
  if (plan_.leader_only(as_sent)) return true;
  as_sent.name = served_name(family);
  return record.is_renamed && plan_.leader_only(as_sent);
}

// Whether a renamed family would have samples of a name that another family has, or could have by
// its type. It gives way to all whose names are their own, and to renamed ones before it.
bool PartFinisher::is_name_taken(std::uint32_t family) const {
  constexpr std::uint8_t kAny = 0xFF;
  const std::string name(served_name(family));
  if (has_rival(family, name, kAny)) return true;
  const std::uint8_t parts = parts_of(part_.store_->families[family].type);
  return std::any_of(kSuffixed.begin(), kSuffixed.end(), [&](Part part) {
    const std::string suffix(part_suffix(part));
    if ((parts & part_bit(part)) != 0 && has_rival(family, name + suffix, kAny)) return true;
    return name.ends_with(suffix) &&
           has_rival(family, name.substr(0, name.size() - suffix.size()), part_bit(part));
  });
}

// Whether the first of the families that are served as `name`, which is the only one of them that
// can be, has one of those parts and goes before.
bool PartFinisher::has_rival(std::uint32_t family, std::string_view name,
                             std::uint8_t parts) const {
  const PartStore& store = *part_.store_;
  const std::uint32_t* const first = std::lower_bound(
      store.order.begin(), store.order.end(), name,
      [&](std::uint32_t other, std::string_view key) { return served_name(other) < key; });
  if (first == store.order.end() || *first == family || served_name(*first) != name) return false;
  const FamilyRecord& rival = store.families[*first];
  return (parts_of(rival.type) & parts) != 0 && (!rival.is_renamed || *first < family);
}

void PartFinisher::count(const FamilyRecord& record) {
  const auto drop = [&](DropCause cause, std::uint64_t samples) {
    part_.dropped_[static_cast<std::size_t>(cause)] += samples;
  };
  if (record.fate == Fate::kReserved) return drop(DropCause::kReservedName, record.line_count);
  if (record.fate == Fate::kLeaderOnly) return drop(DropCause::kLeaderOnly, record.line_count);
  if (record.fate == Fate::kNameTaken) return drop(DropCause::kTypeConflict, record.line_count);
  const ByRules& rules = record.by_rules;
  drop(DropCause::kRelabel, rules.dropped);
  drop(DropCause::kDuplicateAfterRelabel,
       rules.touched ? rules.duplicates : record.line_count - record.kept);
  part_.relabel_refused_ += rules.refused;
  part_.samples_ += record.kept;
}

void PartFinisher::sort_families(const NodePart* previous) {
  PartStore& store = *part_.store_;
  const std::uint32_t count = store.families.size();
  store.order.clear();
  store.order.reserve(count);
  store.order.set_size(count);
  std::uint32_t* const order = store.order.data();
  if (previous != nullptr) {
    std::copy_n(previous->store_->order.begin(), count, order);
    return;
  }
  bool sorted = true;
  for (std::uint32_t i = 0; i < count; ++i) {
    order[i] = i;
    sorted = sorted && (i == 0 || served_name(i - 1) < served_name(i));
  }
  if (sorted) return;
  // All have names of their own, without odd bytes.
  if (store.renamed.empty()) return sort_by_name(store.families, order);
  std::sort(order, order + count, [&](std::uint32_t a, std::uint32_t b) {
    const int names = served_name(a).compare(served_name(b));
    if (names != 0) return names < 0;
    const bool renamed = store.families[a].is_renamed;
    return renamed == store.families[b].is_renamed ? a < b : !renamed;
  });
}

void PartFinisher::list_families() {
  const PartStore& store = *part_.store_;
  part_.families_.reserve(store.families.size());
  for (const std::uint32_t i : store.order) {
    const FamilyRecord& record = store.families[i];
    if (!is_listed(record)) continue;
    const std::string_view lines(store.out.data() + record.out_begin,
                                 record.out_end - record.out_begin);
    part_.families_.push_back({served_name(i), record.help, lines,
                               record.type, record.has_help, record.kept});
  }
}

bool PartFinisher::is_in_own_text(std::uint32_t family) const {
  const Fate fate = part_.store_->families[family].fate;
  if (fate == Fate::kReserved && !plan_.reserved_in_own_text) return false;
  return fate == Fate::kServed || !is_leader_only(family);
}

// The lines of a family stand together (the book of families sees to that): a family reaches from
// the line that names it first to the one that names the next.
void PartFinisher::slice_own_text() {
  const PartStore& store = *part_.store_;
  const Stamp* stamp = store.stamps.begin();
  Slices slices(store.body, part_.own_text_);
  for (std::uint32_t i = 0; i < store.families.size(); ++i) {
    const FamilyRecord& record = store.families[i];
    const std::size_t to =
        i + 1 < store.families.size() ? store.families[i + 1].head_at : store.body.size();
    const bool shown = is_in_own_text(i);
    if (!shown) slices.cut(record.head_at, to);
    for (; stamp != store.stamps.end() && stamp->from < to; ++stamp) {
      if (shown) slices.cut(stamp->from, stamp->to);
    }
  }
  slices.cut(store.body.size(), store.body.size());
}

}  // namespace bao_exporter
