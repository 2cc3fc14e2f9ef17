#include "bao_exporter/node_advice.h"

#include <algorithm>
#include <cmath>

#include "bao_exporter/hash.h"
#include "bao_exporter/identity.h"
#include "bao_exporter/log.h"

namespace bao_exporter {

namespace {

std::vector<std::uint64_t> names_of(const NodePart& part) {
  std::vector<std::uint64_t> names;
  names.reserve(part.families().size());
  for (const FamilyPart& family : part.families()) names.push_back(hash_bytes(family.name, 0));
  std::sort(names.begin(), names.end());
  return names;
}

bool same_process(const std::optional<double>& a, const std::optional<double>& b) {
  return a && b && std::abs(*a - *b) <= kStartSlack;
}

std::string seconds_text(Milliseconds duration) {
  return std::to_string(std::chrono::duration_cast<std::chrono::seconds>(duration).count()) + " s";
}

}  // namespace

std::size_t NodeAdvice::came_and_went(const Trail& trail, const std::vector<std::uint64_t>& now) {
  constexpr int kBodiesNeeded = 2;
  if (trail.bodies < kBodiesNeeded) return 0;
  const auto is_in = [](const std::vector<std::uint64_t>& names, std::uint64_t name) {
    return std::binary_search(names.begin(), names.end(), name);
  };
  return static_cast<std::size_t>(std::count_if(
      trail.last.begin(), trail.last.end(),
      [&](std::uint64_t name) { return !is_in(trail.before_last, name) && !is_in(now, name); }));
}

void NodeAdvice::note_body(const std::string& node, const Outcome& outcome, Milliseconds interval) {
  Trail& trail = trails_[node];
  if (outcome.facts.has_odd_names() && !trail.names_told) {
    trail.names_told = true;
    log::warn("names", {{"node", node},
                        {"prefix", outcome.facts.prefix},
                        {"detail",
                         "dashboards and alerts expect vault_ or openbao_: set disable_hostname = "
                         "true, or look at metrics_prefix, in the node's telemetry stanza"}});
  }
  if (outcome.part->relabel_refused() > 0 && !trail.rules_told) {
    trail.rules_told = true;
    log::warn("relabel", {{"node", node},
                          {"times", std::to_string(outcome.part->relabel_refused())},
                          {"detail",
                           "rules wanted to change an identity label, to make a reserved or "
                           "impossible name, or to make too much: these labels stayed as they "
                           "were"}});
  }
  std::vector<std::uint64_t> names = names_of(*outcome.part);
  if (!same_process(trail.process_start, outcome.facts.process_start) ||
      trail.role != outcome.role) {
    trail.bodies = 0;
  }
  const std::size_t gone = came_and_went(trail, names);
  if (gone > 0 && !trail.retention_told) {
    trail.retention_told = true;
    log::warn("retention", {{"node", node},
                            {"families", std::to_string(gone)},
                            {"detail",
                             "series came and went between polls: prometheus_retention_time is "
                             "not well above poll.interval (" +
                                 seconds_text(interval) + "), counters restart at 0"}});
  }
  trail.before_last = std::move(trail.last);
  trail.last = std::move(names);
  ++trail.bodies;
  trail.process_start = outcome.facts.process_start;
  trail.role = outcome.role;
}

void NodeAdvice::note_new_rules() {
  for (auto& [node, trail] : trails_) trail.rules_told = false;
}

// Between two bodies that are further apart, a series may well end.
void NodeAdvice::note_gap(const std::string& node) { trails_[node].bodies = 0; }

void NodeAdvice::note_versions(const std::string& cluster, const std::set<std::string>& versions) {
  std::set<std::string>& told = versions_told_[cluster];
  if (versions.size() < 2 || versions == told) return;
  told = versions;
  std::string all;
  for (const std::string& version : versions) all += (all.empty() ? "" : ", ") + version;
  log::warn("versions", {{"cluster", cluster},
                         {"versions", all},
                         {"detail", "nodes of one cluster run different versions"}});
}

}  // namespace bao_exporter
