// Our own families: fresh for each scrape, until scrapes come faster than anybody reads them.
#include "bao_exporter/own_tail.h"

#include <string>

#include "catch.h"

using namespace bao_exporter;

namespace {

TimePoint at(int milliseconds) { return TimePoint(Milliseconds(1'000'000 + milliseconds)); }

struct Counted {
  int made = 0;
  OwnTail tail{[this](TimePoint) { return "made " + std::to_string(++made) + "\n"; }};
};

DeflatedPart part_of(std::string_view text) {
  Rope rope;
  rope.append(text);
  return deflate_open(rope);
}

}  // namespace

TEST_CASE("each of fifty scrapes at once sees its own families made anew") {
  Counted counted;
  for (int i = 1; i <= OwnTail::kAtOnce; ++i) {
    CHECK(*counted.tail.text(at(0)) == "made " + std::to_string(i) + "\n");
  }
  CHECK(*counted.tail.text(at(0)) == "made 50\n");
  CHECK(counted.made == OwnTail::kAtOnce);
}

TEST_CASE("a flood of scrapes makes own families a hundred times a second, never older than that") {
  Counted counted;
  for (int i = 0; i < OwnTail::kAtOnce; ++i) (void)counted.tail.text(at(0));
  for (int now = 1; now <= 1000; ++now) {
    for (int i = 0; i < 10; ++i) (void)counted.tail.text(at(now));
  }
  CHECK(counted.made == OwnTail::kAtOnce + 100);
}

TEST_CASE("after a second of rest each scrape is fresh again") {
  Counted counted;
  for (int i = 0; i < 1000; ++i) (void)counted.tail.text(at(0));
  const int made = counted.made;
  (void)counted.tail.text(at(1000));
  (void)counted.tail.text(at(1000));
  CHECK(counted.made == made + 2);
}

TEST_CASE("the packed end is that of the text and of the snapshot it follows") {
  Counted counted;
  const DeflatedPart one = part_of("snapshot one\n");
  const DeflatedPart two = part_of("another\n");
  for (int i = 0; i < OwnTail::kAtOnce; ++i) (void)counted.tail.text(at(0));
  const auto first = counted.tail.deflated(one, 1, at(0));
  CHECK(counted.tail.deflated(one, 1, at(0)) == first);
  CHECK(*first == deflate_tail(one, "made 50\n"));
  CHECK(*counted.tail.deflated(two, 2, at(0)) == deflate_tail(two, "made 50\n"));
  CHECK(*counted.tail.deflated(two, 2, at(10)) == deflate_tail(two, "made 51\n"));
}
