#include "bao_exporter/token_keeper.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "catch.h"
#include "support/eventually.h"
#include "support/folder.h"
#include "support/quiet.h"
#include "support/samples.h"
#include "support/token_answers.h"

namespace bao_exporter {

namespace {

using namespace test;  // NOLINT(google-build-using-namespace): the helpers of this test
using Trusts = std::map<std::string, std::shared_ptr<const TlsTrust>>;

constexpr const char* kCheck = "/v1/sys/capabilities-self";

ClusterConfig cluster(const std::string& name, const std::string& token_file) {
  ClusterConfig made;
  made.cluster = name;
  made.auth.method = AuthMethod::kTokenFile;
  made.auth.token_file = token_file;
  NodeConfig node;
  node.name = "a";
  node.api_url = "https://" + name + ":8200";
  made.nodes.push_back(std::move(node));
  return made;
}

Config config(std::vector<ClusterConfig> clusters) {
  Config made;
  made.clusters = std::move(clusters);
  return made;
}

// Answers everything as a cluster would that is fine with each token; or nothing, and the test
// does.
class FakeBao {
 public:
  explicit FakeBao(bool answers) : answers_(answers) {}

  void take(const Request& request, const Transport::OnDone& on_done) {
    if (answers_) on_done(answer_for(request.url.path));
    {
      std::scoped_lock lock(mutex_);
      taken_.push_back({request.url.host, request.url.path,
                        request.bearer ? std::string(request.bearer->reveal()) : "", on_done});
    }
    changed_.notify_all();
  }

  struct Taken {
    std::string host;  // the cluster's name
    std::string path;
    std::string token;
    Transport::OnDone on_done;
  };
  // The n-th request ever, from 0.
  [[nodiscard]] std::optional<Taken> await(std::size_t n) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, kPatience, [&] { return taken_.size() > n; })) return {};
    return taken_[n];
  }
  [[nodiscard]] std::size_t count() const {
    std::scoped_lock lock(mutex_);
    return taken_.size();
  }

 private:
  static Answer answer_for(const std::string& path) {
    if (path == kCheck) return capabilities_answer();
    if (path.ends_with("/login")) return logged_in_answer("s.of-login", 3'600);
    return looked_up_answer(3'600);
  }

  const bool answers_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Taken> taken_;
};

// A TokenKeeper, on its thread once it is started.
class Keeping {
 public:
  explicit Keeping(bool answers = true) : bao(answers) {
    keeper.connect({[this](const Request& request, const Transport::OnDone& on_done) {
                      bao.take(request, on_done);
                    },
                    [this](const std::string& cluster) {
                      std::scoped_lock lock(mutex_);
                      changed_.push_back(cluster);
                    }});
  }

  // Each cluster keeps its trust, but for those in `trusts`.
  void replace(std::vector<ClusterConfig> clusters) {
    for (const ClusterConfig& cluster : clusters) {
      if (!trusts.contains(cluster.cluster)) {
        trusts[cluster.cluster] = std::make_shared<TlsTrust>();
      }
    }
    keeper.replace(config(std::move(clusters)), trusts);
  }
  void start() {
    thread_ = std::jthread([this](const std::stop_token& stop) { keeper.run(stop); });
  }
  void stop() {
    thread_.request_stop();
    thread_.join();
  }

  [[nodiscard]] std::string token(const std::string& cluster) const {
    const auto slot = keeper.slot(cluster);
    const auto token = slot == nullptr ? nullptr : slot->get();
    if (token == nullptr) return "undecided";
    return token->secret == nullptr ? std::string(reason_name(token->why.code))
                                    : std::string(token->secret->reveal());
  }
  [[nodiscard]] bool comes_to(const std::string& cluster, const std::string& token_wanted) const {
    return eventually([&] { return token(cluster) == token_wanted; });
  }
  [[nodiscard]] std::uint64_t generation(const std::string& cluster) const {
    return keeper.slot(cluster)->get()->generation;
  }
  [[nodiscard]] std::size_t changes(const std::string& cluster) {
    std::scoped_lock lock(mutex_);
    return static_cast<std::size_t>(std::count(changed_.begin(), changed_.end(), cluster));
  }
  [[nodiscard]] std::string metric(std::string_view name, std::string_view cluster) const {
    return Samples(metrics.render("process_", Clock::now())).value(name, {{"credential", cluster}});
  }

  FakeBao bao;
  OwnMetrics metrics;
  TokenKeeper keeper{metrics};
  Trusts trusts;

 private:
  std::mutex mutex_;
  std::vector<std::string> changed_;
  std::jthread thread_;  // last: it ends first
};

}  // namespace

