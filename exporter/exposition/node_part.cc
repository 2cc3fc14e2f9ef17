#include "bao_exporter/node_part.h"

#include <algorithm>
#include <deque>
#include <optional>
#include <unordered_map>

#include "bao_exporter/format.h"
#include "bao_exporter/hash.h"
#include "exposition/relabelled_family.h"

namespace bao_exporter {

namespace {

constexpr std::array<std::string_view, kDropCauseCount> kDropCauseNames = {
    "leader_only", "superseded",   "type_conflict",          "reserved_name",
    "relabel",     "series_limit", "duplicate_after_relabel"};

bool has_prefix_of(const std::vector<std::string>& prefixes, std::string_view name) {
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [&](const std::string& prefix) { return name.starts_with(prefix); });
}

// The samples of summary `x` are called x_sum and x_count.
bool is_reserved(const RelabelPlan& plan, const Family& family) {
  const bool suffixed =
      family.type == MetricType::kSummary || family.type == MetricType::kHistogram;
  const auto& prefixes = plan.reserved_family_prefixes;
  return has_prefix_of(prefixes, family.name) ||
         (suffixed && has_prefix_of(prefixes, std::string(family.name) + "_"));
}

bool is_in_own_text(const RelabelPlan& plan, const Family& family) {
  if (plan.leader_only && plan.leader_only(family)) return false;
  return plan.reserved_in_own_text || !is_reserved(plan, family);
}

// The labels of one sample on their way out. Names that had to be made live in `made_`.
class OutLabels {
 public:
  explicit OutLabels(const RelabelPlan& plan) : plan_(plan) {}

  // True when the result may equal that of another sample that was different before.
  bool assign(std::span<const Label> labels, bool state_label) {
    out_.clear();
    made_.clear();
    removed_ = {};
    bool ambiguous = false;
    for (const Label& label : labels) {
      ambiguous |= label.value.empty();
      if (!plan_.removed_label.empty() && label.name == plan_.removed_label) {
        removed_ = label.value;
      } else {
        out_.push_back({new_name(label.name), label.value});
      }
    }
    for (Label& label : out_) {
      if (!is_reserved(label.name) || is_rename_target(label.name)) continue;
      label.name = exported(label.name);
      ambiguous = true;
    }
    if (state_label) out_.push_back({plan_.state_label, removed_.empty() ? "startup" : "cluster"});
    return ambiguous;
  }

  [[nodiscard]] const std::vector<Label>& labels() const { return out_; }
  [[nodiscard]] std::string_view removed() const { return removed_; }

  // Equal for samples that Prometheus takes for the same series.
  [[nodiscard]] std::string key(std::string_view sample_name) const {
    std::vector<Label> sorted;
    std::copy_if(out_.begin(), out_.end(), std::back_inserter(sorted),
                 [](const Label& label) { return !label.value.empty(); });
    std::sort(sorted.begin(), sorted.end(),
              [](const Label& a, const Label& b) { return a.name < b.name; });
    std::string key(sample_name);
    for (const Label& label : sorted) {
      key += '\0';
      key += label.name;
      key += '\0';
      key += label.value;
    }
    return key;
  }

 private:
  [[nodiscard]] std::string_view new_name(std::string_view name) const {
    for (const auto& [from, to] : plan_.renamed_labels) {
      if (name == from) return to;
    }
    return name;
  }
  [[nodiscard]] bool is_reserved(std::string_view name) const {
    return name.starts_with("__") ||
           std::find(plan_.reserved_labels.begin(), plan_.reserved_labels.end(), name) !=
               plan_.reserved_labels.end();
  }
  // A label that has its reserved name from our renaming keeps it; the node's own does not. Equal
  // bytes cannot tell the two apart, the place of the bytes can.
  [[nodiscard]] bool is_rename_target(std::string_view name) const {
    return std::any_of(plan_.renamed_labels.begin(), plan_.renamed_labels.end(),
                       [&](const auto& rename) { return name.data() == rename.second.data(); });
  }
  std::string_view exported(std::string_view name) {
    std::string made = "exported_" + std::string(name);
    while (std::any_of(out_.begin(), out_.end(),
                       [&](const Label& label) { return label.name == made; })) {
      made.insert(0, "exported_");
    }
    return made_.emplace_back(std::move(made));
  }

  const RelabelPlan& plan_;
  std::vector<Label> out_;
  std::deque<std::string> made_;
  std::string_view removed_;
};

// A text in slices, without what is cut out of it. Cuts come from the first to the last.
class Slices {
 public:
  explicit Slices(std::string_view text) : text_(text) {}

