// Polls of one node, one after the other: each compared with what the same body gives alone.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "../catch.h"
#include "bao_exporter/node_part.h"
#include "bao_exporter/outcome.h"
#include "poll_bodies.h"

namespace bao_exporter {

class Polls {
 public:
  explicit Polls(const ParseLimits& limits = {},
                 const std::string& identity = "cluster=\"prod\",node_name=\"a\"")
      : limits_(limits), plan_(openbao_relabel_plan(identity, Role::kActive, true)) {
    plan_.hash_seed = 7;
  }

  // "steady", or "cold": the way that it went; or the error.
  std::string take(const std::string& body) {
    const std::string expected = shown_of(NodePart::build(body, limits_, plan_));
    const std::uint64_t steady = builder_.steady_parts();
    auto built = builder_.build(body, limits_, plan_, before_.get());
    const std::string actual = shown_of(built);
    CHECK(actual == expected);
    if (!built.ok()) return actual;
    before_ = std::move(built).value();
    return builder_.steady_parts() > steady ? "steady" : "cold";
  }
  [[nodiscard]] const ParseLimits& limits() const { return limits_; }
  [[nodiscard]] const RelabelPlan& plan() const { return plan_; }
  // What the part of the last body that was taken shows of that family.
  [[nodiscard]] std::string lines_of(std::string_view family) const {
    for (const FamilyPart& part : before_->families()) {
      if (part.name == family) return std::string(part.lines);
    }
    return "";
  }

 private:
  ParseLimits limits_;
  PartBuilder builder_;
  RelabelPlan plan_ = openbao_relabel_plan("cluster=\"prod\",node_name=\"a\"", Role::kActive, true);
  std::shared_ptr<const NodePart> before_;
};

// A last family that is longer than what is read at once: what stands before it is not near the
// end of the body.
inline std::string padding() {
  return "# TYPE zz gauge\nzz{a=\"" + std::string(200, 'z') + "\"} 1\n";
}

// That many lines of family `g`, numbered.
inline std::string numbered(int from, int to, const std::string& name = "g") {
  std::string out;
  for (int i = from; i < to; ++i) out += name + "{number=\"" + std::to_string(i) + "\"} 1\n";
  return out;
}

}  // namespace bao_exporter
