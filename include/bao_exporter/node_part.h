// NodePart: what one poll of one target became. The body, the rendered lines and the index of
// families, made in one pass, owned together and immutable; a view never leaves its NodePart.
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
// it. Names in quotes are taken with an underscore for each character that needs them: a label's
// before it is asked whether it is reserved (one that has another's name then gets "exported_",
// too), a family's for reserved_family_prefixes; of leader_only and has_state_label either name.
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
  // Says what the functions depend on: with the same word they give the same answers. Without one
  // nothing of an earlier part is used again where there are functions.
  std::string functions;
  // Run on what the rest of the plan leaves, identity included; null: no rules. Not in own_text().
  std::shared_ptr<const Relabel> relabel;
};

// name="value" pairs, escaped and joined by commas; pairs with an empty value are left out.
[[nodiscard]] std::string render_identity(
    const std::vector<std::pair<std::string_view, std::string_view>>& labels);

struct FamilyPart {
  std::string_view name;  // as it is served: without quotes
  std::string_view help;
  std::string_view lines;  // whole rendered lines, in the order they were sent
  MetricType type = MetricType::kUntyped;
  bool has_help = false;
  std::uint32_t samples = 0;
};

struct PartStore;

class NodePart {
 public:
  // Reads a body strictly, as parse() does and with its errors (and kTooLarge: a body of 4 GB, or
  // one of which relabel rules make more than 2 GB), and renders every sample that the plan keeps,
  // with its value byte for byte. Two samples that the plan makes equal: the one whose
  // removed_label had a value stays (else the first), the other is dropped and counted. A family in
  // quotes that would be served by another's name, or have samples of one, is dropped:
  // kTypeConflict.
  [[nodiscard]] static Result<std::shared_ptr<const NodePart>> build(std::string body,
                                                                     const ParseLimits& limits,
                                                                     const RelabelPlan& plan);

  NodePart(const NodePart&) = delete;
  NodePart& operator=(const NodePart&) = delete;
  ~NodePart();

  // Sorted by name; only families with samples.
  [[nodiscard]] const std::vector<FamilyPart>& families() const { return families_; }
  // Equal for two parts only when their families have the same names, types and HELP.
  [[nodiscard]] std::uint64_t sequence() const { return sequence_; }
  [[nodiscard]] std::uint64_t samples() const { return samples_; }
  [[nodiscard]] std::size_t body_bytes() const;
  [[nodiscard]] const DropCounts& dropped() const { return dropped_; }
  // How often relabel rules wanted what they may not do: see relabel.h.
  [[nodiscard]] std::uint64_t relabel_refused() const { return relabel_refused_; }

  // What the node sent, byte for byte and in its own order, as slices of its body. Left out are the
  // families that the plan calls leader-only, reserved ones where the plan says so, and timestamps;
  // nothing else of the plan applies.
  [[nodiscard]] const std::vector<std::string_view>& own_text() const { return own_text_; }

  // The families that are `wanted`, with their samples, as parse() read them from the body: dropped
  // ones, too. Views point into this part. Takes time for what is wanted only.
  [[nodiscard]] Exposition excerpt(const std::function<bool(const Family&)>& wanted) const;

 private:
  NodePart();
  friend class PartBuilder;
  friend class PartFinisher;
  friend class PartPool;

  std::unique_ptr<PartStore> store_;
  std::vector<FamilyPart> families_;
  std::vector<std::string_view> own_text_;
  std::uint64_t sequence_ = 0;
  std::uint64_t samples_ = 0;
  DropCounts dropped_{};
  std::uint64_t relabel_refused_ = 0;
};

// Makes the parts of one target, one after the other. Arenas of parts that nobody has any more are
// taken again, as far as they are few in all. Used by one thread at a time; its parts may end on
// any, and outlive it.
class PartBuilder {
 public:
  PartBuilder();
  PartBuilder(PartBuilder&&) noexcept;
  PartBuilder& operator=(PartBuilder&&) noexcept;
  ~PartBuilder();

  // As NodePart::build(). `previous`, which may be null, is of this builder: what did not change
  // since is not read again. The result is the same with and without it.
  [[nodiscard]] Result<std::shared_ptr<const NodePart>> build(std::string body,
                                                              const ParseLimits& limits,
                                                              const RelabelPlan& plan,
                                                              const NodePart* previous);

  // A part of this builder as it is with that plan: itself, where that is the plan it has. Error:
  // kTooLarge, since relabel rules make too much of it; there is no other.
  [[nodiscard]] Result<std::shared_ptr<const NodePart>> with_plan(
      std::shared_ptr<const NodePart> part, const RelabelPlan& plan);

  // Parts that were made with the help of the one before.
  [[nodiscard]] std::uint64_t steady_parts() const;

  // Bytes of the arenas of all builders that wait to be taken again: at most 32 MiB. Any thread.
  [[nodiscard]] static std::size_t spare_bytes();

 private:
  struct Room;
  std::unique_ptr<Room> room_;
};

}  // namespace bao_exporter
