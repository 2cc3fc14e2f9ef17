#include "bao_exporter/arbiter.h"

#include <cstddef>

namespace bao_exporter {

namespace {

// A proven term beats an unproven one; then the later term, then the later poll.
bool newer(const ActiveClaim& a, const ActiveClaim& b) {
  if (a.active_time.has_value() != b.active_time.has_value()) return a.active_time.has_value();
  if (a.active_time && *a.active_time != *b.active_time) return *a.active_time > *b.active_time;
  return a.polled > b.polled;
}

bool term_is_older(const ActiveClaim& claim, const ActiveClaim& than) {
  if (!than.active_time) return false;
  return !claim.active_time || *claim.active_time < *than.active_time;
}

}  // namespace

std::vector<Verdict> arbitrate(const std::vector<ActiveClaim>& nodes) {
  std::vector<Verdict> verdicts(nodes.size());
  std::optional<std::size_t> newest;
  std::size_t claims = 0;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    if (!nodes[i].claims_active) continue;
    ++claims;
    if (!newest || newer(nodes[i], nodes[*newest])) newest = i;
  }
  if (claims < 2) return verdicts;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    if (!nodes[i].claims_active || i == *newest) continue;
    Verdict& verdict = verdicts[i];
    verdict.confirmed = nodes[i].second_look && !term_is_older(nodes[i], nodes[*newest]);
    verdict.withheld = !verdict.confirmed;
    verdict.ask_again = verdict.withheld && !nodes[i].second_look;
  }
  return verdicts;
}

}  // namespace bao_exporter
