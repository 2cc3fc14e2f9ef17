// Certificates: certctl's own counts are wrong above 50 of them (facts/certctl.md B1).
#include <algorithm>
#include <set>
#include <tuple>

#include "certctl/collectors.h"
#include "certctl/list_reading.h"
#include "certctl/tally.h"

namespace bao_exporter::certctl {

namespace {

constexpr std::int64_t kDay = 86'400;

struct Certificate {
  std::string name, common_name, environment, owner_id, issuer_id, status;
  std::optional<std::int64_t> not_after;
  // Tells a row that changed and changed back between two readings from one that did not.
  std::string updated_at;
  friend bool operator==(const Certificate&, const Certificate&) = default;

  // Nobody has to renew it any more.
  [[nodiscard]] bool is_over() const { return status == "Revoked" || status == "Archived"; }
};

using Rows = ListReader<Certificate>::Rows;

Certificate read_certificate(Fields& row) {
  Certificate certificate;
  certificate.name = row.text("name");
  certificate.common_name = row.text("common_name");
  certificate.environment = row.text("environment");
  certificate.owner_id = row.text("owner_id");
  certificate.issuer_id = row.text("issuer_id");
  certificate.status = normalised(label_text(row.word("status")), kCertificateStatuses);
  certificate.not_after = row.time("expires_at");
  certificate.updated_at = row.raw("updated_at");
  return certificate;
}

void write_counts(StateText& text, const Rows& rows) {
  Tally<3> tally;
  for (const auto& [id, row] : rows) tally.add({row.status, row.issuer_id, row.environment});
  text.gauge("certctl_state_certificates", "Certificates by state, issuer and environment.");
  tally.write(text, {"status", "issuer_id", "environment"});
}

void write_windows(StateText& text, const Rows& rows, std::int64_t now) {
  text.gauge("certctl_state_certificates_expiring",
             "Certificates that expire within that time, revoked, archived and expired ones not "
             "among them.");
  for (const auto& [name, days] : {std::pair{"7d", 7}, {"30d", 30}, {"90d", 90}}) {
    const auto expires = [&, within = days * kDay](const auto& entry) {
      const Certificate& row = entry.second;
      return !row.is_over() && row.not_after > now && row.not_after <= now + within;
    };
    const auto count = std::count_if(rows.begin(), rows.end(), expires);
    text.sample({{"within", name}}, static_cast<double>(count));
  }
}

// Soonest first; of those that end together, by name, then id: the choice is the same each time.
std::vector<const Certificate*> soonest(const Rows& rows, std::int64_t now) {
  std::vector<const Certificate*> chosen;
  for (const auto& [id, row] : rows) {
    if (!row.is_over() && row.not_after > now) chosen.push_back(&row);
  }
  std::stable_sort(chosen.begin(), chosen.end(), [](const Certificate* a, const Certificate* b) {
    return std::tie(a->not_after, a->name) < std::tie(b->not_after, b->name);
  });
  return chosen;
}

void write_soonest(StateText& text, const Rows& rows, const ReadingOptions& options,
                   std::int64_t now) {
  text.gauge("certctl_state_certificate_not_after_timestamp_seconds",
             "End of validity of the certificates that expire soonest, revoked, archived and "
             "expired ones not among them.");
  // Two rows may have the same five labels: the sooner one is told.
  std::set<std::tuple<std::string_view, std::string_view, std::string_view, std::string_view,
                      std::string_view>>
      told;
  for (const Certificate* row : soonest(rows, now)) {
    if (told.size() == options.soonest_expiries) break;
    if (!told.insert({row->name, row->common_name, row->issuer_id, row->environment, row->owner_id})
             .second) {
      continue;
    }
    text.sample({{"name", row->name},
                 {"common_name", row->common_name},
                 {"issuer_id", row->issuer_id},
                 {"environment", row->environment},
                 {"owner_id", row->owner_id}},
                static_cast<double>(*row->not_after));
  }
}

// What certctl would say, had it looked at all rows: its own rule, by state first, then by date.
void count_upstream(Counted& counted, const Rows& rows, std::int64_t now) {
  double expired = 0;
  double expiring = 0;
  double revoked = 0;
  for (const auto& [id, row] : rows) {
    if (row.status == "Revoked") {
      ++revoked;
    } else if (row.status == "Expired" || (row.not_after && *row.not_after < now)) {
      ++expired;
    } else if (row.not_after > now && row.not_after < now + 30 * kDay) {
      ++expiring;
    }
  }
  const auto total = static_cast<double>(rows.size());
  counted.upstream = {{"certctl_certificate_total", total},
                      {"certctl_certificate_active", total - expired - expiring - revoked},
                      {"certctl_certificate_expiring_soon", expiring},
                      {"certctl_certificate_expired", expired},
                      {"certctl_certificate_revoked", revoked}};
}

Counted count(const Rows& rows, const ReadingOptions& options) {
  const std::int64_t now =
      std::chrono::floor<std::chrono::seconds>(options.now).time_since_epoch().count();
  StateText text;
  write_counts(text, rows);
  write_windows(text, rows, now);
  write_soonest(text, rows, options, now);
  Counted counted;
  counted.text = text.take();
  count_upstream(counted, rows, now);
  return counted;
}

}  // namespace

std::unique_ptr<Reading> read_certificates(const ReadingOptions& options) {
  const std::string fields =
      "&fields=id,name,common_name,environment,owner_id,issuer_id,status,expires_at,updated_at&";
  ListPlan plan{"certificates", {"/api/v1/certificates?sort=name" + fields}};
  plan.other_order = {"/api/v1/certificates?sort=createdAt" + fields};
  return std::make_unique<ListReading<Certificate>>(std::move(plan), read_certificate, count,
                                                    options);
}

}  // namespace bao_exporter::certctl
