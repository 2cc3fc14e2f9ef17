#include "bao_exporter/merge.h"

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bao_exporter/format.h"
#include "catch.h"

namespace bao_exporter {

namespace {

constexpr std::uint64_t kSeed = 7;

std::shared_ptr<const NodePart> part_of(const std::string& node, const std::string& text) {
  RelabelPlan plan;
  plan.identity = "node_name=\"" + node + "\"";
  auto built = NodePart::build(text, {}, plan);
  if (!built.ok()) FAIL("the body is refused: " + built.error().detail);
  return std::move(built).value();
}

// Sources a, b, c, ... with ranks 0, 1, 2, ...; an empty text is a source that is down.
std::vector<MergeSource> sources_of(const std::vector<std::string>& texts) {
  std::vector<MergeSource> out;
  for (std::uint32_t i = 0; i < texts.size(); ++i) {
    const std::string node(1, static_cast<char>('a' + i));
    if (!texts[i].empty()) out.push_back({i, part_of(node, texts[i])});
  }
  return out;
}

}  // namespace

TEST_CASE("the first who speaks of a family settles its TYPE") {
  TypeBook book;
  CHECK(book.settle("x", 3, MetricType::kGauge) == MetricType::kGauge);
  CHECK(book.settle("x", 4, MetricType::kCounter) == MetricType::kGauge);
  CHECK(book.settle("y", 4, MetricType::kCounter) == MetricType::kCounter);
}

TEST_CASE("a lower rank overrules a higher one, and what it said stays while it is down") {
  TypeBook book;
  CHECK(book.settle("x", 3, MetricType::kGauge) == MetricType::kGauge);
  CHECK(book.settle("x", 1, MetricType::kCounter) == MetricType::kCounter);
  CHECK(book.settle("x", 3, MetricType::kGauge) == MetricType::kCounter);
  CHECK(book.settle("x", 2, MetricType::kGauge) == MetricType::kCounter);
}

TEST_CASE("a book that is moved keeps what it knows") {
  TypeBook book;
  CHECK(book.settle("x", 1, MetricType::kCounter) == MetricType::kCounter);
  TypeBook moved(std::move(book));
  CHECK(moved.settle("x", 2, MetricType::kGauge) == MetricType::kCounter);
  TypeBook again;
  CHECK(again.settle("x", 2, MetricType::kGauge) == MetricType::kGauge);
  again = std::move(moved);
  CHECK(again.settle("x", 2, MetricType::kGauge) == MetricType::kCounter);
}

TEST_CASE("who settled a TYPE may change it") {
  TypeBook book;
  CHECK(book.settle("x", 1, MetricType::kGauge) == MetricType::kGauge);
  CHECK(book.settle("x", 1, MetricType::kCounter) == MetricType::kCounter);
  CHECK(book.settle("x", 2, MetricType::kGauge) == MetricType::kCounter);
}

TEST_CASE("names that nobody sends any more are forgotten when there are too many") {
  TypeBook book;
  const auto kept = part_of("a", "# TYPE kept counter\nkept 1\n");
  const std::size_t in_a_poll = TypeBook::kFamiliesMax / 2;
  for (int poll = 0; poll < 5; ++poll) {
    std::string text;
    for (std::size_t i = 0; i < in_a_poll; ++i) {
      text += "p" + std::to_string(poll) + "_" + std::to_string(i) + " 1\n";
    }
    CHECK(merge({{0, kept}, {1, part_of("b", text)}}, book).samples == in_a_poll + 1);
    CHECK(book.families() <= TypeBook::kFamiliesMax + in_a_poll + 1);
  }
  CHECK(book.settle("kept", 1, MetricType::kGauge) == MetricType::kCounter);
}

TEST_CASE("a source that is configured no more loses its say, and only its own") {
  TypeBook book;
  CHECK(book.settle("x", 1, MetricType::kGauge) == MetricType::kGauge);
  CHECK(book.settle("y", 2, MetricType::kGauge) == MetricType::kGauge);
  book.forget(1);
  CHECK(book.settle("x", 5, MetricType::kCounter) == MetricType::kCounter);
  CHECK(book.settle("y", 5, MetricType::kCounter) == MetricType::kGauge);
  book.forget(9);
  CHECK(book.settle("x", 6, MetricType::kGauge) == MetricType::kCounter);
}

TEST_CASE("families of several sources are merged in the order of their names") {
  TypeBook book;
  const Merged merged =
      merge(sources_of({"# TYPE b gauge\nb 1\n# TYPE d gauge\nd 1\n",
                        "# TYPE d gauge\nd 2\n# TYPE a gauge\na 2\n# TYPE b gauge\nb 2\n",
                        "# TYPE c counter\nc 3\n"}),
            book);
  CHECK(merged.rope.to_string() ==
        "# TYPE a gauge\na{node_name=\"b\"} 2\n"
        "# TYPE b gauge\nb{node_name=\"a\"} 1\nb{node_name=\"b\"} 2\n"
        "# TYPE c counter\nc{node_name=\"c\"} 3\n"
        "# TYPE d gauge\nd{node_name=\"a\"} 1\nd{node_name=\"b\"} 2\n");
  CHECK(merged.samples == 6);
  CHECK(merged.type_conflicts == std::vector<std::uint64_t>{0, 0, 0});
}

TEST_CASE("a family gets the HELP of its first source only") {
  TypeBook book;
  const Merged merged = merge(
      sources_of({"# HELP x One.\n# TYPE x gauge\nx 1\n", "# HELP x Two.\n# TYPE x gauge\nx 2\n"}),
      book);
  CHECK(merged.rope.to_string() ==
        "# HELP x One.\n# TYPE x gauge\nx{node_name=\"a\"} 1\nx{node_name=\"b\"} 2\n");
}

TEST_CASE("a family without TYPE is announced as untyped") {
  TypeBook book;
  CHECK(merge(sources_of({"x 1\n"}), book).rope.to_string() ==
        "# TYPE x untyped\nx{node_name=\"a\"} 1\n");
}

TEST_CASE("a source that disagrees on a TYPE loses that family, and only that") {
  TypeBook book;
  const Merged merged = merge(
      sources_of(
          {"# TYPE x gauge\nx 1\n",
           "# HELP x No.\n# TYPE x counter\nx{l=\"1\"} 2\nx{l=\"2\"} 2\n# TYPE y gauge\ny 2\n",
           "# TYPE x gauge\nx 3\n", "x 4\n"}),
      book);
  CHECK(merged.rope.to_string() ==
        "# TYPE x gauge\nx{node_name=\"a\"} 1\nx{node_name=\"c\"} 3\n"
        "# TYPE y gauge\ny{node_name=\"b\"} 2\n");
  CHECK(merged.type_conflicts == std::vector<std::uint64_t>{0, 2, 0, 1});
  CHECK(merged.samples == 3);
}

TEST_CASE("each family that a source loses is named, with whose it was") {
  TypeBook types;
  const auto sources = sources_of({"# TYPE x gauge\nx 1\n# TYPE s summary\ns_sum 1\n",
                                   "# TYPE x counter\nx 2\ny 1\n",
                                   "# TYPE s_sum gauge\ns_sum 1\n# TYPE x counter\nx 3\n"});
  const Merged merged = merge(sources, types);
  std::vector<std::pair<std::size_t, std::string>> lost;
  for (const LostFamily& one : merged.lost) lost.emplace_back(one.source, one.name);
  CHECK(lost == std::vector<std::pair<std::size_t, std::string>>{{2, "s_sum"}, {1, "x"}, {2, "x"}});
  CHECK(merged.type_conflicts == std::vector<std::uint64_t>{0, 1, 2});
}

TEST_CASE("the first in rank has its say also while it is down") {
  TypeBook book;
  const std::string gauge = "# TYPE x gauge\nx 1\n";
  const std::string counter = "# TYPE x counter\nx 2\n";
  CHECK(merge(sources_of({gauge, counter}), book).samples == 1);
  const Merged alone = merge(sources_of({"", counter}), book);
  CHECK(alone.samples == 0);
  CHECK(alone.rope.pieces().empty());
  CHECK(alone.type_conflicts == std::vector<std::uint64_t>{1});
  book.forget(0);
  CHECK(merge(sources_of({"", counter}), book).rope.to_string() ==
        "# TYPE x counter\nx{node_name=\"b\"} 2\n");
}

TEST_CASE("who comes up first in rank takes the family over, whoever had it") {
  TypeBook book;
  const std::string gauge = "# TYPE x gauge\nx 1\n";
  const std::string counter = "# TYPE x counter\nx 2\n";
  CHECK(merge(sources_of({"", counter}), book).samples == 1);
  CHECK(merge(sources_of({gauge, counter}), book).rope.to_string() ==
        "# TYPE x gauge\nx{node_name=\"a\"} 1\n");
}

TEST_CASE("a merge that goes the way of the one before shows the newest lines") {
  RelabelPlan plan;
  plan.identity = "node_name=\"a\"";
  PartBuilder builder;
  TypeBook book;
  const std::string other = "# TYPE x counter\nx 5\n# TYPE z gauge\nz 5\n";
  const auto body = [](int value) {
    const std::string text = std::to_string(value);
    return "# HELP x X.\n# TYPE x gauge\nx{l=\"1\"} " + text +
           "\nx{l=\"2\"} 1\n# TYPE y gauge\ny " + text + "\n# " + std::string(80, 'c') + "\n";
  };
  std::shared_ptr<const NodePart> before;
  for (int value = 0; value < 4; ++value) {
    const auto built = builder.build(body(value), {}, plan, before.get());
    REQUIRE(built.ok());
    if (before != nullptr) CHECK(before->sequence() == built.value()->sequence());
    before = built.value();
    const Merged merged = merge({{0, before}, {1, part_of("b", other)}}, book);
    const std::string text = std::to_string(value);
    CHECK(merged.rope.to_string() ==
          "# HELP x X.\n# TYPE x gauge\nx{node_name=\"a\",l=\"1\"} " + text +
              "\nx{node_name=\"a\",l=\"2\"} 1\n# TYPE y gauge\ny{node_name=\"a\"} " + text +
              "\n# TYPE z gauge\nz{node_name=\"b\"} 5\n");
    CHECK(merged.samples == 4);
    CHECK(merged.type_conflicts == std::vector<std::uint64_t>{0, 1});
    REQUIRE(merged.lost.size() == 1);
    CHECK(merged.lost[0].name == "x");
  }
  CHECK(builder.steady_parts() == 3);
}

TEST_CASE("what was settled or forgotten between two merges counts in the second") {
  const std::vector<MergeSource> sources =
      sources_of({"# TYPE x gauge\nx 1\n", "# TYPE x counter\nx 2\n"});
  const std::vector<MergeSource> second = {sources[1]};
  TypeBook book;
  CHECK(merge(sources, book).samples == 1);
  CHECK(merge(second, book).samples == 0);
  book.forget(0);
  CHECK(merge(second, book).samples == 1);
  CHECK(merge(second, book).samples == 1);
  CHECK(book.settle("x", 0, MetricType::kGauge) == MetricType::kGauge);
  CHECK(merge(second, book).samples == 0);
}

TEST_CASE("nothing merged is nothing") {
  TypeBook book;
  const Merged none = merge({}, book);
  CHECK(none.rope.bytes() == 0);
  CHECK(none.rope.to_string().empty());
  const Merged empty = merge(sources_of({"\n", "# TYPE a gauge\n"}), book);
  CHECK(empty.rope.to_string().empty());
  CHECK(empty.type_conflicts.size() == 2);
}

TEST_CASE("a rope keeps alive what it shows, and lets it go with itself") {
  std::weak_ptr<const NodePart> watched;
  std::string text;
  {
    Rope outer;
    {
      TypeBook book;
      std::vector<MergeSource> sources = sources_of({"# TYPE x gauge\nx 1\n"});
      watched = sources[0].part;
      Merged merged = merge(sources, book);
      outer.append(std::move(merged.rope));
    }
    CHECK_FALSE(watched.expired());
    text = outer.to_string();
  }
  CHECK(text == "# TYPE x gauge\nx{node_name=\"a\"} 1\n");
  CHECK(watched.expired());
}

TEST_CASE("a source whose families all lost is kept alive like the others") {
  TypeBook book;
  std::vector<MergeSource> sources =
      sources_of({"# TYPE x gauge\nx 1\n", "# TYPE x counter\nx 1\n"});
  const std::weak_ptr<const NodePart> watched = sources[1].part;
  const Merged merged = merge(sources, book);
  sources.clear();
  CHECK_FALSE(watched.expired());
}

TEST_CASE("a rope counts its bytes, skips empty pieces and joins another after itself") {
  Rope one, two;
  one.append("ab");
  one.append(std::string_view{});
  one.append("");
  two.append("cd");
  two.append("e");
  one.append(std::move(two));
  CHECK(one.to_string() == "abcde");
  CHECK(one.bytes() == 5);
  CHECK(one.pieces().size() == 3);
}

TEST_CASE("random sources, that come and go, are merged as by the plain way") {
  std::mt19937_64 engine(5);
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(engine() % n); };
  const std::vector<std::string> names = {"a", "aa", "ab", "B", "b_total", "b", "c_seconds", "z"};
  const std::vector<std::string> types = {"", "gauge", "gauge", "counter", "summary", "histogram"};

