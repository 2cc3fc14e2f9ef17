// What listener.admin_address answers to probes of its own host: that the process lives, and that
// it has something to serve. No names, no versions, no numbers; nobody is asked for anything.
#pragma once

#include "bao_exporter/front_door.h"

namespace bao_exporter {

struct Health {
  bool poll_loop_hangs = false;
  bool build_loop_hangs = false;
  bool has_snapshot = false;
};

struct ProbeAnswer {
  int status = 404;
  std::string_view words;
  bool head = false;
  bool close = false;
};

// GET and HEAD of /-/healthy and /-/ready; everything else is 404.
[[nodiscard]] ProbeAnswer answer_probe(const HttpRequest& request, const Health& health);

}  // namespace bao_exporter
