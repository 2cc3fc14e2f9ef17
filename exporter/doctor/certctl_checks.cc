// ready to counts of one certctl server.
#include <algorithm>
#include <cmath>

#include "certctl/remedies.h"
#include "doctor/checks.h"

namespace bao_exporter::doctor {

namespace {

constexpr double kDaySeconds = 86'400;

using Collectors = std::vector<const CollectorEvidence*>;

std::string remedy(ErrorCode code) { return std::string(certctl::remedy_for(code)); }

void fail(std::string_view check, const Error& error, const std::string& words, Findings& out) {
  out.fail(check, words, remedy(error.code), error.code);
}

std::string name_of(const CollectorEvidence& one) {
  return std::string(certctl_collector_name(one.collector));
}

template <typename Word>
std::string joined(const Collectors& collectors, Word word) {
  std::string words;
  for (const CollectorEvidence* one : collectors) {
    words += (words.empty() ? "" : ", ") + word(*one);
  }
  return words;
}

template <typename Wanted>
Collectors those(const CertctlEvidence& server, Wanted wanted) {
  Collectors found;
  for (const CollectorEvidence& one : server.collectors) {
    if (wanted(one)) found.push_back(&one);
  }
  return found;
}

bool knows_key(const CertctlEvidence& server) { return server.key && server.key->ok(); }

const Error* key_problem(const CertctlEvidence& server) {
  return server.key && !server.key->ok() ? &server.key->error() : nullptr;
}

bool is_refused(const CertctlEvidence& server) {
  return server.config.refuse_excess && knows_key(server) && !server.key->value().excess.empty();
}

// Another line says it: ready, key, permission, collectors or rate.
bool is_told(const CertctlEvidence& server, const CollectorEvidence& one) {
  const ErrorCode code = one.error.code;
  if (code == ErrorCode::kForbidden) return knows_key(server) && !one.may;
  if (const Error* problem = key_problem(server); problem != nullptr && problem->code == code) {
    return true;
  }
  return code == ErrorCode::kTokenRejected || code == ErrorCode::kTokenExcess ||
         code == ErrorCode::kDatabaseDown || code == ErrorCode::kRateLimited;
}

bool is_database_down(const CertctlEvidence& server) {
  return server.ready && server.ready->ok() && !server.ready->value();
}

std::string number_of(std::size_t count, const std::string& what) {
  return std::to_string(count) + " " + what + (count == 1 ? "" : "s");
}

void check_ready(const CertctlEvidence& server, Findings& out) {
  if (!server.ready) return;
  if (!server.ready->ok()) {
    const Error& error = server.ready->error();
    if (error.code == ErrorCode::kRateLimited) return;
    return fail("ready", error, error.detail, out);
  }
  if (is_database_down(server)) {
    return fail("ready", {ErrorCode::kDatabaseDown, {}},
                "it answers, and says that it does not reach its database", out);
  }
  out.ok("ready", server.version.empty() ? "ready" : "ready, version " + server.version);
}

bool has_read(const CertctlEvidence& server) {
  return std::any_of(server.collectors.begin(), server.collectors.end(),
                     [](const auto& one) { return one.error.code == ErrorCode::kOk; });
}

bool rejected_later(const CertctlEvidence& server) {
  return std::any_of(server.collectors.begin(), server.collectors.end(),
                     [](const auto& one) { return one.error.code == ErrorCode::kTokenRejected; });
}

void check_key(const CertctlEvidence& server, Findings& out) {
  if (!server.key) return;
  const std::string& file = server.config.api_key_file;
  const Error* problem = key_problem(server);
  if (rejected_later(server) ||
      (problem != nullptr && problem->code == ErrorCode::kTokenRejected)) {
    return fail("key", {ErrorCode::kTokenRejected, {}},
                file + ": certctl does not know the key (HTTP 401)", out);
  }
  if (problem == nullptr || has_read(server)) {
    return out.ok("key", file + " can be read, and certctl knows the key");
  }
  // certctl looks a key's permissions up in its database: then it answers 500.
  if (is_database_down(server) || problem->code == ErrorCode::kRateLimited) return;
  fail("key", *problem, file + ": what the key may do cannot be asked: " + problem->detail, out);
}

void check_permission(const CertctlEvidence& server, Findings& out) {
  constexpr std::string_view kCheck = "permission";
  if (!knows_key(server)) {
    if (key_problem(server) == nullptr || !has_read(server)) return;
    return out.warn(kCheck, "cannot be asked: " + key_problem(server)->detail,
                    remedy(key_problem(server)->code), key_problem(server)->code);
  }
  const KeyEvidence& key = server.key->value();
  const std::string count =
      std::to_string(key.permissions) + (key.permissions == 1 ? " permission" : " permissions");
  if (key.excess.empty()) return out.ok(kCheck, "the key may read and nothing else: " + count);
  const std::string words = "the key may do more than read: " + key.excess;
  const Error excess{ErrorCode::kTokenExcess, {}};
  if (is_refused(server)) return fail(kCheck, excess, words + "; it is not used", out);
  out.warn(kCheck, words, remedy(excess.code), excess.code);
}

// A collector that is listed by name is wanted, and without the metrics nothing is passed on.
bool is_missed(const CertctlEvidence& server, const Collectors& forbidden) {
  return !server.config.auto_collectors ||
         std::any_of(forbidden.begin(), forbidden.end(), [](const CollectorEvidence* one) {
           return one->collector == CertctlCollector::kMetrics;
         });
}

void check_collectors(const CertctlEvidence& server, Findings& out) {
  constexpr std::string_view kCheck = "collectors";
  if (!knows_key(server) || is_refused(server)) return;
  const Collectors allowed = those(server, [](const auto& one) { return one.may; });
  const Collectors forbidden = those(server, [](const auto& one) { return !one.may; });
  const Collectors off = those(server, [](const auto& one) { return one.switched_off; });
  std::string may = allowed.empty() ? "allowed: none" : "allowed: " + joined(allowed, name_of);
  if (!off.empty()) may += "; switched off at the server: " + joined(off, name_of);
  if (forbidden.empty()) return out.ok(kCheck, may);
  const std::string words =
      "not allowed: " +
      joined(forbidden,
             [](const auto& one) { return name_of(one) + " (" + one.permission + ")"; }) +
      "; " + may;
  if (is_missed(server, forbidden)) {
    return out.fail(kCheck, words,
                    "add these permissions to the role of the key: POST "
                    "/api/v1/auth/roles/ROLE/permissions; or leave them out of collectors",
                    ErrorCode::kForbidden);
  }
  out.warn(
      kCheck, words,
      "add these permissions to the role of the key, if they are wanted; else set collectors = [" +
          joined(allowed, [](const auto& one) { return '"' + name_of(one) + '"'; }) + "]",
      ErrorCode::kForbidden);
}

void check_metrics(const CertctlEvidence& server, Findings& out) {
  const Collectors metrics =
      those(server, [](const auto& one) { return one.collector == CertctlCollector::kMetrics; });
  if (metrics.empty()) return out.ok("metrics", "not asked: collectors does not list them");
  const CollectorEvidence& one = *metrics.front();
  if (is_told(server, one)) return;
  if (server.metrics == nullptr) {
    // Then the line ready has it.
    if (server.ready && !server.ready->ok()) return;
    return fail("metrics", one.error, one.error.detail, out);
  }
  const NodePart& part = *server.metrics;
  out.ok("metrics", std::to_string(part.samples()) + " samples of " +
                        std::to_string(part.families().size()) + " families, from " +
                        std::to_string(part.body_bytes()) + " bytes");
}

// certctl writes a row for each request with a key.
double rows_a_day(const CertctlEvidence& server) {
  const auto times_a_day = [](Milliseconds interval) {
    return kDaySeconds / std::chrono::duration<double>(interval).count();
  };
  double polls = 0;
  double lists = 1;  // what the key may do
  for (const CollectorEvidence& one : server.collectors) {
    if (one.collector == CertctlCollector::kMetrics) {
      if (one.error.code == ErrorCode::kOk) polls = 1;
    } else {
      lists += static_cast<double>(one.requests) / one.inventories;
    }
  }
  return polls * times_a_day(server.config.interval) +
         lists * times_a_day(server.config.inventory_interval);
}

std::string inventory_words(const CertctlEvidence& server, const Collectors& read) {
  std::size_t requests = 1;
  for (const CollectorEvidence& one : server.collectors) requests += one.requests;
  const auto milliseconds = static_cast<std::int64_t>(std::lround(server.inventory_seconds * 1000));
  std::string words =
      number_of(requests, "request") + " with the key in " + std::to_string(milliseconds) + " ms";
  if (!read.empty()) {
    words +=
        " (" +
        joined(read,
               [](const auto& one) { return name_of(one) + " " + std::to_string(one.requests); }) +
        ")";
  }
  const auto seconds = [](Milliseconds interval) {
    return duration_words(std::chrono::duration_cast<std::chrono::seconds>(interval).count());
  };
  return words + ": one each " + seconds(server.config.inventory_interval) +
         " and the metrics each " + seconds(server.config.interval) + " make " +
         std::to_string(static_cast<std::int64_t>(std::ceil(rows_a_day(server) - 1e-6))) +
         " rows a day in certctl's audit log";
}

// Those that failed alike have one line.
void check_inventory(const CertctlEvidence& server, Findings& out) {
  const auto is_list = [](const auto& one) { return one.collector != CertctlCollector::kMetrics; };
  Collectors failed = those(server, [&](const auto& one) {
    return is_list(one) && one.error.code != ErrorCode::kOk && !one.switched_off &&
           !is_told(server, one);
  });
  const Collectors read = those(
      server, [&](const auto& one) { return is_list(one) && one.error.code == ErrorCode::kOk; });
  if (failed.empty()) {
    if (has_read(server)) out.ok("inventory", inventory_words(server, read));
    return;
  }
  while (!failed.empty()) {
    const Error& error = failed.front()->error;
    const auto other = std::stable_partition(
        failed.begin(), failed.end(),
        [&](const CollectorEvidence* one) { return one->error.code == error.code; });
    const Collectors alike(failed.begin(), other);
    fail("inventory", error, joined(alike, name_of) + ": " + error.detail, out);
    failed.erase(failed.begin(), other);
  }
}

std::string whole(double count) { return std::to_string(std::llround(count)); }

void check_counts(const CertctlEvidence& server, Findings& out) {
  if (server.counts.empty()) return;
  std::string words;
  for (const CountEvidence& count : server.counts) {
    if (!count.wrong) continue;
    words += (words.empty() ? "" : ", ") + count.family + " (it says " + whole(count.theirs) +
             ", its lists have " + whole(count.ours) + ")";
  }
  if (words.empty()) {
    return out.ok("counts", "certctl counts as its lists do, in " +
                                std::to_string(server.counts.size()) +
                                (server.counts.size() == 1 ? " family" : " families"));
  }
  out.warn("counts", "certctl's own dashboard lies about " + words,
           "use certctl_state_* in dashboards and rules: above 50 certificates certctl counts the "
           "first 50 only");
}

void check_rate(const CertctlEvidence& server, Findings& out) {
  const std::string of = " of " + number_of(server.requests, "request");
  if (server.limited == 0) return out.ok("rate", "none" + of + " was one too many");
  const auto limited = [](const Error* error) {
    return error != nullptr && error->code == ErrorCode::kRateLimited;
  };
  const bool for_good = limited(key_problem(server)) ||
                        std::any_of(server.collectors.begin(), server.collectors.end(),
                                    [&](const auto& one) { return limited(&one.error); });
  const std::string words = std::to_string(server.limited) + of + " got HTTP 429";
  const Error error{ErrorCode::kRateLimited, {}};
  if (for_good) return fail("rate", error, words + ", and so did the last one", out);
  out.warn("rate", words + "; all of them were answered later", remedy(error.code), error.code);
}

}  // namespace

std::vector<Finding> check_certctl(const CertctlEvidence& server, const Evidence& all) {
  Findings out;
  const Surroundings around{nullptr, server.config.ca_file, server.config.timeout, all.now};
  if (!check_address(server.address, around, out)) return out.take();
  check_ready(server, out);
  check_key(server, out);
  check_permission(server, out);
  check_collectors(server, out);
  check_metrics(server, out);
  check_inventory(server, out);
  check_counts(server, out);
  check_rate(server, out);
  return out.take();
}

}  // namespace bao_exporter::doctor