  void cut(std::size_t from, std::size_t to) {
    if (from > at_) slices_.push_back(text_.substr(at_, from - at_));
    at_ = to;
  }
  std::vector<std::string_view> take() {
    cut(text_.size(), text_.size());
    return std::move(slices_);
  }
  // Where a view into the text stands in it.
  [[nodiscard]] std::size_t offset_of(std::string_view view) const {
    return static_cast<std::size_t>(view.data() - text_.data());
  }
  [[nodiscard]] std::size_t line_start_of(std::string_view view) const {
    const std::size_t offset = offset_of(view);
    const std::size_t newline =
        offset == 0 ? std::string_view::npos : text_.rfind('\n', offset - 1);
    return newline == std::string_view::npos ? 0 : newline + 1;
  }

 private:
  std::string_view text_;
  std::vector<std::string_view> slices_;
  std::size_t at_ = 0;
};

// The lines of a family stand together (parse() sees to that): a family reaches from the line that
// names it first to the one that names the next.
std::vector<std::string_view> own_text_of(const ParsedBody& parsed, const RelabelPlan& plan) {
  Slices slices(*parsed.text);
  const std::vector<Family>& families = parsed.exposition.families;
  for (std::size_t i = 0; i < families.size(); ++i) {
    if (!is_in_own_text(plan, families[i])) {
      slices.cut(slices.line_start_of(families[i].name),
                 i + 1 < families.size() ? slices.line_start_of(families[i + 1].name)
                                         : parsed.text->size());
      continue;
    }
    for (const Sample& sample : parsed.exposition.samples_of(families[i])) {
      if (sample.timestamp.empty()) continue;
      slices.cut(slices.offset_of(sample.value) + sample.value.size(),
                 slices.offset_of(sample.timestamp) + sample.timestamp.size());
    }
  }
  return slices.take();
}

}  // namespace

// Renders one body. Views into the rendered text are made at the end, when it moves no more.
class PartRenderer {
 public:
  PartRenderer(ParsedBody parsed, const RelabelPlan& plan)
      : plan_(plan), part_(new NodePart()), labels_(plan) {
    part_->parsed_ = std::move(parsed);
    if (plan.relabel) relabelled_.emplace(*plan.relabel, plan.identity, plan.hash_seed);
  }

  std::shared_ptr<const NodePart> run() {
    const Exposition& exposition = part_->parsed_.exposition;
    part_->rendered_.reserve(part_->parsed_.text->size() +
                             exposition.samples.size() * (plan_.identity.size() + 3));
    for (const Family& family : exposition.families) {
      if (family.sample_count > 0) add_family(exposition, family);
    }
    for (std::size_t i = 0; i < part_->families_.size(); ++i) {
      part_->families_[i].lines =
          std::string_view(part_->rendered_).substr(extents_[i].first, extents_[i].second);
    }
    std::sort(part_->families_.begin(), part_->families_.end(),
              [](const FamilyPart& a, const FamilyPart& b) { return a.name < b.name; });
    part_->own_text_ = own_text_of(part_->parsed_, plan_);
    if (relabelled_) part_->relabel_refused_ = relabelled_->refused();
    return part_;
  }

 private:
  void drop(DropCause cause, std::uint64_t samples) {
    part_->dropped_[static_cast<std::size_t>(cause)] += samples;
  }

  void add_family(const Exposition& exposition, const Family& family) {
    if (is_reserved(plan_, family)) {
      return drop(DropCause::kReservedName, family.sample_count);
    }
    if (plan_.leader_only && plan_.leader_only(family)) {
      return drop(DropCause::kLeaderOnly, family.sample_count);
    }
    const bool state_label = plan_.has_state_label && plan_.has_state_label(family.name);
    const std::vector<bool> kept = samples_to_keep(exposition, family, state_label);
    if (relabelled_ && add_relabelled(exposition, family, kept, state_label)) return;
    const std::size_t from = part_->rendered_.size();
    std::uint32_t rendered = 0;
    for (std::uint32_t i = 0; i < family.sample_count; ++i) {
      if (!kept.empty() && !kept[i]) continue;
      const Sample& sample = exposition.samples[family.sample_begin + i];
      labels_.assign(exposition.labels_of(sample), state_label);
      append_line(sample);
      ++rendered;
    }
    if (rendered < family.sample_count) {
      drop(DropCause::kDuplicateAfterRelabel, family.sample_count - rendered);
    }
    add_part(family, from, rendered);
  }

  void add_part(const Family& family, std::size_t from, std::uint32_t rendered) {
    part_->samples_ += rendered;
    extents_.emplace_back(from, part_->rendered_.size() - from);
    part_->families_.push_back(
        {family.name, family.help, {}, family.type, family.has_help, rendered});
  }

