// Decides between nodes of one cluster that all claim to be active. Pure.
//
// Health and metrics of different nodes are read at different moments, so two claims are mostly one
// failover seen twice. Only the newest proven term (active_time of sys/leader, then the time of the
// poll) is served; the others are withheld and polled again at once. Only a claim that stays in
// that second look, with a term not older than the other's, is reported: then there are two.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "bao_exporter/time.h"

namespace bao_exporter {

struct ActiveClaim {
  bool claims_active = false;
  std::optional<std::int64_t> active_time;  // nanoseconds since 1970; absent: not proven
  TimePoint polled;
  bool second_look = false;  // this claim was made when we asked again because of another claim
};

struct Verdict {
  bool withheld = false;   // reason superseded, role unknown, no samples
  bool ask_again = false;  // poll it again at once
  bool confirmed = false;  // served beside a newer claim: two are active
};

// One verdict for each claim, in the order given.
[[nodiscard]] std::vector<Verdict> arbitrate(const std::vector<ActiveClaim>& nodes);

}  // namespace bao_exporter
