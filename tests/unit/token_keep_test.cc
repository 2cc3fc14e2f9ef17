#include "token_keep.h"

#include <chrono>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "catch.h"
#include "support/caught_log.h"
#include "support/folder.h"
#include "support/quiet.h"
#include "support/samples.h"
#include "support/token_answers.h"

namespace bao_exporter {

namespace {

using namespace test;  // NOLINT(google-build-using-namespace): the helpers of this test
using std::chrono::seconds;
using Newer = TokenSource::Newer;
using Purpose = TokenKeep::Purpose;

constexpr const char* kCheck = "/v1/sys/capabilities-self";
constexpr const char* kLookUp = "/v1/auth/token/lookup-self";
constexpr const char* kRenew = "/v1/auth/token/renew-self";
constexpr const char* kUnwrap = "/v1/sys/wrapping/unwrap";
constexpr const char* kAppRole = "/v1/auth/approle/login";

ClusterConfig cluster(AuthConfig auth, int nodes = 3) {
  ClusterConfig made;
  made.cluster = "prod";
  made.auth = std::move(auth);
  for (int number = 1; number <= nodes; ++number) {
    NodeConfig node;
    node.name = std::to_string(number);
    node.api_url = "https://10.0.0." + std::to_string(number) + ":8200";
    made.nodes.push_back(std::move(node));
  }
  return made;
}

AuthConfig by_file(const std::string& file) {
  AuthConfig auth;
  auth.method = AuthMethod::kTokenFile;
  auth.token_file = file;
  return auth;
}

AuthConfig by_approle(const std::string& role_id, const std::string& secret_id) {
  AuthConfig auth;
  auth.method = AuthMethod::kAppRole;
  auth.mount = "approle";
  auth.role_id_file = role_id;
  auth.secret_id_file = secret_id;
  return auth;
}

// A keep whose clock, network and looks at files are the test's.
class Keeping {
 public:
  explicit Keeping(const ClusterConfig& cluster, std::uint64_t generations = 0)
      : keep(cluster, trust, Milliseconds{8'000}, generations,
             {metrics,
              [this](Request request, std::uint64_t order, Purpose purpose) {
                sent_.push_back({std::move(request), order, purpose});
              },
              [this] { ++changes; }}) {}

  [[nodiscard]] Moment moment() const { return {begin_ + time_, WallTime(seconds(1'000)) + time_}; }
  // Moves the clock, and wakes the keep whenever it wants to be.
  void pass(Milliseconds time) {
    const Milliseconds end = time_ + time;
    while (keep.wake_at() && *keep.wake_at() <= begin_ + end) {
      time_ = std::max(time_, std::chrono::ceil<Milliseconds>(*keep.wake_at() - begin_));
      keep.time_came(moment());
    }
    time_ = end;
  }
  void start() { keep.start(moment()); }
  // As often as a file needs to be looked at to count as settled.
  void look() {
    keep.look(moment());
    keep.look(moment());
  }
  [[nodiscard]] Newer newer_than(std::uint64_t generation) {
    return keep.newer_than(generation, moment());
  }
  void note(TokenNews news) {
    news.cluster = "prod";
    keep.note(news, moment());
  }

  // The only request that was sent and not answered or lost yet, to that path.
  Request asked(const std::string& path) {
    REQUIRE(sent_.size() == 1);
    last_ = std::move(sent_.front());
    sent_.pop_front();
    CHECK(last_.request.url.path == path);
    CHECK(last_.request.secret_answer);
    CHECK(last_.request.trust == trust);
    CHECK(last_.request.headers.empty());
    return last_.request;
  }
  [[nodiscard]] bool asks_nothing() const { return sent_.empty(); }
  // To what asked() gave last.
  void answer(Answer answer) { keep.take(last_.order, last_.purpose, std::move(answer), moment()); }
  void answer_to(const std::string& path, Answer with) {
    (void)asked(path);
    answer(std::move(with));
  }
  void check_and_look_up() {
    answer_to(kCheck, capabilities_answer());
    answer_to(kLookUp, looked_up_answer(3'600));
  }
  [[nodiscard]] std::uint64_t last_order() const { return last_.order; }
  // Nothing of what was sent is kept by the test.
  void forget_requests() { last_ = {}; }

  [[nodiscard]] std::shared_ptr<const TokenInForce> in_force() const { return keep.slot()->get(); }
  [[nodiscard]] std::string token() const {
    const auto token = in_force();
    return token == nullptr           ? "undecided"
           : token->secret == nullptr ? std::string(reason_name(token->why.code))
                                      : std::string(token->secret->reveal());
  }
  [[nodiscard]] std::string metric(std::string_view name, LabelsWanted labels = {}) const {
    labels.emplace_back("credential", "prod");
    return Samples(metrics.render("process_", begin_)).value(name, labels);
  }

  OwnMetrics metrics;
  std::shared_ptr<const TlsTrust> trust = std::make_shared<TlsTrust>();
  int changes = 0;

 private:
  struct Sent {
    Request request;
    std::uint64_t order = 0;
    Purpose purpose = Purpose::kTask;
  };
  TimePoint begin_ = Clock::now();
  Milliseconds time_{0};
  std::deque<Sent> sent_;
  Sent last_;

 public:
  TokenKeep keep;
};

}  // namespace

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
