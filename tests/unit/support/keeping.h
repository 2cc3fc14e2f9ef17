// A TokenKeep whose clock, network and looks at files are the test's.
#pragma once

#include <chrono>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "../catch.h"
#include "samples.h"
#include "token_answers.h"
#include "token_keep.h"

namespace bao_exporter::test {

using std::chrono::seconds;
using Newer = TokenSource::Newer;
using Purpose = TokenKeep::Purpose;

inline constexpr const char* kCheck = "/v1/sys/capabilities-self";
inline constexpr const char* kLookUp = "/v1/auth/token/lookup-self";
inline constexpr const char* kRenew = "/v1/auth/token/renew-self";
inline constexpr const char* kUnwrap = "/v1/sys/wrapping/unwrap";
inline constexpr const char* kAppRole = "/v1/auth/approle/login";

inline ClusterConfig cluster(AuthConfig auth, int nodes = 3) {
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

inline AuthConfig by_file(const std::string& file) {
  AuthConfig auth;
  auth.method = AuthMethod::kTokenFile;
  auth.token_file = file;
  return auth;
}

inline AuthConfig by_approle(const std::string& role_id, const std::string& secret_id) {
  AuthConfig auth;
  auth.method = AuthMethod::kAppRole;
  auth.mount = "approle";
  auth.role_id_file = role_id;
  auth.secret_id_file = secret_id;
  return auth;
}

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

}  // namespace bao_exporter::test
