// What the Publisher makes of certctl servers, beside nodes and without any.
#include <string>
#include <thread>
#include <vector>

#include "bao_exporter/publisher.h"
#include "catch.h"
#include "support/certctl_views.h"
#include "support/quiet.h"
#include "support/running_publisher.h"

namespace bao_exporter {

using namespace test;  // NOLINT(google-build-using-namespace): the helpers of this test

namespace {

// No test waits for as long as the first publication would wait for certctl.
Config with_certctl(Config config, const std::vector<std::string>& names) {
  config.poll.timeout = Milliseconds{60'000};
  for (const std::string& name : names) config.certctls.push_back(certctl_server(name));
  return config;
}

Config only_certctl(const std::vector<std::string>& names) { return with_certctl(Config{}, names); }

// A Publisher on its thread, beside a poll loop that beats when the test says so.
class Alone {
 public:
  explicit Alone(const Config& config, bool loop_is_alive = true)
      : publisher_(config, 42, snapshots, metrics_) {
    beat(loop_is_alive ? Clock::now() : Clock::now() - 2 * Heartbeat::kHungAfter);
    thread_ = std::jthread([this](const std::stop_token& stop) { publisher_.run(stop); });
  }
  void beat(TimePoint when) { metrics_.poll_loop().beat(when); }
  Publisher& publisher() { return publisher_; }
  [[nodiscard]] std::uint64_t generation() const {
    const auto snapshot = snapshots.get();
    return snapshot == nullptr ? 0 : snapshot->generation();
  }

  Slot<Snapshot> snapshots;

 private:
  OwnMetrics metrics_;
  Publisher publisher_;
  std::jthread thread_;  // last: it ends first
};

void pause(Milliseconds time) { std::this_thread::sleep_for(time); }

}  // namespace

TEST_CASE("the first publication waits for nodes and for certctl, whoever comes last") {
  const bool nodes_first = GENERATE(true, false);
  RunningPublisher running(with_certctl(config(1), {"ca", "lab"}));
  const CertctlViews both = {shared(certctl_view("ca", "x 1\n")),
                             shared(certctl_view("lab", "x 2\n"))};
  if (nodes_first) {
    running.round({active(kEarly)});
    running.drain();
    CHECK(running.generation() == 0);
    running.publisher().note_certctl({both[0]});
    running.drain();
    CHECK(running.generation() == 0);
    running.publisher().note_certctl(both);
  } else {
    running.publisher().note_certctl(both);
    running.drain();
    CHECK(running.generation() == 0);
    running.round({active(kEarly)});
  }
  running.drain();
  CHECK(running.generation() == 1);
  const Samples body = running.body();
  REQUIRE(body.problem() == "");
  CHECK(body.value("x", {{"certctl", "ca"}}) == "1");
  CHECK(body.value("x", {{"certctl", "lab"}}) == "2");
  CHECK(body.value("bao_node_up", of("a")) == "1");
  CHECK(running.snapshots.get()->certctl("ca")->reason == ErrorCode::kOk);
  const std::string overdue(running.snapshots.get()->overdue_text());
  CHECK(overdue.find("certctl=") == std::string::npos);
}

TEST_CASE("certctl is not waited for longer than poll.timeout from the start") {
  Config impatient = with_certctl(config(1), {"ca"});
  impatient.poll.timeout = Milliseconds{200};
  const TimePoint start = Clock::now();
  RunningPublisher running(impatient);
  running.round({active(kEarly)});
  REQUIRE(eventually([&] { return running.generation() == 1; }));
  CHECK(Clock::now() - start >= impatient.poll.timeout);
  CHECK(running.body().value("bao_node_up", of("a")) == "1");
  const auto snapshot = running.snapshots.get();
  REQUIRE(snapshot->certctl("ca") != nullptr);
  CHECK(snapshot->certctl("ca")->reason == ErrorCode::kNotPolled);
  // From then on it is not waited for, and published when it comes.
  running.publisher().note_certctl({shared(certctl_view("ca", "x 1\n"))});
  running.drain();
  CHECK(running.generation() == 2);
  CHECK(running.body().value("x") == "1");
}

TEST_CASE("news of certctl are published at once, but not in the middle of a round") {
  RunningPublisher running(with_certctl(config(1), {"ca"}));
  running.publisher().note_certctl({shared(certctl_view("ca", "x 1\n"))});
  running.round({active(kEarly)});
  running.drain();
  REQUIRE(running.generation() == 1);
  running.publisher().note_certctl({shared(certctl_view("ca", "x 2\n"))});
  running.drain();
  CHECK(running.generation() == 2);
  CHECK(running.body().value("x") == "2");
  running.started({0, 1});
  running.drain();
  running.publisher().note_certctl({shared(certctl_view("ca", "x 3\n"))});
  running.ended(0, active(kEarly));
  running.ended(running.marker(), RunningPublisher::standby_alone());
  running.drain();
  CHECK(running.body().value("x") == "3");
  CHECK(running.generation() <= 4);
}

TEST_CASE("a slow round holds news of certctl back for a second, no longer") {
  RunningPublisher running(with_certctl(config(1), {"ca"}));
  running.publisher().note_certctl({shared(certctl_view("ca", "x 1\n"))});
  running.round({active(kEarly)});
  running.drain();
  running.started({0});
  running.drain();
  const TimePoint noted = Clock::now();
  running.publisher().note_certctl({shared(certctl_view("ca", "x 2\n"))});
  REQUIRE(eventually([&] { return running.generation() == 2; }));
  CHECK(Clock::now() - noted >= Milliseconds{1'000});
  CHECK(running.body().value("x") == "2");
}

TEST_CASE("news of certctl do not make what is known of nodes fresher") {
  Config config = with_certctl(test::config(1), {"ca"});
  config.clusters.pop_back();
  Alone alone(config);
  const auto view = [](const std::string& value) {
    return CertctlViews{shared(certctl_view("ca", "x " + value + "\n"))};
  };
  alone.publisher().note_certctl(view("1"));
  PollResult result;
  result.ended = Clock::now() - Milliseconds{20'000};
  result.started = result.ended;
  result.answers = standby();
  const TimePoint until = result.ended + config.poll.stale_after;
  alone.publisher().poll_ended(std::move(result));
  for (std::uint64_t generation = 1; generation < 4; ++generation) {
    REQUIRE(eventually([&] { return alone.generation() == generation; }));
    CHECK_FALSE(alone.snapshots.get()->overdue_at(until));
    CHECK(alone.snapshots.get()->overdue_at(until + Milliseconds{1}));
    alone.publisher().note_certctl(view(std::to_string(generation)));
  }
}

TEST_CASE("a family of certctl that a node has with another TYPE is not counted to the node") {
  RunningPublisher running(with_certctl(config(2), {"ca"}));
  running.publisher().note_certctl(
      {shared(certctl_view("ca", "# TYPE mixed counter\nmixed 1\n# TYPE own gauge\nown 1\n"))});
  running.round({active(kEarly, "# TYPE mixed gauge\nmixed 5\n"), standby()});
  running.drain();
  const Samples body = running.body();
  REQUIRE(body.problem() == "");
  CHECK(body.value("mixed") == "5");
  CHECK(body.value("own") == "1");
  for (const std::string& value :
       body.values("bao_node_samples_dropped_total", {{"cause", "type_conflict"}})) {
    CHECK(value == "0");
  }
}

TEST_CASE("a server that the configuration has no more ends, and no late view brings it back") {
  const Config both = with_certctl(config(1), {"ca", "lab"});
  RunningPublisher running(both);
  const CertctlViews views = {shared(certctl_view("ca", "x 1\n")),
                              shared(certctl_view("lab", "x 2\n"))};
  running.publisher().note_certctl(views);
  running.round({active(kEarly)});
  running.drain();
  REQUIRE(running.body().values("x").size() == 2);
  const Config one = with_certctl(config(1), {"lab"});
  running.hold();
  running.drain_to_hold();
  running.publisher().note_certctl(views);  // not taken yet when the configuration comes
  running.publisher().replace(one, 1);
  running.publisher().note_certctl(views);  // of who has not heard of it
  running.release();
  REQUIRE(eventually([&] { return running.body().values("x").size() == 1; }));
  CHECK(running.body().value("x", {{"certctl", "lab"}}) == "2");
  CHECK(running.snapshots.get()->certctl("ca") == nullptr);
  running.publisher().note_certctl(views);
  running.drain();
  CHECK(running.body().values("x").size() == 1);
}

TEST_CASE("a view that was handed over before a new configuration is not lost by it") {
  RunningPublisher running(with_certctl(config(1), {"ca"}));
  running.publisher().note_certctl({shared(certctl_view("ca", "x 1\n"))});
  running.round({active(kEarly)});
  running.drain();
  running.hold();
  running.drain_to_hold();
  running.publisher().note_certctl({shared(certctl_view("ca", "x 2\n"))});
  running.publisher().replace(with_certctl(config(1), {"ca", "lab"}), 1);
  running.release();
  REQUIRE(eventually([&] { return running.body().value("x") == "2"; }));
  CHECK(running.snapshots.get()->certctl("lab")->reason == ErrorCode::kNotPolled);
}

TEST_CASE("without nodes the first publication is made when certctl was polled") {
  Alone alone(only_certctl({"ca", "lab"}));
  alone.publisher().note_certctl({shared(certctl_view("ca", "x 1\n"))});
  pause(Milliseconds{100});
  CHECK(alone.generation() == 0);
  alone.publisher().note_certctl(
      {shared(certctl_view("ca", "x 1\n")), shared(certctl_view("lab", "", ErrorCode::kConnect))});
  REQUIRE(eventually([&] { return alone.generation() == 1; }));
  const auto snapshot = alone.snapshots.get();
  const Samples body(snapshot->body().to_string());
  REQUIRE(body.problem() == "");
  CHECK(body.value("x") == "1");
  CHECK_FALSE(snapshot->overdue_at(Clock::now()));
  CHECK(snapshot->overdue_text().find("certctl=") == std::string_view::npos);
}

TEST_CASE("without nodes the first publication is made at poll.timeout, with nothing known") {
  Config impatient = only_certctl({"ca"});
  impatient.poll.timeout = Milliseconds{100};
  Alone alone(impatient);
  REQUIRE(eventually([&] { return alone.generation() == 1; }));
  CHECK(alone.snapshots.get()->certctl("ca")->reason == ErrorCode::kNotPolled);
}

TEST_CASE("without nodes a snapshot follows each poll.interval while the poll loop is alive") {
  Config quick = only_certctl({"ca"});
  quick.poll.interval = Milliseconds{50};
  Alone alone(quick);
  alone.publisher().note_certctl({shared(certctl_view("ca", "x 1\n"))});
  REQUIRE(eventually([&] { return alone.generation() >= 4; }));
  const TimePoint alive = Clock::now();
  alone.beat(alive);
  const std::uint64_t seen = alone.generation();
  REQUIRE(eventually([&] { return alone.generation() >= seen + 2; }));
  // As fresh as the loop's last sign of life, not as the publication.
  CHECK_FALSE(alone.snapshots.get()->overdue_at(alive + quick.poll.stale_after));
  CHECK(alone.snapshots.get()->overdue_at(alive + quick.poll.stale_after + Milliseconds{1}));
  CHECK(Samples(alone.snapshots.get()->body().to_string()).value("x") == "1");
}

TEST_CASE("without nodes and with a poll loop that hangs no snapshot follows, and they get old") {
  Config quick = only_certctl({"ca"});
  quick.poll.interval = Milliseconds{20};
  quick.poll.stale_after = Milliseconds{5'000};
  Alone alone(quick, /*loop_is_alive=*/false);
  alone.publisher().note_certctl({shared(certctl_view("ca", "x 1\n"))});
  REQUIRE(eventually([&] { return alone.generation() == 1; }));
  CHECK(alone.snapshots.get()->overdue_at(Clock::now()));
  pause(Milliseconds{200});
  CHECK(alone.generation() == 1);
}

TEST_CASE("a view that gets overdue between two polls ends with the next publication") {
  Config quick = only_certctl({"ca"});
  quick.poll.interval = Milliseconds{50};
  Alone alone(quick);
  CertctlView view = certctl_view("ca", "x 1\n");
  view.valid_until = Clock::now() + Milliseconds{300};
  alone.publisher().note_certctl({shared(std::move(view))});
  REQUIRE(eventually([&] { return alone.generation() >= 1; }));
  REQUIRE(eventually([&] {
    alone.beat(Clock::now());
    return alone.snapshots.get()->certctl("ca")->reason == ErrorCode::kOverdue;
  }));
  CHECK(alone.snapshots.get()->body().to_string().find("certctl=") == std::string::npos);
}

TEST_CASE("a configuration may lose its nodes and get them back") {
  Config nodes = with_certctl(config(1), {"ca"});
  RunningPublisher running(nodes);
  running.publisher().note_certctl({shared(certctl_view("ca", "x 1\n"))});
  running.round({active(kEarly)});
  running.drain();
  REQUIRE(running.body().value("bao_node_up", of("a")) == "1");
  running.publisher().replace(only_certctl({"ca"}), 1);
  REQUIRE(eventually([&] { return running.body().values("bao_node_up").empty(); }));
  CHECK(running.body().value("x") == "1");
  running.publisher().replace(nodes, 1);
  REQUIRE(eventually([&] { return !running.body().values("bao_node_up").empty(); }));
  CHECK_FALSE(running.snapshots.get()->overdue_at(Clock::now()));
  CHECK(running.body().value("x") == "1");
}

}  // namespace bao_exporter
