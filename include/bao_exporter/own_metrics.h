// bao_exporter_*: what the exporter tells of itself, rendered at each scrape.
//
// Threads: any may note and render, but where it is said otherwise; counters are prometheus-cpp's,
// the rest is atomic.
#pragma once

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bao_exporter/connection_book.h"
#include "bao_exporter/heartbeat.h"
#include "bao_exporter/slot.h"
#include "bao_exporter/time.h"

namespace bao_exporter {

// What became of a login or of a renewal: it gave a token or time, the node said no, or nobody
// answered in a way that tells anything.
enum class TokenResult : std::uint8_t { kSuccess, kDenied, kError };

class OwnMetrics {
 public:
  OwnMetrics();

  // The scrape path. `path` is the route's name, `token` the configured one.
  void note_scrape(std::string_view path, int status, std::string_view token, double seconds);
  void note_auth_failure(std::string_view cause);

  // Where to ask for the connections at each render; before: there are none.
  void connect(std::function<PortCounts()> port);

  // The build thread.
  void note_publication(std::uint64_t generation, std::size_t bytes, double seconds);
  void note_compressed(std::size_t bytes);

  // Main: the configuration in force, the certificate that is served.
  void note_reload(bool good, WallTime when);
  void note_certificate_end(std::int64_t not_after_unix);

  // The token keeper, one thread at a time for a name, which is a cluster's. `generation` is the
  // oldest token that its nodes still take, `since` when that one came into force.
  void note_token_in_use(const std::string& name, std::uint64_t generation, WallTime since);
  // Of the token in force; nullopt: not known (an end: or never), and the series is not there.
  void note_token_life(const std::string& name, std::optional<WallTime> expiry,
                       std::optional<std::size_t> excess);
  void expect_logins(const std::string& name);  // the series are there, from 0 on
  void expect_renewals(const std::string& name);
  void count_login(const std::string& name, TokenResult result);
  void count_renewal(const std::string& name, TokenResult result);
  // The cluster is gone from the configuration: none of its series stays.
  void forget_credential(const std::string& name);

  [[nodiscard]] Heartbeat& poll_loop() { return poll_loop_; }
  [[nodiscard]] Heartbeat& build_loop() { return build_loop_; }

  // True once the loop that polls hangs; the scrape path then serves no node as fresh.
  [[nodiscard]] bool poll_loop_stalled(TimePoint now) const { return poll_loop_.hung_at(now); }

  // All families as text; process metrics under `process_prefix`.
  [[nodiscard]] std::string render(std::string_view process_prefix, TimePoint now) const;

 private:
  [[nodiscard]] std::string process_text(std::string_view prefix, TimePoint now) const;
  using CounterFamily = prometheus::Family<prometheus::Counter>;
  using GaugeFamily = prometheus::Family<prometheus::Gauge>;
  using HistogramFamily = prometheus::Family<prometheus::Histogram>;

  mutable prometheus::Registry registry_;
  CounterFamily& scrapes_;
  CounterFamily& auth_failures_;
  HistogramFamily& scrape_seconds_;
  prometheus::Histogram& publish_seconds_;
  prometheus::Gauge& snapshot_generation_;
  GaugeFamily& snapshot_bytes_;
  prometheus::Gauge& reload_good_;
  prometheus::Gauge& reload_when_;
  prometheus::Gauge& config_generation_;
  GaugeFamily& token_generation_;
  GaugeFamily& token_loaded_;
  GaugeFamily& token_expiry_;
  GaugeFamily& token_excess_;
  CounterFamily& token_logins_;
  CounterFamily& token_renewals_;
  GaugeFamily& certificate_end_;
  struct ProcessText {
    TimePoint when;
    std::string text;
  };
  mutable std::mutex process_mutex_;                          // guards what follows
  mutable std::map<std::string, ProcessText> process_texts_;  // by prefix
  Slot<std::function<PortCounts()>> port_;
  Heartbeat poll_loop_;
  Heartbeat build_loop_;
};

}  // namespace bao_exporter
