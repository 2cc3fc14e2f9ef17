#include "catch.h"
#include "certctl/json_reader.h"
#include "certctl/rfc3339.h"
#include "certctl/state_text.h"
#include "certctl/words.h"

namespace bao_exporter::certctl {

TEST_CASE("words have certctl's own spelling, whatever the case in its database") {
  CHECK(normalised("renewal", kJobTypes) == "Renewal");
  CHECK(normalised("Renewal", kJobTypes) == "Renewal");
  CHECK(normalised("awaitingcsr", kJobStatuses) == "AwaitingCSR");
  CHECK(normalised("awaiting_approval", kJobStatuses) == "AwaitingApproval");
  CHECK(normalised("renewal_in_progress", kCertificateStatuses) == "RenewalInProgress");
  CHECK(normalised("acme", kIssuerTypes) == "ACME");
  CHECK(normalised("DEAD", kNotificationStatuses) == "dead");
  CHECK(normalised("CertMismatch", kHealthStatuses) == "cert_mismatch");
}

TEST_CASE("words that certctl may have one day stay as they are, but for their first letter") {
  CHECK(normalised("onHold", kCertificateStatuses) == "OnHold");
  CHECK(normalised("on_hold", kCertificateStatuses) == "On_hold");
  CHECK(normalised("Snoozed", kNotificationStatuses) == "snoozed");
  CHECK(normalised("", kJobTypes).empty());
  CHECK(normalised("_", kJobTypes) == "_");
  CHECK(normalised("éteint", kAgentStatuses) == "éteint");
}

TEST_CASE("times are read to the second, with or without fraction, in every zone") {
  CHECK(unix_seconds_of("1970-01-01T00:00:00Z") == 0);
  CHECK(unix_seconds_of("2026-11-23T00:15:02.976524Z") == 1'795'392'902);
  CHECK(unix_seconds_of("2026-11-23T00:15:02Z") == 1'795'392'902);
  CHECK(unix_seconds_of("2026-11-23T01:15:02.9+01:00") == 1'795'392'902);
  CHECK(unix_seconds_of("2026-11-22T18:45:02-05:30") == 1'795'392'902);
  CHECK(unix_seconds_of("2028-02-29T00:00:00Z") == 1'835'395'200);
  CHECK(unix_seconds_of("9999-12-31T23:59:59Z") == 253'402'300'799);
  CHECK(unix_seconds_of("1969-12-31T23:59:59.999Z") == -1);
  CHECK(unix_seconds_of("0001-01-01T00:00:00Z") == kGoZeroTime);
}

TEST_CASE("what is no time is none") {
  for (const char* text : {"",
                           "Z",
                           "2026-11-23",
                           "2026-11-23T00:15:02",
                           "2026-11-23 00:15:02Z",
                           "2026-02-29T00:00:00Z",
                           "2026-13-01T00:00:00Z",
                           "2026-00-01T00:00:00Z",
                           "2026-11-31T00:00:00Z",
                           "2026-11-23T24:00:00Z",
                           "2026-11-23T00:60:00Z",
                           "2026-11-23T00:00:60Z",
                           "2026-11-23T00:15:02.Z",
                           "2026-11-23T00:15:02.5",
                           "2026-11-23T00:15:02+1:00",
                           "2026-11-23T00:15:02+24:00",
                           "2026-11-23T00:15:02+01:60",
                           "2026-11-23T00:15:02ZZ",
                           "2026-11-23T00:15:02+01:00Z",
                           "-026-11-23T00:15:02Z",
                           "2026-11-23T00:15:0 Z",
                           "12026-11-23T00:15:02Z"}) {
    INFO(text);
    CHECK_FALSE(unix_seconds_of(text));
  }
}

TEST_CASE("what becomes a label has no byte that no exposition may hold, and an end") {
  using namespace std::string_literals;
  CHECK(label_text("a\tb\nc\"\\") == "a\tb\nc\"\\");
  CHECK(label_text("a\0b\rc"s) == "a\xEF\xBF\xBD"s + "b\xEF\xBF\xBD" + "c");
  CHECK(label_text("\xC3\xA9\xFF") == "\xC3\xA9\xEF\xBF\xBD");
  CHECK(label_text(std::string(600, 'x')) == std::string(512, 'x'));
  CHECK(label_text(std::string(511, 'x') + "\xC3\xA9") == std::string(511, 'x'));
}

TEST_CASE("gauges are written with help, type and legal escapes") {
  StateText text;
  text.gauge("certctl_state_a", "One \\ two\nthree");
  text.sample({}, 1);
  text.gauge("certctl_state_b", "B.");
  text.sample({{"x", "a\"b\\c\nd"}, {"y", ""}}, 1795392902);
  text.sample({{"x", ""}}, 0.5);
  CHECK(text.take() ==
        "# HELP certctl_state_a One \\\\ two\\nthree\n"
        "# TYPE certctl_state_a gauge\n"
        "certctl_state_a 1\n"
        "# HELP certctl_state_b B.\n"
        "# TYPE certctl_state_b gauge\n"
        "certctl_state_b{x=\"a\\\"b\\\\c\\nd\",y=\"\"} 1795392902\n"
        "certctl_state_b{x=\"\"} 0.5\n");
}

}  // namespace bao_exporter::certctl
