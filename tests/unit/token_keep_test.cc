#include "token_keep.h"

#include <memory>
#include <string>

#include "catch.h"
#include "support/caught_log.h"
#include "support/folder.h"
#include "support/keeping.h"
#include "support/quiet.h"
#include "support/token_answers.h"

namespace bao_exporter {

using namespace test;  // NOLINT(google-build-using-namespace): the helpers of this test

TEST_CASE("a token in a file is checked, comes into force, and is looked up") {
  const Folder folder;
  Keeping keeping(cluster(by_file(folder.write("token", "s.first\n"))));
  keeping.start();
  CHECK(keeping.token() == "undecided");
  const Request check = keeping.asked(kCheck);
  CHECK(check.url.authority() == "10.0.0.1:8200");
  CHECK(check.bearer->reveal() == "s.first");
  CHECK_FALSE(check.json_body.empty());
  CHECK(check.deadline == keeping.moment().now + seconds(8));
  CHECK(check.body_bytes_max > 0);
  CHECK(keeping.changes == 0);
  keeping.pass(Milliseconds(500));
  keeping.answer(capabilities_answer());
  CHECK(keeping.changes == 1);
  CHECK(keeping.token() == "s.first");
  CHECK(keeping.in_force()->generation == 1);
  CHECK(keeping.in_force()->why.code == ErrorCode::kOk);
  const Request look_up = keeping.asked(kLookUp);
  CHECK(look_up.bearer->reveal() == "s.first");
  CHECK(look_up.json_body.empty());
  CHECK(look_up.secret_body == nullptr);
  keeping.answer(looked_up_answer(3'600));
  CHECK(keeping.asks_nothing());
  CHECK(keeping.metric("bao_token_generation") == "1");
  CHECK(keeping.metric("bao_token_loaded_timestamp_seconds") == "1000.5");
  CHECK(keeping.metric("bao_token_expiry_timestamp_seconds") == "4600.5");
  CHECK(keeping.metric("bao_token_excess_capabilities") == "0");
  CHECK(keeping.metric("bao_token_renewals_total", {{"result", "success"}}) == "0");
  CHECK(keeping.metric("bao_token_logins_total", {{"result", "success"}}) == "(0 samples)");
}

TEST_CASE("a renewable token of a file is renewed, and counted") {
  const Folder folder;
  Keeping keeping(cluster(by_file(folder.write("token", "s.first"))));
  keeping.start();
  keeping.answer_to(kCheck, capabilities_answer());
  keeping.answer_to(kLookUp, looked_up_answer(30));
  keeping.pass(seconds(20));
  const Request renewal = keeping.asked(kRenew);
  CHECK(renewal.bearer->reveal() == "s.first");
  CHECK_FALSE(renewal.json_body.empty());
  keeping.answer(logged_in_answer("s.first", 30));
  CHECK(keeping.metric("bao_token_renewals_total", {{"result", "success"}}) == "1");
  CHECK(keeping.metric("bao_token_expiry_timestamp_seconds") == "1050");
  CHECK(keeping.token() == "s.first");
  CHECK(keeping.changes == 1);
}

TEST_CASE(
    "at a rotation the old token stays in force until the check of the new one was answered") {
  const Folder folder;
  Keeping keeping(cluster(by_file(folder.write("token", "s.first"))));
  keeping.start();
  keeping.check_and_look_up();
  keeping.forget_requests();
  const std::weak_ptr<const Secret> first = keeping.in_force()->secret;
  folder.write("token", "s.second-token");
  keeping.look();
  CHECK(keeping.asked(kCheck).bearer->reveal() == "s.second-token");
  CHECK(keeping.token() == "s.first");
  CHECK(keeping.in_force()->generation == 1);
  CHECK(keeping.changes == 1);
  keeping.pass(seconds(1));
  keeping.answer(capabilities_answer());
  CHECK(keeping.token() == "s.second-token");
  CHECK(keeping.in_force()->generation == 2);
  CHECK(keeping.changes == 2);
  CHECK(first.expired());
  CHECK(keeping.keep.generations() == 2);
  // Nodes use the first one until they say that they do not.
  CHECK(keeping.metric("bao_token_generation") == "1");
  keeping.note({{}, 1, 0, {}});
  CHECK(keeping.metric("bao_token_generation") == "1");
  CHECK(keeping.metric("bao_token_loaded_timestamp_seconds") == "1000");
  keeping.note({{}, 2, 0, {}});
  CHECK(keeping.metric("bao_token_generation") == "2");
  CHECK(keeping.metric("bao_token_loaded_timestamp_seconds") == "1001");
  // No node answered at this publication: what was told stays.
  keeping.note({{}, 0, 0, {}});
  CHECK(keeping.metric("bao_token_generation") == "2");
}

TEST_CASE(
    "a second rotation in the middle of a check checks the newest token, and drops the other") {
  const Folder folder;
  Keeping keeping(cluster(by_file(folder.write("token", "s.first"))));
  keeping.start();
  keeping.check_and_look_up();
  folder.write("token", "s.second-token");
  keeping.look();
  const std::weak_ptr<const Secret> second = keeping.asked(kCheck).bearer;
  const std::uint64_t given_up = keeping.last_order();
  folder.write("token", "s.the-third-token");
  keeping.look();
  CHECK(keeping.asked(kCheck).bearer->reveal() == "s.the-third-token");
  CHECK(second.expired());
  // The answer that was given up comes late, and says nothing about the third.
  keeping.keep.take(given_up, Purpose::kTask, capabilities_answer(), keeping.moment());
  CHECK(keeping.token() == "s.first");
  keeping.answer(capabilities_answer());
  CHECK(keeping.token() == "s.the-third-token");
  CHECK(keeping.in_force()->generation == 3);
}

TEST_CASE("the same token written again is not another one") {
  const Folder folder;
  Keeping keeping(cluster(by_file(folder.write("token", "s.first"))));
  keeping.start();
  keeping.check_and_look_up();
  folder.write("token", "s.first\n");
  keeping.look();
  CHECK(keeping.asks_nothing());
  CHECK(keeping.keep.generations() == 1);
  CHECK(keeping.newer_than(1) == Newer::kNone);
}

TEST_CASE("whoever was rejected learns whether there is a newer token, and when it was checked") {
  const CaughtLog log;  // refusals are errors
  const Folder folder;
  Keeping keeping(cluster(by_file(folder.write("token", "s.first"))));
  keeping.start();
  keeping.check_and_look_up();
  CHECK(keeping.newer_than(1) == Newer::kNone);
  // The file is looked at when somebody asks.
  folder.write("token", "s.second-token");
  CHECK(keeping.newer_than(1) == Newer::kSoon);
  CHECK(keeping.newer_than(1) == Newer::kSoon);
  CHECK(keeping.changes == 1);
  SECTION("it is good") {
    keeping.answer_to(kCheck, capabilities_answer());
    CHECK(keeping.changes == 2);
    CHECK(keeping.newer_than(1) == Newer::kNow);
    CHECK(keeping.newer_than(2) == Newer::kNone);
  }
  SECTION("it is refused") {
    keeping.answer_to(kCheck, capabilities_answer(R"(["root"])", R"(["root"])"));
    CHECK(log.count("token refused") == 1);
    CHECK(keeping.changes == 2);
    CHECK(keeping.token() == "s.first");
    CHECK(keeping.newer_than(1) == Newer::kNone);
  }
  SECTION("it is replaced before it was checked, and that one is refused") {
    (void)keeping.asked(kCheck);
    folder.write("token", "s.the-third-token");
    keeping.look();
    CHECK(keeping.changes == 1);
    keeping.answer_to(kCheck, capabilities_answer(R"(["root"])", R"(["root"])"));
    CHECK(keeping.changes == 2);
  }
  SECTION("nobody answers the check") {
    keeping.answer_to(kCheck, failed(ErrorCode::kTimeout));
    CHECK(keeping.newer_than(1) == Newer::kSoon);
    CHECK(keeping.changes == 1);
  }
}

TEST_CASE("a refused token is nobody's business while nobody waits for it") {
  const CaughtLog log;
  const Folder folder;
  Keeping keeping(cluster(by_file(folder.write("token", "s.first"))));
  keeping.start();
  keeping.check_and_look_up();
  folder.write("token", "s.second-token");
  keeping.look();
  keeping.answer_to(kCheck, capabilities_answer(R"(["root"])", R"(["root"])"));
  CHECK(keeping.changes == 1);
}

TEST_CASE("a root token is refused, and polls are told why there is none") {
  const CaughtLog log;
  const Folder folder;
  Keeping keeping(cluster(by_file(folder.write("token", "s.root"))));
  keeping.start();
  keeping.answer_to(kCheck, capabilities_answer(R"(["root"])", R"(["root"])"));
  CHECK(keeping.token() == "token_excess");
  CHECK(log.count("token refused") == 1);
  CHECK(keeping.changes == 1);
  CHECK(keeping.asks_nothing());
  CHECK(keeping.metric("bao_token_generation") == "(0 samples)");
  CHECK(std::stoi(keeping.metric("bao_token_excess_capabilities")) >= 1);
  folder.write("token", "s.better-token");
  keeping.look();
  keeping.check_and_look_up();
  CHECK(keeping.token() == "s.better-token");
  CHECK(keeping.in_force()->generation == 2);
  CHECK(keeping.metric("bao_token_generation") == "2");
  CHECK(keeping.changes == 2);
}

TEST_CASE("without a node that can be asked the token comes into force as it is read") {
  const Folder folder;
  ClusterConfig alone = cluster(by_file(folder.write("token", "s.first")), 1);
  alone.nodes[0].metrics_url = alone.nodes[0].api_url + "/v1/sys/metrics";
  alone.nodes[0].api_url = "";
  Keeping keeping(alone);
  keeping.start();
  CHECK(keeping.asks_nothing());
  CHECK(keeping.token() == "s.first");
  CHECK(keeping.changes == 1);
  CHECK(keeping.metric("bao_token_renewals_total", {{"result", "success"}}) == "(0 samples)");
}

TEST_CASE("a file that is not there at the start is told of once, and read when it comes") {
  const CaughtLog log;
  const Folder folder;
  Keeping keeping(cluster(by_file(folder.path("token"))));
  keeping.start();
  CHECK(keeping.token() == "token_unreadable");
  CHECK_FALSE(keeping.in_force()->why.detail.empty());
  CHECK(keeping.changes == 1);
  for (int look = 0; look < 5; ++look) keeping.look();
  CHECK(log.count("token file") == 1);
  folder.write("token", "s.first", 0644);  // others may read it
  for (int look = 0; look < 5; ++look) keeping.look();
  CHECK(log.count("token file") == 2);
  CHECK(keeping.token() == "token_unreadable");
  folder.write("token", "s.first-good");
  keeping.look();
  keeping.check_and_look_up();
  CHECK(keeping.token() == "s.first-good");
  CHECK(keeping.in_force()->generation == 1);
  CHECK(log.count("token file") == 2);
  CHECK(log.count("s.first") == 0);
}

TEST_CASE("a file that goes bad later changes nothing but the log") {
  const Folder folder;
  Keeping keeping(cluster(by_file(folder.write("token", "s.first"))));
  keeping.start();
  keeping.check_and_look_up();
  const CaughtLog log;
  folder.write("token", "two words");
  for (int look = 0; look < 5; ++look) keeping.look();
  CHECK(keeping.newer_than(1) == Newer::kNone);
  CHECK(keeping.token() == "s.first");
  CHECK(keeping.changes == 1);
  CHECK(log.count("token file") == 1);
  CHECK(log.count(folder.path("token")) == 1);
  folder.write("token", "");
  for (int look = 0; look < 5; ++look) keeping.look();
  CHECK(log.count("token file") == 2);
  folder.write("token", "s.first");
  for (int look = 0; look < 5; ++look) keeping.look();
  CHECK(log.count("token file") == 2);
  CHECK(keeping.asks_nothing());
}

TEST_CASE("a node's own name is what its certificate is verified for") {
  const Folder folder;
  ClusterConfig named = cluster(by_file(folder.write("token", "s.first")), 2);
  named.server_name = "bao.example";
  named.nodes[1].server_name = "second.example";
  Keeping keeping(named);
  keeping.start();
  CHECK(keeping.asked(kCheck).server_name == "bao.example");
  keeping.answer(failed(ErrorCode::kConnect));
  keeping.pass(Milliseconds(0));
  CHECK(keeping.asked(kCheck).server_name == "second.example");
}

TEST_CASE("generations go on where a keep takes the place of another") {
  const Folder folder;
  Keeping keeping(cluster(by_file(folder.write("token", "s.first"))), /*generations=*/4);
  keeping.start();
  CHECK(keeping.keep.generations() == 5);
  // Publications still tell of tokens of the keep before.
  keeping.note({{}, 4, 4, 0});
  CHECK(keeping.metric("bao_token_generation") == "(0 samples)");
  keeping.answer_to(kCheck, capabilities_answer());
  CHECK(keeping.in_force()->generation == 5);
  CHECK(keeping.metric("bao_token_generation") == "5");
  CHECK(keeping.metric("bao_token_loaded_timestamp_seconds") == "1000");
  CHECK(keeping.newer_than(4) == Newer::kNow);
  CHECK(keeping.newer_than(5) == Newer::kNone);
  keeping.note({{}, 4, 4, 0});
  CHECK(keeping.metric("bao_token_generation") == "5");
}

TEST_CASE("a keep fits a cluster whose authentication, profile and trust are as they were") {
  const Folder folder;
  const ClusterConfig before = cluster(by_file(folder.write("token", "s.first")));
  Keeping keeping(before);
  CHECK(keeping.keep.fits(before, keeping.trust));
  ClusterConfig after = before;
  after.nodes.pop_back();
  after.expected_nodes = 7;
  CHECK(keeping.keep.fits(after, keeping.trust));
  CHECK_FALSE(keeping.keep.fits(before, std::make_shared<TlsTrust>()));
  after = before;
  after.auth.renew = false;
  CHECK_FALSE(keeping.keep.fits(after, keeping.trust));
  after = before;
  after.profile = Profile::kDemo;
  CHECK_FALSE(keeping.keep.fits(after, keeping.trust));
  after = before;
  for (NodeConfig& node : after.nodes) node.api_url = "";
  CHECK_FALSE(keeping.keep.fits(after, keeping.trust));
}

TEST_CASE("other nodes are asked from the next request on") {
  const Folder folder;
  const ClusterConfig before = cluster(by_file(folder.write("token", "s.first")));
  Keeping keeping(before);
  keeping.start();
  (void)keeping.asked(kCheck);
  ClusterConfig after = before;
  after.nodes.erase(after.nodes.begin(), after.nodes.begin() + 2);
  keeping.keep.take_nodes(after, Milliseconds{2'000});
  keeping.answer(capabilities_answer());
  const Request look_up = keeping.asked(kLookUp);
  CHECK(look_up.url.authority() == "10.0.0.3:8200");
  CHECK(look_up.deadline == keeping.moment().now + seconds(2));
}

}  // namespace bao_exporter
