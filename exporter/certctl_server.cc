#include "certctl_server.h"

#include <limits>
#include <utility>

#include "bao_exporter/log.h"
#include "certctl/relabel.h"
#include "certctl/remedies.h"
#include "certctl_request.h"

namespace bao_exporter {

namespace {

// What comes in time is later than this only when the thread that asks hangs.
constexpr Milliseconds kViewGrace{30'000};

certctl::When moment() { return {Clock::now(), WallClock::now()}; }

// Our own text is as long as the lists make it.
ParseLimits no_limits() {
  constexpr std::size_t kNone = std::numeric_limits<std::uint32_t>::max();
  return {kNone, kNone, kNone, kNone};
}

}  // namespace

CertctlServer::CertctlServer(CertctlConfig config, const LimitsConfig& limits,
                             std::shared_ptr<const TlsTrust> trust, Outside outside)
    : config_(std::move(config)),
      limits_(limits),
      trust_(std::move(trust)),
      outside_(std::move(outside)),
      key_(config_.api_key_file, {config_.allow_group_read}),
      before_(outside_.generations),
      life_(certctl_life_options(config_, limits_, outside_.hash_seed)) {}

bool CertctlServer::fits(const CertctlConfig& config, const LimitsConfig& limits,
                         const std::shared_ptr<const TlsTrust>& trust) const {
  return config == config_ && limits == limits_ && trust == trust_;
}

void CertctlServer::start() {
  note_found(key_.read());
  if (key_.secret() == nullptr) carry_out(life_.key_missing(*key_.problem(), moment()));
}

void CertctlServer::look() { note_found(key_.look()); }

void CertctlServer::look_now() {
  note_found(key_.read());
  life_.try_now(moment());
}

void CertctlServer::note_found(SecretFile::Found found) {
  if (found == SecretFile::Found::kBad) {
    log::error("certctl key file", {{"certctl", config_.name},
                                    {"problem", key_.problem()->detail},
                                    {"in_use", key_.secret() ? "the key before" : "none"}});
  }
  if (found != SecretFile::Found::kNew) return;
  log::info("certctl key loaded",
            {{"certctl", config_.name}, {"generation", std::to_string(generations())}});
  outside_.metrics.note_token_in_use(config_.name, generations(), WallClock::now());
  carry_out(life_.key_came(moment()));
}

void CertctlServer::time_came() { carry_out(life_.time_came(moment())); }

void CertctlServer::take(std::uint64_t order, Answer answer) {
  // The key may have been replaced a moment ago: then nothing has failed, and all is asked anew.
  const bool rejected = answer.answered() && answer.status == 401;
  if (rejected) note_found(key_.look_at_once());
  carry_out(life_.answered(order, std::move(answer), moment()));
}

void CertctlServer::carry_out(const certctl::Steps& steps) {
  for (const certctl::Note& note : steps.notes) tell(note);
  for (const certctl::Order& order : steps.orders) send(order);
  if (steps.changed) make_view();
}

void CertctlServer::send(const certctl::Order& order) {
  outside_.send(certctl_request(order, config_, limits_, trust_, key_.secret()), order.id);
}

void CertctlServer::tell(const certctl::Note& note) const {
  using Kind = certctl::Note::Kind;
  const std::string& server = config_.name;
  const std::string collector =
      note.collector ? std::string(certctl_collector_name(*note.collector)) : std::string();
  const std::string reason(reason_name(note.error.code));
  switch (note.kind) {
    case Kind::kFailed:
      return log::warn("certctl collector failed",
                       {{"certctl", server},
                        {"collector", collector},
                        {"reason", reason},
                        {"detail", note.error.detail},
                        {"remedy", std::string(certctl::remedy_for(note.error.code))}});
    case Kind::kRecovered:
      return log::info("certctl collector recovered",
                       {{"certctl", server}, {"collector", collector}});
    case Kind::kSwitchedOff:
      return log::info("certctl collector is switched off at the server",
                       {{"certctl", server}, {"collector", collector}});
    case Kind::kExcess:
      return log::warn("certctl key may do more than read",
                       {{"certctl", server},
                        {"permissions", note.error.detail},
                        {"remedy", std::string(certctl::remedy_for(ErrorCode::kTokenExcess))}});
    case Kind::kRefused:
      return log::error("certctl key is not used",
                        {{"certctl", server},
                         {"permissions", note.error.detail},
                         {"remedy", std::string(certctl::remedy_for(ErrorCode::kTokenExcess))}});
    case Kind::kKeyRejected:
      return log::error("certctl key is rejected",
                        {{"certctl", server},
                         {"detail", note.error.detail},
                         {"remedy", std::string(certctl::remedy_for(ErrorCode::kTokenRejected))}});
    case Kind::kInventory:
      return log::info("certctl inventory", {{"certctl", server}, {"took", note.error.detail}});
    case Kind::kMismatch:
      return log::warn("certctl counts otherwise than its lists",
                       {{"certctl", server}, {"families", note.error.detail}});
  }
}

void CertctlServer::make_view() {
  outside_.metrics.note_token_life(config_.name, std::nullopt, life_.excess());
  auto view = std::make_shared<CertctlView>();
  view->name = config_.name;
  view->labels = certctl_labels(config_);
  view->reason = life_.reason();
  view->upstream = life_.upstream();
  RelabelPlan plan = certctl_state_plan(certctl_identity(config_));
  plan.hash_seed = outside_.hash_seed;
  const NodePart* const before = view_ == nullptr ? nullptr : view_->state.get();
  auto state = states_.build(life_.state_text(), no_limits(), plan, before);
  if (!state.ok()) {
    log::error("certctl state cannot be written",
               {{"certctl", config_.name}, {"detail", state.error().detail}});
    state = states_.build("\n", no_limits(), plan, nullptr);
  }
  view->state = std::move(state).value();
  view->valid_until = Clock::now() + config_.interval + config_.timeout + kViewGrace;
  view_ = std::move(view);
  changed_ = true;
}

}  // namespace bao_exporter
