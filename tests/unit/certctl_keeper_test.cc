#include "bao_exporter/certctl_keeper.h"

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
#include "support/answers.h"
#include "support/eventually.h"
#include "support/folder.h"
#include "support/quiet.h"
#include "support/samples.h"

namespace bao_exporter {

namespace {

using namespace test;  // NOLINT(google-build-using-namespace): the helpers of this test

CertctlConfig server(const std::string& name, const std::string& key_file) {
  CertctlConfig made;
  made.name = name;
  made.url = "https://" + name + ":8443";
  made.api_key_file = key_file;
  made.auto_collectors = false;
  made.collectors = {CertctlCollector::kMetrics, CertctlCollector::kDiscovery};
  return made;
}

// Answers at once as servers would that are well and know any key but "revoked"; those that are
// held are answered by the test.
class FakeCertctls {
 public:
  struct Taken {
    std::string host;
    std::string path;
    std::string key;
    Transport::OnDone on_done;
  };

  void take(const Request& request, const Transport::OnDone& on_done) {
    Taken taken{request.url.host, request.url.path,
                request.bearer ? std::string(request.bearer->reveal()) : "", on_done};
    bool held = false;
    {
      std::scoped_lock lock(mutex_);
      held = held_ == taken.path;
      taken_.push_back(taken);
    }
    if (!held) on_done(answer_for(taken));
  }
  void hold(const std::string& path) {
    std::scoped_lock lock(mutex_);
    held_ = path;
  }
  static Answer answer_for(const Taken& taken) {
    if (taken.path == "/ready") return json(200, R"({"db":"reachable","status":"ready"})");
    if (taken.path == "/api/v1/version") return json(200, R"({"version":"2.1.7"})");
    if (taken.key == "revoked") return plain(401, R"({"error":"Invalid API key"})");
    if (taken.path == "/api/v1/auth/me") {
      return json(200, R"({"admin":false,"effective_permissions":[{"permission":"metrics.read"},)"
                       R"({"permission":"discovery.read"}]})");
    }
    if (taken.path == "/api/v1/discovery-summary") return json(200, R"({"Managed":7})");
    return exposition("# TYPE certctl_certificate_total gauge\ncertctl_certificate_total 3\n");
  }
  // With that path and host, so far.
  [[nodiscard]] std::vector<Taken> taken(const std::string& host, const std::string& path) const {
    std::scoped_lock lock(mutex_);
    std::vector<Taken> found;
    for (const Taken& one : taken_) {
      if (one.host == host && one.path == path) found.push_back(one);
    }
    return found;
  }
  [[nodiscard]] bool comes_to(const std::string& host, const std::string& path,
                              std::size_t times) const {
    return eventually([&] { return taken(host, path).size() >= times; });
  }

 private:
  mutable std::mutex mutex_;
  std::string held_;
  std::vector<Taken> taken_;
};

// A CertctlKeeper, on its thread once it is started.
class Keeping {
 public:
  Keeping() {
    keeper.connect({[this](const Request& request, const Transport::OnDone& on_done) {
                      certctls.take(request, on_done);
                    },
                    [this](CertctlViews views) {
                      std::scoped_lock lock(mutex_);
                      views_ = std::move(views);
                    }});
  }

  void replace(std::vector<CertctlConfig> servers) {
    Config config;
    config.certctls = std::move(servers);
    for (const CertctlConfig& one : config.certctls) {
      if (!trusts.contains(one.name)) trusts[one.name] = std::make_shared<TlsTrust>();
    }
    keeper.replace(config, trusts);
  }
  void start() {
    thread_ = std::jthread([this](const std::stop_token& stop) { keeper.run(stop); });
  }

  [[nodiscard]] std::shared_ptr<const CertctlView> view(const std::string& name) const {
    std::scoped_lock lock(mutex_);
    for (const auto& view : views_) {
      if (view->name == name) return view;
    }
    return nullptr;
  }
  [[nodiscard]] std::vector<std::string> names() const {
    std::scoped_lock lock(mutex_);
    std::vector<std::string> found;
    for (const auto& view : views_) found.push_back(view->name);
    return found;
  }
  [[nodiscard]] bool comes_to(const std::string& name, ErrorCode reason) const {
    return eventually([&] {
      const auto known = view(name);
      return known != nullptr && known->reason == reason;
    });
  }
  [[nodiscard]] std::string own(const std::string& name, const std::string& metric) const {
    return Samples(metrics.render("process_", Clock::now())).value(metric, {{"credential", name}});
  }

