// bao_exporter_*: what the exporter tells of itself, rendered at each scrape.
//
// Threads: any may note and render; counters are prometheus-cpp's, the rest is atomic.
#pragma once

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "bao_exporter/heartbeat.h"
#include "bao_exporter/time.h"

namespace bao_exporter {

class OwnMetrics {
 public:
  OwnMetrics();

  // The scrape path. `path` is the route's name, `token` the configured one.
  void note_scrape(std::string_view path, int status, std::string_view token, double seconds);
  void note_auth_failure(std::string_view cause);
  void note_connection_opened() { open_.fetch_add(1, std::memory_order_relaxed); }
  void note_connection_closed() { open_.fetch_sub(1, std::memory_order_relaxed); }

  // The build thread.
  void note_publication(std::uint64_t generation, std::size_t bytes, double seconds);
  void note_compressed(std::size_t bytes);

  // Main: the configuration in force, its credentials, the certificate that is served.
  void note_reload(bool good, WallTime when);
  void note_credential(const std::string& name, std::uint64_t generation, WallTime loaded);
  void forget_credential(const std::string& name);
  void note_certificate_end(std::int64_t not_after_unix);

  [[nodiscard]] Heartbeat& poll_loop() { return poll_loop_; }
  [[nodiscard]] Heartbeat& build_loop() { return build_loop_; }

  // True once the loop that polls hangs; the scrape path then serves no node as fresh.
  [[nodiscard]] bool poll_loop_stalled(TimePoint now) const { return poll_loop_.hung_at(now); }

  // All families as text; process metrics under `process_prefix`.
  [[nodiscard]] std::string render(std::string_view process_prefix, TimePoint now) const;

 private:
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
  GaugeFamily& certificate_end_;
  std::atomic<std::int64_t> open_{0};
  Heartbeat poll_loop_;
  Heartbeat build_loop_;
};

}  // namespace bao_exporter
