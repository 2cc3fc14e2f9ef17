// Snapshot: the immutable answer that scrapes are served from, made once per publication.
//
// Threads: immutable but for compressed forms, each of which is made once, by whoever needs it
// first.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bao_exporter/gzip.h"
#include "bao_exporter/merge.h"
#include "bao_exporter/result.h"
#include "bao_exporter/role.h"
#include "bao_exporter/time.h"

namespace bao_exporter {

// A text and its compressed form.
class ServedText {
 public:
  explicit ServedText(Rope rope) : rope_(std::move(rope)) {}

  [[nodiscard]] const Rope& rope() const { return rope_; }

  // The text, deflated; the first call pays.
  [[nodiscard]] const DeflatedPart& deflated() const {
    std::call_once(deflate_once_, [this] { deflated_ = deflate_open(rope_); });
    return deflated_;
  }

 private:
  Rope rope_;
  mutable std::once_flag deflate_once_;
  mutable DeflatedPart deflated_;
};

// One node, for the paths that are about it alone.
struct NodeView {
  std::string name;                                         // "CLUSTER/NAME"
  std::vector<std::pair<std::string, std::string>> labels;  // labels N, those with a value
  Role role = Role::kUnknown;
  ErrorCode reason = ErrorCode::kNotPolled;
  bool discovered = true;                  // false: service discovery leaves it out
  std::shared_ptr<const ServedText> text;  // what it sent; null: it is not served
};

class Snapshot {
 public:
  // `body`: everything but bao_exporter_*. `overdue`: what is served after `valid_until` instead:
  // our families about nodes with up 0 and reason overdue, and no sample of a node.
  Snapshot(Rope body, std::string overdue, TimePoint valid_until, std::uint64_t generation,
           std::vector<NodeView> nodes = {})
      : body_(std::move(body)),
        overdue_(std::move(overdue)),
        valid_until_(valid_until),
        generation_(generation),
        nodes_(std::move(nodes)) {
    std::sort(nodes_.begin(), nodes_.end(),
              [](const NodeView& a, const NodeView& b) { return a.name < b.name; });
  }

  [[nodiscard]] bool overdue_at(TimePoint now) const { return now > valid_until_; }
  [[nodiscard]] const Rope& body() const { return body_.rope(); }
  [[nodiscard]] const DeflatedPart& deflated() const { return body_.deflated(); }
  [[nodiscard]] std::string_view overdue_text() const { return overdue_; }
  [[nodiscard]] std::uint64_t generation() const { return generation_; }

  // By name.
  [[nodiscard]] const std::vector<NodeView>& nodes() const { return nodes_; }
  // "CLUSTER/NAME"; null: not in this snapshot.
  [[nodiscard]] const NodeView* node(std::string_view name) const {
    const auto at = std::lower_bound(
        nodes_.begin(), nodes_.end(), name,
        [](const NodeView& node, std::string_view key) { return node.name < key; });
    return at != nodes_.end() && at->name == name ? &*at : nullptr;
  }

 private:
  ServedText body_;
  std::string overdue_;
  TimePoint valid_until_;
  std::uint64_t generation_;
  std::vector<NodeView> nodes_;
};

}  // namespace bao_exporter
