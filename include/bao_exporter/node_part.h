// NodePart: what one poll of one target became. The body, the rendered lines and the index of
// families, owned together and immutable; a view never leaves its NodePart.
//
// Pure: no I/O, no clock, no log. Threads: built on one, then shared as shared_ptr<const NodePart>.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bao_exporter/exposition.h"
#include "bao_exporter/relabel.h"

namespace bao_exporter {

// Why a sample that a node sent is not served. Label `cause` of bao_node_samples_dropped_total.
enum class DropCause : std::uint8_t {
  kLeaderOnly,
  kSuperseded,
  kTypeConflict,
  kReservedName,
  kRelabel,
  kSeriesLimit,
  kDuplicateAfterRelabel,
};
inline constexpr std::size_t kDropCauseCount =
    static_cast<std::size_t>(DropCause::kDuplicateAfterRelabel) + 1;
[[nodiscard]] std::string_view drop_cause_name(DropCause cause) noexcept;

using DropCounts = std::array<std::uint64_t, kDropCauseCount>;

// How the samples of one source become ours. Applies to the labels as sent, in this order:
// `removed_label` goes, `renamed_labels` get their new name, and a label that is reserved (or
// starts with "__") gets "exported_" before its name, again until no other label of the sample has
// it.
struct RelabelPlan {
  std::string identity;  // rendered labels put before the others: cluster="prod",node_name="a"
  std::string removed_label;
  std::vector<std::pair<std::string, std::string>> renamed_labels;
  std::vector<std::string> reserved_labels;
  std::vector<std::string> reserved_family_prefixes;
  bool reserved_in_own_text = true;  // false: such families are left out of own_text(), too
  // Families that are dropped because the node is not active; empty: none.
  std::function<bool(const Family&)> leader_only;
  // Families that get `state_label`: "cluster" where removed_label had a value, else "startup".
  std::function<bool(std::string_view family)> has_state_label;
  std::string state_label;
  std::uint64_t hash_seed = 0;  // differs from process to process: nobody can prepare collisions
  // Run on what the rest of the plan leaves, identity included; null: no rules. Not in own_text().
  std::shared_ptr<const Relabel> relabel;
};

// name="value" pairs, escaped and joined by commas; pairs with an empty value are left out.
[[nodiscard]] std::string render_identity(
    const std::vector<std::pair<std::string_view, std::string_view>>& labels);

// A body and its views, kept together.
struct ParsedBody {
  std::unique_ptr<const std::string> text;
  Exposition exposition;
};
[[nodiscard]] Result<ParsedBody> parse_body(std::string body, const ParseLimits& limits,
                                            std::uint64_t hash_seed);

struct FamilyPart {
  std::string_view name;
  std::string_view help;
  std::string_view lines;  // whole rendered lines, in the order they were sent
  MetricType type = MetricType::kUntyped;
  bool has_help = false;
  std::uint32_t samples = 0;
};

class NodePart {
 public:
  // Renders every sample that the plan keeps, with its value byte for byte. Two samples that the
  // plan makes equal: the one whose removed_label had a value stays (else the first), the other is
  // dropped and counted.
  [[nodiscard]] static std::shared_ptr<const NodePart> render(ParsedBody parsed,
                                                              const RelabelPlan& plan);

  NodePart(const NodePart&) = delete;
  NodePart& operator=(const NodePart&) = delete;

  // Sorted by name; only families with samples.
  [[nodiscard]] const std::vector<FamilyPart>& families() const { return families_; }
  [[nodiscard]] std::uint64_t samples() const { return samples_; }
  [[nodiscard]] std::size_t body_bytes() const { return parsed_.text->size(); }
  [[nodiscard]] const DropCounts& dropped() const { return dropped_; }
  // How often relabel rules wanted what they may not do: see relabel.h.
  [[nodiscard]] std::uint64_t relabel_refused() const { return relabel_refused_; }

  // What the node sent, byte for byte and in its own order, as slices of its body. Left out are the
  // families that the plan calls leader-only, reserved ones where the plan says so, and timestamps;
  // nothing else of the plan applies.
  [[nodiscard]] const std::vector<std::string_view>& own_text() const { return own_text_; }

 private:
  NodePart() = default;
  friend class PartRenderer;

  ParsedBody parsed_;
  std::string rendered_;
  std::vector<FamilyPart> families_;
  std::vector<std::string_view> own_text_;
  std::uint64_t samples_ = 0;
  DropCounts dropped_{};
  std::uint64_t relabel_refused_ = 0;
};

}  // namespace bao_exporter
