#include "bao_exporter/node_part.h"

#include <array>

#include "bao_exporter/format.h"
#include "exposition/grammar.h"
#include "exposition/part_finisher.h"
#include "exposition/part_store.h"

namespace bao_exporter {

namespace {

constexpr std::array<std::string_view, kDropCauseCount> kDropCauseNames = {
    "leader_only", "superseded",   "type_conflict",          "reserved_name",
    "relabel",     "series_limit", "duplicate_after_relabel"};

}  // namespace

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

NodePart::NodePart() : store_(std::make_unique<PartStore>()) {}
NodePart::~NodePart() = default;

std::size_t NodePart::body_bytes() const { return store_->body.size(); }

Result<std::shared_ptr<const NodePart>> NodePart::build(std::string body, const ParseLimits& limits,
                                                        const RelabelPlan& plan) {
  return PartBuilder().build(std::move(body), limits, plan, nullptr);
}

Exposition NodePart::excerpt(const std::function<bool(const Family&)>& wanted) const {
  Exposition out;
  SampleLine line;
  for (const FamilyRecord& record : store_->families) {
    Family family = family_of(record);
    if (!wanted(family)) continue;
    family.sample_begin = static_cast<std::uint32_t>(out.samples.size());
    out.families.push_back(family);
    for (std::uint32_t i = 0; i < record.line_count; ++i) {
      read_known_sample(store_->line_at(store_->lines[record.line_begin + i]), line);
      line.sample.label_begin = static_cast<std::uint32_t>(out.labels.size());
      out.labels.insert(out.labels.end(), line.labels.begin(), line.labels.end());
      out.samples.push_back(line.sample);
    }
  }
  return out;
}

}  // namespace bao_exporter
