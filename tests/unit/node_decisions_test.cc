// What the book publishes of each node when it looks at all nodes of a cluster together.
#include <string>
#include <vector>

#include "bao_exporter/node_book.h"
#include "catch.h"
#include "support/answers.h"
#include "support/quiet.h"
#include "support/samples.h"

namespace bao_exporter {

namespace {

using namespace test;  // NOLINT(google-build-using-namespace): the helpers of this test

constexpr std::int64_t kNow = 1'795'392'000;  // what support/answers.h has as server_time_utc
const std::string kTerm1 = "2026-11-23T00:00:01Z";
const std::string kTerm2 = "2026-11-23T00:00:02Z";

Config config(std::size_t nodes, Profile profile) {
  Config made;
  ClusterConfig prod;
  prod.cluster = "prod";
  prod.profile = profile;
  for (std::size_t i = 0; i < nodes; ++i) {
    NodeConfig node;
    node.name = std::string(1, static_cast<char>('a' + i));
    node.api_url = "https://10.0.0." + std::to_string(i + 1) + ":8200";
    prod.nodes.push_back(std::move(node));
  }
  made.clusters = {prod};
  return made;
}

PollAnswers active(const std::string& peer, const std::string& term = kTerm1) {
  return {health_active(), exposition(small_body("1", peer)), leader_self(term)};
}
PollAnswers standby(const std::string& peer) {
  return {health_standby(), exposition(small_body("0", peer)), std::nullopt};
}

// A book whose time the test has: a poll takes no time, a round is 15 s.
class Book {
 public:
  explicit Book(std::size_t nodes, Profile profile = Profile::kAllNodes)
      : Book(config(nodes, profile)) {}
  explicit Book(const Config& config) : book_(config, 42) {}

