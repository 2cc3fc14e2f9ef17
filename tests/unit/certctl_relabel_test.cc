#include <string>

#include "bao_exporter/outcome.h"
#include "catch.h"
#include "certctl/relabel.h"

namespace bao_exporter {

TEST_CASE("a certctl server is told by its name and the host and port of its URL") {
  CertctlConfig server;
  server.name = "ca";
  server.url = "https://ca.example.org:8443";
  CHECK(certctl_identity(server) == R"(certctl="ca",instance="ca.example.org:8443")");
}

TEST_CASE("no name is reserved for nodes only or for certctl only") {
  const RelabelPlan nodes = openbao_relabel_plan("", Role::kActive, true);
  const RelabelPlan own = certctl_relabel_plan("certctl=\"ca\"");
  const RelabelPlan state = certctl_state_plan("certctl=\"ca\"");
  CHECK(own.reserved_labels == nodes.reserved_labels);
  CHECK(own.reserved_family_prefixes == nodes.reserved_family_prefixes);
  CHECK(state.reserved_labels == nodes.reserved_labels);
  CHECK(state.reserved_family_prefixes.empty());
  for (const RelabelPlan* plan : {&own, &state}) {
    CHECK(plan->identity == "certctl=\"ca\"");
    CHECK(plan->removed_label.empty());
    CHECK(plan->renamed_labels.empty());
    CHECK_FALSE(plan->leader_only);
    CHECK_FALSE(plan->has_state_label);
  }
}

}  // namespace bao_exporter
