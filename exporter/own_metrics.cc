#include "bao_exporter/own_metrics.h"

#include <array>

#include "bao_exporter/own_text.h"
#include "bao_exporter/process_metrics.h"
#include "build_info.h"

namespace bao_exporter {

namespace {

using prometheus::BuildCounter;
using prometheus::BuildGauge;
using prometheus::BuildHistogram;

const prometheus::Histogram::BucketBoundaries kScrapeSeconds = {0.001, 0.0025, 0.005, 0.01, 0.025,
                                                                0.05,  0.1,    0.25,  1,    5};
const prometheus::Histogram::BucketBoundaries kPublishSeconds = {0.001, 0.005, 0.01, 0.05,
                                                                 0.1,   0.5,   1,    5};

constexpr std::chrono::seconds kProcessTextAge{1};

prometheus::Family<prometheus::Counter>& counters(prometheus::Registry& registry, const char* name,
                                                  const char* help) {
  return BuildCounter().Name(name).Help(help).Register(registry);
}

prometheus::Family<prometheus::Gauge>& gauges(prometheus::Registry& registry, const char* name,
                                              const char* help) {
  return BuildGauge().Name(name).Help(help).Register(registry);
}

constexpr std::array<TokenResult, 3> kTokenResults = {TokenResult::kSuccess, TokenResult::kDenied,
                                                      TokenResult::kError};

const char* result_name(TokenResult result) {
  constexpr std::array<const char*, 3> kNames = {"success", "denied", "error"};
  return kNames.at(static_cast<std::size_t>(result));
}

prometheus::Counter& of_result(prometheus::Family<prometheus::Counter>& family,
                               const std::string& credential, TokenResult result) {
  return family.Add({{"credential", credential}, {"result", result_name(result)}});
}

// The series begins with its value: a scrape never sees a 0 that nobody meant.
void set(prometheus::Family<prometheus::Gauge>& family, const std::string& credential,
         double value) {
  family.Add({{"credential", credential}}, value).Set(value);
}

void remove(prometheus::Family<prometheus::Gauge>& family, const std::string& credential) {
  const prometheus::Labels labels = {{"credential", credential}};
  if (family.Has(labels)) family.Remove(&family.Add(labels));
}

void remove(prometheus::Family<prometheus::Counter>& family, const std::string& credential) {
  for (const TokenResult result : kTokenResults) {
    family.Remove(&of_result(family, credential, result));
  }
}

void set_or_remove(prometheus::Family<prometheus::Gauge>& family, const std::string& credential,
                   std::optional<double> value) {
  if (value) return set(family, credential, *value);
  remove(family, credential);
}

std::string cause_label(std::string_view cause) {
  return std::string("cause=\"").append(cause).append("\"");
}

void append_connections(OwnText& text,
                        const std::shared_ptr<const std::function<PortCounts()>>& port) {
  const PortCounts counts = port == nullptr ? PortCounts{} : (*port)();
  text.family("bao_exporter_connections", "Connections to this port.", MetricType::kGauge);
  text.sample(R"(state="open")", static_cast<double>(counts.open));
  text.sample(R"(state="authenticated")", static_cast<double>(counts.authenticated));
  text.family("bao_exporter_connections_refused_total",
              "Connections that were not admitted, by cause.", MetricType::kCounter);
  for (std::size_t i = 0; i < kRefusalCauses; ++i) {
    text.sample(cause_label(refusal_cause_name(static_cast<RefusalCause>(i))),
                static_cast<double>(counts.refused.at(i)));
  }
  text.family("bao_exporter_connections_evicted_total",
              "Connections that were closed before their end, by cause.", MetricType::kCounter);
  for (std::size_t i = 0; i < kEvictionCauses; ++i) {
    text.sample(cause_label(eviction_cause_name(static_cast<EvictionCause>(i))),
                static_cast<double>(counts.evicted.at(i)));
  }
}

}  // namespace

OwnMetrics::OwnMetrics()
    : scrapes_(counters(registry_, "bao_exporter_scrapes_total",
                        "Authenticated requests, by path, answer and name of their token.")),
      auth_failures_(counters(registry_, "bao_exporter_auth_failures_total",
                              "Requests refused for want of one valid token, by cause.")),
      scrape_seconds_(BuildHistogram()
                          .Name("bao_exporter_scrape_duration_seconds")
                          .Help("Time to make an answer, without the time to send it.")
                          .Register(registry_)),
      publish_seconds_(BuildHistogram()
                           .Name("bao_exporter_publish_duration_seconds")
                           .Help("Time to merge all nodes and publish.")
                           .Register(registry_)
                           .Add({}, kPublishSeconds)),
      snapshot_generation_(gauges(registry_, "bao_exporter_snapshot_generation",
                                  "Number of the snapshot that is served, from 1.")
                               .Add({})),
      snapshot_bytes_(gauges(registry_, "bao_exporter_snapshot_bytes",
                             "Size of the last snapshot, by encoding.")),
      reload_good_(gauges(registry_, "bao_exporter_config_last_reload_successful",
                          "1 when the last attempt to load the configuration succeeded.")
                       .Add({})),
      reload_when_(gauges(registry_, "bao_exporter_config_last_reload_success_timestamp_seconds",
                          "When a configuration was last loaded.")
                       .Add({})),
      config_generation_(gauges(registry_, "bao_exporter_config_generation",
                                "Configurations loaded since the start.")
                             .Add({})),
      token_generation_(gauges(registry_, "bao_token_generation",
                               "Number of the oldest token still in use, from 1 at the start.")),
      token_loaded_(gauges(registry_, "bao_token_loaded_timestamp_seconds",
                           "When the oldest token still in use came into force.")),
      token_expiry_(gauges(registry_, "bao_token_expiry_timestamp_seconds",
                           "When the token in force ends, unless it is renewed.")),
      token_excess_(gauges(registry_, "bao_token_excess_capabilities",
                           "What the token in force may do beyond reading metrics.")),
      token_logins_(counters(registry_, "bao_token_logins_total",
                             "Logins that ended, by what became of them.")),
      token_renewals_(counters(registry_, "bao_token_renewals_total",
                               "Renewals that ended, by what became of them.")),
      certificate_end_(gauges(registry_, "bao_exporter_tls_certificate_not_after_timestamp_seconds",
                              "End of validity of the certificate that this port shows.")) {
  gauges(registry_, "bao_exporter_build_info", "Version and revision of this exporter.")
      .Add({{"version", std::string(kVersion)}, {"revision", std::string(kRevision)}})
      .Set(1);
  for (const char* cause :
       {"missing", "malformed", "multiple", "wrong", "client_name", "rate_limited"}) {
    auth_failures_.Add({{"cause", cause}});
  }
}

void OwnMetrics::note_scrape(std::string_view path, int status, std::string_view token,
                             double seconds) {
  scrapes_
      .Add({{"path", std::string(path)},
            {"code", std::to_string(status)},
            {"token", std::string(token)}})
      .Increment();
  scrape_seconds_.Add({{"path", std::string(path)}}, kScrapeSeconds).Observe(seconds);
}

void OwnMetrics::note_auth_failure(std::string_view cause) {
  auth_failures_.Add({{"cause", std::string(cause)}}).Increment();
}

void OwnMetrics::connect(std::function<PortCounts()> port) {
  port_.set(std::make_shared<const std::function<PortCounts()>>(std::move(port)));
}

void OwnMetrics::note_publication(std::uint64_t generation, std::size_t bytes, double seconds) {
  snapshot_generation_.Set(static_cast<double>(generation));
  snapshot_bytes_.Add({{"encoding", "identity"}}).Set(static_cast<double>(bytes));
  publish_seconds_.Observe(seconds);
}

void OwnMetrics::note_compressed(std::size_t bytes) {
  snapshot_bytes_.Add({{"encoding", "gzip"}}).Set(static_cast<double>(bytes));
}

void OwnMetrics::note_reload(bool good, WallTime when) {
  reload_good_.Set(good ? 1 : 0);
  if (!good) return;
  reload_when_.Set(unix_seconds(when));
  config_generation_.Increment();
}

void OwnMetrics::note_token_in_use(const std::string& name, std::uint64_t generation,
                                   WallTime since) {
  set(token_generation_, name, static_cast<double>(generation));
  set(token_loaded_, name, unix_seconds(since));
}

void OwnMetrics::note_token_life(const std::string& name, std::optional<WallTime> expiry,
                                 std::optional<std::size_t> excess) {
  const auto seconds = expiry ? std::optional(unix_seconds(*expiry)) : std::nullopt;
  const auto count = excess ? std::optional(static_cast<double>(*excess)) : std::nullopt;
  set_or_remove(token_expiry_, name, seconds);
  set_or_remove(token_excess_, name, count);
}

void OwnMetrics::expect_logins(const std::string& name) {
  for (const TokenResult result : kTokenResults) of_result(token_logins_, name, result);
}

void OwnMetrics::expect_renewals(const std::string& name) {
  for (const TokenResult result : kTokenResults) of_result(token_renewals_, name, result);
}

void OwnMetrics::count_login(const std::string& name, TokenResult result) {
  of_result(token_logins_, name, result).Increment();
}

void OwnMetrics::count_renewal(const std::string& name, TokenResult result) {
  of_result(token_renewals_, name, result).Increment();
}

void OwnMetrics::forget_credential(const std::string& name) {
  for (auto* family : {&token_generation_, &token_loaded_, &token_expiry_, &token_excess_}) {
    remove(*family, name);
  }
  for (auto* family : {&token_logins_, &token_renewals_}) remove(*family, name);
}

void OwnMetrics::note_certificate_end(std::int64_t not_after_unix) {
  certificate_end_.Add({}).Set(static_cast<double>(not_after_unix));
}

std::string OwnMetrics::render(std::string_view process_prefix, TimePoint now) const {
  OwnText text;
  text.append(registry_.Collect());
  append_connections(text, port_.get());
  text.family("bao_exporter_poll_loop_stalled",
              "1 when the loop that polls hangs; stale_after later no sample of a node is served.",
              MetricType::kGauge);
  text.sample("", poll_loop_stalled(now) ? 1 : 0);
  text.family("bao_exporter_poll_loop_last_timestamp_seconds",
              "When the loop that polls last went round.", MetricType::kGauge);
  const auto age = std::chrono::duration<double>(now - poll_loop_.last()).count();
  text.sample("", unix_seconds(WallClock::now()) - age);
  return text.take() + process_text(process_prefix, now);
}

// The kernel adds up the times of all threads for it: as much work as all the rest of a scrape.
std::string OwnMetrics::process_text(std::string_view prefix, TimePoint now) const {
  const std::scoped_lock lock(process_mutex_);
  ProcessText& last = process_texts_[std::string(prefix)];
  if (last.text.empty() || now - last.when >= kProcessTextAge || now < last.when) {
    OwnText text;
    append_process_families(text, prefix);
    last = {now, text.take()};
  }
  return last.text;
}

}  // namespace bao_exporter
