// What OpenBao's expositions mean: facts in them, their labels, their leader-only families.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "bao_exporter/format.h"
#include "bao_exporter/outcome.h"
#include "reserved_names.h"

namespace bao_exporter {

namespace {

constexpr std::string_view kProcessStart = "process_start_time_seconds";
constexpr std::string_view kLastCollection = "go_memstats_last_gc_time_seconds";
constexpr std::array<std::string_view, 2> kPrefixes = {"vault_", "openbao_"};

// The name after what OpenBao puts before it. `prefix` is tried first: it may begin with another.
std::optional<std::string_view> without_prefix(std::string_view name, std::string_view prefix) {
  if (!prefix.empty() && name.starts_with(prefix)) return name.substr(prefix.size());
  for (const std::string_view usual : kPrefixes) {
    if (name.starts_with(usual)) return name.substr(usual.size());
  }
  return std::nullopt;
}

// See BodyFacts::prefix.
std::string prefix_of(const Exposition& exposition) {
  for (const std::string_view told_by : {"core_active", "core_unsealed"}) {
    std::string_view found;
    for (const Family& family : exposition.families) {
      if (family.sample_count == 0 || !family.name.ends_with(told_by)) continue;
      const std::string_view prefix = family.name.substr(0, family.name.size() - told_by.size());
      if (std::find(kPrefixes.begin(), kPrefixes.end(), prefix) != kPrefixes.end()) {
        return std::string(prefix);
      }
      if (found.empty() && prefix.ends_with('_')) found = prefix;
    }
    if (!found.empty()) return std::string(found);
  }
  return {};
}

constexpr std::array<std::string_view, 6> kLeaderOnlyPrefixes = {
    "autopilot_",  "raft_leader_",     "raft_replication_", "raft_storage_follower_",
    "expire_num_", "core_mount_table_"};
constexpr std::array<std::string_view, 4> kLeaderOnlyNames = {
    "raft_peers", "raft_commitNumLogs", "expire_leases_by_expiration", "secret_kv_count"};

// A quantity that OpenBao writes as 0 or 1.
std::optional<bool> truth_of(std::string_view value) {
  if (value == "1") return true;
  if (value == "0") return false;
  return std::nullopt;
}

// nullopt: no sample says 0 or 1.
std::optional<bool> any_true(const Exposition& exposition, const Family& family) {
  std::optional<bool> any;
  for (const Sample& sample : exposition.samples_of(family)) {
    const auto truth = truth_of(sample.value);
    if (truth) any = any.value_or(false) || *truth;
  }
  return any;
}

// The value of a family that has one sample.
std::string_view value_of(const Exposition& exposition, std::string_view name) {
  for (const Family& family : exposition.families) {
    if (family.name != name || family.sample_count != 1) continue;
    return exposition.samples_of(family).front().value;
  }
  return {};
}

void read_process(const Exposition& exposition, BodyFacts& facts) {
  const std::string_view start = value_of(exposition, kProcessStart);
  const std::string_view collected = value_of(exposition, kLastCollection);
  double seconds = 0;
  const auto read = std::from_chars(start.data(), start.data() + start.size(), seconds);
  if (start.empty() || read.ec != std::errc()) return;
  if (!std::isfinite(seconds) || seconds <= 0) return;
  facts.process_start = seconds;
  // "0" until the first collection, in every process.
  if (!collected.empty() && collected != "0") {
    facts.process_print = std::string(start) + "/" + std::string(collected);
  }
}

}  // namespace

bool is_leader_only(const Family& family, std::string_view prefix) {
  const auto name = without_prefix(family.name, prefix);
  if (!name) return false;
  const auto starts = [&](std::string_view words) { return name->starts_with(words); };
  if (std::any_of(kLeaderOnlyPrefixes.begin(), kLeaderOnlyPrefixes.end(), starts)) return true;
  if (std::find(kLeaderOnlyNames.begin(), kLeaderOnlyNames.end(), *name) !=
      kLeaderOnlyNames.end()) {
    return true;
  }
  if (starts("token_count")) return true;
  return family.type == MetricType::kGauge && starts("identity_") && name->ends_with("_count");
}

bool tells_facts(const Family& family) {
  const std::string_view name = family.name;
  if (name == kProcessStart || name == kLastCollection) return true;
  return name.ends_with("core_active") || name.ends_with("core_unsealed") ||
         name.find("raft_storage_stats_") != std::string_view::npos;
}

BodyFacts read_body_facts(const Exposition& exposition) {
  BodyFacts facts;
  facts.prefix = prefix_of(exposition);
  read_process(exposition, facts);
  for (const Family& family : exposition.families) {
    const auto name = without_prefix(family.name, facts.prefix);
    if (!name || family.sample_count == 0) continue;
    if (*name == "core_active") facts.core_active = any_true(exposition, family);
    if (*name == "core_unsealed") facts.core_unsealed = any_true(exposition, family);
    if (!facts.peer_id.empty() || !name->starts_with("raft_storage_stats_")) continue;
    for (const Label& label : exposition.labels_of(exposition.samples_of(family).front())) {
      if (label.name == "peer_id") facts.peer_id = unescape_label_value(label.value);
    }
  }
  return facts;
}

RelabelPlan openbao_relabel_plan(std::string identity, Role role, bool leader_only_from_active,
                                 const std::string& prefix) {
  RelabelPlan plan;
  plan.identity = std::move(identity);
  plan.removed_label = "cluster";
  plan.renamed_labels = {{"namespace", "openbao_namespace"}};
  plan.reserved_labels = reserved_labels();
  plan.reserved_family_prefixes = reserved_family_prefixes();
  if (leader_only_from_active && role != Role::kActive) {
    plan.leader_only = [prefix](const Family& family) { return is_leader_only(family, prefix); };
  }
  plan.state_label = "seal_state_source";
  plan.has_state_label = [prefix](std::string_view family) {
    const auto name = without_prefix(family, prefix);
    return name && *name == "core_unsealed";
  };
  const bool usual = std::find(kPrefixes.begin(), kPrefixes.end(), prefix) != kPrefixes.end();
  plan.functions = "openbao:" + (usual ? std::string() : prefix);
  return plan;
}

}  // namespace bao_exporter
