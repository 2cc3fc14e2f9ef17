// What is worth telling an operator once, and does not make a poll fail: names that dashboards do
// not know, a retention that is too short for our interval, versions that differ, relabel rules
// that want what they may not do.
//
// Threads: the build thread only.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "bao_exporter/outcome.h"
#include "bao_exporter/time.h"

namespace bao_exporter {

class NodeAdvice {
 public:
  // After each poll whose samples are served.
  void note_body(const std::string& node, const Outcome& outcome, Milliseconds interval);

  // The relabel rules are others now: what was told of the old ones is not told of these.
  void note_new_rules();

  // After each poll that gave none.
  void note_gap(const std::string& node);

  // The versions that the cluster's nodes told.
  void note_versions(const std::string& cluster, const std::set<std::string>& versions);

 private:
  // The families of the last two bodies, sorted hashes of their names. go-metrics deletes what was
  // not written for prometheus_retention_time, and only then (OpenBao 2.7.2), so a family that came
  // and went again while the process stayed lived for less than two intervals.
  struct Trail {
    std::vector<std::uint64_t> last;
    std::vector<std::uint64_t> before_last;
    int bodies = 0;
    std::optional<double> process_start;
    Role role = Role::kUnknown;
    bool names_told = false;
    bool retention_told = false;
    bool rules_told = false;
  };
  static std::size_t came_and_went(const Trail& trail, const std::vector<std::uint64_t>& now);

  std::map<std::string, Trail> trails_;
  std::map<std::string, std::set<std::string>> versions_told_;
};

}  // namespace bao_exporter