TEST_CASE("the keeper brings the tokens of all clusters into force, each from its file") {
  const Folder folder;
  Keeping keeping;
  ClusterConfig open = cluster("open", "");
  open.auth.method = AuthMethod::kNone;
  keeping.replace({cluster("one", folder.write("one", "s.one")),
                   cluster("two", folder.write("two", "s.two")), open});
  CHECK(keeping.token("one") == "undecided");
  CHECK(keeping.keeper.slot("open") == nullptr);
  CHECK(keeping.keeper.slot("unknown") == nullptr);
  CHECK(keeping.bao.count() == 0);  // nothing is done before run()
  keeping.start();
  CHECK(keeping.comes_to("one", "s.one"));
  CHECK(keeping.comes_to("two", "s.two"));
  CHECK(eventually([&] { return keeping.changes("one") == 1 && keeping.changes("two") == 1; }));
}

TEST_CASE("a file that changes is seen without anybody asking") {
  const Folder folder;
  Keeping keeping;
  keeping.replace({cluster("one", folder.write("one", "s.one"))});
  const auto slot = keeping.keeper.slot("one");
  keeping.start();
  REQUIRE(keeping.comes_to("one", "s.one"));
  folder.write("one", "s.one-after");
  CHECK(keeping.comes_to("one", "s.one-after"));
  CHECK(keeping.generation("one") == 2);
  CHECK(keeping.keeper.slot("one") == slot);  // polls look at the same place
  CHECK(eventually([&] { return keeping.changes("one") == 2; }));
}

TEST_CASE("nothing is known of tokens before the keeper runs") {
  const Folder folder;
  Keeping keeping;
  keeping.replace({cluster("one", folder.write("one", "s.one"))});
  CHECK(keeping.keeper.newer_than("one", 0) == TokenSource::Newer::kNone);
  CHECK(keeping.keeper.newer_than("unknown", 0) == TokenSource::Newer::kNone);
  keeping.keeper.look_now();
  keeping.keeper.note({{"one", 0, 0, {}}, {"unknown", 1, 1, 1}});
  CHECK(keeping.bao.count() == 0);
  keeping.start();
  CHECK(keeping.comes_to("one", "s.one"));
}

TEST_CASE("whoever asks for a newer token has the file looked at on the spot") {
  const Folder folder;
  Keeping keeping;
  keeping.replace({cluster("one", folder.write("one", "s.one"))});
  keeping.start();
  REQUIRE(keeping.comes_to("one", "s.one"));
  folder.write("one", "s.one-after");
  CHECK(keeping.keeper.newer_than("one", 1) != TokenSource::Newer::kNone);
  CHECK(
      eventually([&] { return keeping.keeper.newer_than("one", 1) == TokenSource::Newer::kNow; }));
  CHECK(keeping.token("one") == "s.one-after");
}

