// What is published of one server's state, and where certctl itself counts otherwise.
#include <algorithm>

#include "certctl/life.h"
#include "certctl/state_text.h"

namespace bao_exporter::certctl {

namespace {

double seconds_of(WallTime when) {
  return std::chrono::duration<double>(when.time_since_epoch()).count();
}

void append_word(std::string& words, std::string_view word) {
  words.append(words.empty() ? "" : ", ").append(word);
}

void note_mismatch(const std::string& families, Steps& steps) {
  if (families.empty()) return;
  steps.notes.push_back({Note::Kind::kMismatch, std::nullopt, {ErrorCode::kOk, families}});
}

}  // namespace

// What has never been compared is not left out until its metrics come again; that comparison is the
// one that counts.
void Life::compare_at_once(const Collector& collector, Steps& steps) {
  std::string news;
  for (const auto& [family, ours] : collector.state.counted.upstream) {
    const auto theirs = upstream_values_.find(family);
    if (theirs == upstream_values_.end()) continue;
    const bool wrong = theirs->second != ours;
    const bool is_new = mismatches_.try_emplace(family, wrong).second;
    if (is_new && wrong) append_word(news, family);
  }
  note_mismatch(news, steps);
}

// certctl's count was made up to `interval` before or after ours: what lies between what it said
// before and what it says now is no mismatch.
void Life::compare(Steps& steps) {
  std::string news;
  for (Collector& collector : collectors_) {
    if (!std::exchange(collector.to_be_compared, false)) continue;
    for (const auto& [family, ours] : collector.state.counted.upstream) {
      const auto now = upstream_values_.find(family);
      if (now == upstream_values_.end()) continue;
      const auto before = collector.upstream_before.find(family);
      const double other = before == collector.upstream_before.end() ? now->second : before->second;
      const auto [low, high] = std::minmax(now->second, other);
      const bool wrong = ours < low || ours > high;
      bool& known = mismatches_[family];
      if (wrong && !known) append_word(news, family);
      known = wrong;
    }
  }
  note_mismatch(news, steps);
}

std::vector<Comparison> Life::comparisons() const {
  std::vector<Comparison> all;
  for (const Collector& collector : collectors_) {
    for (const auto& [family, ours] : collector.state.counted.upstream) {
      const auto known = mismatches_.find(family);
      const auto theirs = upstream_values_.find(family);
      if (known == mismatches_.end() || theirs == upstream_values_.end()) continue;
      all.push_back({family, theirs->second, ours, known->second});
    }
  }
  return all;
}

void Life::write_collectors(StateText& out) const {
  const auto each = [&](auto write) {
    for (std::size_t i = 0; i < kCertctlCollectorCount; ++i) {
      const Collector& collector = collectors_[i];
      if (!collector.wanted || !collector.state.ended) continue;
      write(certctl_collector_name(static_cast<CertctlCollector>(i)), collector.state);
    }
  };
  out.gauge("certctl_state_collector_up", "1: the collector's last reading of certctl succeeded.");
  each([&](std::string_view name, const CollectorState& state) {
    out.sample({{"collector", name}}, state.up() ? 1 : 0);
  });
  out.gauge("certctl_state_collector_last_reason",
            "1 for how the collector's last reading of certctl ended.");
  each([&](std::string_view name, const CollectorState& state) {
    out.sample({{"collector", name}, {"reason", reason_name(state.reason)}}, 1);
  });
  out.gauge("certctl_state_collector_duration_seconds",
            "How long the collector's last reading of certctl took.");
  each([&](std::string_view name, const CollectorState& state) {
    out.sample({{"collector", name}}, state.seconds);
  });
  out.gauge("certctl_state_collector_last_success_timestamp_seconds",
            "When the collector's last good reading of certctl ended.");
  each([&](std::string_view name, const CollectorState& state) {
    if (state.last_success) out.sample({{"collector", name}}, seconds_of(*state.last_success));
  });
}

std::string Life::state_text() const {
  StateText out;
  if (ready_) {
    out.gauge("certctl_state_ready",
              "1: certctl answers, and says that it reaches its database (/ready).");
    out.sample({}, *ready_ ? 1 : 0);
  }
  if (version_) {
    out.gauge("certctl_state_info", "1 for the version that certctl says it is.");
    out.sample({{"version", *version_}}, 1);
  }
  write_collectors(out);
  if (!mismatches_.empty()) {
    out.gauge("certctl_state_upstream_count_mismatch",
              "1: certctl's own family counts otherwise than its lists.");
    for (const auto& [family, wrong] : mismatches_) {
      out.sample({{"family", family}}, wrong ? 1 : 0);
    }
  }
  std::string text = out.take();
  for (const Collector& collector : collectors_) {
    if (collector.state.up()) text += collector.state.counted.text;
  }
  return text;
}

}  // namespace bao_exporter::certctl
