// Whose body is it: the rules of identity.h, one by one, without any node.
#include "bao_exporter/identity.h"

#include <algorithm>
#include <random>

#include "catch.h"

using namespace bao_exporter;

namespace {

const std::vector<std::string> kNames = {"prod/a", "prod/b", "prod/c"};

IdentityEvidence shows(const std::string& peer_id, const std::string& known_as = "") {
  IdentityEvidence node;
  node.has_body = true;
  node.peer_id = peer_id;
  node.role_from_health = true;
  node.process_start = 100;
  node.polls_as_this = 1;
  if (!known_as.empty()) node.known = {known_as, 100, 1'000};
  return node;
}

IdentityEvidence silent(const std::string& known_as) {
  IdentityEvidence node;
  node.known = {known_as, 100, 1'000};
  return node;
}

IdentityEvidence without_raft(const std::string& print, double start, double known_start = 0) {
  IdentityEvidence node = shows("");
  node.process_print = print;
  node.process_start = start;
  if (known_start > 0) node.known = {"", known_start, 1'000};
  return node;
}

IdentityEvidence of_cluster(const std::string& cluster_id) {
  IdentityEvidence node;
  node.cluster_id = cluster_id;
  return node;
}

std::vector<std::string> reasons(const std::vector<IdentityEvidence>& nodes,
                                 const std::string& cluster_id = "") {
  std::vector<std::string> out;
  for (const IdentityVerdict& verdict : judge_identities(nodes, kNames, cluster_id)) {
    CHECK((verdict.reason == ErrorCode::kOk) == verdict.detail.empty());
    out.emplace_back(reason_name(verdict.reason));
  }
  return out;
}

using Reasons = std::vector<std::string>;

}  // namespace

TEST_CASE("nodes with a peer_id of their own are nobody's copies") {
  CHECK(reasons({shows("1"), shows("2"), shows("3")}) == Reasons{"ok", "ok", "ok"});
  CHECK(reasons({shows("1", "1"), shows("2", "2"), shows("3")}) == Reasons{"ok", "ok", "ok"});
  CHECK(reasons({IdentityEvidence{}, IdentityEvidence{}, IdentityEvidence{}}) ==
        Reasons{"ok", "ok", "ok"});
}

TEST_CASE("of two with one peer_id the one that is known by it keeps it") {
  CHECK(reasons({shows("2"), shows("2", "2")}) == Reasons{"duplicate_node", "ok"});
  CHECK(reasons({shows("2", "1"), shows("2", "2")}) == Reasons{"identity_mismatch", "ok"});
  CHECK(reasons({shows("1", "1"), shows("1", "2")}) == Reasons{"ok", "identity_mismatch"});
}

TEST_CASE("of two unknown ones the one whose role came from health keeps it, else the first") {
  IdentityEvidence without_health = shows("1");
  without_health.role_from_health = false;
  CHECK(reasons({without_health, shows("1")}) == Reasons{"duplicate_node", "ok"});
  CHECK(reasons({shows("1"), shows("1"), shows("1")}) ==
        Reasons{"ok", "duplicate_node", "duplicate_node"});
}

TEST_CASE("a node that is silent keeps its peer_id") {
  CHECK(reasons({shows("2", "1"), silent("2")}) == Reasons{"identity_mismatch", "ok"});
  CHECK(reasons({shows("2"), silent("2")}) == Reasons{"duplicate_node", "ok"});
}

TEST_CASE("a peer_id that changes is refused until the process is new or it has stayed") {
  CHECK(reasons({shows("9", "1")}) == Reasons{"identity_changed"});
  IdentityEvidence replaced = shows("9", "1");
  replaced.process_start = 1'001;  // last seen at 1'000
  CHECK(reasons({replaced}) == Reasons{"ok"});
  IdentityEvidence stays = shows("9", "1");
  stays.polls_as_this = kPollsToBelieve - 1;
  CHECK(reasons({stays}) == Reasons{"identity_changed"});
  stays.polls_as_this = kPollsToBelieve;
  CHECK(reasons({stays}) == Reasons{"ok"});
}

TEST_CASE("nodes that changed places are refused, however long and young their processes are") {
  IdentityEvidence first = shows("2", "1");
  IdentityEvidence second = shows("1", "2");
  for (const int polls : {1, kPollsToBelieve}) {
    first.polls_as_this = second.polls_as_this = polls;
    CHECK(reasons({first, second}) == Reasons{"identity_changed", "identity_changed"});
  }
  first.process_start = second.process_start = 1'001;  // last seen at 1'000
  CHECK(reasons({first, second}) == Reasons{"identity_changed", "identity_changed"});
  CHECK(reasons({first, shows("3")}) == Reasons{"ok", "ok"});
}

TEST_CASE("a node that answered as two servers within one poll is refused") {
  IdentityEvidence node = shows("1", "1");
  node.seen_as_two = true;
  CHECK(reasons({node}) == Reasons{"identity_changed"});
}

TEST_CASE("a single active address may lead to another server") {
  IdentityEvidence node = shows("2", "1");
  node.may_move = true;
  node.seen_as_two = true;
  CHECK(reasons({node}) == Reasons{"ok"});
}

TEST_CASE("without raft one process under two nodes is a copy") {
  CHECK(reasons({without_raft("100/7", 100), without_raft("100/7", 100)}) ==
        Reasons{"ok", "duplicate_node"});
  CHECK(reasons({without_raft("100/7", 100), without_raft("100/8", 100)}) == Reasons{"ok", "ok"});
  CHECK(reasons({without_raft("", 100), without_raft("", 100)}) == Reasons{"ok", "ok"});
}

TEST_CASE("without raft a copy is not whoever was that process before") {
  CHECK(reasons({without_raft("500/7", 500, 900), without_raft("500/7", 500, 500)}) ==
        Reasons{"duplicate_node", "ok"});
  CHECK(reasons({without_raft("500/7", 500, 501), without_raft("500/7", 500, 900)}) ==
        Reasons{"ok", "duplicate_node"});
  CHECK(reasons({without_raft("500/7", 500, 498), without_raft("500/7", 500, 500)}) ==
        Reasons{"duplicate_node", "ok"});
}

TEST_CASE("without raft a process that is older than the one before it is another server") {
  CHECK(reasons({without_raft("", 500, 600)}) == Reasons{"identity_changed"});
  CHECK(reasons({without_raft("", 700, 600)}) == Reasons{"ok"});  // restarted
  CHECK(reasons({without_raft("", 598, 600)}) == Reasons{"ok"});  // a clock that was set
}

TEST_CASE("a node of another OpenBao cluster is refused") {
  IdentityEvidence stranger = shows("9");
  stranger.cluster_id = "other";
  IdentityEvidence ours = shows("1");
  ours.cluster_id = "ours";
  CHECK(reasons({ours, stranger}, "ours") == Reasons{"ok", "identity_mismatch"});
  CHECK(reasons({stranger}, "") == Reasons{"ok"});
}

TEST_CASE("the cluster is that of most nodes, then the known one, then that of the first") {
  const auto id = [](const std::vector<IdentityEvidence>& nodes, const std::string& known) {
    return cluster_id_of(nodes, known);
  };
  const IdentityEvidence x = of_cluster("x");
  const IdentityEvidence y = of_cluster("y");
  const IdentityEvidence sealed = of_cluster("");
  CHECK(id({x, y, y}, "x") == "y");
  CHECK(id({x, y, sealed}, "y") == "y");
  CHECK(id({x, y, sealed}, "") == "x");
  CHECK(id({sealed, sealed, y}, "x") == "y");
  CHECK(id({sealed, sealed}, "x") == "x");
  CHECK(id({}, "").empty());
}

TEST_CASE("whatever nodes show, one peer_id is served under one node at most") {
  std::mt19937 random(11);  // NOLINT: the same cases in every run
  const std::vector<std::string> ids = {"", "1", "2", "3"};
  for (int round = 0; round < 20'000; ++round) {
    std::vector<IdentityEvidence> nodes;
    for (int i = 0; i < 3; ++i) {
      IdentityEvidence node =
          random() % 4 == 0 ? silent(ids[random() % 4]) : shows(ids[random() % 4]);
      if (random() % 2 == 0) node.known = {ids[random() % 4], 100, 1'000};
      node.role_from_health = random() % 2 == 0;
      node.process_start = static_cast<double>(90 + random() % 2'000);
      node.polls_as_this = static_cast<int>(random() % 12);
      node.seen_as_two = random() % 8 == 0;
      nodes.push_back(node);
    }
    const auto verdicts = judge_identities(nodes, kNames, "");
    for (const std::string_view id : {"1", "2", "3"}) {
      int served = 0;
      for (std::size_t i = 0; i < nodes.size(); ++i) {
        if (nodes[i].peer_id == id && verdicts[i].reason == ErrorCode::kOk) ++served;
      }
      REQUIRE(served <= 1);
    }
  }
}
