// A certctl::Life with a clock that the test moves, in front of a server in memory whose answers
// the test may replace. What must hold at any time is checked at each step (broken()).
#pragma once

#include <algorithm>
#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../catch.h"
#include "answers.h"
#include "certctl/life.h"
#include "certctl/relabel.h"
#include "certctl_server.h"

namespace bao_exporter::test {

using certctl::Lane;
using certctl::Order;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using Collector = CertctlCollector;
using NoteKind = certctl::Note::Kind;

inline constexpr const char* kReadyPath = "/ready";
inline constexpr const char* kMetricsPath = "/api/v1/metrics/prometheus";
inline constexpr const char* kPowersPath = "/api/v1/auth/me";
inline constexpr const char* kVersionPath = "/api/v1/version";
inline constexpr const char* kCertificatesPath = "/api/v1/certificates";
inline constexpr const char* kAgentsPath = "/api/v1/agents";
inline constexpr const char* kJobsPath = "/api/v1/jobs";
inline constexpr const char* kIssuersPath = "/api/v1/issuers";
inline constexpr const char* kHealthPath = "/api/v1/health-checks/summary";

inline Answer unknown_key() { return plain(401, R"({"error":"Invalid API key"})"); }
inline Answer not_permitted() { return json(403, R"({"error":"Insufficient permissions"})"); }
inline Answer internal_error() { return json(500, R"({"error":"Internal error"})"); }
inline Answer database_down() {
  return json(503, R"({"status":"db_unavailable","error":"connection refused"})");
}
inline Answer rate_limited(std::optional<std::uint64_t> wait = 1) {
  Answer made = plain(429, R"({"error":"Rate limit exceeded"})");
  made.retry_after_seconds = wait;
  return made;
}

inline CertctlConfig certctl_config() {
  CertctlConfig config;
  config.name = "pki";
  config.url = "https://certctl.example:8443";
  return config;
}

inline CertctlConfig certctl_config(std::vector<Collector> collectors) {
  CertctlConfig config = certctl_config();
  config.auto_collectors = false;
  config.collectors = std::move(collectors);
  return config;
}

// What a server in memory has, and answers.
class ScriptedCertctl {
 public:
  ScriptedCertctl() {
    for (const char* id : {"a", "b", "c"}) add_certificate(id);
    lists.tables["agents"] = {{{"id", "ag"}, {"status", "Online"}}};
    lists.tables["jobs"] = {job("j")};
    lists.tables["issuers"] = {{{"id", "i"}, {"type", "local"}, {"enabled", true}}};
    lists.tables["notifications"] = {{{"id", "n"}, {"status", "sent"}}};
    lists.summaries["discovery-summary"] = {{"Unmanaged", 2}, {"Managed", 1}, {"Dismissed", 0}};
    lists.summaries["health-checks/summary"] = {{"healthy", 1}, {"degraded", 0},
                                                {"down", 0},    {"cert_mismatch", 0},
                                                {"unknown", 0}, {"total", 1}};
    for (const char* area : {"metrics", "cert", "agent", "job", "issuer", "notification",
                             "discovery", "healthcheck"}) {
      permissions.insert(std::string(area) + ".read");
    }
  }

  static Json job(const std::string& id) {
    return {{"id", id},
            {"type", "Renewal"},
            {"status", "Completed"},
            {"scheduled_at", "2026-11-22T23:45:02Z"}};
  }
  void add_certificate(const std::string& id) {
    lists.tables["certificates"].push_back({{"id", id},
                                            {"name", "name-" + id},
                                            {"common_name", id + ".example.com"},
                                            {"environment", "production"},
                                            {"owner_id", "o"},
                                            {"issuer_id", "iss"},
                                            {"status", "Active"},
                                            {"expires_at", "2036-11-22T23:45:02Z"},
                                            {"updated_at", "2026-11-22T23:45:02Z"}});
  }
  void add_jobs(int count) {
    for (int i = 0; i < count; ++i) lists.tables["jobs"].push_back(job("j" + std::to_string(i)));
  }

  Answer answer(const Order& order) {
    for (const auto& [path, given] : instead) {
      if (order.path.starts_with(path)) return given;
    }
    if (order.path == kReadyPath) {
      return json(200, R"({"db":"reachable","status":"ready"})");
    }
    if (order.path == kVersionPath) return json(200, R"({"version":"2.1.7"})");
    if (order.with_key && !key_known) return unknown_key();
    if (order.path == kPowersPath) return json(200, powers().dump());
    if (order.path == kMetricsPath) return exposition(metrics());
    return json(200, lists.get(order.path));
  }