TEST_CASE("a new configuration keeps the tokens of clusters that authenticate as before") {
  const Folder folder;
  Keeping keeping;
  const ClusterConfig one = cluster("one", folder.write("one", "s.one"));
  const ClusterConfig two = cluster("two", folder.write("two", "s.two"));
  keeping.replace({one, two});
  keeping.start();
  REQUIRE(keeping.comes_to("one", "s.one"));
  REQUIRE(keeping.comes_to("two", "s.two"));
  REQUIRE(eventually([&] { return keeping.bao.count() == 4; }));
  const auto slot_one = keeping.keeper.slot("one");
  const auto slot_two = keeping.keeper.slot("two");
  ClusterConfig more = one;
  more.nodes.push_back(more.nodes[0]);
  more.nodes.back().name = "b";
  SECTION("other nodes, the same tokens") {
    keeping.replace({two, more});
    CHECK(keeping.keeper.slot("one") == slot_one);
    CHECK(keeping.keeper.slot("two") == slot_two);
    CHECK(keeping.token("one") == "s.one");
    CHECK(keeping.generation("one") == 1);
    CHECK(keeping.metric("bao_token_generation", "one") == "1");
  }
  SECTION("another trust, another keep") {
    keeping.trusts["one"] = std::make_shared<TlsTrust>();
    keeping.replace({more, two});
    CHECK(keeping.keeper.slot("two") == slot_two);
    CHECK(keeping.keeper.slot("one") != slot_one);
    CHECK(keeping.comes_to("one", "s.one"));
    CHECK(keeping.generation("one") == 2);  // as polls count: no number twice
    CHECK(keeping.generation("two") == 1);
    CHECK(eventually([&] { return keeping.metric("bao_token_generation", "one") == "2"; }));
  }
  SECTION("another file, another keep") {
    more.auth.token_file = folder.write("other", "s.other");
    keeping.replace({more, two});
    CHECK(keeping.comes_to("one", "s.other"));
    CHECK(keeping.generation("one") == 2);
  }
  SECTION("gone, and back: it begins anew, and none of its series stayed") {
    keeping.replace({two});
    CHECK(keeping.keeper.slot("one") == nullptr);
    CHECK(keeping.metric("bao_token_generation", "one") == "(0 samples)");
    CHECK(keeping.metric("bao_token_generation", "two") == "1");
    keeping.replace({one, two});
    CHECK(keeping.comes_to("one", "s.one"));
  }
}

TEST_CASE("an answer for a keep that was replaced says nothing about the one in its place") {
  const Folder folder;
  Keeping keeping(/*answers=*/false);
  const ClusterConfig one = cluster("one", folder.write("one", "s.one"));
  keeping.replace({one});
  keeping.start();
  const auto first = keeping.bao.await(0);
  REQUIRE(first.has_value());
  CHECK(first->path == kCheck);
  keeping.trusts["one"] = std::make_shared<TlsTrust>();
  keeping.replace({one});
  const auto second = keeping.bao.await(1);
  REQUIRE(second.has_value());
  // A refusal for the old one, from whatever thread; then the answer for the new one.
  std::jthread([&] { first->on_done(capabilities_answer(R"(["root"])", R"(["root"])")); }).join();
  second->on_done(capabilities_answer());
  CHECK(keeping.comes_to("one", "s.one"));
  CHECK(keeping.generation("one") == 2);
  CHECK(keeping.changes("one") == 1);
}

TEST_CASE("an answer for a cluster that is gone is dropped") {
  const Folder folder;
  Keeping keeping(/*answers=*/false);
  keeping.replace({cluster("one", folder.write("one", "s.one"))});
  keeping.start();
  const auto first = keeping.bao.await(0);
  REQUIRE(first.has_value());
  keeping.replace({cluster("two", folder.write("two", "s.two"))});
  first->on_done(capabilities_answer());
  const auto second = keeping.bao.await(1);
  REQUIRE(second.has_value());
  CHECK(second->host == "two");
  second->on_done(capabilities_answer());
  CHECK(keeping.comes_to("two", "s.two"));
  CHECK(keeping.changes("one") == 0);
}

