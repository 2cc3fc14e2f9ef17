// What a poll that is compared with the one before must still find out, and when it goes that way.
#include <string>
#include <utility>
#include <vector>

#include "catch.h"
#include "exposition/pass.h"
#include "support/instruction_sets.h"
#include "support/polls.h"

namespace bao_exporter {

namespace {

const std::string kHead = "# TYPE g gauge\n";

ParseLimits samples_max(std::size_t most) {
  ParseLimits limits;
  limits.samples_max = most;
  return limits;
}

ParseLimits family_max(std::size_t most) {
  ParseLimits limits;
  limits.series_per_family_max = most;
  return limits;
}

ParseLimits line_max(std::size_t most) {
  ParseLimits limits;
  limits.line_bytes_max = most;
  return limits;
}

bool is_refused(const std::string& shown, ErrorCode code) {
  return shown.starts_with(std::string(reason_name(code)) + ": ");
}

}  // namespace

TEST_CASE("samples beyond limits.samples_max are refused though each family's lines are known") {
  for (const Isa isa : loops_of_this_machine()) {
    const Forced forced(isa);
    Polls polls(samples_max(6));
    CHECK(polls.take(kHead + numbered(0, 2) + "# TYPE h gauge\n" + numbered(0, 2, "h") +
                     padding()) == "cold");
    CHECK(polls.take(kHead + numbered(0, 3) + "# TYPE h gauge\n" + numbered(0, 2, "h") +
                     padding()) == "steady");
    CHECK(is_refused(
        polls.take(kHead + numbered(0, 5) + "# TYPE h gauge\n" + numbered(0, 2, "h") + padding()),
        ErrorCode::kLimitSamples));
  }
}

TEST_CASE("a family beyond limits.series_per_family_max is refused though all but one are known") {
  for (const Isa isa : loops_of_this_machine()) {
    const Forced forced(isa);
    Polls polls(family_max(4));
    CHECK(polls.take(kHead + numbered(0, 3) + padding()) == "cold");
    CHECK(polls.take(kHead + numbered(7, 8) + numbered(0, 3) + padding()) == "steady");
    CHECK(
        is_refused(polls.take(kHead + numbered(8, 9) + numbered(7, 8) + numbered(0, 3) + padding()),
                   ErrorCode::kLimitSamples));
  }
}

TEST_CASE("a known line may grow up to limits.line_bytes_max and not beyond, also at the end") {
  const std::string line = "g{number=\"0\"} ";
  for (const Isa isa : loops_of_this_machine()) {
    const Forced forced(isa);
    for (const std::string& behind : {std::string(200, '#') + "\n", std::string()}) {
      for (const std::size_t digits : {4U, 40U}) {  // at once, and too long for that
        Polls polls(line_max(std::max<std::size_t>(line.size() + digits, behind.size())));
        const std::string begin = kHead + line;
        const std::string most(polls.limits().line_bytes_max - line.size(), '1');
        CHECK(polls.take(begin + "1\n" + behind) == "cold");
        CHECK(polls.take(begin + most + "\n" + behind) == "steady");
        CHECK(is_refused(polls.take(begin + most + "1\n" + behind), ErrorCode::kLimitLine));
      }
    }
  }
}

TEST_CASE("a comment that a poll brings is held to the rules of lines") {
  for (const Isa isa : loops_of_this_machine()) {
    const Forced forced(isa);
    Polls polls(line_max(300));
    const std::string lines = kHead + numbered(0, 3);
    CHECK(polls.take(lines + padding()) == "cold");
    CHECK(polls.take(lines + "#" + std::string(299, 'x') + "\n" + padding()) == "steady");
    CHECK(is_refused(polls.take(lines + "#" + std::string(300, 'x') + "\n" + padding()),
                     ErrorCode::kLimitLine));
    CHECK(is_refused(polls.take(lines + "# \xFF\n" + padding()), ErrorCode::kMalformed));
    CHECK(is_refused(polls.take(lines + std::string("# \0\n", 4) + padding()),
                     ErrorCode::kMalformed));
    CHECK(polls.take(lines + " \t# HELPER g is no announcement\n \n\n" + padding()) == "steady");
    CHECK(is_refused(polls.take(lines + "# HELP\n" + padding()), ErrorCode::kMalformed));
  }
}

TEST_CASE("comments before the first family are taken as they come") {
  for (const Isa isa : loops_of_this_machine()) {
    const Forced forced(isa);
    Polls polls;
    const std::string rest = kHead + numbered(0, 3) + padding();
    CHECK(polls.take("# one\n" + rest) == "cold");
    CHECK(polls.take("# two\n\n# three\n" + rest) == "steady");
    CHECK(polls.take("#\n# HELP g New.\n" + rest) == "cold");
    CHECK(polls.take("# two\n") == "cold");
    const std::string alone = kHead + numbered(0, 3) + "# " + std::string(200, 'x') + "\n";
    CHECK(polls.take("# one\n" + alone) == "cold");
    CHECK(polls.take("# two\n" + alone) == "steady");
    CHECK(polls.take(alone) == "steady");
    CHECK(polls.take("# two\n" + alone) == "cold");
  }
}

TEST_CASE("more lines than the poll before had room for are taken, and the families behind them") {
  for (const Isa isa : loops_of_this_machine()) {
    const Forced forced(isa);
    Polls polls;
    const std::string many = "# TYPE h gauge\n" + numbered(0, 400, "h");
    CHECK(polls.take(kHead + numbered(0, 1) + many + padding()) == "cold");
    CHECK(polls.take(kHead + numbered(0, 150) + many + padding()) == "steady");
    CHECK(polls.take(kHead + numbered(0, 150) + many + padding()) == "steady");
  }
}

TEST_CASE("what is served may be far longer than the body") {
  const std::string identity = "node_name=\"" + std::string(5'000, 'n') + "\"";
  for (const Isa isa : loops_of_this_machine()) {
    const Forced forced(isa);
    Polls polls({}, identity);
    const std::string body = kHead + numbered(0, 100) + padding();
    CHECK(polls.take(body) == "cold");
    CHECK(polls.take(body) == "steady");
    CHECK(polls.lines_of("g").size() > 500'000);
    CHECK(polls.take(kHead + numbered(0, 120) + padding()) == "steady");
  }
}

TEST_CASE("behind lines that are missing or new the others are known again, without a search") {
  RelabelPlan plan;
  plan.identity = "node_name=\"a\"";
  PlanImage image(plan);
  const std::string behind = "# " + std::string(300, 'x') + "\n";
  PartStore before;
  before.body = kHead + numbered(0, 100) + behind;
  for (const Isa isa : loops_of_this_machine()) {
    const Forced forced(isa);
    Pass pass;
    pass.begin(before, image);
    REQUIRE(pass_loops().cold(pass));
    const auto new_lines_of = [&](const std::string& lines) {
      PartStore store;
      store.body = kHead + lines + behind;
      pass.begin(store, image);
      pass.begin_steady(before);
      REQUIRE(pass_loops().steady(pass));
      return pass.new_lines.size();
    };
    CHECK(new_lines_of(numbered(0, 100)) == 0);
    CHECK(new_lines_of(numbered(1, 100)) == 0);
    CHECK(new_lines_of(numbered(0, 50) + numbered(51, 100)) == 0);
    CHECK(new_lines_of(numbered(0, 50) + numbered(55, 70) + numbered(72, 95)) == 0);
    CHECK(new_lines_of(numbered(0, 50) + numbered(200, 203) + numbered(50, 100)) == 3);
    CHECK(new_lines_of(numbered(0, 50) + numbered(200, 201) + numbered(51, 100)) == 1);
  }
}

TEST_CASE("few new lines and many are looked through for a series that comes twice") {
  for (const Isa isa : loops_of_this_machine()) {
    const Forced forced(isa);
    for (const int fresh : {1, 2, 30, 31, 32, 33, 34, 60}) {
      Polls polls;
      CHECK(polls.take(kHead + numbered(0, 50) + padding()) == "cold");
      for (const int known : {0, 49}) {
        // The same labels in another order are the same series.
        const std::string body = kHead + numbered(0, 50) + numbered(100, 100 + fresh);
        CHECK(is_refused(polls.take(body + numbered(known, known + 1) + padding()),
                         ErrorCode::kDuplicateSeries));
      }
      CHECK(polls.take(kHead + numbered(0, 50) + numbered(100, 100 + fresh) + padding()) ==
            "steady");
    }
  }
}

TEST_CASE("lines that are missing are passed over, few of them and many") {
  for (const Isa isa : loops_of_this_machine()) {
    const Forced forced(isa);
    for (const int gone : {1, 7, 8, 9, 20, 36, 37}) {
      Polls polls;
      CHECK(polls.take(kHead + numbered(0, 40) + padding()) == "cold");
      CHECK(polls.take(kHead + numbered(0, 3) + numbered(3 + gone, 40) + padding()) == "steady");
      CHECK(polls.take(kHead + numbered(0, 40) + padding()) == "steady");
      CHECK(is_refused(
          polls.take(kHead + numbered(0, 3) + numbered(3 + gone, 40) + numbered(2, 3) + padding()),
          ErrorCode::kDuplicateSeries));
    }
  }
}

TEST_CASE("families that are told by their samples alone are known again, without samples not") {
  for (const Isa isa : loops_of_this_machine()) {
    const Forced forced(isa);
    Polls polls;
    const std::string a = "a{x=\"1\"} 1\na{x=\"2\"} 1\n", b = "b{x=\"1\"} 1\n";
    CHECK(polls.take(a + b + padding()) == "cold");
    CHECK(polls.take("a{x=\"1\"} 5\na{x=\"2\"} 6\nb{x=\"1\"} 7\n" + padding()) == "steady");
    CHECK(polls.take("a{x=\"1\"} 5\nb{x=\"1\"} 7\n" + padding()) == "steady");
    CHECK(polls.take(a + b + padding()) == "steady");
    CHECK(polls.take(a + padding()) == "cold");
    CHECK(polls.take(b + padding()) == "cold");
    CHECK(polls.take(a + "bb 1\n" + padding()) == "cold");
  }
}

TEST_CASE("a sample's name that another family has is found though both families are known") {
  const std::string summary = "# TYPE s summary\ns{quantile=\"0.5\"} 1\n";
  const std::string gauge = "# TYPE s_sum gauge\n";
  for (const Isa isa : loops_of_this_machine()) {
    const Forced forced(isa);
    {
      Polls polls;
      CHECK(polls.take(summary + gauge + "s_sum 1\n" + padding()) == "cold");
      CHECK(is_refused(polls.take(summary + "s_sum 2\n" + gauge + "s_sum 1\n" + padding()),
                       ErrorCode::kMalformed));
      CHECK(polls.take(summary + "s_count 2\n" + gauge + "s_sum 1\n" + padding()) == "steady");
      // The gauge lost its samples: the name is free, which the long way finds out.
      CHECK(polls.take(summary + "s_sum 2\n" + gauge + padding()) == "cold");
    }
    {
      Polls polls;
      CHECK(polls.take(summary + "s_sum 1\n" + gauge + padding()) == "cold");
      CHECK(is_refused(polls.take(summary + "s_sum 1\n" + gauge + "s_sum{a=\"b\"} 1\n" + padding()),
                       ErrorCode::kMalformed));
    }
    {
      Polls polls;
      CHECK(polls.take(summary + gauge + padding()) == "cold");
      CHECK(polls.take(summary + gauge + "s_sum 1\n" + padding()) == "steady");
      CHECK(polls.take(summary + gauge + "s_sum 1\ns_sum{a=\"b\"} 1\n" + padding()) == "steady");
    }
    {
      Polls polls;
      const std::string long_name = "# TYPE s_summary gauge\n";
      CHECK(polls.take(summary + long_name + padding()) == "cold");
      CHECK(polls.take(summary + "s_sum 1\n" + long_name + "s_summary 1\n" + padding()) ==
            "steady");
    }
  }
}

TEST_CASE("many families that get their first samples at once are looked at the long way") {
  for (const Isa isa : loops_of_this_machine()) {
    const Forced forced(isa);
    std::string heads, samples;
    for (int i = 0; i < 100; ++i) {
      const std::string name = "f" + std::to_string(i);
      heads += "# TYPE " + name + " gauge\n";
      samples += "# TYPE " + name + " gauge\n" + name + " 1\n";
    }
    Polls polls;
    CHECK(polls.take(heads + padding()) == "cold");
    CHECK(polls.take(samples + padding()) == "cold");
    CHECK(polls.take(samples + padding()) == "steady");
    CHECK(polls.take(heads + padding()) == "steady");
  }
}

TEST_CASE("more values of the removed label than are told apart are all removed") {
  for (const Isa isa : loops_of_this_machine()) {
    const Forced forced(isa);
    const auto body = [](const std::string& value, const std::string& suffix) {
      std::string out;
      for (int i = 0; i < 250; ++i) {
        const std::string name = "f" + std::to_string(i);
        out += "# TYPE " + name + " gauge\n";
        for (const char* x : {"1", "2"}) {
          out += name + "{cluster=\"c" + std::to_string(i) + suffix + "\",x=\"" + x + "\"} " +
                 value + "\n";
        }
      }
      return out + padding();
    };
    Polls polls;
    CHECK(polls.take(body("1", "")) == "cold");
    CHECK(polls.take(body("2", "")) == "steady");
    CHECK(polls.lines_of("f249") ==
          "f249{cluster=\"prod\",node_name=\"a\",x=\"1\"} 2\n"
          "f249{cluster=\"prod\",node_name=\"a\",x=\"2\"} 2\n");
    CHECK(polls.take(body("2", "other")) == "steady");
  }
}

TEST_CASE("one value of the removed label in a family that has another is found poll after poll") {
  const auto line = [](const std::string& value, const std::string& number) {
    const std::string label = value.empty() ? "" : "cluster=\"" + value + "\",";
    return "g{" + label + "x=\"1\"} " + number + "\n";
  };
  const auto served = [](const std::string& number) {
    return "g{cluster=\"prod\",node_name=\"a\",x=\"1\"} " + number + "\n";
  };
  for (const Isa isa : loops_of_this_machine()) {
    const Forced forced(isa);
    for (const std::string known : {"a", ""}) {
      for (const std::string fresh : {"b", ""}) {
        if (known == fresh) continue;
        const std::string stays = known.empty() ? "2" : "1";  // who had a value, or the first
        for (const bool first : {false, true}) {
          Polls polls;
          const auto both = [&](const std::string& a, const std::string& b) {
            return kHead +
                   (first ? line(fresh, b) + line(known, a) : line(known, a) + line(fresh, b)) +
                   padding();
          };
          CHECK(polls.take(kHead + line(known, "1") + padding()) == "cold");
          CHECK(polls.take(both("1", "2")) == "steady");
          if (known.empty() || fresh.empty()) CHECK(polls.lines_of("g") == served(stays));
          CHECK(polls.take(both("3", "4")) == "steady");
          CHECK(polls.take(kHead + line(fresh, "3") + padding()) == "steady");
          CHECK(polls.lines_of("g") == served("3"));
        }
      }
    }
  }
}

TEST_CASE("a builder that is moved goes on where it was, and its parts live on") {
  const RelabelPlan plan;
  const std::string body = kHead + numbered(0, 3) + padding();
  PartBuilder first;
  const auto part = first.build(body, {}, plan, nullptr).value();
  REQUIRE(first.build(body, {}, plan, part.get()).ok());
  PartBuilder second(std::move(first));
  CHECK(second.build(body, {}, plan, part.get()).ok());
  PartBuilder third;
  third = std::move(second);
  CHECK(third.build(body, {}, plan, part.get()).ok());
  CHECK(third.steady_parts() == 3);
  third = PartBuilder();
  CHECK(third.build(body, {}, plan, part.get()).ok());
  CHECK(part->samples() == 4);
}

}  // namespace bao_exporter
