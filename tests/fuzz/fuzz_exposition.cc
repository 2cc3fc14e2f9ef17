// Any bytes as the body of a node: parse, relabel, merge with itself, compress. The parser reads
// what the reference parser reads. What comes out must parse again, hold each series once but for
// those that are counted as lost, and carry exactly the identity that we gave it.
#include <cstdlib>
#include <numeric>

#include "bao_exporter/gzip.h"
#include "bao_exporter/merge.h"
#include "bao_exporter/outcome.h"
#include "exposition/names.h"
#include "fuzz/fuzz_target.h"
#include "reference/differ.h"

namespace {

using namespace bao_exporter;  // NOLINT(google-build-using-namespace)

constexpr std::uint64_t kSeed = 0x5EED;

std::shared_ptr<const NodePart> render(const std::string& text, const char* node) {
  const std::string identity = render_identity({{"cluster", "c"}, {"node_name", node}});
  RelabelPlan plan = openbao_relabel_plan(identity, Role::kStandby, true);
  plan.hash_seed = kSeed;
  const auto built = NodePart::build(text, {}, plan);
  return built.ok() ? built.value() : nullptr;
}

void require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);  // NOLINT
  static reference::Differ differ(kSeed);
  require(differ.check(text));
  const auto first = render(text, "a");
  if (first == nullptr) return 0;
  const auto second = render(text, "b");
  TypeBook types;
  const Merged merged = merge({{0, first}, {1, second}}, types);
  const auto& lost = merged.type_conflicts;
  require(std::accumulate(lost.begin(), lost.end(), merged.samples) ==
          first->samples() + second->samples());
  const std::string out = merged.rope.to_string();
  if (out.empty()) return 0;
  const auto again = parse(out, {}, kSeed + 1);
  require(again.ok());
  for (const Sample& sample : again.value().samples) {
    require(is_metric_name(sample.name));
    int identities = 0;
    for (const Label& label : again.value().labels_of(sample)) {
      require(is_label_name(label.name));
      identities += label.name == "cluster" && label.value == "c" ? 1 : 0;
      identities += label.name == "node_name" ? 1 : 0;
      require(!label.name.starts_with("__"));
    }
    require(identities == 2);
  }
  (void)deflate_tail(deflate_open(merged.rope), text);
  return 0;
}