TEST_CASE("what waits for its next try is tried when somebody says look now") {
  const Folder folder;
  Keeping keeping(/*answers=*/false);
  ClusterConfig one = cluster("one", "");
  one.auth.method = AuthMethod::kAppRole;
  one.auth.mount = "approle";
  one.auth.role_id_file = folder.write("role", "role-1");
  keeping.replace({one});
  keeping.start();
  const auto first = keeping.bao.await(0);
  REQUIRE(first.has_value());
  CHECK(first->path == "/v1/auth/approle/login");
  first->on_done(json(400, R"({"errors":["invalid role or secret ID"]})"));
  REQUIRE(keeping.comes_to("one", "login_failed"));
  CHECK(keeping.bao.count() == 1);
  keeping.keeper.look_now();
  const auto second = keeping.bao.await(1);
  REQUIRE(second.has_value());
  second->on_done(logged_in_answer("s.of-login", 3'600));
  const auto check = keeping.bao.await(2);
  REQUIRE(check.has_value());
  CHECK(check->token == "s.of-login");
  check->on_done(capabilities_answer());
  CHECK(keeping.comes_to("one", "s.of-login"));
}

TEST_CASE("look now reads a file that has not settled yet") {
  const Folder folder;
  Keeping keeping;
  keeping.replace({cluster("one", folder.write("one", "s.one"))});
  keeping.start();
  REQUIRE(keeping.comes_to("one", "s.one"));
  folder.write("one", "s.one-after");
  keeping.keeper.look_now();
  CHECK(keeping.keeper.newer_than("one", 1) != TokenSource::Newer::kNone);
  CHECK(keeping.comes_to("one", "s.one-after"));
}

TEST_CASE("the keeper stops at once, whatever is under way, and takes answers without harm later") {
  const Folder folder;
  Keeping keeping(/*answers=*/false);
  keeping.replace(
      {cluster("one", folder.write("one", "s.one")), cluster("two", folder.write("two", "s.two"))});
  keeping.start();
  REQUIRE(keeping.bao.await(1).has_value());
  const auto asked = Clock::now();
  keeping.stop();
  CHECK(Clock::now() - asked < kPatience / 4);
  keeping.bao.await(0)->on_done(capabilities_answer());
  CHECK(keeping.token("one") == "undecided");
}

TEST_CASE("many threads may ask, tell and replace at once, and the last file wins") {
  const Folder folder;
  Keeping keeping;
  const ClusterConfig one = cluster("one", folder.write("one", "s.one"));
  ClusterConfig two = cluster("two", "");
  two.auth.method = AuthMethod::kAppRole;
  two.auth.mount = "approle";
  two.auth.role_id_file = folder.write("role", "role-1");
  keeping.replace({one, two});
  keeping.start();
  constexpr int kEach = 40;
  std::atomic<int> done{0};
  {
    std::vector<std::jthread> threads;
    const auto repeat = [&](auto work) {
      threads.emplace_back([&done, work] {
        for (int n = 0; n < kEach; ++n) work(static_cast<std::uint64_t>(n));
        ++done;
      });
    };
    repeat([&](std::uint64_t n) { (void)keeping.keeper.newer_than("one", n % 3); });
    repeat([&](std::uint64_t n) { (void)keeping.keeper.newer_than("two", n % 3); });
    repeat([&](std::uint64_t n) {
      keeping.keeper.note({{"one", n, n / 2, 0}, {"two", n / 2, n, std::nullopt}});
    });
    repeat([&](std::uint64_t) { keeping.keeper.look_now(); });
    repeat([&](std::uint64_t) { (void)keeping.token("one"); });
    repeat([&](std::uint64_t) { (void)keeping.metric("bao_token_generation", "two"); });
    repeat([&](std::uint64_t n) { folder.write("one", "s.one-" + std::to_string(n)); });
    // `trusts` is of this thread alone.
    repeat([&](std::uint64_t n) {
      if (n % 4 == 0) keeping.trusts["two"] = std::make_shared<TlsTrust>();
      n % 3 == 0 ? keeping.replace({one}) : keeping.replace({two, one});
    });
  }
  CHECK(done == 8);
  CHECK(keeping.comes_to("one", "s.one-" + std::to_string(kEach - 1)));
  keeping.replace({one, two});
  CHECK(keeping.comes_to("two", "s.of-login"));
}

}  // namespace bao_exporter
