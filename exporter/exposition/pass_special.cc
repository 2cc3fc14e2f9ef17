// Families that can only be rendered with a look at all of their lines.
#include <algorithm>
#include <unordered_map>

#include "bao_exporter/hash.h"
#include "exposition/pass.h"

namespace bao_exporter {

void Pass::begin_rules() {
  const RelabelPlan& its = plan->plan();
  if (!its.relabel) return rules_.reset();
  if (rules_ && rules_plan_ == plan->number()) return;
  rules_.emplace(*its.relabel, its.identity, its.hash_seed);
  rules_plan_ = plan->number();
}

// False: there is no room for what the rules make of it.
bool Pass::render_special(FamilyRecord& record) {
  OutLabels labels(plan->plan());
  const bool state_label = has_state_label(record);
  const std::vector<bool> kept = lines_to_keep(record, state_label);
  store->out.set_size(record.out_begin);
  if (rules_) {
    if (!render_by_rules(record, kept, state_label)) return false;
    if (record.by_rules.touched) return true;
  }
  record.kept = 0;
  for (std::uint32_t i = 0; i < record.line_count; ++i) {
    LineRecord& line = store->lines[record.line_begin + i];
    line.out_at = store->out.size();
    line.out_prefix = LineRecord::kDropped;
    if (!kept.empty() && !kept[i]) continue;
    ++record.kept;
    read_line(line, one_);
    labels.assign(one_.labels, state_label);
    scratch_.clear();
    labels.append_head(scratch_, served_name(record, one_.sample.name));
    line.out_prefix = static_cast<std::uint32_t>(scratch_.size());
    scratch_ += one_.sample.value;
    scratch_ += '\n';
    append(scratch_);
  }
  return true;
}

// Lines of the family as the rules leave them. False: there is no room for them.
bool Pass::render_by_rules(FamilyRecord& record, const std::vector<bool>& kept, bool state_label) {
  OutLabels labels(plan->plan());
  const std::uint64_t refused = rules_->refused();
  rules_->begin(served_name(record, record.name), record.type);
  for (std::uint32_t i = 0; i < record.line_count; ++i) {
    LineRecord& line = store->lines[record.line_begin + i];
    line.out_prefix = LineRecord::kDropped;
    if (!kept.empty() && !kept[i]) continue;
    read_line(line, one_);
    labels.assign(one_.labels, state_label);
    const std::string_view name = served_name(record, one_.sample.name);
    if (rules_->add(name, labels.labels(), one_.sample.value)) line.out_prefix = 0;
  }
  scratch_.clear();
  const RelabelledFamily::Outcome outcome = rules_->finish(scratch_);
  record.by_rules = {outcome.touched, outcome.merged, outcome.dropped_by_rule, outcome.duplicates,
                     rules_->refused() - refused};
  if (!outcome.touched) return true;
  const auto twins = static_cast<std::uint64_t>(std::count(kept.begin(), kept.end(), false));
  record.by_rules.duplicates += twins;
  record.kept = outcome.samples;
  is_too_large_ = store->out.size() + scratch_.size() > rules_out_max;
  if (is_too_large_) return false;
  find_lines(record, outcome.merged);
  append(scratch_);
  return true;
}

// Where each line stands in `scratch_`: for the next poll. Of lines that were merged nothing can be
// used again.
void Pass::find_lines(const FamilyRecord& record, bool merged) {
  std::size_t from = 0;
  for (std::uint32_t i = 0; i < record.line_count; ++i) {
    LineRecord& line = store->lines[record.line_begin + i];
    if (merged) line.out_prefix = LineRecord::kDropped;
    if (line.out_prefix == LineRecord::kDropped) continue;
    read_line(line, one_);
    const std::size_t newline = scratch_.find('\n', from);
    line.out_at = store->out.size() + static_cast<std::uint32_t>(from);
    line.out_prefix = static_cast<std::uint32_t>(newline - from - one_.sample.value.size());
    from = newline + 1;
  }
}

// Empty: all of them. Only families in which two samples can have become equal are looked at.
std::vector<bool> Pass::lines_to_keep(const FamilyRecord& record, bool state_label) {
  if (!may_collide(record, state_label)) return {};
  struct Holder {
    std::uint32_t index;
    bool had_removed;
  };
  OutLabels labels(plan->plan());
  const auto hash = [this](const std::string& key) {
    return hash_bytes(key, plan->plan().hash_seed);
  };
  std::unordered_map<std::string, Holder, decltype(hash)> holders(record.line_count, hash);
  std::vector<bool> kept(record.line_count, true);
  for (std::uint32_t i = 0; i < record.line_count; ++i) {
    read_line(store->lines[record.line_begin + i], one_);
    labels.assign(one_.labels, state_label);
    const bool had_removed = !labels.removed().empty();
    const auto [holder, added] =
        holders.try_emplace(labels.key(one_.sample.name), Holder{i, had_removed});
    if (added) continue;
    if (had_removed && !holder->second.had_removed) {
      kept[holder->second.index] = false;
      holder->second = {i, had_removed};
    } else {
      kept[i] = false;
    }
  }
  return kept;
}

bool Pass::may_collide(const FamilyRecord& record, bool state_label) {
  OutLabels labels(plan->plan());
  std::string_view first;
  for (std::uint32_t i = 0; i < record.line_count; ++i) {
    read_line(store->lines[record.line_begin + i], one_);
    if (labels.assign(one_.labels, state_label)) return true;
    if (i == 0) first = labels.removed();
    if (labels.removed() != first) return true;
  }
  return false;
}

}  // namespace bao_exporter
