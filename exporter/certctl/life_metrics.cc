// The metrics lane: /ready, then certctl's own exposition.
#include <charconv>

#include "certctl/life.h"

namespace bao_exporter::certctl {

namespace {

// Values of families that have one sample without labels.
std::map<std::string, double, std::less<>> plain_values(const NodePart& part) {
  const Exposition exposition =
      part.excerpt([](const Family& family) { return family.sample_count == 1; });
  std::map<std::string, double, std::less<>> values;
  for (const Family& family : exposition.families) {
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
    fail_poll({ErrorCode::kServerError, "the metrics answer 500, and /ready says ready"}, when,
              steps);
    return note_key_known(when, steps);
  }
  if (has_key_ && metrics_ask_with_key()) return send(Lane::kMetrics, Ask::kMetrics, when, steps);
  if (powers_missing_ && lacks_needed_powers()) {
    fail_poll(*powers_missing_, when, steps);
  } else {
    end_poll(when, steps);
  }
  retry_failed(when, steps);
}

void Life::take_metrics(Answer answer, const When& when, Steps& steps) {
  // Meanwhile it was learned that the key may not, or is not to be used.
  if (!metrics_ask_with_key()) return end_poll(when, steps);
  if (auto error = judge(answer, Expected::kExposition)) {
    switch (error->code) {
      case ErrorCode::kTokenRejected:
        reject_key(*error, when, steps);
        return end_poll(when, steps);
      case ErrorCode::kForbidden:
        at(CertctlCollector::kMetrics).denied = true;
        bar(CertctlCollector::kMetrics, *error, when, steps);
        end_poll(when, steps);
        return note_key_known(when, steps);
      case ErrorCode::kServerError:
        return send(Lane::kMetrics, Ask::kReadyAgain, when, steps);
      default:
        return fail_poll(*error, when, steps);
    }
  }
  auto built = upstream_parts_.build(with_legal_escapes(std::move(answer.body)), options_.limits,
                                     options_.upstream_plan, upstream_.get());
  if (!built.ok()) {
    fail_poll(built.error(), when, steps);
    return note_key_known(when, steps);
  }
  upstream_ = std::move(built).value();
  upstream_values_ = plain_values(*upstream_);
  succeed(CertctlCollector::kMetrics, when, steps);
  compare(steps);
  end_poll(when, steps);
  note_key_known(when, steps);
  retry_failed(when, steps);
}

void Life::fail_poll(const Error& error, const When& when, Steps& steps) {
  const Collector& metrics = at(CertctlCollector::kMetrics);
  if (has_key_ && metrics.wanted && !metrics.barred && !refused_) {
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
