#include "cli/certctl_round.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "bao_exporter/check.h"
#include "certctl/life.h"
#include "certctl_request.h"

namespace bao_exporter::cli {

namespace {

constexpr std::uint64_t kHashSeed = 1;                           // one body of one server
constexpr std::uint64_t kFirstChannel = std::uint64_t{1} << 34;  // beyond those of polls and logins

certctl::When moment() { return {Clock::now(), WallClock::now()}; }

// A row in the audit log.
bool is_audited(const Answer& answer) {
  return answer.answered() && answer.status != 401 && answer.status != 429;
}

Result<KeyEvidence> key_evidence(const Answer& answer, std::vector<CollectorEvidence>& collectors) {
  const Result<certctl::KeyPowers> powers = certctl::read_powers(answer);
  if (!powers.ok()) return powers.error();
  for (CollectorEvidence& one : collectors) one.may = powers.value().may(one.permission);
  KeyEvidence key;
  key.permissions = powers.value().permissions.size();
  if (powers.value().excess() > 0) key.excess = powers.value().excess_words();
  return key;
}

class CertctlRound {
 public:
  CertctlRound(const CertctlConfig& config, const LimitsConfig& limits,
               std::shared_ptr<const TlsTrust> trust, std::shared_ptr<const Secret> key,
               Transport& transport, std::uint64_t channel);
  ~CertctlRound();
  CertctlRound(const CertctlRound&) = delete;
  CertctlRound& operator=(const CertctlRound&) = delete;

  void start() { carry_out(life_.key_came(moment())); }
  // The inventory goes first, so that certctl's counts are compared with counted lists.
  void go_on();
  [[nodiscard]] bool has_ended() const { return life_.has_polled() && life_.has_taken_inventory(); }
  // When it has to go on by itself.
  [[nodiscard]] TimePoint wake_at() const;
  [[nodiscard]] CertctlEvidence take();

 private:
  [[nodiscard]] CollectorEvidence* evidence_of(std::optional<CertctlCollector> collector);
  void carry_out(const certctl::Steps& steps);
  void note(const certctl::Note& note);
  void send(const certctl::Order& order);
  void answered(const certctl::Order& order, CollectorEvidence* whose, Answer answer);
  void note_answer(const certctl::Order& order, CollectorEvidence* whose, const Answer& answer);

