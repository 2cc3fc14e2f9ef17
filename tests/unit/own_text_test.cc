#include "bao_exporter/own_text.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <cmath>
#include <limits>
#include <string>

#include "bao_exporter/node_part.h"
#include "catch.h"
#include "support/samples.h"

namespace bao_exporter {

namespace {

using test::Samples;

std::string text_of(const prometheus::Registry& registry) {
  OwnText text;
  text.append(registry.Collect());
  return text.take();
}

}  // namespace

TEST_CASE("counters and gauges of the registry read back with name, type, labels and value") {
  prometheus::Registry registry;
  auto& polls = prometheus::BuildCounter().Name("polls_total").Help("Polls.").Register(registry);
  polls.Add({{"node_name", "a"}, {"reason", "ok"}}).Increment(41);
  polls.Add({{"node_name", "a"}, {"reason", "ok"}}).Increment();
  polls.Add({{"node_name", "b"}, {"reason", "timeout"}}).Increment(0.5);
  auto& depth = prometheus::BuildGauge().Name("depth").Help("Depth.").Register(registry);
  depth.Add({}).Set(-3.25);
  const Samples samples(text_of(registry));
  REQUIRE(samples.problem() == "");
  CHECK(samples.value("polls_total", {{"node_name", "a"}, {"reason", "ok"}}) == "42");
  CHECK(samples.value("polls_total", {{"node_name", "b"}}) == "0.5");
  CHECK(samples.value("depth") == "-3.25");
  REQUIRE(samples.family("polls_total") != nullptr);
  CHECK(samples.family("polls_total")->type == MetricType::kCounter);
  CHECK(samples.family("depth")->type == MetricType::kGauge);
  CHECK(samples.family("depth")->help == "Depth.");
}

TEST_CASE("a histogram reads back with cumulative buckets, sum and count") {
  prometheus::Registry registry;
  auto& durations = prometheus::BuildHistogram().Name("seconds").Help("Time.").Register(registry);
  auto& histogram =
      durations.Add({{"node_name", "a"}}, prometheus::Histogram::BucketBoundaries{0.005, 0.1, 2.5});
  for (const double seconds : {0.001, 0.005, 0.05, 1.0, 100.0}) histogram.Observe(seconds);
  const Samples samples(text_of(registry));
  REQUIRE(samples.problem() == "");
  CHECK(samples.family("seconds")->type == MetricType::kHistogram);
  CHECK(samples.value("seconds_bucket", {{"le", "0.005"}, {"node_name", "a"}}) == "2");
  CHECK(samples.value("seconds_bucket", {{"le", "0.1"}}) == "3");
  CHECK(samples.value("seconds_bucket", {{"le", "2.5"}}) == "4");
  CHECK(samples.value("seconds_bucket", {{"le", "+Inf"}}) == "5");
  CHECK(samples.value("seconds_count", {{"node_name", "a"}}) == "5");
  CHECK(std::stod(samples.value("seconds_sum")) == 0.001 + 0.005 + 0.05 + 1.0 + 100.0);
  CHECK(samples.exposition().samples.size() == 6);
}

TEST_CASE("values keep every bit, and numbers without digits have their names") {
  OwnText text;
  text.family("v", "Values.", MetricType::kGauge);
  const std::vector<double> values = {
      0.1,  1.0 / 3.0,           1'795'392'000.123456, 1e308, 5e-324, 9'007'199'254'740'993.0,
      -0.0, 12'345'678'901'234.0};
  for (std::size_t i = 0; i < values.size(); ++i) {
    text.sample(render_identity({{"i", std::to_string(i)}}), values[i]);
  }
  text.sample(R"(i="nan")", std::nan(""));
  text.sample(R"(i="inf")", std::numeric_limits<double>::infinity());
  text.sample(R"(i="-inf")", -std::numeric_limits<double>::infinity());
  const Samples samples(text.take());
  REQUIRE(samples.problem() == "");
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double read =
        std::strtod(samples.value("v", {{"i", std::to_string(i)}}).c_str(), nullptr);
    CHECK(read == values[i]);
    CHECK(std::signbit(read) == std::signbit(values[i]));
  }
  CHECK(samples.value("v", {{"i", "nan"}}) == "NaN");
  CHECK(samples.value("v", {{"i", "inf"}}) == "+Inf");
  CHECK(samples.value("v", {{"i", "-inf"}}) == "-Inf");
}

TEST_CASE("HELP with newline and backslash is one line that reads back") {
  OwnText text;
  text.family("a", "first\nsecond \\ \"quoted\" \\n", MetricType::kGauge);
  text.sample("", 1);
  prometheus::Registry registry;
  prometheus::BuildCounter().Name("b_total").Help("x\ny\\").Register(registry).Add({});
  text.append(registry.Collect());
  const Samples samples(text.take());
  REQUIRE(samples.problem() == "");
  CHECK(samples.family("a")->help == "first\\nsecond \\\\ \"quoted\" \\\\n");
  CHECK(samples.family("b_total")->help == "x\\ny\\\\");
  CHECK(samples.value("a") == "1");
  CHECK(samples.value("b_total") == "0");
}

TEST_CASE("labels from outside are escaped and read back the same") {
  const std::string odd = "a\"b\\c\nd,e={}\xc3\xa4";
  OwnText text;
  text.family("a", "A.", MetricType::kGauge);
  text.sample(join_labels(R"(cluster="prod")", "x", odd), 1);
  prometheus::Registry registry;
  prometheus::BuildCounter().Name("b_total").Help("B.").Register(registry).Add({{"x", odd}});
  text.append(registry.Collect());
  const Samples samples(text.take());
  REQUIRE(samples.problem() == "");
  CHECK(samples.value("a", {{"cluster", "prod"}, {"x", odd}}) == "1");
  CHECK(samples.value("b_total", {{"x", odd}}) == "0");
}

TEST_CASE("label lists are joined without stray commas, and empty values are left out") {
  CHECK(join_labels("", "a", "1") == R"(a="1")");
  CHECK(join_labels(R"(a="1")", "b", "2") == R"(a="1",b="2")");
  CHECK(join_labels(R"(a="1")", "b", "") == R"(a="1")");
  CHECK(join_labels("", "b", "") == "");
  prometheus::Registry registry;
  prometheus::BuildCounter().Name("b_total").Help("B.").Register(registry).Add(
      {{"empty", ""}, {"x", "1"}});
  CHECK(text_of(registry) == "# HELP b_total B.\n# TYPE b_total counter\nb_total{x=\"1\"} 0\n");
}

TEST_CASE("a family without samples is not announced") {
  prometheus::Registry registry;
  prometheus::BuildCounter().Name("b_total").Help("B.").Register(registry);
  CHECK(text_of(registry).empty());
}

}  // namespace bao_exporter
