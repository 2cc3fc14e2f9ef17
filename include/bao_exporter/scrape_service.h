// Answers one admitted or refused request from the current snapshot. No sockets here.
//
// Threads: any number of workers at once. A scrape costs: admit, one pointer copy, our own
// families.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bao_exporter/front_door.h"
#include "bao_exporter/merge.h"
#include "bao_exporter/own_metrics.h"
#include "bao_exporter/slot.h"
#include "bao_exporter/snapshot.h"

namespace bao_exporter {

struct Reply {
  int status = 500;
  std::vector<std::pair<std::string_view, std::string_view>> headers;  // without length, connection
  Rope body;
  bool send_body = true;  // false: HEAD, the length is told and the body is not sent
  bool close = true;
};

class ScrapeService {
 public:
  // All must outlive the service; the token slot must hold a value.
  ScrapeService(const Slot<Snapshot>& snapshots, const Slot<ScrapeTokens>& tokens,
                OwnMetrics& metrics);

  // Called when somebody took gzip; set before the listener starts.
  void on_gzip_asked(std::function<void()> callback) { gzip_asked_ = std::move(callback); }

  [[nodiscard]] Reply answer(const HttpRequest& request, TimePoint now);

 private:
  [[nodiscard]] Reply refuse(const Admission& admission) const;
  void serve(const Admission& admission, TimePoint now, Reply& reply);
  void serve_metrics(const Admission& admission, TimePoint now, Reply& reply);

  const Slot<Snapshot>& snapshots_;
  const Slot<ScrapeTokens>& tokens_;
  std::function<void()> gzip_asked_ = [] {};
  OwnMetrics& metrics_;
};

}  // namespace bao_exporter
