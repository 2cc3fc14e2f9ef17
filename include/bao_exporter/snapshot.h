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

// One certctl server, for the paths that are about certctl alone.
struct ServedCertctl {
  std::string name;
  std::vector<std::pair<std::string, std::string>> labels;  // certctl, instance
  ErrorCode reason = ErrorCode::kNotPolled;
  TimePoint valid_until;                   // of what is known of it
  std::shared_ptr<const ServedText> text;  // its own and its state's; null: it is not served
};

class Snapshot {
 public:
  // `body`: everything but bao_exporter_*. `overdue`: what is served after `valid_until` instead:
  // our families about nodes with up 0 and reason overdue, and no sample of a node or of certctl.
  Snapshot(Rope body, std::string overdue, TimePoint valid_until, std::uint64_t generation,
           std::vector<NodeView> nodes = {}, std::vector<ServedCertctl> certctls = {})
      : body_(std::move(body)),
        overdue_(std::move(overdue)),
        valid_until_(valid_until),
        generation_(generation),
        nodes_(std::move(nodes)),
        certctls_(std::move(certctls)) {
    std::sort(nodes_.begin(), nodes_.end(), by_name<NodeView>);
    std::sort(certctls_.begin(), certctls_.end(), by_name<ServedCertctl>);
  }

  [[nodiscard]] bool overdue_at(TimePoint now) const { return now > valid_until_; }
  [[nodiscard]] const Rope& body() const { return body_.rope(); }
  [[nodiscard]] const DeflatedPart& deflated() const { return body_.deflated(); }
  [[nodiscard]] std::string_view overdue_text() const { return overdue_; }
  [[nodiscard]] std::uint64_t generation() const { return generation_; }

  // By name.
  [[nodiscard]] const std::vector<NodeView>& nodes() const { return nodes_; }
  // "CLUSTER/NAME"; null: not in this snapshot.
  [[nodiscard]] const NodeView* node(std::string_view name) const { return find(nodes_, name); }

  // By name: every server that is configured.
  [[nodiscard]] const std::vector<ServedCertctl>& certctls() const { return certctls_; }
  // Null: not in this snapshot.
  [[nodiscard]] const ServedCertctl* certctl(std::string_view name) const {
    return find(certctls_, name);
  }

 private:
  template <typename View>
  static bool by_name(const View& a, const View& b) {
    return a.name < b.name;
  }
  template <typename View>
  static const View* find(const std::vector<View>& views, std::string_view name) {
    const auto at =
        std::lower_bound(views.begin(), views.end(), name,
                         [](const View& view, std::string_view key) { return view.name < key; });
    return at != views.end() && at->name == name ? &*at : nullptr;
  }

  ServedText body_;
  std::string overdue_;
  TimePoint valid_until_;
  std::uint64_t generation_;
  std::vector<NodeView> nodes_;
  std::vector<ServedCertctl> certctls_;
};

}  // namespace bao_exporter
