// What is known of one certctl server, ready to be published. Immutable when shared.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bao_exporter/node_part.h"
#include "bao_exporter/result.h"
#include "bao_exporter/time.h"

namespace bao_exporter {

struct CertctlView {
  std::string name;                                         // as configured
  std::vector<std::pair<std::string, std::string>> labels;  // certctl, instance
  // Of the last poll of its metrics; kOk also where they are not asked for.
  ErrorCode reason = ErrorCode::kNotPolled;
  // Its own exposition; null: it is not served (the poll failed, or it is not asked for).
  std::shared_ptr<const NodePart> upstream;
  // certctl_state_*; never null.
  std::shared_ptr<const NodePart> state;
  // Past it nothing of this is served as fresh: the thread that polls certctl hangs.
  TimePoint valid_until;
};

// Of all servers that were polled at least once, in the order of the configuration.
using CertctlViews = std::vector<std::shared_ptr<const CertctlView>>;

}  // namespace bao_exporter