  // False: no rule touches the family.
  bool add_relabelled(const Exposition& exposition, const Family& family,
                      const std::vector<bool>& kept, bool state_label) {
    relabelled_->begin(family.name, family.type);
    std::uint64_t twins = 0;
    for (std::uint32_t i = 0; i < family.sample_count; ++i) {
      if (!kept.empty() && !kept[i]) {
        ++twins;
        continue;
      }
      const Sample& sample = exposition.samples[family.sample_begin + i];
      labels_.assign(exposition.labels_of(sample), state_label);
      relabelled_->add(sample.name, labels_.labels(), sample.value);
    }
    const std::size_t from = part_->rendered_.size();
    const auto outcome = relabelled_->finish(part_->rendered_);
    if (!outcome.touched) return false;
    drop(DropCause::kRelabel, outcome.dropped_by_rule);
    drop(DropCause::kDuplicateAfterRelabel, outcome.duplicates + twins);
    if (outcome.samples > 0) add_part(family, from, outcome.samples);
    return true;
  }

  // Empty: all of them. Only families in which two samples can have become equal are looked at.
  std::vector<bool> samples_to_keep(const Exposition& exposition, const Family& family,
                                    bool state_label) {
    if (!may_collide(exposition, family, state_label)) return {};
    struct Holder {
      std::uint32_t index;
      bool had_removed;
    };
    const auto hash = [this](const std::string& key) { return hash_bytes(key, plan_.hash_seed); };
    std::unordered_map<std::string, Holder, decltype(hash)> holders(family.sample_count, hash);
    std::vector<bool> kept(family.sample_count, true);
    for (std::uint32_t i = 0; i < family.sample_count; ++i) {
      const Sample& sample = exposition.samples[family.sample_begin + i];
      labels_.assign(exposition.labels_of(sample), state_label);
      const bool had_removed = !labels_.removed().empty();
      const auto [at, added] =
          holders.try_emplace(labels_.key(sample.name), Holder{i, had_removed});
      if (added) continue;
      if (had_removed && !at->second.had_removed) {
        kept[at->second.index] = false;
        at->second = {i, had_removed};
      } else {
        kept[i] = false;
      }
    }
    return kept;
  }

  bool may_collide(const Exposition& exposition, const Family& family, bool state_label) {
    std::string_view first_removed;
    for (std::uint32_t i = 0; i < family.sample_count; ++i) {
      const Sample& sample = exposition.samples[family.sample_begin + i];
      if (labels_.assign(exposition.labels_of(sample), state_label)) return true;
      if (i == 0) first_removed = labels_.removed();
      if (labels_.removed() != first_removed) return true;
    }
    return false;
  }

  void append_line(const Sample& sample) {
    std::string& out = part_->rendered_;
    out += sample.name;
    char separator = '{';
    if (!plan_.identity.empty()) {
      out += separator;
      out += plan_.identity;
      separator = ',';
    }
    for (const Label& label : labels_.labels()) {
      out += separator;
      out += label.name;
      out += "=\"";
      out += label.value;
      out += '"';
      separator = ',';
    }
    if (separator == ',') out += '}';
    out += ' ';
    out += sample.value;
    out += '\n';
  }

  const RelabelPlan& plan_;
  std::shared_ptr<NodePart> part_;
  OutLabels labels_;
  std::optional<RelabelledFamily> relabelled_;
  std::vector<std::pair<std::size_t, std::size_t>> extents_;
};

std::string_view drop_cause_name(DropCause cause) noexcept {
  return kDropCauseNames[static_cast<std::size_t>(cause)];
}

std::string render_identity(
    const std::vector<std::pair<std::string_view, std::string_view>>& labels) {
  std::string out;
  for (const auto& [name, value] : labels) {
    if (value.empty()) continue;
    if (!out.empty()) out += ',';
    out += name;
    out += "=\"";
    append_escaped_label_value(out, value);
    out += '"';
  }
  return out;
}

Result<ParsedBody> parse_body(std::string body, const ParseLimits& limits,
                              std::uint64_t hash_seed) {
  auto text = std::make_unique<const std::string>(std::move(body));
  Result<Exposition> parsed = parse(*text, limits, hash_seed);
  if (!parsed.ok()) return parsed.error();
  return ParsedBody{std::move(text), std::move(parsed).value()};
}

std::shared_ptr<const NodePart> NodePart::render(ParsedBody parsed, const RelabelPlan& plan) {
  return PartRenderer(std::move(parsed), plan).run();
}

}  // namespace bao_exporter
