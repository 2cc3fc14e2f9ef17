#include "bao_exporter/probe_answers.h"

namespace bao_exporter {

namespace {

std::string_view trouble_of_life(const Health& health) {
  if (health.poll_loop_hangs) return "the loop that polls hangs\n";
  if (health.build_loop_hangs) return "the loop that builds snapshots hangs\n";
  return {};
}

std::string_view trouble_of_serving(const Health& health) {
  return health.has_snapshot ? "" : "not_polled: starting, the first polls have not ended yet\n";
}

}  // namespace

ProbeAnswer answer_probe(const HttpRequest& request, const Health& health) {
  ProbeAnswer answer{404, "not found: this address serves /-/healthy and /-/ready\n"};
  answer.head = request.method == "HEAD";
  answer.close = has_body(request) || asks_to_close(request);
  const bool live = request.path == "/-/healthy";
  if (!(live || request.path == "/-/ready") || !(answer.head || request.method == "GET")) {
    return answer;
  }
  answer.words = live ? trouble_of_life(health) : trouble_of_serving(health);
  answer.status = answer.words.empty() ? 200 : 503;
  if (answer.words.empty()) answer.words = "ok\n";
  return answer;
}

}  // namespace bao_exporter
