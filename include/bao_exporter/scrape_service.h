// Answers one admitted or refused request from the current snapshot. No sockets here.
//
// Threads: any number of workers at once. A scrape costs: admit, one pointer copy, our own
// families; one that takes OpenMetrics alone: the whole text, read and written anew.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "bao_exporter/auth_limiter.h"
#include "bao_exporter/front_door.h"
#include "bao_exporter/merge.h"
#include "bao_exporter/own_metrics.h"
#include "bao_exporter/own_tail.h"
#include "bao_exporter/service_discovery.h"
#include "bao_exporter/slot.h"
#include "bao_exporter/snapshot.h"

namespace bao_exporter {

struct Reply {
  int status = 500;
  std::vector<std::pair<std::string_view, std::string_view>> headers;  // without length, connection
  Rope body;
  bool send_body = true;  // false: HEAD, the length is told and the body is not sent
  bool close = true;
  bool authenticated = false;    // who asked may stay: see connection_book.h
  std::uint64_t generation = 0;  // of the snapshot that the body holds; 0: of none
  Milliseconds delay{0};         // to wait before it is sent, as long as the client is there
};

// What the configuration in force says of the port.
struct PortFacts {
  NodeNames nodes;
  Advertised advertised;
  NodeNames certctls = {};
};

class ScrapeService {
 public:
  // All must outlive the service; the slots of tokens and facts must hold a value.
  ScrapeService(const Slot<Snapshot>& snapshots, const Slot<ScrapeTokens>& tokens,
                const Slot<PortFacts>& facts, OwnMetrics& metrics);

  // Called when somebody took gzip; set before the listener starts.
  void on_gzip_asked(std::function<void()> callback) { gzip_asked_ = std::move(callback); }

  [[nodiscard]] Reply answer(const HttpRequest& request, TimePoint now);

 private:
  [[nodiscard]] Reply answer_prober(const HttpRequest& request, TimePoint now);
  [[nodiscard]] Reply refuse(const Admission& admission) const;
  void note_failure(AuthFailure failure, const PeerAddress& peer, TimePoint now, Reply& reply);
  void serve(const Admission& admission, const PortFacts& facts, TimePoint now, Reply& reply);
  void serve_metrics(const Admission& admission, TimePoint now, Reply& reply);
  void serve_node(const Admission& admission, TimePoint now, Reply& reply);
  void serve_certctl(const Admission& admission, TimePoint now, Reply& reply);
  void serve_text(const std::shared_ptr<const ServedText>& text, const Admission& admission,
                  Reply& reply) const;
  void serve_exporter(const Admission& admission, TimePoint now, Reply& reply);
  void serve_discovery(Route route, const PortFacts& facts, TimePoint now, Reply& reply);

  const Slot<Snapshot>& snapshots_;
  const Slot<ScrapeTokens>& tokens_;
  const Slot<PortFacts>& facts_;
  std::function<void()> gzip_asked_ = [] {};
  OwnMetrics& metrics_;
  OwnTail own_;
  std::uint64_t hash_seed_;
  std::mutex limiter_mutex_;
  AuthLimiter limiter_;  // under it
};

}  // namespace bao_exporter
