// Keeps the tokens of all clusters: reads them from files or logs in, watches, checks, renews, and
// says which one is in force. The I/O around TokenLife, one for each cluster.
//
// Threads: run() is the body of a thread of its own, since it reads files (a slow file system must
// not delay polls or publications); the rest may be called from any. Requests go out by the poll
// thread's transport.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <stop_token>
#include <string>
#include <vector>

#include "bao_exporter/config.h"
#include "bao_exporter/own_metrics.h"
#include "bao_exporter/slot.h"
#include "bao_exporter/token.h"
#include "bao_exporter/token_life.h"
#include "bao_exporter/transport.h"

namespace bao_exporter {

class TokenKeeper final : public TokenSource {
 public:
  struct Links {
    // Sends a request; on_done may be called on any thread, or never (at the end).
    std::function<void(Request, Transport::OnDone)> send;
    // What is in force of that cluster has changed, or was decided for the first time.
    std::function<void(const std::string& cluster)> changed;
  };
  explicit TokenKeeper(OwnMetrics& metrics);
  ~TokenKeeper() override;

  // Before run().
  void connect(Links links);

  // From now on these clusters. One whose authentication and trust (the same object) are
  // as before keeps its tokens.
  void replace(const Config& config,
               const std::map<std::string, std::shared_ptr<const TlsTrust>>& trusts);

  // The place where polls of that cluster take the token from; null: it needs none.
  [[nodiscard]] std::shared_ptr<const Slot<TokenInForce>> slot(const std::string& cluster) const;

  // Reads all files anew, and tries at once what waits for its next try (SIGHUP).
  void look_now();

  // TokenSource, from the build thread.
  [[nodiscard]] Newer newer_than(const std::string& cluster, std::uint64_t generation) override;
  void note(const std::vector<TokenNews>& news) override;

  void run(const std::stop_token& stop);

 private:
  struct Kept;
  struct Arrived;

  [[nodiscard]] Moment moment();
  void add(const ClusterConfig& cluster, const std::shared_ptr<const TlsTrust>& trust,
           Milliseconds timeout, std::uint64_t generations);
  [[nodiscard]] std::vector<Arrived> wait(const std::stop_token& stop, TimePoint until);
  [[nodiscard]] TimePoint go_round(std::vector<Arrived> arrived);
  void take(Arrived arrived);
  void wake_up();

  OwnMetrics& metrics_;
  Links links_;

  mutable std::mutex mutex_;  // guards the four below; held while files are read
  std::map<std::string, Kept> keeps_;
  std::uint64_t serial_ = 0;
  std::minstd_rand dice_;
  TimePoint next_look_{};

  std::mutex arrivals_mutex_;  // guards the two below; the poll thread takes this one only
  std::vector<Arrived> arrivals_;
  bool woken_ = false;
  std::condition_variable_any turn_;
};

}  // namespace bao_exporter
