#include "bao_exporter/relabel.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "catch.h"
#include "exposition/label_set.h"
#include "exposition/letter_case.h"
#include "exposition/md5.h"
#include "exposition/relabel_template.h"
#include "support/relabelling.h"

namespace bao_exporter {

namespace {

using test::label_drop;
using test::our_bounds;
using test::ready;
using test::rule_of;
using Action = RelabelAction;
using Labels = std::vector<std::pair<std::string, std::string>>;

struct Applied {
  bool kept = false;
  Labels labels;  // in the order of their names
  std::uint64_t refused = 0;
};

Applied run_rules(const std::vector<RelabelRule>& rules, const Labels& labels) {
  const auto relabel = ready(rules);
  RelabelRun run(*relabel, 7);
  LabelSet set;
  for (const auto& [name, value] : labels) set.add(name, value, relabel->is_fixed(name));
  set.sort();
  Applied out;
  out.kept = run.apply(set);
  out.refused = run.refused();
  for (const auto* entries : {&set.came(), &set.added()}) {
    for (const auto& entry : *entries) out.labels.emplace_back(entry.name, entry.value);
  }
  std::sort(out.labels.begin(), out.labels.end());
  return out;
}

Labels result(const RelabelRule& rule, const Labels& labels) {
  const Applied applied = run_rules({rule}, labels);
  CHECK(applied.kept);
  return applied.labels;
}

std::string problem(const RelabelRule& rule) {
  const auto found = Relabel::problem_of(rule, our_bounds(), make_re2_matcher);
  return found ? found->key + " " + found->text : "";
}

std::string expanded(const std::string& text, const std::string& regex, const std::string& source) {
  const auto matcher = make_re2_matcher(regex);
  std::vector<std::string_view> groups;
  REQUIRE(matcher.ok());
  REQUIRE(matcher.value()->match(source, groups));
  std::string out;
  RelabelTemplate(text, matcher.value().get()).expand(groups, out);
  return out;
}

}  // namespace

TEST_CASE("replace writes what the groups took into the target") {
  CHECK(result(rule_of(Action::kReplace, {"a", "b"}, "(.*);(.*)", "c", "${2}-$1"),
               {{"a", "x"}, {"b", "y"}}) == Labels{{"a", "x"}, {"b", "y"}, {"c", "y-x"}});
  CHECK(result(rule_of(Action::kReplace, {"a"}, "x", "b", "z"), {{"a", "xx"}}) ==
        Labels{{"a", "xx"}});
  CHECK(result(rule_of(Action::kReplace, {"a"}, "(x)(y)?", "to_$1", "v$2"), {{"a", "x"}}) ==
        Labels{{"a", "x"}, {"to_x", "v"}});
  CHECK(result(rule_of(Action::kReplace, {}, "(.*)", "b", "constant"), {}) ==
        Labels{{"b", "constant"}});
}

TEST_CASE("an empty result removes the label") {
  CHECK(result(rule_of(Action::kReplace, {"a"}, "(x*)y", "a"), {{"a", "y"}, {"b", "1"}}) ==
        Labels{{"b", "1"}});
  CHECK(result(rule_of(Action::kLowercase, {"none"}, "", "a"), {{"a", "y"}}).empty());
}

TEST_CASE("the regular expression has to match the whole text, line ends included") {
  const auto keep = [](const std::string& regex, const std::string& value) {
    return run_rules({rule_of(Action::kKeep, {"a"}, regex)}, {{"a", value}}).kept;
  };
  CHECK(keep("b|ab", "ab"));
  CHECK_FALSE(keep("b", "ab"));
  CHECK_FALSE(keep("a", "ab"));
  CHECK(keep("a.b", "a\nb"));
  CHECK_FALSE(keep("(?m)^a$", "a\nb"));
}

TEST_CASE("keep and drop judge the joined source labels; one that is not there is empty") {
  auto rule = rule_of(Action::kDrop, {"a", "none", "b"}, "x--y");
  rule.separator = "-";
  CHECK_FALSE(run_rules({rule}, {{"a", "x"}, {"b", "y"}}).kept);
  CHECK(run_rules({rule}, {{"a", "x"}, {"b", "z"}}).kept);
  rule.action = Action::kKeep;
  CHECK(run_rules({rule}, {{"a", "x"}, {"b", "y"}}).kept);
  CHECK_FALSE(run_rules({rule}, {{"a", "x"}, {"b", "z"}}).kept);
  CHECK_FALSE(run_rules({rule_of(Action::kDrop, {"__name__"}, "vault_route_.*")},
                        {{"__name__", "vault_route_read_secret_"}})
                  .kept);
}

TEST_CASE("keepequal and dropequal compare the source with the target") {
  const auto rule = [](Action action) { return rule_of(action, {"a"}, "(.*)", "b"); };
  CHECK(run_rules({rule(Action::kKeepEqual)}, {{"a", "x"}, {"b", "x"}}).kept);
  CHECK_FALSE(run_rules({rule(Action::kKeepEqual)}, {{"a", "x"}, {"b", "y"}}).kept);
  CHECK_FALSE(run_rules({rule(Action::kDropEqual)}, {{"a", "x"}, {"b", "x"}}).kept);
  CHECK(run_rules({rule(Action::kDropEqual)}, {{"a", "x"}}).kept);
  CHECK_FALSE(run_rules({rule(Action::kDropEqual)}, {}).kept);
}

TEST_CASE("labeldrop and labelkeep go by whole names") {
  const Labels labels = {{"policy", "1"}, {"policy_x", "2"}, {"z", "3"}};
  CHECK(result(label_drop("policy|z"), labels) == Labels{{"policy_x", "2"}});
  CHECK(result(rule_of(Action::kLabelKeep, {}, "policy.*"), labels) ==
        Labels{{"policy", "1"}, {"policy_x", "2"}});
}

TEST_CASE("labels beyond what is removed at a time are removed, too") {
  Labels labels;
  for (int i = 0; i < 200; ++i) labels.emplace_back("x" + std::to_string(i), "1");
  CHECK(result(label_drop("x.*"), labels).empty());
}

TEST_CASE("labelmap copies to the new name; of two the one visited last wins") {
  CHECK(result(rule_of(Action::kLabelMap, {}, "kube_(.+)"), {{"kube_a", "1"}, {"b", "2"}}) ==
        Labels{{"a", "1"}, {"b", "2"}, {"kube_a", "1"}});
  CHECK(result(rule_of(Action::kLabelMap, {}, "k(a|b)", "", "x"), {{"ka", "1"}, {"kb", "2"}}) ==
        Labels{{"ka", "1"}, {"kb", "2"}, {"x", "2"}});
  // `ka` was set, so it is visited after `kb`.
  const auto set_ka = rule_of(Action::kReplace, {}, "(.*)", "ka", "3");
  const auto map = rule_of(Action::kLabelMap, {}, "k(a|b)", "", "x");
  CHECK(run_rules({set_ka, map}, {{"ka", "1"}, {"kb", "2"}}).labels ==
        Labels{{"ka", "3"}, {"kb", "2"}, {"x", "3"}});
}

TEST_CASE("hashmod takes the last eight bytes of the MD5") {
  auto rule = rule_of(Action::kHashMod, {"a", "b"}, "(.*)", "shard");
  rule.modulus = 1'000;
  CHECK(result(rule, {{"a", "x"}})[1].second ==
        std::to_string(0x49D43C985E3D78B5ULL % 1'000));  // of "x;"
  // RFC 1321's own examples, and one of each length at which the padding changes.
  CHECK(md5_tail("") == 0xE9800998ECF8427EULL);
  CHECK(md5_tail("abc") == 0xD6963F7D28E17F72ULL);
  CHECK(md5_tail("message digest") == 0x525A2F31AAF161D0ULL);
  const std::vector<std::pair<std::size_t, std::uint64_t>> wanted = {
      {55, 0x358552954AD0DF65ULL}, {56, 0x4C6C197006D17218ULL},  {63, 0x550606BE297466D5ULL},
      {64, 0x5A4A0363793F7367ULL}, {119, 0xE75F6DABC90E1613ULL}, {120, 0xC75FF505E1F1E537ULL}};
  for (const auto& [length, tail] : wanted) CHECK(md5_tail(std::string(length, 'a')) == tail);
}

TEST_CASE("letters change case as in Unicode, one for one") {
  CHECK(to_lower("AbZ@[\xC3\x84 \xC4\xB0 \xCE\xA3 \xF0\x90\x90\x80") ==
        "abz@[\xC3\xA4 i \xCF\x83 \xF0\x90\x90\xA8");
  CHECK(to_lower("\xE1\xB8\x80 \xE2\x82\xAC") == "\xE1\xB8\x81 \xE2\x82\xAC");
  CHECK(to_upper("\xE1\xB8\x81") == "\xE1\xB8\x80");
  CHECK(to_upper("aBz`{\xC3\xA4 \xC3\x9F \xC3\xBF \xF0\x90\x90\xA8") ==
        "ABZ`{\xC3\x84 \xC3\x9F \xC5\xB8 \xF0\x90\x90\x80");
  CHECK(to_lower("\xC4\x80\xC4\x81") == "\xC4\x81\xC4\x81");  // every second one is upper case
  CHECK(to_upper("\xC4\x80\xC4\x81") == "\xC4\x80\xC4\x80");
  CHECK(to_lower("\xFF") == "\xFF");
  CHECK(result(rule_of(Action::kUppercase, {"a"}, "", "b"), {{"a", "x"}}) ==
        Labels{{"a", "x"}, {"b", "X"}});
}

TEST_CASE("templates read groups as Go does") {
  CHECK(expanded("$1-${1}-${2}x", "(a)(b)", "ab") == "a-a-bx");
  CHECK(expanded("$1x", "(a)", "a").empty());  // the group "1x"
  CHECK(expanded("$$1 $ ${ ${1 $-", "(a)", "a") == "$1 $ ${ ${1 $-");
  CHECK(expanded("$0 $9 $01", "(a)", "a") == "a  ");
  CHECK(expanded("$rest ${rest}", "(?P<rest>.*)", "a") == "a a");
  CHECK(expanded("$rest", "(?<rest>.*)", "a") == "a");
  CHECK(expanded("$none", "a", "a").empty());
  CHECK(expanded("$4294967297", "(a)", "a").empty());
}

TEST_CASE("regular expressions are Prometheus': no bytes, no look-around, names in both ways") {
  CHECK_FALSE(make_re2_matcher("a\\C").ok());
  CHECK(make_re2_matcher("a\\\\C").ok());
  CHECK_FALSE(make_re2_matcher("(?=a)").ok());
  CHECK_FALSE(make_re2_matcher("(a)\\1").ok());
  CHECK_FALSE(make_re2_matcher("a)|(b").ok());
  CHECK(make_re2_matcher("[(?<]").ok());
  CHECK(make_re2_matcher("\\(?<a").ok());
  CHECK(make_re2_matcher("(").error().code == ErrorCode::kConfig);
}

TEST_CASE("a rule that would change or make what is ours is refused, with what to do") {
  const auto to = [](const std::string& target) {
    return problem(rule_of(Action::kReplace, {"a"}, "(.*)", target));
  };
  for (const std::string& name : fixed_labels()) {
    CHECK(to(name).starts_with("target_label rules cannot change the label '" + name + "'"));
    CHECK(problem(label_drop(name)).starts_with("regex takes in the label '" + name + "'"));
    CHECK(problem(rule_of(Action::kLabelKeep, {}, name)).empty());
    CHECK(problem(rule_of(Action::kKeep, {name}, "x")).empty());
    CHECK(problem(rule_of(Action::kKeepEqual, {"a"}, "(.*)", name)).empty());
    auto hashmod = rule_of(Action::kHashMod, {"a"}, "(.*)", name);
    hashmod.modulus = 2;
    for (const auto& rule : {hashmod, rule_of(Action::kLowercase, {"a"}, "", name),
                             rule_of(Action::kUppercase, {"a"}, "", name)}) {
      CHECK(problem(rule).starts_with("target_label rules cannot change"));
    }
    CHECK(problem(rule_of(Action::kLabelMap, {}, "x", "", name))
              .starts_with("replacement rules cannot change"));
  }
  for (const std::string name : {"job", "openbao_namespace", "seal_state_source", "__tmp"}) {
    CHECK(to(name).starts_with("target_label the name '" + name + "' is reserved"));
  }
  CHECK(problem(label_drop("openbao_namespace")).empty());
  CHECK(problem(label_drop(".*")).starts_with("regex takes in"));
}

TEST_CASE("a rule that Prometheus would refuse is refused") {
  CHECK(problem(rule_of(Action::kReplace, {"a"}, "(.*)")).starts_with("target_label is required"));
  CHECK(problem(rule_of(Action::kHashMod, {"a"}, "(.*)", "b")).starts_with("modulus is required"));
  CHECK(problem(rule_of(Action::kReplace, {"a"}, "(", "b")).starts_with("regex is no regular"));
  CHECK(problem(rule_of(Action::kReplace, {"a-b"}, "x", "b")).starts_with("source_labels has"));
  for (const char* target : {"a-b", "1a", "a$", "${a", "$1-", "a$-1"}) {
    CHECK(problem(rule_of(Action::kReplace, {"a"}, "x", target)).starts_with("target_label must"));
    CHECK(problem(rule_of(Action::kLabelMap, {}, "x", "", target)).starts_with("replacement must"));
  }
  CHECK(problem(rule_of(Action::kReplace, {"a"}, "(.*)", "b_${1}_c$1")).empty());
  CHECK(problem(rule_of(Action::kReplace, {"a"}, "(.*)", "b", "$1\xC3\xA4"))
            .starts_with("replacement has a $ group"));
  CHECK(problem(rule_of(Action::kReplace, {"a"}, "(.*)", "b", "${1}\xC3\xA4 $$1")).empty());
}

TEST_CASE("what a rule may not do only shows when it runs: the labels stay, and it is counted") {
  const Labels labels = {{"a", "cluster"}, {"cluster", "prod"}, {"kube_node", "evil"}};
  const Applied by_target =
      run_rules({rule_of(Action::kReplace, {"a"}, "(.*)", "$1", "evil")}, labels);
  CHECK(by_target.labels == labels);
  CHECK(by_target.refused == 1);
  const Applied by_map = run_rules({rule_of(Action::kLabelMap, {}, "kube_(.*)")}, labels);
  CHECK(by_map.labels == labels);
  CHECK(by_map.refused == 1);
  CHECK(run_rules({rule_of(Action::kLabelMap, {}, "(.*)")}, labels).refused == 0);
  CHECK(run_rules({rule_of(Action::kReplace, {"a"}, "(c).*", "__$1", "x")}, labels).labels ==
        labels);
  CHECK(run_rules({rule_of(Action::kReplace, {"a"}, "c()(.*)", "$1", "x")}, labels).labels ==
        labels);
  CHECK(run_rules({rule_of(Action::kReplace, {"a"}, ".(.*)", "$1", "")}, {{"a", "xa"}})
            .labels.empty());
}

TEST_CASE("a template cannot make le, and can remove a reserved name") {
  const auto rule = rule_of(Action::kReplace, {"a"}, "(.*)", "$1", "5");
  for (const std::string name : {"le", "quantile", "node_name", "job", "__name__"}) {
    const Applied applied = run_rules({rule}, {{"a", name}});
    CHECK(applied.labels == Labels{{"a", name}});
    CHECK(applied.refused == 1);
  }
  const auto remove = rule_of(Action::kReplace, {"a"}, "(.*)", "$1", "");
  const Labels reserved = {{"a", "openbao_namespace"}, {"openbao_namespace", "root"}};
  CHECK(run_rules({remove}, reserved).labels == Labels{{"a", "openbao_namespace"}});
  const Labels fixed = {{"a", "cluster"}, {"cluster", "prod"}};
  CHECK(run_rules({remove}, fixed).labels == fixed);
}

TEST_CASE("labelkeep keeps what is not the rules' to remove") {
  CHECK(result(rule_of(Action::kLabelKeep, {}, "a"),
               {{"__name__", "x"}, {"a", "1"}, {"b", "1"}, {"cluster", "c"}, {"le", "1"}}) ==
        Labels{{"__name__", "x"}, {"a", "1"}, {"cluster", "c"}, {"le", "1"}});
}

TEST_CASE("rules cannot make values or label sets without end") {
  const std::vector<RelabelRule> doubling(40,
                                          rule_of(Action::kReplace, {"a"}, "(.*)", "a", "$1$1"));
  const Applied grown = run_rules(doubling, {{"a", "x"}});
  CHECK(grown.labels[0].second.size() == Relabel::kValueBytesMax);
  CHECK(grown.refused == 24);
  const std::vector<RelabelRule> maps(40, rule_of(Action::kLabelMap, {}, "(.*)", "", "x_$1"));
  Labels labels;
  for (int i = 0; i < 64; ++i) labels.emplace_back("l" + std::to_string(i), "1");
  CHECK(run_rules(maps, labels).labels.size() == Relabel::kLabelsMax);
}

TEST_CASE("what was learned of a name is not taken for another") {
  const auto relabel = ready({rule_of(Action::kLabelKeep, {}, "x[0-9]*[02468]")});
  RelabelRun run(*relabel, 7);
  for (int i = 0; i < 5'000; ++i) {
    LabelSet set;
    const std::string name = "x" + std::to_string(i % 1'700);
    set.add(name, "1", false);
    CHECK(run.apply(set));
    CHECK(set.size() == (i % 1'700 % 2 == 0 ? 1 : 0));
  }
}

TEST_CASE("the preset takes away what is unsafe, and nothing else") {
  const std::vector<std::string> unsafe = {"request_id",
                                           "request_path",
                                           "secret_path",
                                           "mount_path",
                                           "namespace_path",
                                           "entity_id",
                                           "token_accessor",
                                           "auth_accessor",
                                           "accessor",
                                           "client_ip",
                                           "client_address",
                                           "remote_address",
                                           "policy",
                                           "mount_point",
                                           "openbao_namespace",
                                           "creation_ttl",
                                           "role"};
  Labels labels;
  for (const std::string& name : unsafe) labels.emplace_back(name, "1");
  const Labels safe = {{"auth_method", "1"}, {"cluster", "1"},       {"local", "1"},
                       {"node_id", "1"},     {"node_role", "1"},     {"peer_id", "1"},
                       {"quantile", "1"},    {"secret_engine", "1"}, {"term", "1"},
                       {"token_type", "1"},  {"type", "1"}};
  labels.insert(labels.end(), safe.begin(), safe.end());
  CHECK(run_rules(safe_relabel_rules(), labels).labels == safe);
  for (const RelabelRule& rule : safe_relabel_rules()) CHECK(problem(rule).empty());
  const auto named = [](const std::string& name) {
    return run_rules(safe_relabel_rules(), {{"__name__", name}}).kept;
  };
  CHECK_FALSE(named("vault_token_count_by_policy"));
  CHECK(named("vault_token_count_by_ttl"));
}

TEST_CASE("the preset's rules are those of docs/configuration.md, in their order") {
  std::ifstream file(std::string(BAO_SOURCE_DIR) + "/docs/configuration.md");
  std::string page((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  page.erase(0, page.find("### The preset safe"));
  std::vector<std::string> rows;
  std::istringstream lines(page);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("| `")) rows.push_back(line);
    if (line.starts_with("## ")) break;
  }
  std::vector<std::string> wanted;
  for (const RelabelRule& rule : safe_relabel_rules()) {
    std::string regex;
    for (const char c : rule.regex) regex += c == '|' ? "\\|" : std::string(1, c);
    const bool drops = rule.action == Action::kDrop;
    wanted.push_back(std::string(drops ? "| `drop` | `__name__` | `" : "| `labeldrop` | | `") +
                     regex + "` |");
  }
  CHECK(rows == wanted);
}

}  // namespace bao_exporter
