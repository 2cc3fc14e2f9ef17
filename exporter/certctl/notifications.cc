// Notifications: `total` is what the page has (facts/certctl.md B3). Up to a page of them all are
// counted; of more only those that somebody has to look after, listed by status, twice. Pending is
// read first: a notification is pending for a moment only, and what the second reading's first
// answer has is that moment's. One that failed and went on between two requests would escape, but
// certctl waits two minutes before it tries again.
#include "certctl/collectors.h"
#include "certctl/list_reader.h"
#include "certctl/tally.h"

namespace bao_exporter::certctl {

namespace {

constexpr const char* kWhat = "notifications";
constexpr std::array<std::string_view, 3> kUnsettledWords = {"pending", "failed", "dead"};
constexpr Vocabulary kUnsettled{kUnsettledWords, /*capitalised=*/false};

struct Notification {
  std::string status;
  friend bool operator==(const Notification&, const Notification&) = default;
};

Notification read_notification(Fields& row) {
  return {normalised(label_text(row.word("status")), kNotificationStatuses)};
}

ListPlan plan_for_all() { return {kWhat, {"/api/v1/notifications?"}, /*has_total=*/false}; }

ListPlan plan_for_unsettled() {
  ListPlan plan{kWhat, {}, /*has_total=*/false};
  for (const std::string_view status : kUnsettledWords) {
    plan.queries.push_back("/api/v1/notifications?status=" + std::string(status) + "&");
  }
  return plan;
}

class NotificationsReading final : public Reading {
 public:
  [[nodiscard]] bool done() const override { return reader_.done(); }
  [[nodiscard]] std::string request() const override { return reader_.request(); }
  [[nodiscard]] bool is_costly() const override { return unsettled_only_; }

  [[nodiscard]] std::optional<Error> take(std::string_view json) override {
    if (auto error = reader_.take(json)) return error;
    if (!unsettled_only_ && reader_.walk().last_page_was_full()) {
      unsettled_only_ = true;
      reader_ = ListReader<Notification>(plan_for_unsettled(), read_notification);
    }
    return std::nullopt;
  }

  [[nodiscard]] Counted finish() const override {
    Tally<1> statuses;
    statuses.add_all(unsettled_only_ ? kUnsettled : kNotificationStatuses);
    for (const auto& [id, row] : reader_.rows()) statuses.add({row.status});
    StateText text;
    text.gauge("certctl_state_notifications",
               "Notifications by state; above 500 in all only pending, failed and dead ones.");
    statuses.write(text, {"status"});
    return {text.take(),
            {{"certctl_notification_dead_total", static_cast<double>(statuses.of({"dead"}))}}};
  }

 private:
  ListReader<Notification> reader_{plan_for_all(), read_notification};
  bool unsettled_only_ = false;
};

}  // namespace

std::unique_ptr<Reading> read_notifications() { return std::make_unique<NotificationsReading>(); }

}  // namespace bao_exporter::certctl
