#include "certctl/collectors.h"
#include "certctl/list_reading.h"
#include "certctl/tally.h"

namespace bao_exporter::certctl {

namespace {

struct Issuer {
  std::string type, test_status;
  bool enabled = false;
  friend bool operator==(const Issuer&, const Issuer&) = default;
};

using Rows = ListReader<Issuer>::Rows;

Issuer read_issuer(Fields& row) {
  Issuer issuer;
  issuer.type = normalised(label_text(row.word("type")), kIssuerTypes);
  issuer.enabled = row.flag("enabled");
  issuer.test_status = normalised(row.text("test_status"), kIssuerTestStatuses);
  if (issuer.test_status.empty()) issuer.test_status = "untested";
  return issuer;
}

Counted count(const Rows& rows, const ReadingOptions& /*options*/) {
  Tally<3> tally;
  for (const auto& [id, row] : rows) {
    tally.add({row.type, row.enabled ? "true" : "false", row.test_status});
  }
  StateText text;
  text.gauge("certctl_state_issuers",
             "Issuers by kind, whether they are enabled, and how their last connection test went.");
  tally.write(text, {"type", "enabled", "test_status"});
  return {text.take(), {}};
}

}  // namespace

std::unique_ptr<Reading> read_issuers(const ReadingOptions& options) {
  return std::make_unique<ListReading<Issuer>>(ListPlan{"issuers", {"/api/v1/issuers?"}},
                                               read_issuer, count, options);
}

}  // namespace bao_exporter::certctl
