// Views of certctl servers, made of texts.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "../catch.h"
#include "bao_exporter/certctl_view.h"
#include "bao_exporter/config.h"
#include "certctl/relabel.h"

namespace bao_exporter::test {

inline CertctlConfig certctl_server(const std::string& name) {
  CertctlConfig server;
  server.name = name;
  server.url = "https://" + name + ".example.org:8443";
  return server;
}

inline std::shared_ptr<const NodePart> certctl_part(const std::string& text,
                                                    const RelabelPlan& plan) {
  auto built = NodePart::build(text, {}, plan);
  if (!built.ok()) FAIL("the body is refused: " + built.error().detail);
  return std::move(built).value();
}

inline std::string ready_text(const std::string& value) {
  return "# HELP certctl_state_ready Whether it is ready.\n# TYPE certctl_state_ready gauge\n"
         "certctl_state_ready " +
         value + "\n";
}

// Polled a moment ago. `upstream` empty: it sent nothing that is served.
inline CertctlView certctl_view(const std::string& name, const std::string& upstream,
                                ErrorCode reason = ErrorCode::kOk,
                                const std::string& state = ready_text("1")) {
  const CertctlConfig server = certctl_server(name);
  CertctlView view;
  view.name = name;
  view.labels = certctl_labels(server);
  view.reason = reason;
  if (!upstream.empty()) {
    view.upstream = certctl_part(upstream, certctl_relabel_plan(certctl_identity(server)));
  }
  view.state = certctl_part(state, certctl_state_plan(certctl_identity(server)));
  view.valid_until = Clock::now() + std::chrono::hours(1);
  return view;
}

inline std::shared_ptr<const CertctlView> shared(CertctlView view) {
  return std::make_shared<const CertctlView>(std::move(view));
}

}  // namespace bao_exporter::test
