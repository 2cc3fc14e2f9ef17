// Relabel rules in the engine: against a plain rendering of the whole body, and a poll that is
// compared with the one before against one that is not.
#include <algorithm>
#include <array>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bao_exporter/node_part.h"
#include "bao_exporter/outcome.h"
#include "catch.h"
#include "exposition/isa.h"
#include "exposition/names.h"
#include "exposition/out_labels.h"
#include "exposition/pass.h"
#include "exposition/relabelled_family.h"
#include "support/instruction_sets.h"
#include "support/poll_bodies.h"
#include "support/relabelling.h"

namespace bao_exporter {

namespace {

using test::label_drop;
using test::ready;
using test::rule_of;
using Action = RelabelAction;

RelabelPlan plan_of(Role role, std::shared_ptr<const Relabel> rules) {
  RelabelPlan plan = openbao_relabel_plan("cluster=\"prod\",node_name=\"a\"", role, true);
  plan.hash_seed = 7;
  plan.relabel = std::move(rules);
  return plan;
}

RelabelRule shard_rule(std::uint64_t shards) {
  RelabelRule rule = rule_of(Action::kHashMod, {"mount_point", "path"}, "(.*)", "shard");
  rule.modulus = shards;
  return rule;
}

// Of what PollBodies sends, some is dropped, some made equal, some refused, and some left alone.
std::shared_ptr<const Relabel> some_rules(PollBodies& bodies) {
  const std::vector<RelabelRule> kinds = {
      label_drop("mount_point|path"),
      label_drop("openbao_namespace"),
      label_drop("exported_.*"),
      rule_of(Action::kReplace, {"mount_point"}, "(.*/)[0-9]+", "mount_point"),
      rule_of(Action::kReplace, {"openbao_namespace"}, "(ns[01])", "$1"),  // nobody may make "ns0"
      rule_of(Action::kReplace, {"mount_point"}, "(s)ys.*", "node_name_$1", "x\"\\\n"),
      rule_of(Action::kLabelMap, {}, "mount_(.*)", {}, "node_role"),
      rule_of(Action::kDrop, {"mount_point"}, "secret/.*"),
      rule_of(Action::kDrop, {"__name__"}, ".*_(sum|count)"),
      rule_of(Action::kDrop, {"quantile"}, "0\\.9"),
      rule_of(Action::kKeep, {"__name__"}, "vault_f[0-3].*"),
      shard_rule(3)};
  std::vector<RelabelRule> rules;
  for (std::size_t n = 1 + bodies.below(3); n > 0; --n) rules.push_back(bodies.one_of(kinds));
  return ready(rules, bodies.one_in(3) ? OnDuplicate::kDrop : OnDuplicate::kSum);
}

// All of it, one sample after the other, without anything that was known before.
class PlainRendering {
 public:
  explicit PlainRendering(const RelabelPlan& plan)
      : plan_(plan), rules_(*plan.relabel, plan.identity, plan.hash_seed) {}

  std::string run(const std::string& body, const Exposition& exposition) {
    for (const Family& family : exposition.families) claim(family);
    for (const Family& family : exposition.families) add(exposition, family);
    std::string out = std::to_string(samples_) + " of " + std::to_string(body.size());
    for (const std::uint64_t count : dropped_) out += " " + std::to_string(count);
    out += " " + std::to_string(rules_.refused());
    for (const auto& [name, text] : texts_) out += text;
    return out;
  }

 private:
  // Of families that are served by one name, the first of those that it is their own of, or else
  // the first.
  void claim(const Family& family) {
    const std::string name = served_metric_name(family.name);
    const auto [at, is_new] = owners_.try_emplace(name, &family);
    if (!is_new && family.name == name) at->second = &family;
  }

  std::vector<std::string> names_of(const Family& family) const {
    const std::string name = served_metric_name(family.name);
    if (family.type == MetricType::kSummary) return {name, name + "_sum", name + "_count"};
    if (family.type != MetricType::kHistogram) return {name};
    return {name, name + "_sum", name + "_count", name + "_bucket"};
  }

  bool is_taken(const Family& family) const {
    const std::vector<std::string> ours = names_of(family);
    if (family.name == ours.front()) return false;
    return std::any_of(owners_.begin(), owners_.end(), [&](const auto& owner) {
      const Family& other = *owner.second;
      const bool renamed = other.name != owner.first;
      if (&other == &family || (renamed && &other > &family)) return false;
      const std::vector<std::string> theirs = names_of(other);
      return std::find_first_of(ours.begin(), ours.end(), theirs.begin(), theirs.end()) !=
             ours.end();
    });
  }

  bool either(const Family& family, const auto& question) const {
    Family renamed = family;
    const std::string name = served_metric_name(family.name);
    renamed.name = name;
    return question && (question(family) || question(renamed));
  }