  const CertctlConfig& config_;
  const LimitsConfig& limits_;
  std::shared_ptr<const TlsTrust> trust_;
  std::shared_ptr<const Secret> key_;
  Transport& transport_;
  std::uint64_t channel_;
  certctl::Life life_;
  CertctlEvidence evidence_;
  int under_way_ = 0;
  TimePoint began_ = Clock::now();
};

CertctlRound::CertctlRound(const CertctlConfig& config, const LimitsConfig& limits,
                           std::shared_ptr<const TlsTrust> trust, std::shared_ptr<const Secret> key,
                           Transport& transport, std::uint64_t channel)
    : config_(config),
      limits_(limits),
      trust_(std::move(trust)),
      key_(std::move(key)),
      transport_(transport),
      channel_(channel),
      life_(certctl_life_options(config, limits, kHashSeed)) {
  evidence_.config = config;
  BAO_CHECK(parse_url(config.url, evidence_.address.url));
  evidence_.address.verified_name =
      config.server_name.empty() ? evidence_.address.url.host : config.server_name;
  for (std::size_t i = 0; i < kCertctlCollectorCount; ++i) {
    const auto collector = static_cast<CertctlCollector>(i);
    const auto& listed = config.collectors;
    if (!config.auto_collectors &&
        std::find(listed.begin(), listed.end(), collector) == listed.end()) {
      continue;
    }
    CollectorEvidence& one = evidence_.collectors.emplace_back();
    one.collector = collector;
    one.permission = certctl::permission_for(collector);
  }
}

CertctlRound::~CertctlRound() {
  for (std::size_t lane = 0; lane < certctl::kLanes; ++lane) transport_.cancel(channel_ + lane);
}

TimePoint CertctlRound::wake_at() const {
  if (has_ended() || (under_way_ > 0 && !life_.has_taken_inventory())) return TimePoint::max();
  return life_.wake_at();
}

void CertctlRound::go_on() {
  if (wake_at() <= Clock::now()) carry_out(life_.time_came(moment()));
}

CollectorEvidence* CertctlRound::evidence_of(std::optional<CertctlCollector> collector) {
  for (CollectorEvidence& one : evidence_.collectors) {
    if (one.collector == collector) return &one;
  }
  return nullptr;
}

void CertctlRound::carry_out(const certctl::Steps& steps) {
  for (const certctl::Note& one : steps.notes) note(one);
  if (life_.has_taken_inventory() && evidence_.inventory_seconds == 0) {
    evidence_.inventory_seconds = std::chrono::duration<double>(Clock::now() - began_).count();
  }
  if (has_ended()) return;  // what it would try again is the exporter's
  for (const certctl::Order& order : steps.orders) send(order);
}

void CertctlRound::note(const certctl::Note& note) {
  CollectorEvidence* one = evidence_of(note.collector);
  if (one == nullptr) return;
  if (note.kind == certctl::Note::Kind::kFailed) one->error = note.error;
  if (note.kind == certctl::Note::Kind::kSwitchedOff) one->switched_off = true;
}

void CertctlRound::send(const certctl::Order& order) {
  Request request = certctl_request(order, config_, limits_, trust_, key_);
  request.channel = channel_ + static_cast<std::uint64_t>(order.lane);
  CollectorEvidence* whose =
      order.lane == certctl::Lane::kInventory ? evidence_of(life_.being_read()) : nullptr;
  ++under_way_;
  transport_.start(std::move(request), [this, order, whose](Answer answer) {
    --under_way_;
    answered(order, whose, std::move(answer));
  });
}

void CertctlRound::answered(const certctl::Order& order, CollectorEvidence* whose, Answer answer) {
  note_answer(order, whose, answer);
  carry_out(life_.answered(order.id, std::move(answer), moment()));
}

void CertctlRound::note_answer(const certctl::Order& order, CollectorEvidence* whose,
                               const Answer& answer) {
  if (evidence_.requests++ == 0) {
    evidence_.address.failure = answer.failure;
    evidence_.address.connected_to = answer.address;
  }
  if (answer.answered() && answer.status == 429) ++evidence_.limited;
  if (order.path == "/ready") {
    Result<bool> ready = certctl::read_ready(answer);
    // Of several the one that was not well.
    const bool was_well = !evidence_.ready || (evidence_.ready->ok() && evidence_.ready->value());
    if (was_well) evidence_.ready = std::move(ready);
  } else if (order.path == "/api/v1/auth/me") {
    evidence_.key = key_evidence(answer, evidence_.collectors);
  } else if (order.path == "/api/v1/version") {
    const Result<std::string> version = certctl::read_version(answer);
    if (version.ok()) evidence_.version = version.value();
  } else if (whose != nullptr && is_audited(answer)) {
    ++whose->requests;
  }
}

CertctlEvidence CertctlRound::take() {
  for (CollectorEvidence& one : evidence_.collectors) {
    const certctl::CollectorState& state = life_.state_of(one.collector);
    if (state.ended && one.error.code != state.reason) one.error = {state.reason, {}};
    one.inventories = life_.inventories_for(one.collector);
  }
  evidence_.metrics = life_.upstream();
  for (const certctl::Comparison& one : life_.comparisons()) {
    evidence_.counts.push_back({one.family, one.theirs, one.ours, one.wrong});
  }
  return std::move(evidence_);
}

}  // namespace

Result<std::vector<CertctlEvidence>> ask_certctls(const Config& config, const Trusts& trusts,
                                                  Transport& transport) {
  std::vector<std::unique_ptr<CertctlRound>> rounds;
  for (const CertctlConfig& server : config.certctls) {
    auto key = Secret::load(server.api_key_file, {server.allow_group_read});
    if (!key.ok()) return key.error();
    rounds.push_back(std::make_unique<CertctlRound>(
        server, config.limits, trusts.at(server.name), std::move(key).value(), transport,
        kFirstChannel + certctl::kLanes * rounds.size()));
  }
  for (const auto& round : rounds) round->start();
  for (;;) {
    for (const auto& round : rounds) round->go_on();
    TimePoint wake = TimePoint::max();
    bool ended = true;
    for (const auto& round : rounds) {
      wake = std::min(wake, round->wake_at());
      ended = ended && round->has_ended();
    }
    if (ended) break;
    transport.run_once(wake);
  }
  std::vector<CertctlEvidence> evidence;
  evidence.reserve(rounds.size());
  for (const auto& round : rounds) evidence.push_back(round->take());
  return evidence;
}

}  // namespace bao_exporter::cli