  std::uint64_t conflicts = 0;
  for (int world = 0; world < 60; ++world) {
    TypeBook book;
    std::map<std::string, std::pair<std::uint32_t, MetricType>> plain_book;
    const std::size_t nodes = below(6);
    for (int round = 0; round < 8; ++round) {
      std::vector<MergeSource> sources;
      for (std::uint32_t rank = 0; rank < nodes; ++rank) {
        if (below(4) == 0) continue;  // Down.
        std::string text = "\n";
        for (const std::string& name : names) {
          if (below(2) == 0) continue;
          const std::string type = types[below(types.size())];
          if (below(2) == 0) text += "# HELP " + name + " From " + std::to_string(rank) + ".\n";
          if (!type.empty()) text += "# TYPE " + name + " " + type + "\n";
          for (std::size_t i = below(3); i > 0; --i) {
            const std::string number = std::to_string(i);
            text += type == "summary"     ? name + "{quantile=\"" + number + "\"} 1\n"
                    : type == "histogram" ? name + "_bucket{le=\"" + number + "\"} 1\n"
                                          : name + "{i=\"" + number + "\"} 1\n";
          }
        }
        sources.push_back({rank * 10, part_of(std::to_string(rank), text)});
      }
      if (below(5) == 0) {
        const auto gone = static_cast<std::uint32_t>(below(6) * 10);
        book.forget(gone);
        for (auto at = plain_book.begin(); at != plain_book.end();) {
          at = at->second.first == gone ? plain_book.erase(at) : std::next(at);
        }
      }

      std::map<std::string, std::vector<std::pair<std::size_t, FamilyPart>>> families;
      for (std::size_t i = 0; i < sources.size(); ++i) {
        for (const FamilyPart& family : sources[i].part->families()) {
          families[std::string(family.name)].emplace_back(i, family);
        }
      }
      std::string expected;
      std::uint64_t expected_samples = 0;
      std::vector<std::uint64_t> lost(sources.size());
      for (const auto& [name, from] : families) {
        const auto said = std::pair{sources[from[0].first].rank, from[0].second.type};
        const auto [at, added] = plain_book.emplace(name, said);
        if (said.first <= at->second.first) at->second = said;
        bool headed = false;
        for (const auto& [source, family] : from) {
          if (family.type != at->second.second) {
            lost[source] += family.samples;
            conflicts += family.samples;
            continue;
          }
          if (!headed && family.has_help) {
            expected += "# HELP " + name + " " + std::string(family.help) + "\n";
          }
          if (!headed) {
            expected += "# TYPE " + name + " " + std::string(metric_type_name(family.type)) + "\n";
          }
          headed = true;
          expected += family.lines;
          expected_samples += family.samples;
        }
      }

      const Merged merged = merge(sources, book);
      std::string text = merged.rope.to_string();
      CAPTURE(world, round);
      REQUIRE(text == expected);
      REQUIRE(merged.rope.bytes() == expected.size());
      REQUIRE(merged.samples == expected_samples);
      REQUIRE(merged.type_conflicts == lost);
      text += '\n';  // An empty text would be a truncated one.
      const Result<Exposition> again = parse(text, {}, kSeed);
      REQUIRE(again.ok());
      REQUIRE(again.value().samples.size() == expected_samples);
      const auto& read = again.value().families;
      REQUIRE(std::is_sorted(read.begin(), read.end(),
                             [](const Family& x, const Family& y) { return x.name < y.name; }));
    }
  }
  CHECK(conflicts > 100);
}

}  // namespace bao_exporter
