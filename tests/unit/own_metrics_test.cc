#include "bao_exporter/own_metrics.h"

#include <numeric>
#include <set>
#include <sstream>
#include <string>

#include "catch.h"

namespace bao_exporter {

namespace {

WallTime at(int unix_second) { return WallTime(std::chrono::seconds(unix_second)); }

// The samples of the families that begin with `start`, a line each and sorted, without HELP and
// TYPE.
std::string samples(const OwnMetrics& metrics, const std::string& start) {
  std::istringstream in(metrics.render("", Clock::now()));
  std::set<std::string> lines;
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with(start)) lines.insert(line + "\n");
  }
  return std::accumulate(lines.begin(), lines.end(), std::string());
}

}  // namespace

TEST_CASE("the token in use is told with its number and since when") {
  OwnMetrics metrics;
  CHECK(samples(metrics, "bao_token_") == "");
  metrics.note_token_in_use("prod", 1, at(1'700'000'123));
  metrics.note_token_in_use("dev", 7, at(1'700'000'124));
  metrics.note_token_in_use("prod", 2, at(1'700'000'183));
  CHECK(samples(metrics, "bao_token_generation") ==
        "bao_token_generation{credential=\"dev\"} 7\n"
        "bao_token_generation{credential=\"prod\"} 2\n");
  CHECK(samples(metrics, "bao_token_loaded_timestamp_seconds") ==
        "bao_token_loaded_timestamp_seconds{credential=\"dev\"} 1700000124\n"
        "bao_token_loaded_timestamp_seconds{credential=\"prod\"} 1700000183\n");
}

TEST_CASE("what is not known of a token has no series") {
  OwnMetrics metrics;
  metrics.note_token_life("prod", std::nullopt, std::nullopt);
  CHECK(samples(metrics, "bao_token_") == "");
  metrics.note_token_life("prod", at(1'700'000'123), 0);
  CHECK(samples(metrics, "bao_token_") ==
        "bao_token_excess_capabilities{credential=\"prod\"} 0\n"
        "bao_token_expiry_timestamp_seconds{credential=\"prod\"} 1700000123\n");
  metrics.note_token_life("prod", std::nullopt, 3);
  CHECK(samples(metrics, "bao_token_") == "bao_token_excess_capabilities{credential=\"prod\"} 3\n");
  metrics.note_token_life("prod", std::nullopt, std::nullopt);
  CHECK(samples(metrics, "bao_token_") == "");
}

TEST_CASE("logins and renewals that are expected are there from 0 on") {
  OwnMetrics metrics;
  metrics.expect_logins("prod");
  CHECK(samples(metrics, "bao_token_") ==
        "bao_token_logins_total{credential=\"prod\",result=\"denied\"} 0\n"
        "bao_token_logins_total{credential=\"prod\",result=\"error\"} 0\n"
        "bao_token_logins_total{credential=\"prod\",result=\"success\"} 0\n");
  metrics.expect_renewals("prod");
  metrics.count_login("prod", TokenResult::kDenied);
  metrics.count_login("prod", TokenResult::kSuccess);
  metrics.count_renewal("prod", TokenResult::kError);
  metrics.count_renewal("prod", TokenResult::kSuccess);
  metrics.count_renewal("prod", TokenResult::kSuccess);
  metrics.expect_logins("prod");  // once more, as after a reload: nothing is lost
  CHECK(samples(metrics, "bao_token_") ==
        "bao_token_logins_total{credential=\"prod\",result=\"denied\"} 1\n"
        "bao_token_logins_total{credential=\"prod\",result=\"error\"} 0\n"
        "bao_token_logins_total{credential=\"prod\",result=\"success\"} 1\n"
        "bao_token_renewals_total{credential=\"prod\",result=\"denied\"} 0\n"
        "bao_token_renewals_total{credential=\"prod\",result=\"error\"} 1\n"
        "bao_token_renewals_total{credential=\"prod\",result=\"success\"} 2\n");
}

TEST_CASE("a cluster that is gone leaves no series of its token") {
  OwnMetrics metrics;
  for (const char* cluster : {"gone", "stays"}) {
    metrics.note_token_in_use(cluster, 1, at(1));
    metrics.note_token_life(cluster, at(2), 1);
    metrics.expect_logins(cluster);
    metrics.count_renewal(cluster, TokenResult::kSuccess);
  }
  metrics.forget_credential("gone");
  metrics.forget_credential("never there");
  const std::string left = samples(metrics, "bao_token_");
  CHECK(left.find("gone") == std::string::npos);
  CHECK(left.find("never") == std::string::npos);
  for (const char* family : {"generation", "loaded_timestamp_seconds", "expiry_timestamp_seconds",
                             "excess_capabilities", "logins_total", "renewals_total"}) {
    CHECK(left.find(std::string("bao_token_") + family + "{credential=\"stays\"") !=
          std::string::npos);
  }
}

}  // namespace bao_exporter
