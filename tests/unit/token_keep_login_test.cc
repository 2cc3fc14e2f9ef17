// A keep that logs in.
#include <memory>
#include <string>

#include "catch.h"
#include "support/caught_log.h"
#include "support/folder.h"
#include "support/keeping.h"
#include "support/quiet.h"
#include "support/token_answers.h"
#include "token_keep.h"

namespace bao_exporter {

using namespace test;  // NOLINT(google-build-using-namespace): the helpers of this test

TEST_CASE("a login goes to the active node first, and each attempt to the next one") {
  const Folder folder;
  Keeping keeping(cluster(by_approle(folder.write("role", "role-1"), folder.write("id", "id-1"))));
  keeping.note({{}, 0, 0, 1});
  keeping.start();
  CHECK(keeping.metric("bao_token_logins_total", {{"result", "error"}}) == "0");
  for (const char* address : {"10.0.0.2:8200", "10.0.0.3:8200", "10.0.0.1:8200"}) {
    const Request login = keeping.asked(kAppRole);
    CHECK(login.url.authority() == address);
    CHECK(login.bearer == nullptr);
    CHECK(login.json_body.empty());
    CHECK(login.secret_body->reveal() == R"({"role_id":"role-1","secret_id":"id-1"})");
    keeping.answer(failed(ErrorCode::kConnect));
    keeping.pass(Milliseconds(0));
  }
  CHECK(keeping.asks_nothing());  // each once; then it waits
  CHECK(keeping.token() == "login_failed");
  CHECK(keeping.metric("bao_token_logins_total", {{"result", "error"}}) == "3");
  keeping.pass(seconds(2));
  CHECK(keeping.asked(kAppRole).url.authority() == "10.0.0.2:8200");
  keeping.answer(logged_in_answer("s.of-login", 60));
  CHECK(keeping.metric("bao_token_logins_total", {{"result", "success"}}) == "1");
  const Request check = keeping.asked(kCheck);
  CHECK(check.bearer->reveal() == "s.of-login");
  CHECK(check.url.authority() == "10.0.0.2:8200");
  keeping.answer(capabilities_answer());
  CHECK(keeping.token() == "s.of-login");
  CHECK(keeping.in_force()->generation == 1);
  CHECK(keeping.metric("bao_token_expiry_timestamp_seconds") == "1062");
}

TEST_CASE("attempts of a login ask each node once, whoever becomes active meanwhile") {
  const Folder folder;
  Keeping keeping(cluster(by_approle(folder.write("role", "role-1"), folder.write("id", "id-1"))));
  keeping.note({{}, 0, 0, 1});
  keeping.start();
  for (const char* address : {"10.0.0.2:8200", "10.0.0.3:8200", "10.0.0.1:8200"}) {
    CHECK(keeping.asked(kAppRole).url.authority() == address);
    keeping.note({{}, 0, 0, 0});
    keeping.answer(failed(ErrorCode::kConnect));
    keeping.pass(Milliseconds(0));
  }
  CHECK(keeping.asks_nothing());
  keeping.pass(seconds(2));
  CHECK(keeping.asked(kAppRole).url.authority() == "10.0.0.2:8200");
  keeping.answer(logged_in_answer("s.of-login", 60));
  // The next task is another one, and goes to the node that is active by then.
  CHECK(keeping.asked(kCheck).url.authority() == "10.0.0.1:8200");
}

TEST_CASE("a denied login is told and waits, but not for a new secret id or for somebody's hand") {
  const Folder folder;
  const CaughtLog log;
  Keeping keeping(cluster(by_approle(folder.write("role", "role-1"), folder.write("id", "id-1"))));
  keeping.start();
  keeping.look();  // so that a change is seen as one
  keeping.answer_to(kAppRole, json(400, R"({"errors":["invalid role or secret ID"]})"));
  CHECK(keeping.token() == "login_failed");
  CHECK(keeping.metric("bao_token_logins_total", {{"result", "denied"}}) == "1");
  CHECK(log.count("login failed") == 1);
  keeping.pass(seconds(5));
  CHECK(keeping.asks_nothing());
  SECTION("a new secret id") {
    folder.write("id", "id-2-new");
    keeping.look();
    CHECK(keeping.asked(kAppRole).secret_body->reveal() ==
          R"({"role_id":"role-1","secret_id":"id-2-new"})");
  }
  SECTION("SIGHUP") {
    keeping.keep.look_now(keeping.moment());
    (void)keeping.asked(kAppRole);
  }
  SECTION("neither") {
    keeping.look();
    CHECK(keeping.asks_nothing());
    keeping.pass(seconds(10));
    (void)keeping.asked(kAppRole);
  }
  CHECK(log.count("id-1") == 0);
}

TEST_CASE("a wrapped secret id is unwrapped once, and again when its file has changed") {
  const Folder folder;
  AuthConfig auth = by_approle(folder.write("role", "role-1"), folder.write("id", "wrap-1"));
  auth.secret_id_wrapped = true;
  Keeping keeping(cluster(auth, 1));
  keeping.start();
  const Request unwrap = keeping.asked(kUnwrap);
  CHECK(unwrap.bearer->reveal() == "wrap-1");
  keeping.answer(unwrapped_answer("id-1"));
  CHECK(keeping.asked(kAppRole).secret_body->reveal() ==
        R"({"role_id":"role-1","secret_id":"id-1"})");
  // It failed, and not for the secret id: the same one is tried again.
  keeping.answer(failed(ErrorCode::kTimeout));
  keeping.pass(seconds(2));
  CHECK(keeping.asked(kAppRole).secret_body->reveal() ==
        R"({"role_id":"role-1","secret_id":"id-1"})");
  keeping.answer(logged_in_answer("s.first", 60, /*renewable=*/false));
  keeping.answer_to(kCheck, capabilities_answer());
  // The next login, after the file has changed or not.
  SECTION("the file is the same") {
    keeping.pass(seconds(59));
    CHECK(keeping.asked(kAppRole).secret_body->reveal() ==
          R"({"role_id":"role-1","secret_id":"id-1"})");
  }
  SECTION("the file has changed") {
    folder.write("id", "wrap-2-new");
    keeping.look();
    CHECK(keeping.asks_nothing());  // a good token is no reason to log in
    keeping.pass(seconds(59));
    CHECK(keeping.asked(kUnwrap).bearer->reveal() == "wrap-2-new");
    keeping.answer(unwrapped_answer("id-2"));
    CHECK(keeping.asked(kAppRole).secret_body->reveal() ==
          R"({"role_id":"role-1","secret_id":"id-2"})");
  }
  SECTION("the file has changed, and nobody looked before the login") {
    folder.write("id", "wrap-2-new");
    keeping.pass(seconds(59));
    CHECK(keeping.asked(kUnwrap).bearer->reveal() == "wrap-2-new");
  }
}

TEST_CASE("a wrapping that was used before is a failed login") {
  const Folder folder;
  const CaughtLog log;
  AuthConfig auth = by_approle(folder.write("role", "role-1"), folder.write("id", "wrap-1"));
  auth.secret_id_wrapped = true;
  Keeping keeping(cluster(auth, 1));
  keeping.start();
  keeping.answer_to(kUnwrap,
                    json(400, R"({"errors":["wrapping token is not valid or does not exist"]})"));
  CHECK(keeping.token() == "login_failed");
  CHECK(keeping.asks_nothing());
  CHECK(log.count("wrapping token is not valid") == 1);
  CHECK(keeping.metric("bao_token_logins_total", {{"result", "denied"}}) == "1");
}

TEST_CASE("a service account's token is read anew at each login") {
  const Folder folder;
  AuthConfig auth;
  auth.method = AuthMethod::kKubernetes;
  auth.mount = "kubernetes";
  auth.role = "exporter";
  auth.jwt_file = folder.write("jwt", "a.b.one");
  Keeping keeping(cluster(auth, 1));
  keeping.start();
  const char* path = "/v1/auth/kubernetes/login";
  CHECK(keeping.asked(path).secret_body->reveal() == R"({"role":"exporter","jwt":"a.b.one"})");
  keeping.answer(failed(ErrorCode::kTimeout));
  folder.write("jwt", "a.b.another");
  keeping.pass(seconds(2));
  CHECK(keeping.asked(path).secret_body->reveal() == R"({"role":"exporter","jwt":"a.b.another"})");
  keeping.answer(logged_in_answer("s.first", 60, /*renewable=*/false));
  keeping.answer_to(kCheck, capabilities_answer());
  CHECK(keeping.token() == "s.first");
  // A login that cannot be made, since its file is bad, asks nobody.
  folder.write("jwt", "");
  keeping.pass(seconds(55));
  CHECK(keeping.asks_nothing());
  CHECK(keeping.token() == "s.first");
  CHECK(std::stoi(keeping.metric("bao_token_logins_total", {{"result", "error"}})) >= 2);
}

TEST_CASE("a login whose file is not there names the file, and waits for it") {
  const Folder folder;
  Keeping keeping(cluster(by_approle(folder.path("role"), folder.write("id", "id-1")), 1));
  keeping.start();
  CHECK(keeping.asks_nothing());
  CHECK(keeping.token() == "login_failed");
  CHECK(keeping.in_force()->why.detail.find(folder.path("role")) != std::string::npos);
  folder.write("role", "role-1");
  keeping.look();
  (void)keeping.asked(kAppRole);
}

TEST_CASE("a login's token that polls say is rejected is followed by a login") {
  const Folder folder;
  Keeping keeping(cluster(by_approle(folder.write("role", "role-1"), folder.write("id", "id-1"))));
  keeping.start();
  keeping.answer_to(kAppRole, logged_in_answer("s.first", 3'600));
  keeping.answer_to(kCheck, capabilities_answer());
  keeping.forget_requests();
  const std::weak_ptr<const Secret> first = keeping.in_force()->secret;
  keeping.pass(seconds(60));
  keeping.note({{}, 0, 1, 2});
  CHECK(keeping.asked(kAppRole).url.authority() == "10.0.0.3:8200");
  CHECK(keeping.token() == "s.first");
  keeping.answer(logged_in_answer("s.second", 3'600));
  CHECK(keeping.newer_than(1) == Newer::kSoon);
  keeping.answer_to(kCheck, capabilities_answer());
  CHECK(keeping.token() == "s.second");
  CHECK(keeping.in_force()->generation == 2);
  CHECK(keeping.changes == 2);
  keeping.forget_requests();
  CHECK(first.expired());
  // What is told of the first one again, by a poll that was under way, is of no matter.
  keeping.note({{}, 2, 1, 2});
  CHECK(keeping.asks_nothing());
}

TEST_CASE("an answer to an order that is over is dropped") {
  const Folder folder;
  Keeping keeping(cluster(by_approle(folder.write("role", "role-1"), folder.write("id", "id-1"))));
  keeping.start();
  keeping.answer_to(kAppRole, logged_in_answer("s.first", 3'600));
  const std::uint64_t login = keeping.last_order();
  (void)keeping.asked(kCheck);
  keeping.keep.take(login, Purpose::kTask, logged_in_answer("s.twice", 3'600), keeping.moment());
  keeping.keep.take(login, Purpose::kUnwrap, unwrapped_answer("id-9"), keeping.moment());
  CHECK(keeping.asks_nothing());
  keeping.answer(capabilities_answer());
  CHECK(keeping.token() == "s.first");
  CHECK(keeping.keep.generations() == 1);
}

}  // namespace bao_exporter
