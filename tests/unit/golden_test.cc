// tests/golden/CASE.N.in.prom is what node nN sent (n1 is active, the others are standbys);
// CASE.want.prom is what is served of them, byte for byte. To look at a difference:
// diff tests/golden/CASE.want.prom CASE.got.prom, which a failing test leaves in the build folder.
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

#include "bao_exporter/merge.h"
#include "bao_exporter/outcome.h"
#include "catch.h"

namespace bao_exporter {

namespace {

const std::filesystem::path kGolden = std::filesystem::path(BAO_TEST_DIR) / "golden";

std::string content_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::string served(const std::string& name) {
  std::vector<MergeSource> sources;
  for (std::uint32_t number = 1;; ++number) {
    const auto path = kGolden / (name + "." + std::to_string(number) + ".in.prom");
    if (!std::filesystem::exists(path)) break;
    const std::string node = "n" + std::to_string(number);
    const Role role = number == 1 ? Role::kActive : Role::kStandby;
    const RelabelPlan plan = openbao_relabel_plan(
        render_identity({{"cluster", "prod"}, {"node_name", node}}), role, true);
    const auto built = NodePart::build(content_of(path), {}, plan);
    REQUIRE(built.ok());
    sources.push_back({number, built.value()});
  }
  REQUIRE_FALSE(sources.empty());
  TypeBook types;
  return merge(sources, types).rope.to_string();
}

}  // namespace

TEST_CASE("each golden case is served byte for byte as it is written down") {
  std::set<std::string> cases;
  for (const auto& entry : std::filesystem::directory_iterator(kGolden)) {
    if (!entry.is_regular_file()) continue;  // folders are of other tests
    const std::string name = entry.path().filename().string();
    cases.insert(name.substr(0, name.find('.')));
  }
  REQUIRE_FALSE(cases.empty());
  for (const std::string& name : cases) {
    CAPTURE(name);
    const std::string got = served(name);
    const std::string want = content_of(kGolden / (name + ".want.prom"));
    if (got != want) std::ofstream(name + ".got.prom", std::ios::binary) << got;
    CHECK(got == want);
  }
}

}  // namespace bao_exporter
