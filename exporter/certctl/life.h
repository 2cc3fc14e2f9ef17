// One certctl server: when to ask it what, and what is known of it. A pure machine: no I/O, no
// clock; it never sees the key, only its number.
//
// Two lanes, one request under way in each. Metrics, every `interval`: /ready, then its exposition.
// Inventory, every `inventory_interval`: what the key may do, the version, then one list after the
// other; what failed is tried again once its metrics come. Rules, and what they rest on
// (facts/certctl.md sections 3, 5, 7):
//   - 401: the key is unknown; one request with it in each interval asks whether that has changed:
//     the metrics, or what it may do where they do not ask with it;
//   - 403: that collector is barred until the key changes, or its powers are read and have it;
//   - 429: the same request again after Retry-After, at most kLimitedMax times;
//   - 500 says nothing by itself: /ready tells whether the database is down.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bao_exporter/answer.h"
#include "bao_exporter/config.h"
#include "bao_exporter/exposition.h"
#include "bao_exporter/node_part.h"
#include "bao_exporter/result.h"
#include "bao_exporter/time.h"
#include "certctl/answers.h"
#include "certctl/collector.h"

namespace bao_exporter::certctl {

class StateText;

// What certctl's own family says, and what its lists do.
struct Comparison {
  std::string family;
  double theirs = 0;
  double ours = 0;
  bool wrong = false;
};

enum class Lane : std::uint8_t { kMetrics, kInventory };
inline constexpr std::size_t kLanes = 2;

// A GET to be sent; what comes back goes to answered() with the same id.
struct Order {
  std::uint64_t id = 0;
  Lane lane = Lane::kMetrics;
  std::string path;  // with query
  bool with_key = false;
  TimePoint deadline;
};

// Worth a line in the log.
struct Note {
  enum class Kind : std::uint8_t {
    kFailed,       // of a collector: it works no more, or fails for another reason
    kRecovered,    // of a collector
    kSwitchedOff,  // of a collector: not switched on at the server
    kExcess,       // the key may do more than read; detail: what
    kRefused,      // ... and is used for nothing
    kKeyRejected,
    kInventory,  // a whole one has ended; detail: requests and seconds
    kMismatch,   // certctl counts otherwise than we; detail: the families
  };
  Kind kind = Kind::kFailed;
  std::optional<CertctlCollector> collector;
  Error error;
};

struct Steps {
  std::vector<Order> orders;
  std::vector<Note> notes;
  bool changed = false;  // what is to be published
};

struct When {
  TimePoint now;
  WallTime wall;
};

struct LifeOptions {
  CertctlConfig config;
  ParseLimits limits;
  std::uint64_t hash_seed = 0;
  RelabelPlan upstream_plan;
};

// What is known of one collector.
struct CollectorState {
  ErrorCode reason = ErrorCode::kNotPolled;
  bool ended = false;  // it was tried, or it is known why it is not
  double seconds = 0;
  std::optional<WallTime> last_success;
  Counted counted;  // empty but while reason is kOk
  [[nodiscard]] bool up() const { return reason == ErrorCode::kOk; }
};

class Life {
 public:
  static constexpr int kLimitedMax = 5;

  explicit Life(LifeOptions options);

  // Another key, or the first one.
  [[nodiscard]] Steps key_came(const When& when);
  // There has been none yet, and this is why.
  [[nodiscard]] Steps key_missing(const Error& error, const When& when);
  [[nodiscard]] Steps answered(std::uint64_t id, Answer answer, const When& when);
  [[nodiscard]] Steps time_came(const When& when);
  // Tries at once whatever waits for its next try (SIGHUP).
  void try_now(const When& when);

  // From its next metrics on; null: no rules.
  void relabel(std::shared_ptr<const Relabel> rules) {
    options_.upstream_plan.relabel = std::move(rules);
  }

  [[nodiscard]] TimePoint wake_at() const;

  // Known enough to be published the first time.
  [[nodiscard]] bool is_ready_to_tell() const { return told_first_; }
  // Of the last poll of its metrics; kOk where they are not asked for.
  [[nodiscard]] ErrorCode reason() const;
  [[nodiscard]] const std::shared_ptr<const NodePart>& upstream() const { return upstream_; }
  // certctl_state_* as text, without certctl and instance.
  [[nodiscard]] std::string state_text() const;
  // How many of the key's permissions are for more than reading; nullopt: not known.
  [[nodiscard]] std::optional<std::size_t> excess() const;
  [[nodiscard]] const CollectorState& state_of(CertctlCollector collector) const {
    return collectors_[static_cast<std::size_t>(collector)].state;
  }

  // For who makes one round only: the doctor.
  [[nodiscard]] bool has_polled() const { return polled_; }
  [[nodiscard]] bool has_taken_inventory() const { return inventoried_; }
  [[nodiscard]] std::vector<Comparison> comparisons() const;
  // Whose list is being read; none: none has been begun.
  [[nodiscard]] std::optional<CertctlCollector> being_read() const { return current_; }
  // It is read at every so many inventories, as far as is known.
  [[nodiscard]] int inventories_for(CertctlCollector collector) const {
    return at(collector).left_out + 1;
  }

