#include "exposition/relabelled_family.h"

#include <algorithm>
#include <unordered_set>
#include <utility>

#include "bao_exporter/format.h"
#include "bao_exporter/hash.h"
#include "exposition/relabel_rule.h"

namespace bao_exporter {

namespace {

// Pairs as render_identity() writes them.
std::vector<std::pair<std::string, std::string>> read_pairs(std::string_view text) {
  std::vector<std::pair<std::string, std::string>> pairs;
  while (!text.empty()) {
    const std::size_t equals = text.find("=\"");
    if (equals == std::string_view::npos) break;
    std::size_t end = equals + 2;
    while (end < text.size() && text[end] != '"') end += text[end] == '\\' ? 2 : 1;
    pairs.emplace_back(text.substr(0, equals),
                       unescape_label_value(text.substr(equals + 2, end - equals - 2)));
    text.remove_prefix(std::min(text.size(), end + 2));  // the quote and the comma
  }
  return pairs;
}

struct MixedHash {
  std::uint64_t seed;
  std::size_t operator()(std::uint64_t number) const { return mix64(number ^ seed, seed | 1); }
};

}  // namespace

std::size_t RelabelledFamily::Hash::operator()(std::string_view text) const {
  return hash_bytes(text, seed);
}

RelabelledFamily::RelabelledFamily(const Relabel& rules, std::string_view identity,
                                   std::uint64_t hash_seed)
    : rules_(rules),
      identity_(identity),
      seed_(hash_seed),
      run_(rules, hash_seed),
      identity_labels_(read_pairs(identity)) {}

void RelabelledFamily::begin(std::string_view name, MetricType type) {
  name_ = name;
  type_ = type;
  touched_ = false;
  dropped_by_rule_ = 0;
  lines_.clear();
  texts_.clear();
}

// A bucket, or a quantile.
bool RelabelledFamily::is_part(std::string_view sample) const {
  if (type_ == MetricType::kSummary) return sample == name_;
  constexpr std::string_view kBucket = "_bucket";
  return type_ == MetricType::kHistogram && sample.size() == name_.size() + kBucket.size() &&
         sample.ends_with(kBucket);
}

bool RelabelledFamily::is_part_label(std::string_view label) const {
  return adds_part_ && label == (type_ == MetricType::kHistogram ? "le" : "quantile");
}

void RelabelledFamily::take_labels(std::string_view name, std::span<const Label> labels) {
  labels_.clear();
  adds_part_ = is_part(name);
  labels_.add("__name__", name, true);
  for (const auto& [own, value] : identity_labels_) labels_.add(own, value, true);
  for (const Label& label : labels) {
    if (label.value.empty() && !is_part_label(label.name)) continue;  // That is none.
    const bool escaped = label.value.find('\\') != std::string_view::npos;
    labels_.add(label.name, escaped ? labels_.keep(unescape_label_value(label.value)) : label.value,
                rules_.is_fixed(label.name));
  }
}

// All but the name and the identity, which come first.
void RelabelledFamily::note_labels() {
  const std::size_t ours = 1 + identity_labels_.size();
  noted_.clear();
  for (const auto* entries : {&labels_.came(), &labels_.added()}) {
    std::copy_if(entries->begin(), entries->end(), std::back_inserter(noted_),
                 [&](const LabelSet::Entry& entry) { return entry.place >= ours; });
  }
}

bool RelabelledFamily::add(std::string_view name, std::span<const Label> labels,
                           std::string_view value) {
  take_labels(name, labels);
  Line line;
  line.name = name;
  line.value = value;
  if (has_parts()) {
    note_labels();
    line.source = write_key();
  }
  if (rules_.needs_order()) labels_.sort();
  if (!run_.apply(labels_)) {
    touched_ = true;
    ++dropped_by_rule_;
    return false;
  }
  touched_ = touched_ || labels_.changed();
  note_labels();
  line.labels = write_labels();
  line.group = write_key();
  write_series(line);
  lines_.push_back(line);
  return true;
}

RelabelledFamily::Extent RelabelledFamily::write_labels() {
  std::sort(noted_.begin(), noted_.end(),
            [](const LabelSet::Entry& a, const LabelSet::Entry& b) { return a.place < b.place; });
  const std::size_t from = texts_.size();
  for (const LabelSet::Entry& entry : noted_) {
    if (texts_.size() > from) texts_ += ',';
    texts_ += entry.name;
    texts_ += "=\"";
    append_escaped_label_value(texts_, entry.value);
    texts_ += '"';
  }
  return {from, texts_.size() - from};
}

// No name is empty and none has a zero byte, so equal keys mean equal labels.
RelabelledFamily::Extent RelabelledFamily::write_key() {
  std::sort(noted_.begin(), noted_.end(),
            [](const LabelSet::Entry& a, const LabelSet::Entry& b) { return a.name < b.name; });
  const std::size_t from = texts_.size();
  for (const LabelSet::Entry& entry : noted_) {
    if (is_part_label(entry.name)) continue;
    texts_ += entry.name;
    texts_ += '\0';
    texts_ += entry.value;
    texts_ += '\0';
  }
  return {from, texts_.size() - from};
}

// Goes on where the group's key ended.
void RelabelledFamily::write_series(Line& line) {
  texts_ += '\0';
  texts_ += line.name;
  line.is_part = adds_part_;
  for (const LabelSet::Entry& entry : noted_) {
    if (!is_part_label(entry.name)) continue;
    texts_ += '\0';
    texts_ += entry.value;
  }
  line.series = {line.group.from, texts_.size() - line.group.from};
}

RelabelledFamily::Outcome RelabelledFamily::finish(std::string& out) {
  Outcome outcome;
  outcome.touched = touched_;
  outcome.dropped_by_rule = dropped_by_rule_;
  if (!touched_) return outcome;
  if (has_parts()) {
    merge_parts(outcome);
  } else {
    std::vector<std::uint32_t> all(lines_.size());
    for (std::uint32_t i = 0; i < all.size(); ++i) all[i] = i;
    merge_equal(all, outcome);
  }
  write_lines(out, outcome);
  return outcome;
}

bool RelabelledFamily::may_sum(const Line& line) const {
  if (rules_.on_duplicate() == OnDuplicate::kDrop || type_ == MetricType::kUntyped) return false;
  return type_ != MetricType::kSummary || !line.is_part;
}

void RelabelledFamily::drop(Line& line, Outcome& outcome) {
  outcome.merged = true;
  outcome.duplicates += line.count;
  line.count = 0;
}

void RelabelledFamily::merge_equal(const std::vector<std::uint32_t>& lines, Outcome& outcome) {
  Numbers first_of(lines.size(), Hash{seed_});
  for (const std::uint32_t i : lines) {
    Line& line = lines_[i];
    const auto [at, is_new] = first_of.try_emplace(text_of(line.series), i);
    if (is_new) continue;
    if (!may_sum(line)) {
      drop(line, outcome);
      continue;
    }
    Line& first = lines_[at->second];
    first.sum = (first.count == 1 ? read_value(first.value) : first.sum) + read_value(line.value);
    ++first.count;
    line.count = 0;
    outcome.merged = true;
  }
}

// The group of each line.
std::vector<std::uint32_t> RelabelledFamily::group_lines(std::vector<Group>& groups) const {
  std::vector<std::uint32_t> group_of;
  Numbers numbers(lines_.size(), Hash{seed_});
  Numbers sources(lines_.size(), Hash{seed_});
  std::unordered_set<std::uint64_t, MixedHash> counted(lines_.size(), MixedHash{seed_});
  for (const Line& line : lines_) {
    const auto next = static_cast<std::uint32_t>(groups.size());
    const auto group = numbers.try_emplace(text_of(line.group), next).first->second;
    if (group == next) groups.push_back({text_of(line.source)});
    const auto next_source = static_cast<std::uint32_t>(sources.size());
    const auto source = sources.try_emplace(text_of(line.source), next_source).first->second;
    if (counted.insert(std::uint64_t{group} << 32 | source).second) ++groups[group].sources;
    group_of.push_back(group);
  }
  return group_of;
}

void RelabelledFamily::merge_parts(Outcome& outcome) {
  std::vector<Group> groups;
  const std::vector<std::uint32_t> group_of = group_lines(groups);
  const bool sums = rules_.on_duplicate() == OnDuplicate::kSum;
  std::vector<std::uint32_t> to_merge;
  for (std::uint32_t i = 0; i < lines_.size(); ++i) {
    const Group& group = groups[group_of[i]];
    if (group.sources == 1) continue;
    const bool stays = sums ? may_sum(lines_[i]) : text_of(lines_[i].source) == group.first_source;
    if (!stays) {
      drop(lines_[i], outcome);
    } else if (sums) {
      to_merge.push_back(i);
    }
  }
  merge_equal(to_merge, outcome);
  const auto is_bucket = [&](std::uint32_t i) { return lines_[i].is_part && lines_[i].count > 0; };
  for (const std::uint32_t i : to_merge) {
    Group& group = groups[group_of[i]];
    if (is_bucket(i) && lines_[i].count != group.sources) group.same_buckets = false;
  }
  for (const std::uint32_t i : to_merge) {
    if (is_bucket(i) && !groups[group_of[i]].same_buckets) drop(lines_[i], outcome);
  }
}

void RelabelledFamily::write_series_text(std::string& out, const Line& line) const {
  out += line.name;
  char separator = '{';
  for (const std::string_view labels : {identity_, text_of(line.labels)}) {
    if (labels.empty()) continue;
    out += std::exchange(separator, ',');
    out += labels;
  }
  if (separator == ',') out += '}';
}

void RelabelledFamily::write_lines(std::string& out, Outcome& outcome) const {
  for (const Line& line : lines_) {
    if (line.count == 0) continue;
    ++outcome.samples;
    write_series_text(out, line);
    out += ' ';
    if (line.count == 1) {
      out += line.value;
    } else {
      append_value(out, line.sum);
    }
    out += '\n';
  }
}

}  // namespace bao_exporter