  CertctlServer lists;
  std::set<std::string> permissions;
  bool admin = false;
  bool key_known = true;
  double more_certificates_told = 0;
  // By how the path begins.
  std::map<std::string, Answer> instead;
  // Not answered before the deadline.
  std::set<std::string> silent;

 private:
  [[nodiscard]] Json powers() const {
    Json list = Json::array();
    for (const std::string& one : permissions) list.push_back({{"permission", one}});
    return {{"actor_id", "prom"}, {"admin", admin}, {"effective_permissions", list}};
  }
  [[nodiscard]] std::string metrics() {
    const auto told = static_cast<double>(lists.tables["certificates"].size());
    const std::string name = "certctl_certificate_total";
    std::string text = "# HELP " + name + " All.\n# TYPE " + name + " gauge\n" + name + " ";
    append_value(text, told + more_certificates_told);
    return text + "\n";
  }
};

class LifeDriver {
 public:
  explicit LifeDriver(const CertctlConfig& config = certctl_config())
      : life({config, {}, 1, plan_of(config)}), config_(config) {}

  [[nodiscard]] certctl::When when() const {
    return {TimePoint(hours(100)) + time, WallTime(seconds(1'795'392'902)) + time};
  }

  void key() {
    for (Pending& one : pending_) one.dropped = true;
    take(life.key_came(when()));
  }
  void no_key() { take(life.key_missing({ErrorCode::kTokenUnreadable, "no file"}, when())); }
  void try_now() { life.try_now(when()); }

  // Moves the clock: what is due happens.
  void pass(Milliseconds span) {
    const Milliseconds end = time + span;
    while (broken_.empty() && step(end)) {
    }
    time = std::max(time, end);
    INFO(broken_);
    CHECK(broken_.empty());
  }
  // True: something happened, at the latest at that time.
  bool step(Milliseconds end) {
    const auto next = std::min_element(pending_.begin(), pending_.end(),
                                       [](const auto& a, const auto& b) { return a.at < b.at; });
    const TimePoint wake = life.wake_at();
    const Milliseconds wake_at =
        wake == TimePoint::max() ? Milliseconds::max()
                                 : std::chrono::ceil<Milliseconds>(wake - TimePoint(hours(100)));
    if (next != pending_.end() && next->at <= std::min(end, std::max(wake_at, time))) {
      const Pending one = *next;
      pending_.erase(next);
      time = std::max(time, one.at);
      deliver(one);
      return true;
    }
    if (wake_at > end) return false;
    time = std::max(time, wake_at);
    take(life.time_came(when()));
    if (life.wake_at() <= when().now) note_broken("it wants to be woken at once, again");
    return true;
  }

  [[nodiscard]] std::size_t count(std::string_view path, std::size_t from = 0) const {
    return static_cast<std::size_t>(
        std::count_if(sent.begin() + static_cast<std::ptrdiff_t>(from), sent.end(),
                      [&](const Sent& one) { return one.order.path.starts_with(path); }));
  }
  [[nodiscard]] std::size_t keyed(std::size_t from = 0) const {
    return static_cast<std::size_t>(
        std::count_if(sent.begin() + static_cast<std::ptrdiff_t>(from), sent.end(),
                      [](const Sent& one) { return one.order.with_key; }));
  }
  [[nodiscard]] std::vector<Milliseconds> times(std::string_view path) const {
    std::vector<Milliseconds> found;
    for (const Sent& one : sent) {
      if (one.order.path.starts_with(path)) found.push_back(one.at);
    }
    return found;
  }
  // Without what comes after '?'.
  [[nodiscard]] std::vector<std::string> paths(Lane lane, std::size_t from = 0) const {
    std::vector<std::string> found;
    for (std::size_t i = from; i < sent.size(); ++i) {
      const std::string& path = sent[i].order.path;
      if (sent[i].order.lane == lane) found.push_back(path.substr(0, path.find('?')));
    }
    return found;
  }
  [[nodiscard]] std::size_t notes_of(NoteKind kind,
                                     std::optional<Collector> collector = std::nullopt) const {
    return static_cast<std::size_t>(
        std::count_if(notes.begin(), notes.end(), [&](const certctl::Note& note) {
          return note.kind == kind && (!collector || note.collector == collector);
        }));
  }
  [[nodiscard]] ErrorCode reason(Collector which) const { return life.state_of(which).reason; }
  [[nodiscard]] bool up(Collector which) const { return life.state_of(which).up(); }
  [[nodiscard]] std::size_t ups() const {
    std::size_t found = 0;
    for (std::size_t i = 0; i < kCertctlCollectorCount; ++i) {
      found += up(static_cast<Collector>(i)) ? 1 : 0;
    }
    return found;
  }
  [[nodiscard]] bool tells(std::string_view words) const {
    return life.state_text().find(words) != std::string::npos;
  }
  [[nodiscard]] const std::string& broken() const { return broken_; }
  void note_broken(const std::string& what) {
    if (broken_.empty()) broken_ = what + " (at " + std::to_string(time.count()) + " ms)";
  }

  struct Sent {
    Milliseconds at;
    Order order;
  };

  ScriptedCertctl server;
  certctl::Life life;
  Milliseconds time{0};
  Milliseconds latency{10};
  std::function<void()> before_answer = [] {};
  std::vector<Sent> sent;
  std::vector<certctl::Note> notes;
  std::size_t changes = 0;

 private:
  struct Pending {
    Order order;
    Milliseconds at;
    bool dropped = false;
    bool may_be_dropped = false;  // a key that is rejected ends the inventory
  };

  static RelabelPlan plan_of(const CertctlConfig& config) {
    RelabelPlan plan = certctl_relabel_plan(certctl_identity(config));
    plan.hash_seed = 1;
    return plan;
  }

  void deliver(const Pending& one) {
    before_answer();
    const bool too_late = when().now >= one.order.deadline;
    Answer answer = too_late ? failed(ErrorCode::kTimeout) : server.answer(one.order);
    if (answer.answered() && answer.status == 401) {
      for (Pending& other : pending_) {
        if (other.order.lane == Lane::kInventory) other.may_be_dropped = true;
      }
    }
    const std::size_t before = notes.size() + sent.size();
    take(life.answered(one.order.id, std::move(answer), when()));
    if (one.dropped && notes.size() + sent.size() != before) {
      note_broken("the answer to a dropped order did something");
    }
  }

  void take(certctl::Steps steps) {
    for (Order& order : steps.orders) take(std::move(order));
    for (certctl::Note& note : steps.notes) notes.push_back(std::move(note));
    if (!steps.changed) return;
    ++changes;
    check_text();
  }

  void take(Order order) {
    for (const Pending& other : pending_) {
      const bool waited_for = !other.dropped && !other.may_be_dropped;
      if (waited_for && other.order.lane == order.lane) {
        note_broken("two requests in one lane: " + other.order.path + " and " + order.path);
      }
    }
    const TimePoint now = when().now;
    if (order.deadline > now + config_.timeout || order.deadline <= now) {
      note_broken("the deadline of " + order.path + " is not within the timeout");
    }
    Milliseconds at = time + latency;
    const auto until = std::chrono::ceil<Milliseconds>(order.deadline - TimePoint(hours(100)));
    for (const std::string& path : server.silent) {
      if (order.path.starts_with(path)) at = until;
    }
    sent.push_back({time, order});
    pending_.push_back({std::move(order), std::min(at, until)});
  }

  void check_text() {
    const std::string text = life.state_text();
    if (auto parsed = parse(text, {}, 1); !parsed.ok()) {
      note_broken("the state is no exposition: " + parsed.error().detail);
    }
    for (std::size_t i = 1; i < kCertctlCollectorCount; ++i) {
      const auto& state = life.state_of(static_cast<Collector>(i));
      if (state.up() != !state.counted.text.empty()) {
        note_broken("a collector has families though it is not up, or none though it is");
      } else if (state.up() && text.find(state.counted.text) == std::string::npos) {
        note_broken("what a collector that is up has counted is not told");
      }
    }
    if (life.upstream() != nullptr && life.state_of(Collector::kMetrics).reason != ErrorCode::kOk) {
      note_broken("certctl's own metrics are told though they failed");
    }
  }

  CertctlConfig config_;
  std::vector<Pending> pending_;
  std::string broken_;
};

// With its first inventory and its first poll.
inline LifeDriver running(const CertctlConfig& config = certctl_config()) {
  LifeDriver driver(config);
  driver.key();
  driver.pass(seconds(5));
  return driver;
}

}  // namespace bao_exporter::test