  // True: it has to be asked again.
  bool poll(std::size_t node, PollAnswers answers, bool second_look = false) {
    PollResult result;
    result.target = node;
    result.second_look = second_look;
    result.started = result.ended = now_;
    result.ended_wall = WallTime(std::chrono::seconds(wall_));
    result.answers = std::move(answers);
    return book_.note_poll(std::move(result));
  }
  // The same answer again to whom is asked again.
  void settle(std::size_t node, const PollAnswers& answers) {
    if (poll(node, answers)) CHECK_FALSE(poll(node, answers, true));
  }
  void publish() {
    (void)book_.decide(now_, WallTime(std::chrono::seconds(wall_)));
    count_dropped();
    wall_ += 15;
    now_ += Milliseconds{15'000};
  }
  [[nodiscard]] std::string value(std::string_view name, std::string_view node = "") const {
    const Samples samples(book_.render(false));
    return samples.value(name, node.empty() ? LabelsWanted{} : LabelsWanted{{"node_name", node}});
  }
  [[nodiscard]] std::string reason(std::string_view node) const {
    return Samples(book_.render(false))
        .label("bao_node_last_poll_reason", "reason", {{"node_name", node}});
  }
  [[nodiscard]] std::string role(std::string_view node) const {
    const Samples samples(book_.render(false));
    for (std::size_t role = 0; role < kRoleCount; ++role) {
      const std::string_view name = role_name(static_cast<Role>(role));
      if (samples.value("bao_node_role", {{"node_name", node}, {"node_role", name}}) == "1") {
        return std::string(name);
      }
    }
    return "none";
  }
  [[nodiscard]] std::string info(std::string_view node, std::string_view label) const {
    return Samples(book_.render(false)).label("bao_node_info", label, {{"node_name", node}});
  }

  [[nodiscard]] std::string dropped(std::string_view node, std::string_view cause) const {
    return Samples(book_.render(false))
        .value("bao_node_samples_dropped_total", {{"node_name", node}, {"cause", cause}});
  }
  void replace(const Config& config) { book_.replace(config); }

 private:
  void count_dropped() {
    std::vector<std::size_t> nodes;
    TypeBook types;
    const std::vector<MergeSource> sources = book_.sources(nodes);
    book_.count_dropped(nodes, merge(sources, types));
  }

  NodeBook book_;
  TimePoint now_{std::chrono::hours(1)};
  std::int64_t wall_ = kNow;
};

}  // namespace

namespace {

Config limited(std::size_t nodes, std::size_t series_max) {
  Config made = config(nodes, Profile::kAllNodes);
  made.limits.series_max = series_max;
  return made;
}

// `more` gauges beside what every body has.
PollAnswers wide(PollAnswers answers, int more) {
  for (int i = 0; i < more; ++i) {
    answers.metrics->body += "wide{i=\"" + std::to_string(i) + "\"} 1\n";
  }
  return answers;
}

}  // namespace

TEST_CASE("beyond series_max the largest node is refused whole, and keeps its role") {
  Book book(limited(3, 100));
  book.settle(0, active("1"));
  book.settle(1, wide(standby("2"), 90));
  book.settle(2, wide(standby("3"), 5));
  book.publish();
  CHECK(book.reason("a") == "ok");
  CHECK(book.reason("c") == "ok");
  CHECK(book.reason("b") == "limit_samples");
  CHECK(book.role("b") == "standby");
  CHECK(book.value("bao_node_up", "b") == "0");
  CHECK(book.value("bao_node_samples", "b") == "0");
  CHECK(std::stoi(book.dropped("b", "series_limit")) >= 90);
  CHECK(book.dropped("a", "series_limit") == "0");

  // The next publication without a new poll counts nothing again.
  const std::string dropped = book.dropped("b", "series_limit");
  book.publish();
  CHECK(book.dropped("b", "series_limit") == dropped);
  CHECK(book.reason("b") == "limit_samples");

  book.settle(1, wide(standby("2"), 10));
  book.publish();
  CHECK(book.reason("b") == "ok");
}

TEST_CASE("who is refused for another reason takes nothing of series_max") {
  Book book(limited(3, 150));
  book.settle(0, wide(active("1"), 60));
  book.settle(1, wide(active("1"), 70));  // a copy
  book.settle(2, wide(standby("3"), 60));
  book.publish();
  CHECK(book.reason("b") == "duplicate_node");
  CHECK(book.reason("a") == "ok");
  CHECK(book.reason("c") == "ok");
}

TEST_CASE("a raised series_max lets the node in without a new poll") {
  Book book(limited(2, 50));
  book.settle(0, active("1"));
  book.settle(1, wide(standby("2"), 60));
  book.publish();
  CHECK(book.reason("b") == "limit_samples");
  book.replace(limited(2, 500));
  book.publish();
  CHECK(book.reason("b") == "ok");
}

TEST_CASE("a copy of another node is asked about once more, then refused without a role") {
  Book book(2);
  CHECK_FALSE(book.poll(0, active("1")));
  CHECK(book.poll(1, active("1")));
  CHECK_FALSE(book.poll(1, active("1"), true));
  book.publish();
  CHECK(book.reason("a") == "ok");
  CHECK(book.reason("b") == "duplicate_node");
  CHECK(book.role("b") == "unknown");
  CHECK(book.info("b", "role_source") == "none");
  CHECK(book.info("b", "peer_id") == "1");
  CHECK(book.value("bao_node_up", "b") == "0");
  CHECK(book.value("bao_node_samples", "b") == "0");
  // What was told needs no second look in the next round.
  CHECK_FALSE(book.poll(0, active("1")));
  CHECK_FALSE(book.poll(1, active("1")));
}

TEST_CASE("a peer_id that comes and goes within one poll is a load balancer") {
  Book book(2);
  book.settle(0, active("1"));
  book.settle(1, standby("2"));
  book.publish();
  CHECK(book.poll(1, standby("9")));
  CHECK_FALSE(book.poll(1, standby("2"), true));
  book.publish();
  CHECK(book.reason("b") == "identity_changed");
  book.settle(1, standby("2"));
  book.publish();
  CHECK(book.reason("b") == "ok");
}

TEST_CASE("a replaced server is believed after ten polls") {
  Book book(2);
  book.settle(0, active("1"));
  book.settle(1, standby("2"));
  book.publish();
  for (int round = 1; round <= kPollsToBelieve; ++round) {
    book.settle(1, standby("9"));
    book.publish();
    CHECK(book.reason("b") == (round < kPollsToBelieve ? "identity_changed" : "ok"));
  }
}

TEST_CASE("standby_rejected is the token's fault when the active node says so, too") {
  const PollAnswers rejected = {health_standby(), json(400, kCannotForward), std::nullopt};
  const PollAnswers denied = {health_active(), json(403, kDenied), leader_self(kTerm1)};
  Book book(2);
  book.settle(0, active("1"));
  book.settle(1, rejected);
  book.publish();
  CHECK(book.reason("b") == "standby_rejected");
  book.settle(0, denied);
  book.settle(1, rejected);
  book.publish();
  CHECK(book.reason("b") == "token_rejected");
  CHECK(book.role("b") == "standby");
}

TEST_CASE("standby_rejected is the token's fault in the third round in a row") {
  const PollAnswers rejected = {health_standby(), json(400, kCannotForward), std::nullopt};
  Book book(2);
  book.settle(0, active("1"));
  for (const char* reason :
       {"standby_rejected", "standby_rejected", "token_rejected", "token_rejected"}) {
    book.settle(1, rejected);
    book.publish();
    CHECK(book.reason("b") == reason);
  }
  book.settle(1, standby("2"));
  book.publish();
  CHECK(book.reason("b") == "ok");
  book.settle(1, rejected);
  book.publish();
  CHECK(book.reason("b") == "standby_rejected");
}

TEST_CASE("an active node with a new term was gone in between: one failover") {
  Book book(2);
  book.settle(0, active("1", kTerm1));
  book.settle(1, standby("2"));
  book.publish();
  CHECK(book.value("bao_cluster_failovers_total") == "0");
  book.settle(0, active("1", kTerm2));
  book.publish();
  CHECK(book.value("bao_cluster_failovers_total") == "1");
  CHECK(book.value("bao_node_role_changes_total", "a") == "2");
  book.settle(0, active("1", kTerm2));
  book.publish();
  CHECK(book.value("bao_cluster_failovers_total") == "1");
}

TEST_CASE("a gap that was seen is counted once, by the term when the same node is active again") {
  Book book(2);
  book.settle(0, active("1", kTerm1));
  book.settle(1, standby("2"));
  book.publish();
  book.settle(0, standby("1"));
  book.publish();
  book.settle(0, active("1", kTerm2));
  book.publish();
  CHECK(book.value("bao_cluster_failovers_total") == "1");
  CHECK(book.value("bao_node_role_changes_total", "a") == "2");
}

TEST_CASE("a term that is not told for one poll is no failover") {
  Book book(2);
  book.settle(0, active("1", kTerm1));
  book.publish();
  book.settle(0, {health_active(), exposition(small_body("1", "1")), failed(ErrorCode::kTimeout)});
  book.publish();
  book.settle(0, active("1", kTerm1));
  book.publish();
  CHECK(book.value("bao_cluster_failovers_total") == "0");
}

TEST_CASE("a single active address that leads to another server is a failover") {
  Book book(1, Profile::kActive);
  CHECK_FALSE(book.poll(0, active("1", kTerm1)));
  book.publish();
  CHECK_FALSE(book.poll(0, active("2", kTerm2)));
  book.publish();
  CHECK(book.reason("a") == "ok");
  CHECK(book.value("bao_cluster_failovers_total") == "1");
}

TEST_CASE("in the profile active a standby is up, has a role and no samples") {
  Book book(2, Profile::kActive);
  book.settle(0, active("1"));
  book.settle(1, {health_standby(), std::nullopt, std::nullopt});
  book.publish();
  CHECK(book.value("bao_node_up", "b") == "1");
  CHECK(book.role("b") == "standby");
  CHECK(book.reason("b") == "ok");
  CHECK(book.value("bao_node_samples", "b") == "0");
  CHECK(book.value("bao_node_samples", "a") != "0");
}

TEST_CASE("in the profile active what health says of the others is their reason") {
  Book book(3, Profile::kActive);
  book.settle(0, {health_sealed(), std::nullopt, std::nullopt});
  book.settle(1, {health_uninitialized(), std::nullopt, std::nullopt});
  book.settle(2, {json(500, "{}"), std::nullopt, std::nullopt});
  book.publish();
  CHECK(book.reason("a") == "sealed");
  CHECK(book.reason("b") == "uninitialized");
  CHECK(book.reason("c") == "protocol");
  CHECK(book.role("c") == "unknown");
}

}  // namespace bao_exporter
