// One certctl server: certctl::Life with its key file, its requests, its place in the metrics and
// the log.
//
// Threads: one at a time (CertctlKeeper's lock).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "bao_exporter/certctl_view.h"
#include "bao_exporter/config.h"
#include "bao_exporter/own_metrics.h"
#include "bao_exporter/secret_file.h"
#include "bao_exporter/transport.h"
#include "certctl/life.h"

namespace bao_exporter {

class CertctlServer {
 public:
  struct Outside {
    OwnMetrics& metrics;
    // What comes back goes to take(), with the same number.
    std::function<void(Request, std::uint64_t order)> send;
    std::uint64_t hash_seed = 0;
    std::uint64_t generations = 0;  // keys that this server had before
  };

  CertctlServer(CertctlConfig config, const LimitsConfig& limits,
                std::shared_ptr<const TlsTrust> trust, Outside outside);

  // Nothing of its configuration has changed.
  [[nodiscard]] bool fits(const CertctlConfig& config, const LimitsConfig& limits,
                          const std::shared_ptr<const TlsTrust>& trust) const;

  // The rules for what it sends, from its next metrics on.
  void relabel(std::shared_ptr<const Relabel> rules) { life_.relabel(std::move(rules)); }

  void start();
  // Looks whether the key file has changed.
  void look();
  // Reads it whatever it looks like, and tries what waits.
  void look_now();
  void time_came();
  void take(std::uint64_t order, Answer answer);

  [[nodiscard]] const std::string& name() const { return config_.name; }
  [[nodiscard]] TimePoint wake_at() const { return life_.wake_at(); }
  [[nodiscard]] std::uint64_t generations() const { return before_ + key_.generation(); }
  // True once for each new view.
  [[nodiscard]] bool take_changed() { return std::exchange(changed_, false); }
  // Null: nothing is to be told yet.
  [[nodiscard]] const std::shared_ptr<const CertctlView>& view() const { return view_; }

 private:
  void note_found(SecretFile::Found found);
  void carry_out(const certctl::Steps& steps);
  void send(const certctl::Order& order);
  void tell(const certctl::Note& note) const;
  void make_view();

  PartBuilder states_;

  CertctlConfig config_;
  LimitsConfig limits_;
  std::shared_ptr<const TlsTrust> trust_;
  Outside outside_;
  SecretFile key_;
  std::uint64_t before_;
  certctl::Life life_;
  bool changed_ = false;
  std::shared_ptr<const CertctlView> view_;
};

}  // namespace bao_exporter
