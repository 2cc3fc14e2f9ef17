#include "bao_exporter/publisher.h"

#include <string>
#include <vector>

#include "catch.h"
#include "support/answers.h"
#include "support/quiet.h"
#include "support/running_publisher.h"

namespace bao_exporter {

using namespace test;  // NOLINT(google-build-using-namespace): the helpers of this test

TEST_CASE("nothing is published before every target was polled once") {
  RunningPublisher running(2);
  running.started({0, 1, 2});
  running.ended_long_ago(0, active(kEarly));
  running.drain();
  CHECK(running.generation() == 0);
  running.ended_long_ago(1, standby());
  running.drain();
  CHECK(running.generation() == 0);
  running.ended(running.marker(), RunningPublisher::standby_alone());
  running.drain();
  CHECK(running.generation() == 1);
}

TEST_CASE("a node that has to be asked again holds the first publication until it is known") {
  RunningPublisher running(1);
  running.started({0, 1});
  running.ended(1, RunningPublisher::standby_alone());
  running.ended(0, {health_standby(), exposition(small_body("1")), std::nullopt});
  running.drain();
  CHECK(running.generation() == 0);
  CHECK(running.asked_again() == std::vector<std::size_t>{0});
  running.started({0});
  running.ended(0, standby(), /*second_look=*/true);
  running.drain();
  CHECK(running.generation() == 1);
  CHECK(running.body().value("bao_node_role", of("a", "node_role", "standby")) == "1");
}

TEST_CASE("a round is published once, when its last poll has ended") {
  RunningPublisher running(3);
  running.round({active(kEarly), standby(), standby()});
  running.drain();
  CHECK(running.generation() == 1);
  for (std::uint64_t round = 2; round < 5; ++round) {
    running.started({0, 1, 2, 3});
    running.ended(2, standby());
    running.drain();
    running.ended(0, active(kEarly));
    running.drain();
    running.ended(running.marker(), RunningPublisher::standby_alone());
    running.drain();
    CHECK(running.generation() == round - 1);
    running.ended(1, standby());
    running.drain();
    CHECK(running.generation() == round);
  }
}

TEST_CASE("a round does not wait longer than a second for who is slow, whose turn comes later") {
  RunningPublisher running(2);
  running.round({active(kEarly), standby("version_of_b 1\n")});
  running.drain();
  running.started({0, 1, 2});
  running.ended_long_ago(0, active(kEarly));
  CHECK(eventually([&] { return running.generation() == 2; }));
  CHECK(running.body().value("version_of_b") == "1");  // what is known of it stays
  running.ended(running.marker(), RunningPublisher::standby_alone());
  running.drain();
  CHECK(running.generation() == 2);
  running.ended(1, standby("version_of_b 2\n"));
  running.drain();
  CHECK(running.generation() == 3);
  CHECK(running.body().value("version_of_b") == "2");
}

TEST_CASE("patience lasts while polls keep ending, and five seconds at most") {
  const TimePoint first = Clock::now();
  const auto after = [&](int last_ms, int interval_s = 15) {
    return end_of_patience(first, first + Milliseconds{last_ms}, Milliseconds{1'000 * interval_s}) - first;
  };
  CHECK(after(0) == Milliseconds{1'000});
  CHECK(after(750) == Milliseconds{1'000});
  CHECK(after(900) == Milliseconds{1'150});
  CHECK(after(4'000) == Milliseconds{4'250});
  CHECK(after(4'900) == Milliseconds{5'000});
  CHECK(after(4'900, 60) == Milliseconds{5'000});
  CHECK(after(4'900, 6) == Milliseconds{2'000});
  CHECK(after(4'900, 1) == Milliseconds{1'000});
  CHECK(end_of_patience(first, TimePoint(), Milliseconds{15'000}) == first + Milliseconds{1'000});
}

TEST_CASE("the second of patience ends by itself, without another poll") {
  RunningPublisher running(1);
  running.round({standby()});
  running.drain();
  running.started({0, 1});
  running.ended_long_ago(0, standby());
  CHECK(eventually([&] { return running.generation() == 2; }));
}

TEST_CASE("a change of role is published at once, with others under way") {
  RunningPublisher running(2);
  running.round({active(kEarly), standby()});
  running.drain();
  running.started({0, 1, 2});
  running.ended(0, standby());
  running.drain();
  CHECK(running.generation() == 2);
  const Samples body = running.body();
  CHECK(body.value("bao_node_role", of("a", "node_role", "standby")) == "1");
  CHECK(body.value("bao_node_role", of("a", "node_role", "active")) == "0");
  CHECK(body.value("bao_node_role_changes_total", of("a")) == "1");
  CHECK(body.value("bao_cluster_nodes", {{"cluster", "prod"}, {"node_role", "active"}}) == "0");
}

TEST_CASE("a failed poll ends that node's samples at once, and those of nobody else") {
  RunningPublisher running(2);
  running.round({active(kEarly, "only_here{x=\"a\"} 1\n"), standby("only_here{x=\"b\"} 1\n")});
  running.drain();
  CHECK(running.body().values("only_here").size() == 2);
  running.started({0, 1, 2});
  running.ended(0, down());
  running.drain();
  const Samples body = running.body();
  REQUIRE(body.problem() == "");
  CHECK(body.values("only_here", of("a")).empty());
  CHECK(body.value("only_here", of("b")) == "1");
  CHECK(body.value("bao_node_up", of("a")) == "0");
  CHECK(body.value("bao_node_up", of("b")) == "1");
  CHECK(body.value("bao_node_role", of("a", "node_role", "unreachable")) == "1");
  CHECK(body.value("bao_node_last_poll_reason", of("a")) == "1");
  CHECK(body.label("bao_node_last_poll_reason", "reason", of("a")) == "connect");
  CHECK(body.value("bao_node_samples", of("a")) == "0");
  CHECK(body.value("bao_node_body_bytes", of("a")) == "0");
  CHECK(body.values("bao_node_family_series", of("a")).empty());
  CHECK(body.value("bao_node_last_success_timestamp_seconds", of("a")).find("samples") ==
        std::string::npos);
}

TEST_CASE("each failure has its reason, whatever the role") {
  RunningPublisher running(3);
  running.round({{health_active(), json(403, kDenied), leader_self(kEarly)},
                 {health_sealed(), json(503, kVaultSealed), std::nullopt},
                 {health_uninitialized(), json(503, kVaultSealed), std::nullopt}});
  running.drain();
  const Samples body = running.body();
  CHECK(body.label("bao_node_last_poll_reason", "reason", of("a")) == "token_rejected");
  CHECK(body.label("bao_node_last_poll_reason", "reason", of("b")) == "sealed");
  CHECK(body.label("bao_node_last_poll_reason", "reason", of("c")) == "uninitialized");
  CHECK(body.value("bao_node_role", of("a", "node_role", "active")) == "1");
  CHECK(body.value("bao_node_role", of("b", "node_role", "sealed")) == "1");
  CHECK(body.value("bao_node_role", of("c", "node_role", "uninitialized")) == "1");
  CHECK(body.values("bao_node_role", of("a")).size() == 6);
}

TEST_CASE("of two active nodes the older term is withheld and asked again at once") {
  RunningPublisher running(2);
  running.round(
      {active(kEarly, "only_here{x=\"a\"} 1\n"), active(kLate, "only_here{x=\"b\"} 1\n")});
  running.drain();
  CHECK(running.asked_again() == std::vector<std::size_t>{0});
  {
    const Samples body = running.body();
    REQUIRE(body.problem() == "");
    CHECK(body.values("only_here", of("a")).empty());
    CHECK(body.value("only_here", of("b")) == "1");
    CHECK(body.value("bao_node_role", of("a", "node_role", "unknown")) == "1");
    CHECK(body.label("bao_node_last_poll_reason", "reason", of("a")) == "superseded");
    CHECK(body.value("bao_node_up", of("a")) == "0");
    CHECK(body.value("bao_node_role", of("b", "node_role", "active")) == "1");
    CHECK(body.value("bao_cluster_nodes", {{"cluster", "prod"}, {"node_role", "active"}}) == "1");
    CHECK(body.value("bao_node_samples_dropped_total", of("a", "cause", "superseded")) == "3");
  }
  // The second look tells the truth.
  running.started({0});
  running.ended(0, standby("only_here{x=\"a\"} 1\n"), /*second_look=*/true, 10);
  running.drain();
  const Samples body = running.body();
  CHECK(running.asked_again().empty());
  CHECK(body.value("only_here", of("a")) == "1");
  CHECK(body.value("bao_node_role", of("a", "node_role", "standby")) == "1");
}

TEST_CASE("an older term that stays in the second look stays withheld, and is not asked for ever") {
  RunningPublisher running(2);
  running.round({active(kEarly), active(kLate)});
  running.drain();
  CHECK(running.asked_again() == std::vector<std::size_t>{0});
  running.started({0});
  running.ended(0, active(kEarly), /*second_look=*/true, 10);
  running.drain();
  CHECK(running.asked_again().empty());
  CHECK(running.body().label("bao_node_last_poll_reason", "reason", of("a")) == "superseded");
}

TEST_CASE("a node that stays superseded does not make a round publish twice") {
  RunningPublisher running(2);
  running.round({active(kEarly), active(kLate)});
  running.drain();
  running.started({0});
  running.ended(0, active(kEarly), /*second_look=*/true, 10);
  running.drain();
  (void)running.asked_again();
  const std::uint64_t before = running.generation();
  // The next round: nothing changes for anybody.
  running.started({0, 1, 2});
  running.ended(0, active(kEarly), false, 1'000);
  running.drain();
  running.ended(1, active(kLate), false, 1'000);
  running.drain();
  running.ended(running.marker(), RunningPublisher::standby_alone(), false, 1'000);
  running.drain();
  CHECK(running.generation() == before + 1);
}

TEST_CASE("two that both stay active with equal terms are both served, and stay so") {
  RunningPublisher running(2);
  // No leader answer: neither is proven.
  running.round({active("", "only_here 1\n"), active("", "only_here 1\n")}, 0);
  running.drain();
  const auto first = running.asked_again();
  REQUIRE(first.size() == 1);
  // Whoever was withheld is asked, and so is whoever is withheld then.
  for (int step = 1; step < 5; ++step) {
    const auto again = step == 1 ? first : running.asked_again();
    for (const std::size_t target : again) {
      running.started({target});
      running.ended(target, active("", "only_here 1\n"), /*second_look=*/true, step * 10);
      running.drain();
    }
  }
  CHECK(running.asked_again().empty());
  CHECK(running.body().values("only_here").size() == 2);
  CHECK(running.body().value("bao_cluster_nodes", {{"cluster", "prod"}, {"node_role", "active"}}) ==
        "2");
  for (int round = 1; round < 4; ++round) {
    running.round({active("", "only_here 1\n"), active("", "only_here 1\n")}, round * 1'000);
    running.drain();
    INFO("round " << round);
    CHECK(running.asked_again().empty());
    CHECK(running.body().values("only_here").size() == 2);
  }
}

TEST_CASE(
    "two confirmed active nodes stay served when one of them is polled later than the other") {
  RunningPublisher running(3);
  running.round({active("", "only_here 1\n"), active("", "only_here 1\n"), standby()}, 0);
  running.drain();
  for (int step = 1; step < 5; ++step) {
    for (const std::size_t target : running.asked_again()) {
      running.started({target});
      running.ended(target, active("", "only_here 1\n"), /*second_look=*/true, step * 10);
      running.drain();
    }
  }
  REQUIRE(running.body().values("only_here").size() == 2);
  // A round in which the third node changes its role, so that its part is published beside the
  // older polls of the others: first one of the two has ended, then the other.
  for (const std::size_t early : {std::size_t{0}, std::size_t{1}}) {
    const int at = 1'000 + static_cast<int>(early) * 1'000;
    running.started({0, 1, 2, 3});
    running.ended(early, active("", "only_here 1\n"), false, at);
    running.ended(2, early == 0 ? down() : standby(), false, at);
    running.drain();
    INFO("first to end: " << early);
    CHECK(running.body().values("only_here").size() == 2);
    running.ended(1 - early, active("", "only_here 1\n"), false, at);
    running.ended(running.marker(), RunningPublisher::standby_alone(), false, at);
    running.drain();
    CHECK(running.body().values("only_here").size() == 2);
    (void)running.asked_again();
  }
}

TEST_CASE("a second look answers the question it was asked for, and no other") {
  RunningPublisher running(2);
  // Asked again because of a rival: a contradiction in that answer is a first one.
  running.round({active(kEarly), active(kLate)});
  running.drain();
  CHECK(running.asked_again() == std::vector<std::size_t>{0});
  running.started({0});
  running.ended(0, {health_standby(), exposition(small_body("1")), std::nullopt},
                /*second_look=*/true, 10);
  running.drain();
  CHECK(running.asked_again() == std::vector<std::size_t>{0});
  CHECK(running.body().label("bao_node_last_poll_reason", "reason", of("a")) == "superseded");
  // That again: now it is somebody else's body.
  running.started({0});
  running.ended(0, {health_standby(), exposition(small_body("1")), std::nullopt},
                /*second_look=*/true, 20);
  running.drain();
  CHECK(running.asked_again().empty());
  CHECK(running.body().label("bao_node_last_poll_reason", "reason", of("a")) ==
        "identity_mismatch");
  CHECK(running.body().value("bao_node_role", of("a", "node_role", "standby")) == "1");
}

TEST_CASE(
    "a claim that comes with the second look at a contradiction is questioned, not confirmed") {
  RunningPublisher running(2);
  running.round({active("", "only_here 1\n"), standby()}, 0);
  running.drain();
  running.started({1});
  running.ended(1, {health_active(), exposition(small_body("0")), std::nullopt}, false, 10);
  running.drain();
  CHECK(running.asked_again() == std::vector<std::size_t>{1});
  running.started({1});
  // Polled before the other's last poll, so the other is the newer.
  running.ended(1, active("", "only_here 1\n"), /*second_look=*/true, -10);
  running.drain();
  CHECK(running.asked_again() == std::vector<std::size_t>{1});
  CHECK(running.body().values("only_here").size() == 1);
}

TEST_CASE("a claim that stayed in one dispute is questioned again in the next") {
  RunningPublisher running(2);
  const auto claims = [] { return active("", "only_here 1\n"); };
  // Neither has a term. Asked again, both say so again: there are two.
  running.round({claims(), claims()}, 0);
  running.drain();
  REQUIRE(running.asked_again() == std::vector<std::size_t>{1});
  for (const std::size_t target : {1U, 0U}) {
    running.started({target});
    running.ended(target, claims(), /*second_look=*/true, 10 + static_cast<int>(target));
    running.drain();
  }
  (void)running.asked_again();
  CHECK(running.body().values("only_here").size() == 2);
  // It is over, then another begins: what was said in the first is no answer to it.
  running.round({standby(), claims()}, 1'000);
  running.drain();
  CHECK(running.body().values("only_here").size() == 1);
  running.round({claims(), claims()}, 2'000);
  running.drain();
  CHECK(running.asked_again() == std::vector<std::size_t>{1});
  CHECK(running.body().values("only_here").size() == 1);
}

TEST_CASE("an active node whose metrics fail still supersedes an older claim") {
  RunningPublisher running(2);
  running.round({active(kEarly, "only_here 1\n"), standby()});
  running.drain();
  running.started({0, 1, 2});
  running.ended(1, {health_active(), failed(ErrorCode::kReset), leader_self(kLate)}, false, 10);
  running.drain();
  const Samples body = running.body();
  CHECK(body.values("only_here").empty());
  CHECK(body.label("bao_node_last_poll_reason", "reason", of("a")) == "superseded");
  CHECK(body.value("bao_node_role", of("b", "node_role", "active")) == "1");
}

TEST_CASE("a failover is counted once, also when it happened between two polls") {
  RunningPublisher running(2);
  running.round({active(kEarly), standby()});
  running.drain();
  const LabelsWanted prod = {{"cluster", "prod"}};
  CHECK(running.body().value("bao_cluster_failovers_total", prod) == "0");
  running.round({standby(), active(kLate)}, 1'000);
  running.drain();
  CHECK(running.body().value("bao_cluster_failovers_total", prod) == "1");
  // Nobody for a while, then the same one: no failover. Then the other.
  running.round({standby(), standby()}, 2'000);
  running.round({standby(), active(kLate)}, 3'000);
  running.drain();
  CHECK(running.body().value("bao_cluster_failovers_total", prod) == "1");
  running.round({active("2026-11-23T02:00:00Z"), standby()}, 4'000);
  running.drain();
  CHECK(running.body().value("bao_cluster_failovers_total", prod) == "2");
}

TEST_CASE("body and overdue text are expositions, whatever state the nodes are in") {
  RunningPublisher running(4);
  running.round(
      {active(kEarly, "# TYPE mixed counter\nmixed 1\n"),
       {health_standby(),
        exposition(small_body("0", "peer\\\"1") + "# TYPE mixed gauge\nmixed 2\n"), std::nullopt},
       {health_sealed(), json(503, kVaultSealed), std::nullopt},
       down()});
  running.drain();
  const Samples body = running.body();
  REQUIRE(body.problem() == "");
  const Samples overdue(std::string(running.snapshots.get()->overdue_text()));
  REQUIRE(overdue.problem() == "");
  CHECK(body.label("bao_node_info", "peer_id", of("b")) == "peer\"1");
  // Disagreement on TYPE: the first wins, the loss is counted.
  CHECK(body.values("mixed").size() == 1);
  CHECK(body.value("bao_cluster_expected_nodes", {{"cluster", "prod"}}) == "4");
  for (const char* family :
       {"bao_node_up", "bao_node_role", "bao_node_info", "bao_node_last_poll_reason",
        "bao_node_polls_total", "bao_node_poll_duration_seconds", "bao_node_role_changes_total",
        "bao_node_role_last_change_timestamp_seconds", "bao_node_role_disagreement",
        "bao_node_samples", "bao_node_body_bytes", "bao_node_samples_dropped_total",
        "bao_cluster_nodes", "bao_cluster_expected_nodes", "bao_cluster_failovers_total"}) {
    INFO(family);
    CHECK(body.family(family) != nullptr);
    CHECK(overdue.family(family) != nullptr);
  }
}

TEST_CASE("what health says of itself cannot make the exposition unreadable") {
  // JSON may hold any character; text format 0.0.4 may not: NUL ends it for some readers.
  for (const char* version : {"2.7.2\\u0000", "2.7.2\\r", "2\\\"7\\\\2\\n", "\\u001b[31m"}) {
    RunningPublisher running(1);
    running.round({{health_standby(version), exposition(small_body("0")), std::nullopt}});
    running.drain();
    INFO(version);
    CHECK(running.body().problem() == "");
  }
}

TEST_CASE("identity and facts of a node are on its families") {
  Config with_more = config(1);
  with_more.clusters[0].kubernetes_namespace = "vault";
  with_more.clusters[0].nodes[0].pod = "openbao-0";
  RunningPublisher running(with_more);
  Answer metrics = exposition(small_body("0", "peer-1"));
  metrics.certificate_not_after = 1'800'000'000;
  running.round({{health_standby(), metrics, std::nullopt}});
  running.drain();
  const Samples body = running.body();
  const LabelsWanted whole = {{"cluster", "prod"},           {"node_name", "a"},
                              {"instance", "10.0.0.1:8200"}, {"scrape_profile", "all_nodes"},
                              {"pod", "openbao-0"},          {"kubernetes_namespace", "vault"}};
  for (const char* name : {"bao_node_up", "vault_core_unsealed", "bao_node_role_changes_total"}) {
    INFO(name);
    CHECK(body.values(name, whole).size() == 1);
  }
  CHECK(body.label("bao_node_info", "version", of("a")) == "2.7.2");
  CHECK(body.label("bao_node_info", "openbao_cluster_name", of("a")) == "lab");
  CHECK(body.label("bao_node_info", "openbao_cluster_id", of("a")) == "5f2c-77");
  CHECK(body.label("bao_node_info", "peer_id", of("a")) == "peer-1");
  CHECK(body.label("bao_node_info", "role_source", of("a")) == "health");
  CHECK(body.value("bao_node_tls_certificate_not_after_timestamp_seconds", of("a")) == "1.8e+09");
  CHECK(body.label("bao_node_up", "scrape_profile", of("marker")) == "active");
}

TEST_CASE("polls are counted by what they became, and dropped samples once for each body") {
  RunningPublisher running(1);
  const std::string more = "vault_autopilot_healthy 1\nbao_node_up 1\n";
  running.round({standby(more)});
  running.round({standby(more)}, 1'000);
  running.drain();
  running.round({down()}, 2'000);
  running.drain();
  {
    const Samples body = running.body();
    CHECK(body.value("bao_node_polls_total", of("a", "reason", "connect")) == "1");
  }
  // A body that is published many times over is counted once.
  running.round({standby(more)}, 3'000);
  running.drain();
  const Samples before = running.body();
  for (int i = 0; i < 3; ++i) {
    running.started({running.marker()});
    running.ended(running.marker(), RunningPublisher::standby_alone());
    running.drain();
  }
  const Samples after = running.body();
  CHECK(running.generation() >= 5);
  for (const char* cause : {"leader_only", "reserved_name"}) {
    INFO(cause);
    CHECK(after.value("bao_node_samples_dropped_total", of("a", "cause", cause)) ==
          before.value("bao_node_samples_dropped_total", of("a", "cause", cause)));
    CHECK(std::stoi(before.value("bao_node_samples_dropped_total", of("a", "cause", cause))) >= 2);
  }
}

TEST_CASE("a family that loses its TYPE is counted for the node that lost it") {
  RunningPublisher running(2);
  running.round({standby("# TYPE mixed counter\nmixed 1\n"),
                 standby("# TYPE mixed gauge\nmixed{x=\"1\"} 2\nmixed{x=\"2\"} 2\n")});
  running.drain();
  // The counts of a publication are seen in the next one.
  running.started({running.marker()});
  running.ended(running.marker(), RunningPublisher::standby_alone());
  running.drain();
  const Samples body = running.body();
  CHECK(body.value("bao_node_samples_dropped_total", of("a", "cause", "type_conflict")) == "0");
  CHECK(body.value("bao_node_samples_dropped_total", of("b", "cause", "type_conflict")) == "2");
  CHECK(body.value("mixed", of("a")) == "1");
}

TEST_CASE("the overdue text says up 0 and overdue of every node, and holds no sample of one") {
  RunningPublisher running(2);
  running.round({active(kEarly, "only_here 1\n"), standby("only_here 1\n")});
  running.drain();
  const Samples overdue(std::string(running.snapshots.get()->overdue_text()));
  REQUIRE(overdue.problem() == "");
  CHECK(overdue.values("only_here").empty());
  CHECK(overdue.values("vault_core_active").empty());
  CHECK(overdue.values("bao_node_up").size() == 4);
  for (const char* name : {"a", "b", "marker", "probe"}) {
    CHECK(overdue.value("bao_node_up", of(name)) == "0");
    CHECK(overdue.label("bao_node_last_poll_reason", "reason", of(name)) == "overdue");
    CHECK(overdue.value("bao_node_role", of(name, "node_role", "unknown")) == "1");
    CHECK(overdue.value("bao_node_role", of(name, "node_role", "active")) == "0");
    CHECK(overdue.value("bao_node_samples", of(name)) == "0");
    CHECK(overdue.value("bao_node_body_bytes", of(name)) == "0");
    CHECK(overdue.values("bao_node_family_series", of(name)).empty());
    CHECK(overdue.label("bao_node_info", "role_source", of(name)) == "none");
  }
  CHECK(overdue.value("bao_cluster_nodes", {{"cluster", "prod"}, {"node_role", "unknown"}}) == "2");
}

TEST_CASE("a snapshot counts up and is valid for stale_after") {
  RunningPublisher running(1);
  const TimePoint before = Clock::now();
  running.round({standby()});
  running.drain();
  const TimePoint after = Clock::now();
  const auto first = running.snapshots.get();
  REQUIRE(first != nullptr);
  const Milliseconds stale_after{180'000};
  CHECK_FALSE(first->overdue_at(before + stale_after));
  CHECK(first->overdue_at(after + stale_after + Milliseconds(1)));
  running.round({standby()}, 1'000);
  running.drain();
  CHECK(running.generation() == first->generation() + 1);
}

TEST_CASE("a node that was not polled for too long is overdue, the others are served") {
  RunningPublisher running(2);
  // Its last poll began longer ago than interval and stale_after.
  running.started({0, 1, 2});
  running.ended(0, active(kEarly, "only_here 1\n"), false, -300'000);
  running.ended(1, active(kLate, "only_here 1\n"));
  running.ended(running.marker(), RunningPublisher::standby_alone());
  running.drain();
  const Samples body = running.body();
  CHECK(body.values("only_here", of("a")).empty());
  CHECK(body.label("bao_node_last_poll_reason", "reason", of("a")) == "overdue");
  CHECK(body.value("bao_node_up", of("a")) == "0");
  CHECK(body.value("only_here", of("b")) == "1");
  CHECK(running.asked_again().empty());
}

TEST_CASE("of two polls of a target that wait only the newest is worked on") {
  RunningPublisher running(1);
  running.round({standby("version_of_a 1\n")});
  running.drain();
  running.hold();
  running.drain_to_hold();  // the publisher stands still
  running.started({0});
  running.ended(0, standby("version_of_a 2\n"));
  running.ended(0, standby("version_of_a 3\n"));
  running.release();
  running.drain();
  const Samples body = running.body();
  CHECK(body.value("version_of_a") == "3");
  CHECK(body.value("bao_node_polls_total", of("a", "reason", "ok")) == "2");
}

TEST_CASE("a poll that started while an older result waited holds the round open") {
  RunningPublisher running(2);
  running.round({standby(), standby()});
  running.drain();
  const std::uint64_t before = running.generation();
  running.hold();
  running.drain_to_hold();
  // While the publisher is busy: a round ends, and the next one starts.
  running.started({0, 1, 2});
  running.ended(0, standby());
  running.ended(1, standby());
  running.ended(running.marker(), RunningPublisher::standby_alone());
  running.started({0, 1, 2});
  running.release();
  running.drain();
  // One round has ended: at most one publication, and the second round still counts as open.
  const std::uint64_t after_first = running.generation();
  CHECK(after_first <= before + 1);
  running.ended(0, standby(), false, 1'000);
  running.drain();
  CHECK(running.generation() == after_first);
  running.ended(1, standby(), false, 1'000);
  running.ended(running.marker(), RunningPublisher::standby_alone(), false, 1'000);
  running.drain();
  CHECK(running.generation() > after_first);
}

TEST_CASE("the compressed form is made when somebody asked for it") {
  RunningPublisher running(1);
  running.publisher().gzip_was_asked();
  running.round({standby()});
  running.drain();
  const auto snapshot = running.snapshots.get();
  REQUIRE(snapshot != nullptr);
  CHECK(snapshot->deflated().plain_bytes == snapshot->body().bytes());
}

TEST_CASE("the compressed form is made for the next publications too, once somebody asked for it") {
  RunningPublisher running(1);
  const auto told = [&] {
    const std::string text = running.own_text();
    const std::string name = "bao_exporter_snapshot_bytes{encoding=\"gzip\"} ";
    const auto at = text.find(name);
    return at == std::string::npos ? 0 : std::stoul(text.substr(at + name.size()));
  };
  running.round({standby()});
  running.drain();
  CHECK(told() == 0);
  running.publisher().gzip_was_asked();
  unsigned long before = 0;
  for (int round = 1; round < 3; ++round) {
    std::string text;
    for (int i = 0; i < round * 100; ++i) text += "series_" + std::to_string(i * i) + " 1\n";
    running.round({standby(text)}, round * 1'000);
    running.drain();
    CHECK(told() > before);
    before = told();
    CHECK(before == running.snapshots.get()->deflated().bytes.size());
  }
}

TEST_CASE("an old snapshot stays whole while newer ones are published") {
  RunningPublisher running(1);
  running.round({standby("version_of_a 1\n")});
  running.drain();
  const auto old = running.snapshots.get();
  const std::string text = old->body().to_string();
  for (int round = 1; round < 5; ++round) {
    running.round({standby("version_of_a " + std::to_string(round + 1) + "\n")}, round * 1'000);
    running.drain();
  }
  CHECK(old->body().to_string() == text);
  CHECK(running.body().value("version_of_a") == "5");
}

}  // namespace bao_exporter
