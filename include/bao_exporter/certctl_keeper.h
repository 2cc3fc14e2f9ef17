// Keeps what is known of all certctl servers: watches their keys, asks them, reads what they
// answer, and says what is to be published. The I/O around certctl::Life, one for each server.
//
// Threads: run() is the body of a thread of its own, since it reads files and long lists (neither
// may delay polls or publications); the rest may be called from any. Requests go out by the poll
// thread's transport.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <vector>

#include "bao_exporter/certctl_view.h"
#include "bao_exporter/config.h"
#include "bao_exporter/own_metrics.h"
#include "bao_exporter/transport.h"

namespace bao_exporter {

class CertctlKeeper {
 public:
  struct Links {
    // Sends a request; on_done may be called on any thread, or never (at the end).
    std::function<void(Request, Transport::OnDone)> send;
    // All that is known now; on the thread of run().
    std::function<void(CertctlViews)> publish;
  };
  CertctlKeeper(OwnMetrics& metrics, std::uint64_t hash_seed);
  ~CertctlKeeper();

  // Before run().
  void connect(Links links);

  // From now on these servers. One whose configuration, limits and trust (the same object) are as
  // before keeps what is known of it. `trusts` by the server's name.
  void replace(const Config& config,
               const std::map<std::string, std::shared_ptr<const TlsTrust>>& trusts);

  // Reads all key files anew, and tries at once what waits for its next try (SIGHUP).
  void look_now();

  void run(const std::stop_token& stop);

 private:
  struct Kept;
  struct Arrived;

  [[nodiscard]] std::vector<Arrived> wait(const std::stop_token& stop, TimePoint until);
  [[nodiscard]] TimePoint go_round(std::vector<Arrived> arrived);
  void add(const CertctlConfig& config, const LimitsConfig& limits,
           const std::shared_ptr<const TlsTrust>& trust, std::uint64_t generations);
  void wake_up();

  OwnMetrics& metrics_;
  std::uint64_t hash_seed_;
  Links links_;

  std::mutex mutex_;  // guards the four below; held while files and answers are read
  std::vector<std::unique_ptr<Kept>> kept_;  // in the order of the configuration
  std::uint64_t serial_ = 0;
  bool replaced_ = false;  // the views are to be told anew
  TimePoint next_look_{};

  std::mutex arrivals_mutex_;  // guards the two below; the poll thread takes this one only
  std::vector<Arrived> arrivals_;
  bool woken_ = false;
  std::condition_variable_any turn_;
};

}  // namespace bao_exporter