  bool is_reserved(const Family& family) const {
    const bool suffixed =
        family.type == MetricType::kSummary || family.type == MetricType::kHistogram;
    const std::string longer = served_metric_name(family.name) + (suffixed ? "_" : "");
    return std::any_of(plan_.reserved_family_prefixes.begin(), plan_.reserved_family_prefixes.end(),
                       [&](const std::string& prefix) { return longer.starts_with(prefix); });
  }

  void drop(DropCause cause, std::uint64_t samples) {
    dropped_[static_cast<std::size_t>(cause)] += samples;
  }

  void add(const Exposition& exposition, const Family& family) {
    if (is_reserved(family)) return drop(DropCause::kReservedName, family.sample_count);
    if (either(family, plan_.leader_only)) {
      return drop(DropCause::kLeaderOnly, family.sample_count);
    }
    if (is_taken(family)) return drop(DropCause::kTypeConflict, family.sample_count);
    const std::function<bool(const Family&)> has_state_label = [&](const Family& one) {
      return plan_.has_state_label(one.name);
    };
    const bool state_label = either(family, has_state_label);
    const std::vector<const Sample*> kept = without_twins(exposition, family, state_label);
    std::string lines;
    OutLabels labels(plan_);
    std::deque<std::string> names = {served_metric_name(family.name)};
    rules_.begin(names.front(), family.type);
    for (const Sample* sample : kept) {
      labels.assign(exposition.labels_of(*sample), state_label);
      const std::string& name = names.emplace_back(served_metric_name(sample->name));
      rules_.add(name, labels.labels(), sample->value);
      labels.append_head(lines, name);
      lines += std::string(sample->value) + "\n";
    }
    drop(DropCause::kDuplicateAfterRelabel, family.sample_count - kept.size());
    std::string by_rules;
    const RelabelledFamily::Outcome outcome = rules_.finish(by_rules);
    drop(DropCause::kRelabel, outcome.dropped_by_rule);
    drop(DropCause::kDuplicateAfterRelabel, outcome.duplicates);
    show(family, outcome.touched ? outcome.samples : static_cast<std::uint32_t>(kept.size()),
         outcome.touched ? by_rules : lines);
  }

  std::vector<const Sample*> without_twins(const Exposition& exposition, const Family& family,
                                           bool state_label) const {
    OutLabels labels(plan_);
    std::map<std::string, std::pair<const Sample*, bool>> holders;
    std::vector<const Sample*> kept;
    for (const Sample& sample : exposition.samples_of(family)) {
      labels.assign(exposition.labels_of(sample), state_label);
      const bool had_removed = !labels.removed().empty();
      const auto [at, is_new] = holders.try_emplace(labels.key(sample.name), &sample, had_removed);
      if (!is_new && (!had_removed || at->second.second)) continue;
      if (!is_new) {
        kept.erase(std::find(kept.begin(), kept.end(), at->second.first));
        at->second = {&sample, had_removed};
      }
      kept.push_back(&sample);
    }
    return kept;
  }

  void show(const Family& family, std::uint32_t samples, const std::string& lines) {
    if (samples == 0) return;
    samples_ += samples;
    const std::string name = served_metric_name(family.name);
    std::string& text = texts_[name];
    text = "\n[" + name + " " + std::string(metric_type_name(family.type)) +
           (family.has_help ? " <" + std::string(family.help) + ">" : "") + " " +
           std::to_string(samples) + "]\n" + lines;
  }

