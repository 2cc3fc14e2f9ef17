#include "bao_exporter/open_metrics.h"

#include <string>
#include <utility>
#include <vector>

#include "catch.h"

namespace bao_exporter {

namespace {

std::string converted(const std::string& text) {
  const auto out = open_metrics(text, 7);
  if (!out.ok()) return "error: " + out.error().detail;
  return out.value();
}

// What comes of it, without the end.
void becomes(const std::string& text, const std::string& wanted) {
  INFO(text);
  CHECK(converted(text) == wanted + "# EOF\n");
}

void stays(const std::string& text) { becomes(text, text); }

}  // namespace

TEST_CASE("no sample is an exposition too, and families without samples are left out") {
  becomes("", "");
  becomes("# TYPE a counter\n# HELP b x\n", "");
}

TEST_CASE("a counter is named without _total, its samples stay as they are") {
  becomes("# HELP a_total x\n# TYPE a_total counter\na_total{x=\"1\"} 1\na_total 2e3\n",
          "# HELP a x\n# TYPE a counter\na_total{x=\"1\"} 1\na_total 2e3\n");
}

TEST_CASE("a counter that OpenMetrics would refuse is unknown, under its own name") {
  becomes("# TYPE a counter\na 1\n", "# TYPE a unknown\na 1\n");
  becomes("# TYPE _total counter\n_total 1\n", "# TYPE _total unknown\n_total 1\n");
  for (const char* value : {"-1", "NaN", "nan", "-Inf", "-0.5"}) {
    const std::string samples = std::string("a_total{x=\"1\"} 1\na_total ") + value + "\n";
    becomes("# TYPE a_total counter\n" + samples, "# TYPE a_total unknown\n" + samples);
  }
  for (const char* value : {"0", "-0", "+1", "1e300", "+Inf", "1.", ".5", "1E+5"}) {
    const std::string sample = std::string("a_total ") + value + "\n";
    becomes("# TYPE a_total counter\n" + sample, "# TYPE a counter\n" + sample);
  }
}

TEST_CASE("gauges stay, and untyped is called unknown") {
  stays("# HELP a x\n# TYPE a gauge\na NaN\na{x=\"\\\\\\\"\\n\"} -Inf\n");
  becomes("# TYPE a untyped\na 1\n", "# TYPE a unknown\na 1\n");
  becomes("a 1\nb{x=\"1\"} 2\n", "# TYPE a unknown\na 1\n# TYPE b unknown\nb{x=\"1\"} 2\n");
  becomes("# HELP a x\na 1\n", "# HELP a x\n# TYPE a unknown\na 1\n");
}

TEST_CASE("a quote in HELP is escaped, what was escaped stays, and an empty HELP is none") {
  becomes("# HELP a \\\\ \\n \"q\"\n# TYPE a gauge\na 1\n",
          "# HELP a \\\\ \\n \\\"q\\\"\n# TYPE a gauge\na 1\n");
  becomes("# HELP a \n# TYPE a gauge\na 1\n", "# TYPE a gauge\na 1\n");
}

TEST_CASE("timestamps and other comments are left out") {
  becomes("# made by hand\n# TYPE a gauge\na 1 123\n", "# TYPE a gauge\na 1\n");
}

TEST_CASE("a counter keeps its whole name where another family has or might have the short one") {
  for (const std::string other :
       {"# TYPE a gauge\na 1\n", "# TYPE a_created gauge\na_created 1\n",
        "# TYPE a summary\na{quantile=\"0.5\"} 1\na_sum 1\na_count 1\n"}) {
    const std::string counter = "# TYPE a_total counter\na_total 1\n";
    const std::string unknown = "# TYPE a_total unknown\na_total 1\n";
    becomes(other + counter, other + unknown);
    becomes(counter + other, unknown + other);
  }
  becomes("# TYPE a_total counter\na_total 1\n# TYPE a_created_total counter\na_created_total 1\n",
          "# TYPE a counter\na_total 1\n# TYPE a_created_total unknown\na_created_total 1\n");
}

TEST_CASE("a summary that OpenMetrics takes stays") {
  stays(
      "# TYPE s summary\ns{quantile=\"0.5\"} NaN\ns{quantile=\"1\"} 2\ns_sum 3.5\ns_count 2\n"
      "s{x=\"1\",quantile=\"0.5\"} 1\ns_sum{x=\"1\"} 3.5\ns_count{x=\"1\"} 2\n");
}

TEST_CASE("a summary that it would refuse is unknown, a family for each name") {
  const auto split = [](const std::string& quantile, const std::string& value,
                        const std::string& sum, const std::string& count) {
    const std::string q = "s{quantile=\"" + quantile + "\"} " + value + "\n";
    becomes("# HELP s x\n# TYPE s summary\n" + q + "s_sum " + sum + "\ns_count " + count + "\n",
            "# HELP s x\n# TYPE s unknown\n" + q + "# HELP s_sum x\n# TYPE s_sum unknown\ns_sum " +
                sum + "\n# HELP s_count x\n# TYPE s_count unknown\ns_count " + count + "\n");
  };
  split("1.5", "1", "1", "1");
  split("-0.5", "1", "1", "1");
  split("half", "1", "1", "1");
  split("NaN", "1", "1", "1");
  split("0.5", "-1", "1", "1");
  split("0.5", "1", "-1", "1");
  split("0.5", "1", "NaN", "1");
  split("0.5", "1", "1", "-1");
  split("0.5", "1", "1", "1.5");
  split("0.5", "1", "1", "NaN");
  split("0.5", "1", "1", "+Inf");
  // The samples of a metric have to stand together.
  becomes("# TYPE s summary\ns_sum 1\ns_sum{x=\"1\"} 1\ns_count 1\ns_count{x=\"1\"} 1\n",
          "# TYPE s_sum unknown\ns_sum 1\ns_sum{x=\"1\"} 1\n"
          "# TYPE s_count unknown\ns_count 1\ns_count{x=\"1\"} 1\n");
}

TEST_CASE("a histogram that OpenMetrics takes stays") {
  stays(
      "# TYPE h histogram\nh_bucket{le=\"0.5\"} 1\nh_bucket{le=\"1\"} 1\n"
      "h_bucket{le=\"+Inf\"} 3\nh_sum 4\nh_count 3\n"
      "h_bucket{x=\"1\",le=\"+Inf\"} 0\nh_sum{x=\"1\"} 0\nh_count{x=\"1\"} 0\n");
  stays("# TYPE h histogram\nh_bucket{le=\"-1\"} 1\nh_bucket{le=\"+Inf\"} 1\n");
}

TEST_CASE("a histogram that it would refuse is unknown, a family for each name") {
  const std::string rest = "h_sum 4\nh_count 3\n";
  const std::string rest_split =
      "# TYPE h_sum unknown\nh_sum 4\n# TYPE h_count unknown\nh_count 3\n";
  for (const std::string buckets :
       {"h_bucket{le=\"1\"} 3\n",    // no +Inf
        "h_bucket{le=\"Inf\"} 3\n",  // not spelled so
        "h_bucket{le=\"1\"} 1\nh_bucket{le=\"0.5\"} 1\nh_bucket{le=\"+Inf\"} 3\n",
        "h_bucket{le=\"1\"} 1\nh_bucket{le=\"1.0\"} 1\nh_bucket{le=\"+Inf\"} 3\n",
        "h_bucket{le=\"1\"} 5\nh_bucket{le=\"+Inf\"} 3\n",  // it falls
        "h_bucket{le=\"1\"} 0.5\nh_bucket{le=\"+Inf\"} 3\n",
        "h_bucket{le=\"1\"} -1\nh_bucket{le=\"+Inf\"} 3\n",
        "h_bucket{le=\"nonsense\"} 1\nh_bucket{le=\"+Inf\"} 3\n",
        "h_bucket{le=\"-1\"} 1\nh_bucket{le=\"+Inf\"} 3\n",  // and a sum
        "h_bucket{le=\"+Inf\"} 4\n"}) {                      // not the count
    becomes("# TYPE h histogram\n" + buckets + rest,
            "# TYPE h_bucket unknown\n" + buckets + rest_split);
  }
  becomes("# TYPE h histogram\nh_bucket{le=\"+Inf\"} 3\nh_count 3\n",
          "# TYPE h_bucket unknown\nh_bucket{le=\"+Inf\"} 3\n# TYPE h_count unknown\nh_count 3\n");
  becomes("# TYPE h histogram\nh_sum 1\nh_count 3\n",
          "# TYPE h_sum unknown\nh_sum 1\n# TYPE h_count unknown\nh_count 3\n");
}

TEST_CASE("a summary beside a gauge that has its sum's name is unknown") {
  becomes("# TYPE s summary\ns{quantile=\"0.5\"} 1\n# TYPE s_sum gauge\ns_sum 1\n",
          "# TYPE s unknown\ns{quantile=\"0.5\"} 1\n# TYPE s_sum gauge\ns_sum 1\n");
}

TEST_CASE("text that is not format 0.0.4 is an error") {
  CHECK(converted("a 1").find("error: ") == 0);
  CHECK(converted("a one\n").find("error: ") == 0);
}

}  // namespace bao_exporter
