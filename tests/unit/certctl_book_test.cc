#include "bao_exporter/certctl_book.h"

#include <string>
#include <vector>

#include "catch.h"
#include "support/caught_log.h"
#include "support/certctl_views.h"
#include "support/quiet.h"
#include "support/samples.h"

namespace bao_exporter {

using namespace test;  // NOLINT(google-build-using-namespace): the helpers of this test

namespace {

constexpr std::uint32_t kNodes = 3;  // ranks of others before

Config servers(const std::vector<std::string>& names) {
  Config config;
  for (const std::string& name : names) config.certctls.push_back(certctl_server(name));
  return config;
}

Merged merged(CertctlBook& book, TypeBook& types, std::vector<MergeSource> sources = {},
              TimePoint now = Clock::now()) {
  const std::size_t before = sources.size();
  book.add_sources(sources, kNodes, now);
  Merged merged = merge(sources, types);
  book.note_lost(merged, before);
  return merged;
}

std::string text(CertctlBook& book, TimePoint now = Clock::now()) {
  TypeBook types;
  return merged(book, types, {}, now).rope.to_string();
}

MergeSource node_saying(const std::string& body) {
  RelabelPlan plan;
  plan.identity = "node_name=\"a\"";
  return {0, certctl_part(body, plan)};
}

std::string served(const CertctlBook& book, TimePoint now = Clock::now()) {
  const auto views = book.views(now);
  REQUIRE(views.size() == 1);
  return views[0].text == nullptr ? "" : views[0].text->rope().to_string();
}

const std::string kOwn =
    "# HELP certctl_certificate_total Certificates.\n# TYPE certctl_certificate_total gauge\n"
    "certctl_certificate_total 332\n\n# TYPE certctl_empty gauge\n";

}  // namespace

TEST_CASE("each family of two certctl servers is there once, with the labels of both") {
  CertctlBook book(servers({"ca", "lab"}));
  book.note({shared(certctl_view("lab", kOwn)),
             shared(certctl_view("ca", kOwn, ErrorCode::kOk, ready_text("0")))});
  const Samples samples(text(book));
  REQUIRE(samples.problem() == "");
  CHECK(samples.text().find(R"(certctl="ca",instance="ca.example.org:8443"} 332)") <
        samples.text().find(R"(certctl="lab",instance="lab.example.org:8443"} 332)"));
  CHECK(samples.values("certctl_certificate_total").size() == 2);
  CHECK(samples.value("certctl_state_ready", {{"certctl", "ca"}}) == "0");
  CHECK(samples.value("certctl_state_ready", {{"certctl", "lab"}}) == "1");
}

TEST_CASE("of two certctl servers that disagree on a TYPE the first in the configuration wins") {
  CertctlBook book(servers({"zulu", "alpha"}));
  book.note({shared(certctl_view("alpha", "# TYPE x counter\nx 1\n")),
             shared(certctl_view("zulu", "# TYPE x gauge\nx 2\n"))});
  const Samples samples(text(book));
  REQUIRE(samples.problem() == "");
  CHECK(samples.value("x") == "2");
}

TEST_CASE("a node's TYPE wins over certctl's, also while it is down, and is logged once") {
  CertctlBook book(servers({"ca"}));
  book.note({shared(certctl_view("ca",
                                 "# TYPE x counter\nx 1\n# TYPE y summary\ny_sum 1\n"
                                 "# TYPE z gauge\nz 1\n"))});
  const CaughtLog log;
  TypeBook types;
  const std::vector<MergeSource> node = {node_saying("# TYPE x gauge\nx 7\n# TYPE y gauge\ny 8\n")};
  const Merged first = merged(book, types, node);
  CHECK(first.type_conflicts == std::vector<std::uint64_t>{0, 2, 0});
  const Merged later = merged(book, types, node);
  const Merged down = merged(book, types);
  const Samples samples(first.rope.to_string());
  REQUIRE(samples.problem() == "");
  CHECK(samples.value("x") == "7");
  CHECK(samples.value("y") == "8");
  CHECK(samples.value("z", {{"certctl", "ca"}}) == "1");
  CHECK(Samples(down.rope.to_string()).values("x").empty());
  CHECK(log.count("cause=type_conflict") == 2);
  CHECK(log.count("family=x") == 1);
}

TEST_CASE("what certctl names without an end does not fill the log") {
  CertctlBook book(servers({"ca"}));
  const CaughtLog log;
  TypeBook types;
  for (int i = 0; i < 300; ++i) {
    const std::string x = "x" + std::to_string(i);
    book.note({shared(certctl_view("ca", x + " 1\n"))});
    (void)merged(book, types, {node_saying("# TYPE " + x + " gauge\n" + x + " 1\n")});
  }
  CHECK(log.count("samples of certctl are not served") == 50);
}

TEST_CASE("what certctl sends under our names is nowhere, and is logged once") {
  CertctlBook book(servers({"ca"}));
  const CaughtLog log;
  const std::string forged =
      "# TYPE certctl_state_ready gauge\ncertctl_state_ready 1\n"
      "# TYPE certctl_state summary\ncertctl_state_sum 1\n# TYPE bao_node_up gauge\nbao_node_up 1\n"
      "ours{certctl=\"x\",job=\"y\"} 1 1700000000000\n";
  for (int twice = 0; twice < 2; ++twice) {
    book.note({shared(certctl_view("ca", forged, ErrorCode::kOk, ready_text("0")))});
    const Samples all(text(book));
    REQUIRE(all.problem() == "");
    CHECK(all.exposition().samples.size() == 2);
    CHECK(all.value("certctl_state_ready") == "0");
    CHECK(all.value("ours",
                    {{"certctl", "ca"}, {"exported_certctl", "x"}, {"exported_job", "y"}}) == "1");
    CHECK(served(book) == "ours{certctl=\"x\",job=\"y\"} 1\n" + ready_text("0"));
  }
  CHECK(log.count("cause=reserved_name") == 1);
}

TEST_CASE("the path of a certctl server has its own bytes, then its state, without our labels") {
  CertctlBook book(servers({"ca"}));
  book.note({shared(certctl_view("ca", kOwn))});
  CHECK(served(book) == kOwn + ready_text("1"));
  const Samples samples(served(book));
  CHECK(samples.problem() == "");
  const auto views = book.views(Clock::now());
  CHECK(views[0].labels == certctl_labels(certctl_server("ca")));
  // Its metrics are not asked for.
  book.note({shared(certctl_view("ca", ""))});
  CHECK(served(book) == ready_text("1"));
}

TEST_CASE("a failed poll ends certctl's own samples, and what is known of its state stays") {
  CertctlBook book(servers({"ca"}));
  const std::string upstream = GENERATE("", "x 1\n");
  book.note({shared(certctl_view("ca", upstream, ErrorCode::kDatabaseDown, ready_text("0")))});
  CHECK(Samples(text(book)).values("x").empty());
  CHECK(Samples(text(book)).value("certctl_state_ready") == "0");
  CHECK(served(book).empty());
  CHECK(book.views(Clock::now())[0].reason == ErrorCode::kDatabaseDown);
}

TEST_CASE("past its time nothing of a view is served, and the reason is overdue") {
  CertctlBook book(servers({"ca"}));
  CertctlView view = certctl_view("ca", "x 1\n");
  const TimePoint until = view.valid_until;
  book.note({shared(std::move(view))});
  CHECK(Samples(text(book, until)).value("x") == "1");
  CHECK(book.views(until)[0].reason == ErrorCode::kOk);
  CHECK(book.views(until)[0].valid_until == until);
  const TimePoint later = until + std::chrono::nanoseconds(1);
  CHECK(text(book, later).empty());
  CHECK(book.views(later)[0].reason == ErrorCode::kOverdue);
  CHECK(book.views(later)[0].text == nullptr);
}

TEST_CASE("a book is complete when every server was polled") {
  CertctlBook book(servers({"ca", "lab"}));
  CHECK(CertctlBook(servers({})).complete());
  CHECK_FALSE(book.complete());
  book.note({shared(certctl_view("ca", "x 1\n"))});
  CHECK_FALSE(book.complete());
  const auto waiting = shared(certctl_view("lab", "", ErrorCode::kNotPolled));
  book.note({shared(certctl_view("ca", "x 1\n")), waiting});
  CHECK_FALSE(book.complete());
  book.note(
      {shared(certctl_view("ca", "x 1\n")), shared(certctl_view("lab", "", ErrorCode::kConnect))});
  CHECK(book.complete());
  // One that a reload has begun anew has nothing to tell for a while: what was known stays.
  book.note({});
  CHECK(book.complete());
}

TEST_CASE("a server that was not polled is known by its name all the same") {
  const CertctlBook book(servers({"ca", "lab"}));
  const auto views = book.views(Clock::now());
  REQUIRE(views.size() == 2);
  CHECK(views[1].name == "lab");
  CHECK(views[1].reason == ErrorCode::kNotPolled);
  CHECK(views[1].labels == certctl_labels(certctl_server("lab")));
}

TEST_CASE("a server stays known through a new configuration that has it at the same place") {
  CertctlBook book(servers({"ca", "lab"}));
  const CertctlViews both = {shared(certctl_view("ca", "x 1\n")),
                             shared(certctl_view("lab", "x 2\n"))};
  book.note(both);
  book.replace(servers({"lab"}));
  CHECK(Samples(text(book)).value("x") == "2");
  book.note(both);  // who polls has not heard of it yet
  CHECK(Samples(text(book)).value("x") == "2");
  CHECK(book.views(Clock::now()).size() == 1);
  Config moved = servers({"lab"});
  moved.certctls[0].url = "https://elsewhere.example.org:8443";
  book.replace(moved);
  CHECK(text(book).empty());
  CHECK(book.views(Clock::now())[0].labels == certctl_labels(moved.certctls[0]));
}

}  // namespace bao_exporter
