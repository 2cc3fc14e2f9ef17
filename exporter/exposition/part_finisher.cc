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
bool is_reserved(const RelabelPlan& plan, const FamilyRecord& family) {
  const auto& prefixes = plan.reserved_family_prefixes;
  if (has_prefix_of(prefixes, family.name)) return true;
  const bool suffixed =
      family.type == MetricType::kSummary || family.type == MetricType::kHistogram;
  return suffixed && std::any_of(prefixes.begin(), prefixes.end(), [&](const std::string& prefix) {
           return prefix.size() == family.name.size() + 1 && prefix.back() == '_' &&
                  prefix.starts_with(family.name);
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

void PartFinisher::run(const NodePart* previous) {
  PartStore& store = *part_.store_;
  part_.families_.clear();
  part_.own_text_.clear();
  part_.samples_ = 0;
  part_.dropped_ = {};
  part_.relabel_refused_ = 0;
  for (std::uint32_t i = 0; i < store.families.size(); ++i) {
    judge(store.families[i]);
    count(store.families[i]);
  }
  sort_families(previous);
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

void PartFinisher::judge(FamilyRecord& record) const {
  if (record.fate != Fate::kUnknown) return;
  if (is_reserved(plan_, record)) {
    record.fate = Fate::kReserved;
  } else if (plan_.leader_only && plan_.leader_only(family_of(record))) {
    record.fate = Fate::kLeaderOnly;
  } else {
    record.fate = Fate::kServed;
  }
}

void PartFinisher::count(const FamilyRecord& record) {
  const auto drop = [&](DropCause cause, std::uint64_t samples) {
    part_.dropped_[static_cast<std::size_t>(cause)] += samples;
  };
  if (record.fate == Fate::kReserved) return drop(DropCause::kReservedName, record.line_count);
  if (record.fate == Fate::kLeaderOnly) return drop(DropCause::kLeaderOnly, record.line_count);
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
    sorted = sorted && (i == 0 || store.families[i - 1].name < store.families[i].name);
  }
  if (!sorted) sort_by_name(store.families, order);
}

void PartFinisher::list_families() {
  const PartStore& store = *part_.store_;
  part_.families_.reserve(store.families.size());
  for (const std::uint32_t i : store.order) {
    const FamilyRecord& record = store.families[i];
    if (!is_listed(record)) continue;
    const std::string_view lines(store.out.data() + record.out_begin,
                                 record.out_end - record.out_begin);
    part_.families_.push_back(
        {record.name, record.help, lines, record.type, record.has_help, record.kept});
  }
}

bool PartFinisher::is_in_own_text(const FamilyRecord& record) const {
  if (record.fate == Fate::kReserved && !plan_.reserved_in_own_text) return false;
  if (record.fate == Fate::kServed || !plan_.leader_only) return true;
  return !plan_.leader_only(family_of(record));
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
    const bool shown = is_in_own_text(record);
    if (!shown) slices.cut(record.head_at, to);
    for (; stamp != store.stamps.end() && stamp->from < to; ++stamp) {
      if (shown) slices.cut(stamp->from, stamp->to);
    }
  }
  slices.cut(store.body.size(), store.body.size());
}

}  // namespace bao_exporter