 private:
  enum class Ask : std::uint8_t {
    kReady,
    kReadyAgain,
    kMetrics,
    kPowers,
    kVersion,
    kList,
    kListReady
  };
  // Of what has failed. Rarer each time that it fails though the server is there.
  struct Retry {
    Milliseconds pause{0};
    TimePoint at{};
  };
  struct Collector {
    CollectorState state;
    bool wanted = false;
    bool barred = false;  // the key may not
    // A request got 403, whatever auth/me says: until that says no, or another key comes.
    bool denied = false;
    bool switched_off = false;  // at the server
    bool told_off = false;      // ... and the log has it
    int left_out = 0;           // inventories until it is its turn
    Retry retry;
    std::map<std::string, double, std::less<>> upstream_before;
    bool to_be_compared = false;
  };
  struct Road {  // a lane
    std::optional<std::uint64_t> order;
    Ask ask = Ask::kReady;
    std::optional<TimePoint> resume_at;  // rate limited until then
    int limited = 0;
    TimePoint deadline{};  // of the poll, or of the collector
    TimePoint began{};
    TimePoint list_began{};
    bool busy = false;
  };

  [[nodiscard]] Collector& at(CertctlCollector c) {
    return collectors_[static_cast<std::size_t>(c)];
  }
  [[nodiscard]] const Collector& at(CertctlCollector c) const {
    return collectors_[static_cast<std::size_t>(c)];
  }
  [[nodiscard]] Road& road(Lane lane) { return roads_[static_cast<std::size_t>(lane)]; }

  void send(Lane lane, Ask ask, const When& when, Steps& steps);
  [[nodiscard]] std::string path_of(Ask ask) const;
  [[nodiscard]] bool waits_for_limit(Lane lane, const Answer& answer, const When& when);

  void start_poll(const When& when, Steps& steps);
  void take(Ask ask, Answer answer, const When& when, Steps& steps);
  void take_ready(const Answer& answer, bool again, const When& when, Steps& steps);
  void take_metrics(Answer answer, const When& when, Steps& steps);
  void fail_poll(const Error& error, const When& when, Steps& steps);
  void end_poll(const When& when, Steps& steps);
  [[nodiscard]] bool metrics_are_wanted() const;
  [[nodiscard]] bool metrics_ask_with_key() const;
  [[nodiscard]] bool lacks_needed_powers() const;
  [[nodiscard]] bool may_poll() const;
  [[nodiscard]] bool may_take_inventory() const;
  void note_key_known(const When& when, Steps& steps);
  void put_off(Retry& retry, const When& when) const;

  void start_inventory(bool whole, const When& when, Steps& steps);
  void take_powers(const Answer& answer, const When& when, Steps& steps);
  void use_powers(KeyPowers powers, const When& when, Steps& steps);
  void take_version(const Answer& answer, const When& when, Steps& steps);
  void retry_failed(const When& when, Steps& steps);
  [[nodiscard]] bool is_due(const Collector& collector, const When& when) const;
  [[nodiscard]] bool powers_are_due(const When& when) const;
  void go_on(const When& when, Steps& steps);
  void begin_list(CertctlCollector collector, const When& when, Steps& steps);
  void take_list(const Answer& answer, const When& when, Steps& steps);
  void take_list_ready(const Answer& answer, const When& when, Steps& steps);
  void end_list(const When& when, Steps& steps);
  void fail_list(Error error, const When& when, Steps& steps);
  void fail_rest(const Error& error, const When& when, Steps& steps);
  void end_inventory(const When& when, Steps& steps);

  void succeed(CertctlCollector collector, const When& when, Steps& steps);
  void fail(CertctlCollector collector, const Error& error, const When& when, Steps& steps);
  void bar(CertctlCollector collector, const Error& error, const When& when, Steps& steps);
  void reject_key(const Error& error, const When& when, Steps& steps);
  void compare(Steps& steps);
  void compare_at_once(const Collector& collector, Steps& steps);
  void write_collectors(StateText& out) const;
  void note_change(Steps& steps, const When& when);

  LifeOptions options_;
  std::array<Collector, kCertctlCollectorCount> collectors_;
  std::array<Road, kLanes> roads_;
  std::uint64_t orders_ = 0;

  bool has_key_ = false;
  bool keyless_ = false;  // it is known that there is none
  bool key_rejected_ = false;
  bool powers_settled_ = false;  // they were asked for with this key, with whatever end
  std::optional<KeyPowers> powers_;
  std::optional<Error> powers_missing_;  // why they are not known
  Retry powers_retry_;
  std::size_t excess_told_ = 0;
  bool refused_ = false;

  std::optional<bool> ready_;
  std::optional<std::string> version_;
  PartBuilder upstream_parts_;
  std::shared_ptr<const NodePart> upstream_;
  std::map<std::string, double, std::less<>> upstream_values_;
  std::map<std::string, bool, std::less<>> mismatches_;

  TimePoint poll_due_{};
  TimePoint inventory_due_{};
  std::optional<TimePoint> tell_at_;  // the first time, whatever is known by then
  bool late_ = false;
  bool told_first_ = false;
  bool polled_ = false;  // once
  bool inventoried_ = false;

  bool whole_ = true;                   // the inventory under way
  std::vector<CertctlCollector> rest_;  // of it
  std::optional<CertctlCollector> current_;
  std::unique_ptr<Reading> reading_;
  std::optional<Error> list_error_;  // a 500 that /ready is asked about
  int timeouts_in_a_row_ = 0;
  std::uint64_t requests_ = 0;
};

}  // namespace bao_exporter::certctl
