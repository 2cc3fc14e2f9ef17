// The fast ways against the long one: the loops of each instruction set, and a poll that is
// compared with the one before. All must give the same bytes, or the same error.
#include <algorithm>
#include <memory>
#include <mutex>
#include <set>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "bao_exporter/node_part.h"
#include "bao_exporter/outcome.h"
#include "catch.h"
#include "exposition/isa.h"
#include "exposition/part_store.h"
#include "exposition/pass.h"
#include "exposition/plan_image.h"
#include "support/instruction_sets.h"
#include "support/poll_bodies.h"

namespace bao_exporter {

namespace {

RelabelPlan plan_of(Role role) {
  RelabelPlan plan = openbao_relabel_plan("cluster=\"prod\",node_name=\"a\"", role, true);
  plan.hash_seed = 7;
  return plan;
}

ParseLimits limits_of(PollBodies& bodies) {
  ParseLimits limits;
  if (!bodies.one_in(6)) return limits;
  switch (bodies.below(4)) {
    case 0:
      limits.samples_max = bodies.below(80);
      break;
    case 1:
      limits.series_per_family_max = bodies.below(30);
      break;
    case 2:
      limits.labels_per_sample_max = bodies.below(6);
      break;
    default:
      limits.line_bytes_max = 40 + bodies.below(120);
      break;
  }
  return limits;
}

std::string by(Isa isa, const std::string& body, const ParseLimits& limits,
               const RelabelPlan& plan) {
  const Forced forced(isa);
  return shown_of(NodePart::build(body, limits, plan));
}

}  // namespace

TEST_CASE(
    "a NUL where a label's name is wanted is refused by each loop, also before any was learnt") {
  for (const std::string_view label :
       {std::string_view("\0\0\"", 3), std::string_view("\0\0x\"", 4)}) {
    const std::string body = "a 1\na{" + std::string(label) + "} 1\n" + std::string(300, '#') +
                             "\n" + std::string(300, '#') + "\n";
    for (const Isa isa : loops_of_this_machine()) {
      const Forced forced(isa);
      const auto built = NodePart::build(body, {}, plan_of(Role::kActive));
      REQUIRE_FALSE(built.ok());
      CHECK(built.error().detail.starts_with("line 2, column 3: "));
    }
  }
}

TEST_CASE("the loops of every instruction set give what each line gives alone") {
  for (const Isa isa : loops_of_this_machine()) {
    PollBodies bodies(17);
    std::size_t accepted = 0, refused = 0;
    for (int round = 0; round < 1'500; ++round) {
      std::string body = bodies.body();
      if (round % 2 == 1) body = bodies.next(body, /*harm=*/true);
      const ParseLimits limits = limits_of(bodies);
      const RelabelPlan plan = plan_of(bodies.one_in(2) ? Role::kActive : Role::kStandby);
      const std::string expected = by(Isa::kPlain, body, limits, plan);
      const std::string actual = by(isa, body, limits, plan);
      if (actual != expected) {
        CAPTURE(static_cast<int>(isa), body, expected, actual);
        FAIL("not the same");
      }
      ++(expected.find("of") == std::string::npos || expected.find(": line") != std::string::npos
             ? refused
             : accepted);
    }
    CHECK(accepted > 600);
    CHECK(refused > 200);
  }
}

TEST_CASE("a poll that is compared with the one before gives what it gives alone") {
  for (const Isa isa : loops_of_this_machine()) {
    const Forced forced(isa);
    PollBodies bodies(23);
    std::size_t polls = 0, steady = 0, refused = 0, changed = 0;
    for (int world = 0; world < 250; ++world) {
      PartBuilder builder;
      std::shared_ptr<const NodePart> before;
      std::string body = bodies.body();
      const ParseLimits limits = limits_of(bodies);
      for (int poll = 0; poll < 8; ++poll) {
        const RelabelPlan plan =
            plan_of(world % 3 == 0 && poll > 5 ? Role::kActive : Role::kStandby);
        const auto alone = NodePart::build(body, limits, plan);
        const auto built = builder.build(body, limits, plan, before.get());
        const std::string expected = shown_of(alone), actual = shown_of(built);
        if (actual != expected) {
          std::string previous;
          if (before != nullptr) {
            for (const std::string_view slice : before->own_text()) previous += slice;
          }
          CAPTURE(static_cast<int>(isa), previous, body, expected, actual);
          FAIL("not the same");
        }
        ++polls;
        if (built.ok()) {
          changed += before != nullptr && before->sequence() != built.value()->sequence() ? 1 : 0;
          before = built.value();
        } else {
          ++refused;
        }
        const bool harm = bodies.one_in(4);
        body = bodies.next(built.ok() || poll % 2 == 0 ? body : bodies.body(), harm);
        if (body.empty()) body = "\n";
      }
      steady += builder.steady_parts();
    }
    CHECK(polls == 2'000);
    CHECK(steady > 500);
    CHECK(refused > 100);
    CHECK(changed > 50);
  }
}

TEST_CASE("a series that comes twice is found, whichever ways its two lines went") {
  const std::string head = "# TYPE g gauge\n";
  const auto lines = [](int from, int to) {
    std::string out;
    for (int i = from; i < to; ++i) {
      out += "g{mount_point=\"secret/\",number=\"" + std::to_string(i) + "\"} 1\n";
    }
    return out;
  };
  const std::string padding = "# TYPE z gauge\nz{long=\"" + std::string(100, 'z') + "\"} 1\n";
  PartBuilder builder;
  const auto before =
      builder.build(head + lines(0, 20) + padding, {}, plan_of(Role::kActive), nullptr);
  REQUIRE(before.ok());
  const std::vector<std::string> twice = {
      lines(0, 20) + lines(5, 6),                                    // known, then new
      lines(0, 5) + lines(19, 20) + lines(5, 20),                    // new, then known
      lines(0, 5) + lines(40, 41) + lines(5, 9) + lines(40, 41),     // two new ones
      lines(0, 20) + "g{number=\"3\",mount_point=\"secret/\"} 1\n",  // in another order
      lines(0, 20) + lines(50, 90) + lines(70, 71)};                 // among many new ones
  for (const std::string& text : twice) {
    const std::string body = head + text + padding;
    const auto built = builder.build(body, {}, plan_of(Role::kActive), before.value().get());
    REQUIRE_FALSE(built.ok());
    CHECK(built.error().code == ErrorCode::kDuplicateSeries);
    CHECK(built.error().detail == NodePart::build(body, {}, plan_of(Role::kActive)).error().detail);
  }
  CHECK(builder.steady_parts() == 0);
  const auto fewer = builder.build(head + lines(3, 9) + lines(12, 30) + padding, {},
                                   plan_of(Role::kActive), before.value().get());
  REQUIRE(fewer.ok());
  CHECK(fewer.value()->samples() == 25);
  CHECK(builder.steady_parts() == 1);
}

TEST_CASE("families that only their samples announce are known again, up to the body's end") {
  std::string body, next;
  for (int i = 0; i < 100; ++i) {
    body += "n" + std::to_string(i) + " 1\n";
    next += "n" + std::to_string(i) + " 234\n";
  }
  for (const Isa isa : loops_of_this_machine()) {
    const Forced forced(isa);
    PartBuilder builder;
    const auto before = builder.build(body, {}, plan_of(Role::kActive), nullptr);
    REQUIRE(before.ok());
    const auto built = builder.build(next, {}, plan_of(Role::kActive), before.value().get());
    CHECK(shown_of(built) == shown_of(NodePart::build(next, {}, plan_of(Role::kActive))));
    CHECK(builder.steady_parts() == (isa == Isa::kPlain ? 0 : 1));
  }
}

TEST_CASE("families stand in the order of their names, in whatever order they were sent") {
  PollBodies random(5);
  for (int round = 0; round < 300; ++round) {
    std::set<std::string> names;
    const std::string stem(random.below(20), 's');
    for (std::size_t i = random.below(60); i > 0; --i) {
      std::string name = stem + std::string(random.below(30), 'a');
      while (random.below(4) > 0) name += "_0Zz"[random.below(4)];
      if (!name.empty() && name.front() != '0') names.insert(name);
    }
    std::vector<std::string> sent(names.begin(), names.end());
    if (round % 3 == 0) std::reverse(sent.begin(), sent.end());
    if (round % 3 == 1) {
      for (std::size_t i = sent.size(); i > 1; --i) std::swap(sent[i - 1], sent[random.below(i)]);
    }
    std::string body = "\n";
    for (const std::string& name : sent) body += name + " 1\n";
    const auto built = NodePart::build(body, {}, plan_of(Role::kActive));
    REQUIRE(built.ok());
    std::vector<std::string> shown;
    for (const FamilyPart& family : built.value()->families()) shown.emplace_back(family.name);
    CHECK(shown == std::vector<std::string>(names.begin(), names.end()));
  }
}

TEST_CASE("behind a long run of missing lines the others are known again") {
  const auto body_of = [](int gap_from, int gap_to) {
    std::string body = "# TYPE g gauge\n";
    for (int i = 0; i < 100; ++i) {
      if (i < gap_from || i >= gap_to) body += "g{number=\"" + std::to_string(i) + "\"} 1\n";
    }
    return body + std::string(200, '\n');
  };
  for (const Isa isa : loops_of_this_machine()) {
    if (isa == Isa::kPlain) continue;
    const Forced forced(isa);
    PlanImage image(plan_of(Role::kActive));
    Pass pass;
    PartStore before, after;
    before.body = body_of(0, 0);
    pass.begin(before, image);
    REQUIRE(pass_loops().cold(pass));
    after.body = body_of(20, 70);
    pass.begin(after, image);
    pass.begin_steady(before);
    REQUIRE(pass_loops().steady(pass));
    CHECK(after.lines.size() == 50);
    CHECK(pass.new_lines.empty());
  }
}

TEST_CASE("a label name that comes twice among many is found, and where") {
  for (int count = 14; count < 900; count += 1 + count / 4) {
    std::string body = "a{";
    for (int i = 0; i < count; ++i) body += "l" + std::to_string(i) + "=\"\",";
    ParseLimits limits;
    limits.labels_per_sample_max = 1'000;
    CHECK(NodePart::build(body + "} 1\n", limits, plan_of(Role::kActive)).ok());
    for (const int twice : {0, count / 2, count - 1}) {
      const auto built = NodePart::build(body + "l" + std::to_string(twice) + "=\"\"} 1\n", limits,
                                         plan_of(Role::kActive));
      REQUIRE_FALSE(built.ok());
      CHECK(built.error().detail ==
            "line 1, column " + std::to_string(body.size() + 1) + ": a label name given twice");
    }
  }
}

TEST_CASE("a body with too many label names leaves room for those of the next") {
  PlanImage image(plan_of(Role::kActive));
  image.forget_if_full();
  const std::uint32_t first = image.find("l0");
  for (int i = 1; i < 64; ++i) CHECK(image.find("l" + std::to_string(i)) != PlanImage::kUnknown);
  CHECK(image.find("mount_point") == PlanImage::kUnknown);
  CHECK(image.find("l0") == first);
  image.forget_if_full();
  const std::uint32_t learnt = image.find("mount_point");
  REQUIRE(learnt != PlanImage::kUnknown);
  image.forget_if_full();
  CHECK(image.find("mount_point") == learnt);
}

TEST_CASE("a part of another plan, or of other limits, is not used again") {
  const std::string body = "# TYPE g gauge\ng{a=\"" + std::string(100, 'x') + "\"} 1\n\n";
  PartBuilder builder;
  const auto first = builder.build(body, {}, plan_of(Role::kActive), nullptr);
  REQUIRE(first.ok());
  REQUIRE(builder.build(body, {}, plan_of(Role::kActive), first.value().get()).ok());
  CHECK(builder.steady_parts() == 1);
  ParseLimits limits;
  limits.line_bytes_max = 50;
  CHECK_FALSE(builder.build(body, limits, plan_of(Role::kActive), first.value().get()).ok());
  RelabelPlan other = plan_of(Role::kActive);
  other.identity = "node_name=\"b\"";
  const auto renamed = builder.build(body, {}, other, first.value().get());
  REQUIRE(renamed.ok());
  CHECK(renamed.value()->families()[0].lines.substr(0, 16) == "g{node_name=\"b\",");
  RelabelPlan unnamed = other;  // whose functions nobody can tell from others
  unnamed.functions.clear();
  const auto third = builder.build(body, {}, unnamed, nullptr);
  REQUIRE(third.ok());
  REQUIRE(builder.build(body, {}, unnamed, third.value().get()).ok());
  CHECK(builder.steady_parts() == 1);
}

TEST_CASE("a part is given its plan later without being made anew where it has it") {
  PartBuilder builder;
  const std::string body = "vault_raft_peers 1\nvault_core_active{cluster=\"c\"} 1\n";
  const auto built = builder.build(body, {}, plan_of(Role::kStandby), nullptr);
  REQUIRE(built.ok());
  CHECK(builder.with_plan(built.value(), plan_of(Role::kStandby)).value() == built.value());
  const auto active = builder.with_plan(built.value(), plan_of(Role::kActive)).value();
  CHECK(built.value()->samples() == 1);
  CHECK(active->samples() == 2);
}

TEST_CASE("arenas of parts that nobody has are taken again, and parts outlive their builder") {
  const std::string body = "# TYPE g gauge\ng{a=\"" + std::string(100, 'x') + "\"} 1\n\n";
  const RelabelPlan plan = plan_of(Role::kActive);
  std::shared_ptr<const NodePart> kept;
  std::weak_ptr<const NodePart> watched;
  {
    PartBuilder builder;
    auto first = builder.build(body, {}, plan, nullptr).value();
    const NodePart* const place = first.get();
    watched = first;
    auto second = builder.build(body, {}, plan, first.get()).value();
    CHECK(second.get() != place);
    first.reset();
    CHECK(watched.expired());
    CHECK(builder.build(body, {}, plan, second.get()).value().get() != place);  // still watched
    watched.reset();
    kept = builder.build(body, {}, plan, second.get()).value();
    CHECK(shown_of(kept) == shown_of(NodePart::build(body, {}, plan)));
  }
  CHECK(shown_of(kept) == shown_of(NodePart::build(body, {}, plan)));
}

TEST_CASE("parts may end on any thread while their builder makes others") {
  const std::string body = "# TYPE g gauge\ng{a=\"" + std::string(100, 'x') + "\"} 1\n\n";
  const RelabelPlan plan = plan_of(Role::kActive);
  PartBuilder builder;
  std::mutex mutex;
  std::vector<std::shared_ptr<const NodePart>> shared;
  std::jthread reader([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      const std::scoped_lock lock(mutex);
      if (!shared.empty()) shared.pop_back();
    }
  });
  std::shared_ptr<const NodePart> before;
  const std::string expected = shown_of(NodePart::build(body, {}, plan));
  for (int poll = 0; poll < 500; ++poll) {
    auto built = builder.build(body, {}, plan, before.get());
    REQUIRE(built.ok());
    if (shown_of(built) != expected) FAIL("an arena was taken that somebody still has");
    {
      const std::scoped_lock lock(mutex);
      shared.push_back(std::move(before));
    }
    before = std::move(built).value();
  }
  CHECK(builder.steady_parts() == 499);
}

TEST_CASE(
    "an excerpt holds what the body says of the families that are wanted, dropped ones, too") {
  const auto part = NodePart::build(
      "# HELP a One.\n# TYPE a gauge\na 1\n# TYPE vault_raft_peers gauge\nvault_raft_peers 3 17\n"
      "bao_node_up{x=\"1\",y=\"2\"} 1\nb 2\n",
      {}, plan_of(Role::kStandby));
  REQUIRE(part.ok());
  const Exposition sent =
      part.value()->excerpt([](const Family& family) { return family.name.size() > 1; });
  REQUIRE(sent.families.size() == 2);
  CHECK(sent.families[0].name == "vault_raft_peers");
  CHECK(sent.samples_of(sent.families[0])[0].timestamp == "17");
  CHECK(sent.families[1].name == "bao_node_up");
  const Sample& sample = sent.samples_of(sent.families[1])[0];
  CHECK(sample.value == "1");
  REQUIRE(sent.labels_of(sample).size() == 2);
  CHECK(sent.labels_of(sample)[1].value == "2");
}

TEST_CASE("arenas that wait to be taken again are few in all, however many builders there are") {
  constexpr std::size_t kMost = std::size_t{32} << 20;
  const std::size_t before = PartBuilder::spare_bytes();
  std::string body;
  for (int i = 0; i < 60'000; ++i)
    body += "a{path=\"" + std::string(100, 'x') + std::to_string(i) + "\"} 1\n";
  ParseLimits limits;
  limits.samples_max = limits.series_per_family_max = 100'000;
  {
    std::vector<PartBuilder> builders(6);
    std::vector<std::shared_ptr<const NodePart>> parts;
    for (PartBuilder& builder : builders) {
      auto built = builder.build(body, limits, plan_of(Role::kActive), nullptr);
      REQUIRE(built.ok());
      parts.push_back(std::move(built).value());
    }
    const std::size_t each = body.size();  // at least
    parts.clear();
    CHECK(PartBuilder::spare_bytes() >= before + each);
    CHECK(PartBuilder::spare_bytes() <= kMost);
    CHECK(6 * each > kMost - before);
    const std::size_t waiting = PartBuilder::spare_bytes();
    const auto again = builders[0].build(body, limits, plan_of(Role::kActive), nullptr);
    REQUIRE(again.ok());
    CHECK(PartBuilder::spare_bytes() < waiting);
  }
  CHECK(PartBuilder::spare_bytes() == before);
}

}  // namespace bao_exporter
