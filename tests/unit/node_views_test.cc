#include <chrono>
#include <string>
#include <vector>

#include "bao_exporter/node_book.h"
#include "catch.h"
#include "support/answers.h"
#include "support/quiet.h"

namespace bao_exporter {

namespace {

using namespace test;  // NOLINT(google-build-using-namespace): the helpers of this test

const std::string kLeaderOnly =
    "# HELP vault_raft_peers p\n# TYPE vault_raft_peers gauge\nvault_raft_peers 3\n";

// Nodes a, b and c of a cluster of each profile, and the book on them.
class Book {
 public:
  explicit Book(Profile profile) : config_(config_of(profile)), book_(config_, 42) {}

  static Config config_of(Profile profile) {
    Config config;
    ClusterConfig cluster;
    cluster.cluster = "prod";
    cluster.profile = profile;
    cluster.kubernetes_namespace = "vault";
    for (const char* name : {"a", "b", "c"}) {
      NodeConfig node;
      node.name = name;
      node.api_url = "https://" + std::string(name) + ".example.org:8200";
      node.pod = std::string(name) == "a" ? "pod-a" : "";
      cluster.nodes.push_back(node);
    }
    config.clusters = {cluster};
    return config;
  }

  void polled(std::size_t target, PollAnswers answers) {
    PollResult result;
    result.target = target;
    result.started = result.ended = Clock::now();
    result.ended_wall = WallClock::now();
    result.answers = std::move(answers);
    const bool again = book_.note_poll(std::move(result));
    REQUIRE_FALSE(again);
  }
  void decide(std::chrono::seconds later = {}) {
    (void)book_.decide(Clock::now() + later, WallClock::now());
  }

  // As the snapshot gives it to who asks.
  [[nodiscard]] NodeView view(const std::string& name) const {
    const Snapshot snapshot({}, "", Clock::now(), 1, book_.views());
    const NodeView* found = snapshot.node("prod/" + name);
    REQUIRE(found != nullptr);
    return *found;
  }
  [[nodiscard]] std::string text(const std::string& name) const {
    const NodeView found = view(name);
    return found.text == nullptr ? "(none)" : found.text->rope().to_string();
  }
  [[nodiscard]] std::string discovered() const {
    std::string names;
    for (const NodeView& node : book_.views()) names += node.discovered ? node.name + " " : "";
    return names;
  }
  NodeBook& book() { return book_; }

 private:
  Config config_;
  NodeBook book_;
};

PollAnswers active(const std::string& more = "") {
  return {health_active(), exposition(small_body("1") + more), leader_self("2026-11-23T00:00:00Z")};
}
PollAnswers standby(const std::string& more = "") {
  return {health_standby(), exposition(small_body("0") + more), std::nullopt};
}
PollAnswers down() { return {failed(ErrorCode::kConnect), std::nullopt, std::nullopt}; }

}  // namespace

TEST_CASE("a node's own text is its body, without the leader-only families unless it is active") {
  Book book(Profile::kAllNodes);
  const std::string reserved = "bao_node_up{cluster=\"x\"} 7\n";
  book.polled(0, active(kLeaderOnly + reserved));
  book.polled(1, standby(kLeaderOnly + reserved));
  book.polled(2, down());
  book.decide();
  CHECK(book.text("a") == small_body("1") + kLeaderOnly + reserved);
  CHECK(book.text("b") == small_body("0") + reserved);
  CHECK(book.text("c") == "(none)");
  CHECK(book.view("a").role == Role::kActive);
  CHECK(book.view("c").role == Role::kUnreachable);
  CHECK(book.view("c").reason == ErrorCode::kConnect);
  CHECK(book.discovered() == "prod/a prod/b prod/c ");
}

TEST_CASE("a view has the identity labels of its node that have a value") {
  Book book(Profile::kAllNodes);
  using Labels = std::vector<std::pair<std::string, std::string>>;
  CHECK(book.view("a").labels == Labels{{"cluster", "prod"},
                                        {"instance", "a.example.org:8200"},
                                        {"kubernetes_namespace", "vault"},
                                        {"node_name", "a"},
                                        {"pod", "pod-a"},
                                        {"scrape_profile", "all_nodes"}});
  CHECK(book.view("b").labels.size() == 5);
  CHECK(book.view("a").reason == ErrorCode::kNotPolled);
}

TEST_CASE("an overdue or superseded node has no text") {
  Book book(Profile::kAllNodes);
  book.polled(0, active());
  PollAnswers older = active();
  older.leader = leader_self("2026-11-22T00:00:00Z");
  book.polled(1, std::move(older));
  book.decide();
  CHECK(book.text("a") == small_body("1"));
  CHECK(book.view("b").reason == ErrorCode::kSuperseded);
  CHECK(book.text("b") == "(none)");
  book.decide(std::chrono::hours(1));
  CHECK(book.view("a").reason == ErrorCode::kOverdue);
  CHECK(book.text("a") == "(none)");
}

TEST_CASE("profile active discovers the active node, else the last one, else all") {
  Book book(Profile::kActive);
  CHECK(book.discovered() == "prod/a prod/b prod/c ");
  book.polled(0, standby());
  book.polled(1, active());
  book.decide();
  CHECK(book.discovered() == "prod/b ");
  CHECK(book.text("b") == small_body("1"));
  CHECK(book.text("a") == "(none)");
  CHECK(book.view("a").reason == ErrorCode::kOk);
  CHECK(book.view("a").role == Role::kStandby);
  book.polled(1, down());
  book.decide();
  CHECK(book.discovered() == "prod/b ");
  book.polled(2, active());
  book.decide();
  CHECK(book.discovered() == "prod/c ");
}

}  // namespace bao_exporter