  const RelabelPlan& plan_;
  RelabelledFamily rules_;
  std::uint64_t samples_ = 0;
  DropCounts dropped_{};
  std::map<std::string, const Family*> owners_;
  std::map<std::string, std::string> texts_;
};

std::string served_of(const std::string& shown) {
  return shown.substr(0, shown.find("\nown text:"));
}

}  // namespace

TEST_CASE("with rules a body becomes what a plain rendering of its samples makes of it") {
  for (const Isa isa : loops_of_this_machine()) {
    const Forced forced(isa);
    PollBodies bodies(31);
    DropCounts dropped{};
    std::uint64_t refused = 0, summed = 0;
    for (int round = 0; round < 1'000; ++round) {
      std::string body = bodies.body();
      if (bodies.one_in(3)) body = bodies.next(body, /*harm=*/false);
      const RelabelPlan plan =
          plan_of(bodies.one_in(2) ? Role::kActive : Role::kStandby, some_rules(bodies));
      const auto parsed = parse(body, {}, 7);
      const auto built = NodePart::build(body, {}, plan);
      REQUIRE(parsed.ok() == built.ok());
      if (!built.ok()) continue;
      const NodePart& part = *built.value();
      const std::string expected = PlainRendering(plan).run(body, parsed.value());
      const std::string actual = served_of(shown_of(built));
      if (actual != expected) {
        CAPTURE(static_cast<int>(isa), body, expected, actual);
        FAIL("not the same");
      }
      std::uint64_t told = part.samples();
      for (std::size_t cause = 0; cause < kDropCauseCount; ++cause) {
        dropped[cause] += part.dropped()[cause];
        told += part.dropped()[cause];
      }
      summed += parsed.value().samples.size() - told;
      refused += part.relabel_refused();
    }
    CHECK(dropped[static_cast<std::size_t>(DropCause::kRelabel)] > 1'000);
    CHECK(dropped[static_cast<std::size_t>(DropCause::kDuplicateAfterRelabel)] > 1'000);
    CHECK(dropped[static_cast<std::size_t>(DropCause::kTypeConflict)] > 20);
    CHECK(summed > 500);
    CHECK(refused > 100);
  }
}

TEST_CASE("with rules a poll that is compared with the one before gives what it gives alone") {
  for (const Isa isa : loops_of_this_machine()) {
    const Forced forced(isa);
    PollBodies bodies(37);
    std::size_t steady = 0, with_counts = 0;
    for (int world = 0; world < 300; ++world) {
      PartBuilder builder;
      std::shared_ptr<const NodePart> before;
      std::string body = bodies.body();
      auto rules = some_rules(bodies);
      for (int poll = 0; poll < 8; ++poll) {
        if (poll == 6 && world % 4 == 0) rules = some_rules(bodies);
        const RelabelPlan plan = plan_of(world % 2 == 0 ? Role::kActive : Role::kStandby, rules);
        const std::string expected = shown_of(NodePart::build(body, {}, plan));
        const std::uint64_t steady_before = builder.steady_parts();
        const auto built = builder.build(body, {}, plan, before.get());
        const std::string actual = shown_of(built);
        if (actual != expected) {
          CAPTURE(static_cast<int>(isa), body, expected, actual);
          FAIL("not the same");
        }
        if (built.ok()) {
          before = built.value();
          const bool counts = before->relabel_refused() > 0 &&
                              before->dropped()[static_cast<std::size_t>(DropCause::kRelabel)] > 0;
          with_counts += counts && builder.steady_parts() > steady_before ? 1 : 0;
        }
        body = bodies.next(built.ok() ? body : bodies.body(), bodies.one_in(6));
        if (body.empty()) body = "\n";
      }
      steady += builder.steady_parts();
    }
    CHECK(steady > 700);
    CHECK(with_counts > 20);
  }
}

TEST_CASE("sums are made anew when a value changes, and other rules are not taken for the same") {
  const std::string padding = "# TYPE z gauge\nz{long=\"" + std::string(100, 'z') + "\"} 1\n";
  const auto body = [&](const std::string& second) {
    return "# TYPE x gauge\nx{p=\"a\"} 1\nx{p=\"b\"} " + second + "\n" + padding;
  };
  PartBuilder builder;
  const RelabelPlan sums = plan_of(Role::kActive, ready({label_drop("p")}));
  const auto first = builder.build(body("2"), {}, sums, nullptr);
  REQUIRE(first.ok());
  const auto second = builder.build(body("40"), {}, sums, first.value().get());
  REQUIRE(second.ok());
  CHECK(builder.steady_parts() == 1);
  CHECK(second.value()->families()[0].lines == "x{cluster=\"prod\",node_name=\"a\"} 41\n");
  const RelabelPlan other = plan_of(Role::kActive, ready({label_drop("none")}));
  const auto third = builder.build(body("40"), {}, other, second.value().get());
  REQUIRE(third.ok());
  CHECK(builder.steady_parts() == 1);
  CHECK(third.value()->samples() == 3);
  CHECK(builder.with_plan(third.value(), sums).value()->samples() == 2);
}

TEST_CASE("rules that make too much of a body are an error, and nothing is written beyond it") {
  const std::string long_value(1'000, 'y');
  const RelabelPlan plan =
      plan_of(Role::kActive, ready({rule_of(Action::kReplace, {"p"}, "b", "p", long_value)}));
  PlanImage image(plan);
  PartStore store;
  store.body = "x 1\nz{p=\"a\"} 2\nz{p=\"b\"} 1\nlast 1\n";
  for (const Isa isa : loops_of_this_machine()) {
    const Forced forced(isa);
    Pass pass;
    pass.begin(store, image);
    REQUIRE(pass_loops().cold(pass));
    const std::uint32_t needed = store.families[1].out_end;
    REQUIRE(needed > long_value.size());
    pass.rules_out_max = needed;
    pass.begin(store, image);
    CHECK(pass_loops().cold(pass));
    pass.rules_out_max = needed - 1;
    pass.begin(store, image);
    REQUIRE_FALSE(pass_loops().cold(pass));
    CHECK(pass.error().code == ErrorCode::kTooLarge);
    CHECK(store.out.size() < needed);
  }
}

}  // namespace bao_exporter
