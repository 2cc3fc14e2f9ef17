// The loops over plain lines, line by line: what they take, and that what they cannot take leaves
// nothing behind.
#include <string>
#include <vector>

#include "catch.h"
#include "support/instruction_sets.h"
#include "support/polls.h"

namespace bao_exporter {

namespace {

// "steady" where the loop takes the lines that the second poll has more; they may be told "cold",
// which is the long way, or be refused. Whatever it is, it must be what kPlain gives.
std::string way_of(const std::string& head, const std::string& lines,
                   const ParseLimits& limits = {}) {
  const std::string body = head + lines + padding();
  Polls polls(limits);
  CHECK(polls.take(head + padding()) == "cold");
  std::string way = polls.take(body);
  const std::string again = polls.take(body);
  if (way == "steady") CHECK(again == "steady");
  const RelabelPlan& plan = polls.plan();
  const std::string actual = shown_of(NodePart::build(body, limits, plan));
  const Forced plain(Isa::kPlain);
  CHECK(shown_of(NodePart::build(body, limits, plan)) == actual);
  return way;
}

const std::string kGauge = "# TYPE g gauge\n";
const std::string kSummary = "# TYPE g summary\n";
const std::string kHistogram = "# TYPE g histogram\n";

std::string labels(std::size_t count) {
  std::string out;
  for (std::size_t i = 0; i < count; ++i) out += "l" + std::to_string(i) + "=\"v\",";
  out.pop_back();
  return out;
}

}  // namespace

TEST_CASE("plain lines are taken by the loops, whatever their labels hold") {
  for (const Isa isa : loops_of_this_machine()) {
    const Forced forced(isa);
    for (const std::string line :
         {"g 1\n", "g{} 1\n", "g{a=\"\"} 1\n", "g{a=\"b\"} 1\n", "g{a=\"b\",c=\"d\"} 1\n",
          "g{_=\"b\",A9_=\"{},= \"} 1\n",
          "g{a=\"\\\\\",b=\"\\\"\",c=\"\\n\",d=\"x\\\\\\\\\\\"\\n\"} 1\n",
          "g{cluster=\"x\",namespace=\"n\"} 1\n", "g{namespace=\"\",cluster=\"\"} 1\n",
          "g{node_name=\"x\",__y=\"z\"} 1\n"}) {
      CAPTURE(line);
      CHECK(way_of(kGauge, line) == "steady");
      CHECK(way_of(kGauge, "g{first=\"1\"} 1\n" + line) == "steady");
    }
    for (std::size_t bytes = 0; bytes < 150; ++bytes) {
      CHECK(way_of(kGauge, "g{a=\"" + std::string(bytes, 'v') + "\",b=\"c\"} 1\n") == "steady");
    }
    CHECK(way_of(kSummary,
                 "g{quantile=\"0.5\"} 1\ng{a=\"b\",quantile=\"0.9\"} 1\n"
                 "g_sum 1\ng_sum{a=\"b\"} 1\ng_count 1\n") == "steady");
    CHECK(way_of(kHistogram,
                 "g_bucket{le=\"1\"} 1\ng_bucket{le=\"1\",a=\"b\"} 1\n"
                 "g_sum 1\ng_count 1\ng_count{a=\"b\"} 1\n") == "steady");
  }
}

TEST_CASE("lines that are not plain go the long way") {
  for (const Isa isa : loops_of_this_machine()) {
    const Forced forced(isa);
    for (const std::string line :
         {"g{a=\"b\",} 1\n", "g{a=\"\xC3\xA9\"} 1\n", "g {a=\"b\"} 1\n", "g{a=\"b\"}1\n",
          "g{a=\"b\"}  1\n", "g{ a=\"b\"} 1\n", "g{a =\"b\"} 1\n", "g{a= \"b\"} 1\n",
          "g{a=\"b\" } 1\n", "g{a=\"b\", c=\"d\"} 1\n", " g 1\n", "g  1\n", "g\t1\n", "g 1 17\n",
          "g 1 \n", "g 0.00000000000000000000000000000000000001\n"}) {
      CAPTURE(line);
      CHECK(way_of(kGauge, line) == "cold");
      CHECK(way_of(kGauge, "g{first=\"1\"} 1\n" + line + "g{last=\"1\"} 1\n") == "cold");
    }
  }
}

TEST_CASE("lines that no way takes are refused as the long way says") {
  for (const Isa isa : loops_of_this_machine()) {
    const Forced forced(isa);
    for (const std::string line :
         {"g{a=\"b\",a=\"c\"} 1\n", "g{a=\"b\"c=\"d\"} 1\n", "g{a=\"b\"} \n", "g{a=\"b\"} x\n",
          "g{a=\"b\n", "g{a=\"\\x\"} 1\n", "g{9=\"b\"} 1\n", "g{a:=\"b\"} 1\n", "g{,} 1\n",
          "g{a} 1\n", "g{a=b} 1\n", "g{a=\"b\"} 1.2.3\n", "g{a=\"b\"} 1e\n", "g-1\n", "g{\n"}) {
      CAPTURE(line);
      CHECK(way_of(kGauge, line).starts_with("malformed: line 2, "));
      CHECK(way_of(kGauge, "g{z=\"1\"} 1\n" + line).starts_with("malformed: line 3, "));
    }
    CHECK(way_of(kSummary, "g 1\n").starts_with("malformed"));
    CHECK(way_of(kSummary, "g{le=\"1\"} 1\n").starts_with("malformed"));
    CHECK(way_of(kSummary, "g_bucket{le=\"1\"} 1\n") == "cold");
    CHECK(way_of(kHistogram, "g{le=\"1\"} 1\n").starts_with("malformed"));
    CHECK(way_of(kHistogram, "g_bucket 1\n").starts_with("malformed"));
    CHECK(way_of(kHistogram, "g_bucket{quantile=\"1\"} 1\n").starts_with("malformed"));
    CHECK(way_of(kHistogram, "g_bucket{a=\"1\"} 1\n").starts_with("malformed"));
    CHECK(way_of(kGauge, "g_sum 1\n") == "cold");
    CHECK(way_of(kGauge, "gg 1\n") == "cold");
  }
}

TEST_CASE("a line that is left in its middle leaves nothing behind of its labels") {
  const std::string first = "g{a=\"1\",b=\"22\",ccccccccc=\"3\"} 1\n";
  const std::string last = "g{a=\"1\",b=\"22\",ccccccccc=\"5\"} 1\n";
  for (const Isa isa : loops_of_this_machine()) {
    const Forced forced(isa);
    for (const std::string left :
         {"g{a=\"1\",b=\"4444444\",ccccccccc=\"\xC3\xA9\"} 1\n", "g{a=\"1\",b=\"4\",c=\"6\"}  1\n",
          "g{a=\"1\",b=\"4\",c=\"6\"} 1 17\n", "g{a=\"1\",b=\"4444444\",c =\"6\"} 1\n",
          "g{a=\"1\",b=\"4444444\",cluster=\"6\",} 1\n",
          "g{a=\"1\",b=\"4444444\",abcdefghijabcdefghijabcdefghija=\"6\"} 1\n"}) {
      CAPTURE(left);
      std::string lines = first;
      lines.append(left).append(last);
      CHECK(way_of(kGauge, lines) == "cold");
    }
    // The label that was read of it ends where the line before has a comma.
    const std::string before = "g{a=\"1\",b=\"22\",c=\"33\",d=\"4\"} 1\n";
    const std::string behind = "g{a=\"1\",b=\"22\",c=\"33\",d=\"5\"} 1\n";
    const std::string same = "g{d=\"5\",c=\"33\",b=\"22\",a=\"1\"} 1\n";
    for (const std::string second : {"namespace=\"1\"", "b=\"999999999\""}) {
      std::string lines = before;
      lines.append("g{a=\"1\",").append(second).append(",c=\"7777777\",d=\"\xC3\xA9\"} 1\n");
      CHECK(way_of(kGauge, lines.append(behind)) == "cold");
      CHECK(way_of(kGauge, lines.append(same)).starts_with("duplicate_series: line 5, "));
    }
    // Of a summary, labels that are read whole and are then not enough.
    CHECK(way_of(kSummary, "g{a=\"1\",quantile=\"1\"} 1\ng{a=\"2\"} 1\n").starts_with("malformed"));
  }
}

TEST_CASE("a label is known by its name alone, wherever lines before had another") {
  for (const Isa isa : loops_of_this_machine()) {
    const Forced forced(isa);
    CHECK(
        way_of(kGauge,
               "g{a=\"1\",b=\"2\"} 1\ng{b=\"2\",a=\"3\"} 1\ng{ab=\"1\",b=\"2\"} 1\n"
               "g{a=\"1\",bc=\"2\"} 1\ng{namespace=\"1\",a=\"2\"} 1\ng{a=\"2\",namespace=\"2\"} 1\n"
               "g{a=\"1\"} 1\ng 1\ng{cluster=\"c\",a=\"1\",z=\"y\"} 1\n") == "steady");
    CHECK(way_of(kGauge, "g{a=\"1\",b=\"2\"} 1\ng{b=\"2\",a=\"1\"} 1\n")
              .starts_with("duplicate_series: line 3, "));
    // The same bytes up to within a label, and a label more or less.
    CHECK(way_of(kGauge,
                 "g{a=\"1\",b=\"2\"} 1\ng{a=\"1\",b=\"23\"} 1\ng{a=\"1\"} 1\n"
                 "g{a=\"1\",b=\"23\",c=\"4\"} 1\ng{a=\"11\",b=\"23\"} 1\n") == "steady");
  }
}

TEST_CASE("as many labels as the limits allow are taken, and long names, and no more") {
  for (const Isa isa : loops_of_this_machine()) {
    const Forced forced(isa);
    ParseLimits three;
    three.labels_per_sample_max = 3;
    CHECK(way_of(kGauge, "g{" + labels(3) + "} 1\n", three) == "steady");
    CHECK(way_of(kGauge, "g{" + labels(4) + "} 1\n", three).starts_with("limit_labels: line 2, "));
    CHECK(way_of(kGauge, "g{" + labels(3) + "} 1\ng{" + labels(4) + "} 1\n", three)
              .starts_with("limit_labels: line 3, "));
    ParseLimits many;
    many.labels_per_sample_max = 100;
    CHECK(way_of(kGauge, "g{" + labels(63) + "} 1\n", many) == "steady");
    CHECK(way_of(kGauge, "g{" + labels(70) + "} 1\n", many) == "cold");
    CHECK(way_of(kGauge, "g{" + std::string(30, 'n') + "=\"v\"} 1\n") == "steady");
    CHECK(way_of(kGauge, "g{" + std::string(31, 'n') + "=\"v\"} 1\n") == "cold");
    CHECK(way_of(kGauge, "g{" + std::string(31, 'n') + "=\"v\",a=\"" + std::string(100, 'v') +
                             "\"} 1\n") == "cold");
    // A block of labels that is as long as the loops take, and longer.
    for (const std::size_t bytes : {3'990U, 3'996U, 3'997U, 3'998U, 4'010U, 20'000U}) {
      const std::string way = way_of(kGauge, "g{a=\"" + std::string(bytes, 'v') + "\"} 1\n");
      CHECK((way == "steady" || bytes > 3'990));
      CHECK((way == "cold" || bytes < 4'010));
    }
  }
}

TEST_CASE("values are taken in every form that a double may have, and no other") {
  for (const Isa isa : loops_of_this_machine()) {
    const Forced forced(isa);
    for (const std::string value : {"0",       "1",       "12345678901234567890",
                                    "0.5",     ".5",      "5.",
                                    "-1",      "+1",      "-0.5",
                                    "1e5",     "1E5",     "1e-5",
                                    "1.5e+10", "1.5e-9",  "1.5e+9",
                                    "1.25e10", "1.5E+10", "1.5e+300",
                                    "NaN",     "nan",     "+Inf",
                                    "-Inf",    "Inf",     "inf",
                                    "+inf",    "1.e+1",   "1.5e+0",
                                    "12.5e+07"}) {
      CAPTURE(value);
      CHECK(way_of(kGauge, "g{a=\"b\"} " + value + "\n") == "steady");
    }
    for (const std::string value :
         {".",       "+",      "-",    "e5",    "1e",      "1e+",     "1.5e",    "1.5e+",
          "1.5e+-1", "1.5+e1", "1..5", "1.5.1", "1.5f+10", "1.5e+1.", "1,5",     "NaNN",
          "Na",      "N",      "1/2",  "1:2",   "--1",     "infinit", "1.5e*10", "15e.+10",
          "1e5.5",   "1.e+1+", ".e+1", "1.e+",  "0x1p4",   "1_0"}) {
      CAPTURE(value);
      const std::string way = way_of(kGauge, "g{a=\"b\"} " + value + "\n");
      CHECK(way.starts_with("malformed: line 2, column 10: "));
    }
  }
}

TEST_CASE("headers are taken in any order, and those that are not plain, too") {
  const std::string lines = "g{a=\"b\"} 1\n";
  for (const Isa isa : loops_of_this_machine()) {
    const Forced forced(isa);
    for (const std::string head :
         {"# HELP g About.\n# TYPE g gauge\n", "# TYPE g gauge\n# HELP g About.\n",
          "# HELP g About.\n", "# HELP g \n", "# HELP g\n# TYPE g gauge\n", "#HELP g About.\n",
          "#  TYPE g gauge\n", "# TYPE g  gauge\n", "# TYPE g gauge \n", "# TYPE g untyped\n",
          "# TYPE g counter\n", "# HELP g \xC3\xA9\n", "# HELP g a\\\\b\\n\n",
          "# HELP g \"quoted\"\n", "# HELPg\n", "# TYPE other gauge\n# HELP g About.\n",
          "# TYPEg\n", "# a comment\n# TYPE g gauge\n"}) {
      CAPTURE(head);
      CHECK(way_of(head, "").starts_with("steady"));
      CHECK(way_of(head + "g 1\n", lines) == "steady");
    }
    for (const std::string head :
         {"# TYPE g gauge\n# TYPE g gauge\n", "# HELP g a\n# HELP g a\n", "# TYPE g\n",
          "# TYPE 9 gauge\n", "# TYPE g gauges\n", "# TYPE g gaug\n", "# HELP g \\x\n",
          "# HELP  \n", "# TYPE g-h gauge\n", "# TYPE g gauge\ng 1\n# HELP g late\n",
          "# TYPE g gauge\ng 1\n# TYPE g gauge\n",
          "# TYPE g gauge\n# TYPE h gauge\n# HELP g apart\n", "# HELP g a\tb\rc\n",
          "# HELP g a\x01\n", "# HELP g \xFF\n", "# TYPE g gauge\ng 1\nh 1\ng 2\n"}) {
      const std::string body = head + padding();
      CAPTURE(body);
      const auto built = NodePart::build(body, {}, {});
      const std::string actual = shown_of(built);
      const Forced plain(Isa::kPlain);
      CHECK(actual == shown_of(NodePart::build(body, {}, {})));
    }
  }
}

}  // namespace bao_exporter
