#include "bench/farm_bodies.h"

#include <string_view>

#include "reference/openbao_body.h"
#include "reference/random.h"

namespace bench {

namespace {

constexpr std::size_t kTailSamples = 3;
constexpr std::string_view kHead = "# HELP ";

// A body is blocks that begin with a HELP line, one for each family.
std::vector<std::string_view> blocks_of(std::string_view body) {
  std::vector<std::string_view> blocks;
  while (!body.empty()) {
    const std::size_t next = body.find("\n# HELP ", kHead.size());
    const std::size_t bytes = next == std::string_view::npos ? body.size() : next + 1;
    blocks.push_back(body.substr(0, bytes));
    body.remove_prefix(bytes);
  }
  return blocks;
}

std::string gauge(std::string_view name, const std::string& labels, const std::string& value) {
  std::string out(kHead);
  out.append(name).append(" ").append(name).append("\n# TYPE ").append(name).append(" gauge\n");
  return out.append(name).append(labels).append(" ").append(value).append("\n");
}

}  // namespace

FarmBodies::FarmBodies(const FarmShape& shape) : shape_(shape) {
  reference::Random random(shape.seed);
  reference::BodyShape body{shape.samples - kTailSamples, shape.families, shape.seed, 1, 0};
  variants_.push_back(reference::openbao_body(body));
  while (variants_.size() < shape.variants) {
    ++body.value_seed;
    const std::string fresh = reference::openbao_body(body);
    const auto before = blocks_of(variants_.back());
    const auto after = blocks_of(fresh);
    std::string mixed;
    for (std::size_t i = 0; i < before.size(); ++i) {
      mixed += random.unit() < shape.changing ? after[i] : before[i];
    }
    variants_.push_back(std::move(mixed));
  }
  for (std::size_t node = 0; node < shape.nodes; ++node) {
    const std::string peer = R"({peer_id="raft-)" + std::to_string(node) + "\"}";
    tails_.push_back(
        gauge("process_start_time_seconds", "", "1.7953932443" + std::to_string(node) + "e+09") +
        gauge("vault_core_active", "", is_active(node) ? "1" : "0") +
        gauge("vault_raft_storage_stats_applied_index", peer, std::to_string(131 + node)));
  }
}

}  // namespace bench
