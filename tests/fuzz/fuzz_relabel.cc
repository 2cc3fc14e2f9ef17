// Any bytes as relabel rules and as the body that they are run on: a configuration's text up to the
// line "---", then lines of a node. What comes out must parse again, hold each series once, carry
// exactly the identity that we gave it, and be the same when it is made again.
#include <cstdlib>

#include "bao_exporter/config.h"
#include "bao_exporter/format.h"
#include "bao_exporter/outcome.h"
#include "exposition/names.h"
#include "fuzz/fuzz_target.h"

namespace {

using namespace bao_exporter;  // NOLINT(google-build-using-namespace)

constexpr std::uint64_t kSeed = 0x5EED;
constexpr std::string_view kBetween = "\n---\n";
constexpr std::string_view kRest =
    "\n[[openbao]]\ncluster = \"c\"\n[[openbao.node]]\nname = \"a\"\napi_url = "
    "\"https://127.0.0.1:1\"\n";

void require(bool condition) {
  if (!condition) std::abort();
}

std::string render(const std::string& body, std::shared_ptr<const Relabel> rules) {
  RelabelPlan plan = openbao_relabel_plan(R"(cluster="c",node_name="a\"")", Role::kActive,
                                          /*leader_only_from_active=*/true);
  plan.relabel = std::move(rules);
  plan.hash_seed = kSeed;
  const auto built = NodePart::build(body, {}, plan);
  if (!built.ok()) return {};
  const NodePart& part = *built.value();
  std::string out;
  std::uint64_t samples = 0;
  for (const FamilyPart& family : part.families()) {
    require(family.samples > 0);
    samples += family.samples;
    append_family_header(out, family.name, family.has_help, family.help, family.type);
    out += family.lines;
  }
  require(samples == part.samples());
  return out;
}

void check(const std::string& out) {
  const auto again = parse(out, {}, kSeed + 1);
  require(again.ok());
  for (const Sample& sample : again.value().samples) {
    require(is_metric_name(sample.name));
    int identities = 0;
    for (const Label& label : again.value().labels_of(sample)) {
      require(is_label_name(label.name));
      if (label.name == "cluster") identities += label.value == "c" ? 1 : 100;
      if (label.name == "node_name") identities += label.value == "a\\\"" ? 1 : 100;
      require(!label.name.starts_with("__") && label.name != "job" && label.name != "instance");
    }
    require(identities == 2);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);  // NOLINT
  const std::size_t between = text.find(kBetween);
  if (between == std::string::npos) return 0;
  const ConfigOutcome outcome =
      parse_config(text.substr(0, between).append(kRest), "/etc/bao.toml", {});
  if (!outcome.problems.empty() || outcome.config.relabel == nullptr) return 0;
  const std::string body = text.substr(between + kBetween.size());
  const std::string out = render(body, outcome.config.relabel);
  if (out.empty()) return 0;
  check(out);
  require(render(body, outcome.config.relabel) == out);
  return 0;
}
