#include "series_guard.h"

#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

#include "catch.h"
#include "support/relabelling.h"

namespace bao_exporter {

namespace {
using Refused = std::vector<std::size_t>;
}

TEST_CASE("at the limit nobody is refused") {
  CHECK(beyond_series_max({{40}, {60}}, 100).empty());
  CHECK(beyond_series_max({}, 1).empty());
  CHECK(beyond_series_max({{40, true}, {60, true}}, 100).empty());
}

TEST_CASE("the node that explodes is refused, and not the small ones, wherever it stands") {
  CHECK(beyond_series_max({{500}, {10}, {10}}, 100) == Refused{0});
  CHECK(beyond_series_max({{10}, {500}, {10}}, 100) == Refused{1});
  CHECK(beyond_series_max({{10}, {10}, {500}}, 100) == Refused{2});
  CHECK(beyond_series_max({{101}}, 100) == Refused{0});
}

TEST_CASE("as many are refused as it takes, the largest first") {
  CHECK(beyond_series_max({{50}, {60}, {70}}, 100) == Refused{1, 2});
}

TEST_CASE("of equal ones the last of the configuration goes") {
  CHECK(beyond_series_max({{40}, {40}, {40}}, 100) == Refused{2});
}

TEST_CASE("two of like size do not take turns") {
  CHECK(beyond_series_max({{41, true}, {45}, {20}}, 100) == Refused{0});
  CHECK(beyond_series_max({{41, true}, {60}, {20}}, 100) == Refused{1});
}

TEST_CASE("who fits into what is left at the end stays") {
  CHECK(beyond_series_max({{48, true}, {50}, {50}}, 100) == Refused{0});
  CHECK(beyond_series_max({{10, true}, {12}, {91}}, 12) == Refused{0, 2});
  CHECK(beyond_series_max({{10, true}, {12}}, 11) == Refused{1});
}

TEST_CASE("what stays fits, and nobody is refused who would fit") {
  std::mt19937_64 random(7);
  for (int round = 0; round < 5'000; ++round) {
    std::vector<SeriesClaim> claims(random() % 8);
    for (SeriesClaim& claim : claims) claim = {random() % 100, random() % 3 == 0};
    const std::uint64_t limit = random() % 300;
    const Refused refused = beyond_series_max(claims, limit);
    std::uint64_t kept = 0;
    for (std::size_t i = 0; i < claims.size(); ++i) {
      const bool out = std::find(refused.begin(), refused.end(), i) != refused.end();
      if (!out) kept += claims[i].samples;
    }
    CHECK(kept <= limit);
    for (const std::size_t i : refused) CHECK(kept + claims[i].samples > limit);
    CHECK(std::is_sorted(refused.begin(), refused.end()));
  }
}

TEST_CASE("the log names the largest family") {
  const auto part = test::relabelled("x 1\ny{a=\"1\"} 1\ny{a=\"2\"} 1\nz 1\n", nullptr);
  CHECK(over_limit_detail(*part, 3) ==
        "all nodes together have more than limits.series_max (3) series, and this one has 4, most "
        "of them (2) in y");
}

}  // namespace bao_exporter