  mutable OwnMetrics metrics;
  FakeCertctls certctls;
  std::map<std::string, std::shared_ptr<const TlsTrust>> trusts;
  Folder folder;
  CertctlKeeper keeper{metrics, 7};

 private:
  mutable std::mutex mutex_;
  CertctlViews views_;
  std::jthread thread_;  // last: it ends first
};

std::string state_of(const CertctlView& view) {
  std::string text;
  for (const std::string_view slice : view.state->own_text()) text += slice;
  return text;
}

constexpr const char* kPowers = "/api/v1/auth/me";
constexpr const char* kMetrics = "/api/v1/metrics/prometheus";

}  // namespace

TEST_CASE("certctl keeper: a server is asked with its key and told, with its place in the labels") {
  Keeping keeping;
  keeping.replace({server("one", keeping.folder.write("key", "abc\n"))});
  keeping.start();
  REQUIRE(keeping.comes_to("one", ErrorCode::kOk));
  CHECK(keeping.certctls.taken("one", kMetrics).front().key == "abc");
  CHECK(keeping.certctls.taken("one", "/ready").front().key.empty());
  const auto view = keeping.view("one");
  CHECK(view->upstream != nullptr);
  CHECK(state_of(*view).find("certctl_state_discovered_certificates{status=\"Managed\"} 7") !=
        std::string::npos);
  CHECK(view->labels == std::vector<std::pair<std::string, std::string>>{{"certctl", "one"},
                                                                         {"instance", "one:8443"}});
  CHECK(keeping.own("one", "bao_token_generation") == "1");
  CHECK(keeping.own("one", "bao_token_excess_capabilities") == "0");
}

TEST_CASE("certctl keeper: views are in the order of the configuration") {
  Keeping keeping;
  const std::string key = keeping.folder.write("key", "abc\n");
  keeping.replace({server("c", key), server("a", key), server("b", key)});
  keeping.start();
  CHECK(eventually([&] { return keeping.names() == std::vector<std::string>{"c", "a", "b"}; }));
  keeping.replace({server("b", key), server("c", key)});
  CHECK(eventually([&] { return keeping.names() == std::vector<std::string>{"b", "c"}; }));
}

TEST_CASE("certctl keeper: a server whose configuration is the same keeps what is known of it") {
  Keeping keeping;
  const std::string key = keeping.folder.write("key", "abc\n");
  keeping.replace({server("same", key), server("other", key)});
  keeping.start();
  REQUIRE(keeping.comes_to("same", ErrorCode::kOk));
  REQUIRE(keeping.comes_to("other", ErrorCode::kOk));
  const auto before = keeping.view("same");
  CertctlConfig changed = server("other", key);
  changed.soonest_expiries = 3;
  keeping.replace({changed, server("same", key)});
  REQUIRE(keeping.certctls.comes_to("other", kPowers, 2));
  CHECK(eventually([&] { return keeping.names() == std::vector<std::string>{"other", "same"}; }));
  CHECK(keeping.view("same") == before);
  CHECK(keeping.certctls.taken("same", kPowers).size() == 1);
  CHECK(keeping.own("same", "bao_token_generation") == "1");
  CHECK(keeping.own("other", "bao_token_generation") == "2");

  keeping.trusts["same"] = std::make_shared<TlsTrust>();
  keeping.replace({changed, server("same", key)});
  CHECK(keeping.certctls.comes_to("same", kPowers, 2));
}

TEST_CASE("certctl keeper: answers for a server that was removed are dropped") {
  Keeping keeping;
  const std::string key = keeping.folder.write("key", "abc\n");
  keeping.certctls.hold(kPowers);
  keeping.replace({server("one", key)});
  keeping.start();
  REQUIRE(keeping.certctls.comes_to("one", kPowers, 1));
  const auto held = keeping.certctls.taken("one", kPowers).front();
  CertctlConfig changed = server("one", key);
  changed.soonest_expiries = 3;
  keeping.replace({changed});
  REQUIRE(keeping.certctls.comes_to("one", kPowers, 2));
  held.on_done(FakeCertctls::answer_for(held));

  SECTION("though another has its name, and an order of that number") {
    const auto second = keeping.certctls.taken("one", kPowers).back();
    keeping.certctls.hold("");
    second.on_done(FakeCertctls::answer_for(second));
    CHECK(keeping.comes_to("one", ErrorCode::kOk));
    CHECK(keeping.certctls.taken("one", "/api/v1/version").size() == 1);
  }
  SECTION("and nothing of it is told") {
    keeping.replace({});
    CHECK(eventually([&] { return keeping.own("one", "bao_token_generation") == "(0 samples)"; }));
    held.on_done(failed(ErrorCode::kTimeout));
    CHECK(eventually([&] { return keeping.names().empty(); }));
  }
}

TEST_CASE("certctl keeper: a key file that is replaced begins everything anew") {
  Keeping keeping;
  const std::string key = keeping.folder.write("key", "abc\n");
  keeping.replace({server("one", key)});
  keeping.start();
  REQUIRE(keeping.comes_to("one", ErrorCode::kOk));
  (void)keeping.folder.write("key", "def\n");
  REQUIRE(keeping.certctls.comes_to("one", kMetrics, 2));
  CHECK(keeping.certctls.taken("one", kPowers).back().key == "def");
  CHECK(keeping.certctls.taken("one", kMetrics).back().key == "def");
  CHECK(keeping.own("one", "bao_token_generation") == "2");
}

TEST_CASE("certctl keeper: with 401 a key file that was just replaced is read before it counts") {
  Keeping keeping;
  const std::string key = keeping.folder.write("key", "revoked\n");
  keeping.certctls.hold(kPowers);
  keeping.replace({server("one", key)});
  keeping.start();
  REQUIRE(keeping.certctls.comes_to("one", kPowers, 1));
  const auto held = keeping.certctls.taken("one", kPowers).front();
  keeping.certctls.hold("");
  (void)keeping.folder.write("key", "good\n");
  held.on_done(FakeCertctls::answer_for(held));
  REQUIRE(keeping.comes_to("one", ErrorCode::kOk));
  CHECK(keeping.certctls.taken("one", kPowers).size() == 2);
  CHECK(state_of(*keeping.view("one")).find("token_rejected") == std::string::npos);
}

TEST_CASE("certctl keeper: a key that nobody knows is told as that") {
  Keeping keeping;
  keeping.replace({server("one", keeping.folder.write("key", "revoked\n"))});
  keeping.start();
  REQUIRE(keeping.comes_to("one", ErrorCode::kTokenRejected));
  CHECK(keeping.view("one")->upstream == nullptr);
}

TEST_CASE("certctl keeper: without a key file the server is told with the reason, until there is") {
  Keeping keeping;
  const std::string key = keeping.folder.path("key");
  keeping.replace({server("one", key)});
  keeping.start();
  REQUIRE(keeping.comes_to("one", ErrorCode::kTokenUnreadable));
  CHECK(keeping.certctls.comes_to("one", "/ready", 1));
  CHECK(keeping.certctls.taken("one", kPowers).empty());
  (void)keeping.folder.write("key", "abc\n");
  CHECK(keeping.comes_to("one", ErrorCode::kOk));
}

TEST_CASE("certctl keeper: SIGHUP reads the key files and asks at once") {
  Keeping keeping;
  keeping.replace({server("one", keeping.folder.write("key", "abc\n"))});
  keeping.start();
  REQUIRE(keeping.comes_to("one", ErrorCode::kOk));
  keeping.keeper.look_now();
  CHECK(keeping.certctls.comes_to("one", kMetrics, 2));
  CHECK(keeping.certctls.comes_to("one", kPowers, 2));
  (void)keeping.folder.write("key", "def\n");
  keeping.keeper.look_now();
  CHECK(eventually([&] { return keeping.certctls.taken("one", kMetrics).back().key == "def"; }));
}

}  // namespace bao_exporter
