// The metrics lane: /ready, then certctl's own exposition.
#include <charconv>

#include "certctl/life.h"

namespace bao_exporter::certctl {

namespace {

// Values of families that have one sample without labels.
std::map<std::string, double, std::less<>> plain_values(const Exposition& exposition) {
  std::map<std::string, double, std::less<>> values;
  for (const Family& family : exposition.families) {
    if (family.sample_count != 1) continue;
    const Sample& sample = exposition.samples_of(family).front();
    double value = 0;
    const auto read =
        std::from_chars(sample.value.data(), sample.value.data() + sample.value.size(), value);
    if (read.ec == std::errc() && sample.label_count == 0) values.emplace(family.name, value);
  }
  return values;
}

}  // namespace

// On the grid of its interval; polls that were missed meanwhile are not made up for.
void Life::start_poll(const When& when, Steps& steps) {
  const Milliseconds interval = options_.config.interval;
  const auto missed = (when.now - poll_due_) / interval;
  poll_due_ += interval * (missed + 1);
  Road& way = road(Lane::kMetrics);
  way = {};
  way.busy = true;
  way.began = when.now;
  way.deadline = when.now + options_.config.timeout;
  send(Lane::kMetrics, Ask::kReady, when, steps);
}

// `again`: it was asked because the metrics answered 500.
void Life::take_ready(const Answer& answer, bool again, const When& when, Steps& steps) {
  const Result<bool> ready = read_ready(answer);
  ready_ = ready.ok() && ready.value();
  if (!ready.ok()) return fail_poll(ready.error(), when, steps);
  if (!ready.value()) {
    return fail_poll({ErrorCode::kDatabaseDown, "/ready says that the database is not reachable"},
                     when, steps);
  }
  if (again) {
    return fail_poll({ErrorCode::kServerError, "the metrics answer 500, and /ready says ready"},
                     when, steps);
  }
  const Collector& metrics = at(CertctlCollector::kMetrics);
  if (!metrics.wanted || metrics.barred || refused_) {
    end_poll(when, steps);
    return retry_failed(when, steps);
  }
  if (options_.config.refuse_excess && !powers_) {
    // Not known to be harmless, so it is not used.
    fail_poll(powers_missing_.value_or(Error{ErrorCode::kNotPolled, {}}), when, steps);
    return retry_failed(when, steps);
  }
  send(Lane::kMetrics, Ask::kMetrics, when, steps);
}

void Life::take_metrics(Answer answer, const When& when, Steps& steps) {
  if (auto error = judge(answer, Expected::kExposition)) {
    switch (error->code) {
      case ErrorCode::kTokenRejected:
        upstream_.reset();
        reject_key(*error, when, steps);
        return end_poll(when, steps);
      case ErrorCode::kForbidden:
        upstream_.reset();
        bar(CertctlCollector::kMetrics, *error, when, steps);
        return end_poll(when, steps);
      case ErrorCode::kServerError:
        return send(Lane::kMetrics, Ask::kReadyAgain, when, steps);
      default:
        return fail_poll(*error, when, steps);
    }
  }
  auto parsed =
      parse_body(with_legal_escapes(std::move(answer.body)), options_.limits, options_.hash_seed);
  if (!parsed.ok()) return fail_poll(parsed.error(), when, steps);
  upstream_values_ = plain_values(parsed.value().exposition);
  upstream_ = NodePart::render(std::move(parsed).value(), options_.upstream_plan);
  succeed(CertctlCollector::kMetrics, when, steps);
  const bool key_is_back = key_rejected_;
  key_rejected_ = false;
  compare(steps);
  end_poll(when, steps);
  if (key_is_back) inventory_due_ = when.now;
  retry_failed(when, steps);
}

void Life::fail_poll(const Error& error, const When& when, Steps& steps) {
  upstream_.reset();
  const Collector& metrics = at(CertctlCollector::kMetrics);
  if (metrics.wanted && !metrics.barred && !refused_) {
    fail(CertctlCollector::kMetrics, error, when, steps);
  }
  end_poll(when, steps);
}

void Life::end_poll(const When& when, Steps& steps) {
  Road& way = road(Lane::kMetrics);
  at(CertctlCollector::kMetrics).state.seconds =
      std::chrono::duration<double>(when.now - way.began).count();
  way = {};
  polled_ = true;
  steps.changed = true;
}

}  // namespace bao_exporter::certctl
