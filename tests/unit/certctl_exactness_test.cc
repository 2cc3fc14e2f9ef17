// Rows come, go and change between any two statements of the server. What a collector publishes
// then is the state at some instant between the first request and the last answer, or nothing.
#include <algorithm>
#include <random>

#include "support/certctl_server.h"

namespace bao_exporter::certctl {

namespace {

using namespace test;  // NOLINT(google-build-using-namespace): the server of this test

using Random = std::mt19937_64;

constexpr std::int64_t kNow = 1'795'392'902;

std::size_t below(Random& random, std::size_t bound) { return random() % bound; }

ReadingOptions options() { return {5, WallTime(std::chrono::seconds(kNow))}; }

template <std::size_t kCount>
const char* one_of(Random& random, const std::array<const char*, kCount>& words) {
  return words[below(random, kCount)];
}

// One table whose rows change at random.
class Changing {
 public:
  using MakeRow = Json (*)(Random& random, const std::string& id);
  using ChangeRow = void (*)(Random& random, Json& row);

  Changing(std::uint64_t seed, std::string name, MakeRow make, ChangeRow change)
      : random_(seed), name_(std::move(name)), make_(make), change_(change) {}

  // How many rows there are at first, and one change in how many statements: 0 for none.
  void start(std::size_t rows, std::size_t change_in) {
    for (std::size_t i = 0; i < rows; ++i) add();
    next_ = 1'000;
    remember();
    server.before_each_statement = [this, change_in] {
      if (change_in == 0 || below(random_, change_in) != 0) return;
      for (std::size_t n = 1 + below(random_, 3); n > 0; --n) step();
      remember();
    };
  }

  // As a server tells it whose rows stand still.
  [[nodiscard]] bool was_ever(CertctlCollector collector, const Counted& counted) const {
    return std::any_of(history_.begin(), history_.end(), [&](const Table& table) {
      for (const auto& [family, rows] : counted.upstream) {
        const bool counts_all = family == "certctl_certificate_total";
        if (counts_all && rows != static_cast<double>(table.size())) return false;
      }
      CertctlServer frozen;
      frozen.tables[name_] = table;
      frozen.rows_per_page_max = server.rows_per_page_max;
      return read_all(collector, frozen, options()).counted.text == counted.text;
    });
  }

  Random& random() { return random_; }
  Table& rows() { return server.tables[name_]; }
  void add() {
    rows().insert(rows().begin(), make_(random_, "id-" + std::to_string(10 + next_++)));
  }
  void remove() {
    if (rows().empty()) return;
    const std::size_t at = below(random_, rows().size());
    if (rows()[at].contains("moved")) return;
    rows().erase(rows().begin() + static_cast<std::ptrdiff_t>(at));
  }
  void remember() { history_.push_back(rows()); }

  CertctlServer server;

 private:
  void step() {
    switch (below(random_, 4)) {
      case 0:
        return add();
      case 1:
        return remove();
      case 2:
        remove();  // the total stays
        return add();
      default:
        if (!rows().empty()) change_(random_, rows()[below(random_, rows().size())]);
    }
  }

  Random random_;
  std::string name_;
  MakeRow make_;
  ChangeRow change_;
  std::size_t next_ = 0;
  std::vector<Table> history_;
};

struct Outcomes {
  int published = 0;
  int inconsistent = 0;
};

// Reads once, and judges.
void judge(Changing& world, CertctlCollector collector, Outcomes& outcomes) {
  const Read read = read_all(collector, world.server, options());
  if (read.error) {
    INFO(read.error->detail);
    CHECK(read.error->code == ErrorCode::kInconsistent);
    ++outcomes.inconsistent;
    return;
  }
  ++outcomes.published;
  if (!world.was_ever(collector, read.counted)) {
    INFO(read.counted.text);
    FAIL("was never the state");
  }
}

// --- certificates ---

const std::array<const char*, 4> kStatuses = {"Active", "Expired", "Revoked", "RenewalInProgress"};

Json make_certificate(Random& random, const std::string& id) {
  const std::string day = std::to_string(10 + below(random, 20));
  return {{"id", id},
          {"name", "name-" + std::to_string(below(random, 1'000'000)) + id},
          {"common_name", id + ".example.com"},
          {"environment", one_of(random, std::array{"production", "staging", ""})},
          {"owner_id", "o-alice"},
          {"issuer_id", one_of(random, std::array{"iss-local", "iss-acme"})},
          {"status", one_of(random, kStatuses)},
          {"expires_at", "2026-12-" + day + "T00:00:00Z"},
          {"updated_at", std::to_string(random())}};
}

void change_certificate(Random& random, Json& row) {
  row["status"] = one_of(random, kStatuses);
  if (below(random, 3) == 0) row["name"] = "name-" + std::to_string(below(random, 1'000'000));
  if (below(random, 3) == 0) {
    row["expires_at"] = "2027-01-" + std::to_string(10 + below(random, 20)) + "T00:00:00Z";
  }
  row["updated_at"] = std::to_string(random());
}

// --- jobs: they go through their states once ---

Json make_job(Random& random, const std::string& id) {
  return {{"id", id},
          {"type", one_of(random, std::array{"Renewal", "deployment", "Issuance"})},
          {"status", one_of(random, std::array{"Pending", "Completed", "Completed", "Failed"})},
          {"scheduled_at", "2026-11-" + std::to_string(10 + below(random, 13)) + "T00:00:00Z"}};
}

void change_job(Random& random, Json& row) {
  if (row["status"] == "Pending") {
    row["status"] = "Running";
  } else if (row["status"] == "Running") {
    row["status"] = one_of(random, std::array{"Completed", "Failed"});
  }
}

// --- agents, notifications ---

Json make_agent(Random& random, const std::string& id) {
  return {{"id", id}, {"status", one_of(random, std::array{"Online", "Offline"})}};
}
void change_agent(Random& /*random*/, Json& row) { row["status"] = "Degraded"; }

// Notifications go through their states once, and stay in each but pending longer than a reading
// takes: certctl tries failed ones again every two minutes.
Json make_notification(Random& random, const std::string& id) {
  const bool from_the_start = id.size() < std::string("id-1000").size();
  return {{"id", id},
          {"status", from_the_start
                         ? one_of(random, std::array{"sent", "sent", "pending", "failed", "dead"})
                         : "pending"}};
}
void change_notification(Random& random, Json& row) {
  if (row.contains("moved")) return;
  if (row["status"] == "pending") {
    row["status"] = one_of(random, std::array{"sent", "failed"});
  } else if (row["status"] == "failed") {
    row["status"] = one_of(random, std::array{"sent", "dead"});
  }
  row["moved"] = true;
}

struct Kind {
  CertctlCollector collector;
  const char* table;
  Changing::MakeRow make;
  Changing::ChangeRow change;
};

Outcomes read_many(const Kind& kind, std::uint64_t seeds) {
  Outcomes outcomes;
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    INFO(kind.table << ", seed " << seed);
    Changing world(seed, kind.table, kind.make, kind.change);
    world.server.rows_per_page_max = 3 + below(world.random(), 12);
    const std::array<std::size_t, 6> paces = {0, 100, 40, 20, 8, 2};
    world.start(below(world.random(), 60), paces[seed % paces.size()]);
    judge(world, kind.collector, outcomes);
  }
  return outcomes;
}

}  // namespace

TEST_CASE("certificates that change while they are read: a true state, or inconsistent") {
  const Outcomes outcomes = read_many(
      {CertctlCollector::kCertificates, "certificates", make_certificate, change_certificate},
      2'000);
  CHECK(outcomes.published > 1'000);
  CHECK(outcomes.inconsistent > 100);
}

TEST_CASE("agents that change while they are read: a true state, or inconsistent") {
  const Outcomes outcomes =
      read_many({CertctlCollector::kAgents, "agents", make_agent, change_agent}, 2'000);
  CHECK(outcomes.published > 1'000);
  CHECK(outcomes.inconsistent > 100);
}

TEST_CASE("jobs that change while they are listed: a true state, or inconsistent") {
  const Outcomes outcomes =
      read_many({CertctlCollector::kJobs, "jobs", make_job, change_job}, 2'000);
  CHECK(outcomes.published > 1'000);
  CHECK(outcomes.inconsistent > 100);
}

TEST_CASE("notifications that change while they are read: a true state, or inconsistent") {
  Outcomes outcomes;
  for (std::uint64_t seed = 0; seed < 2'000; ++seed) {
    INFO("seed " << seed);
    Changing world(seed, "notifications", make_notification, change_notification);
    // All of them are more than a page, those of one state are not.
    world.server.rows_per_page_max = 50;
    const std::array<std::size_t, 5> paces = {0, 40, 20, 8, 2};
    world.start(80 + below(world.random(), 30), paces[seed % paces.size()]);
    judge(world, CertctlCollector::kNotifications, outcomes);
  }
  CHECK(outcomes.published > 1'000);
  CHECK(outcomes.inconsistent > 100);
}

TEST_CASE("many jobs that change while they are counted: a true state, or inconsistent") {
  Outcomes outcomes;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    INFO("seed " << seed);
    Changing world(seed, "jobs", make_job, change_job);
    const std::array<std::size_t, 4> paces = {0, 60, 20, 5};
    world.start(2'100, paces[seed % paces.size()]);
    judge(world, CertctlCollector::kJobs, outcomes);
  }
  CHECK(outcomes.published > 15);
  CHECK(outcomes.inconsistent > 5);
}

// Names of one in eight are the same, and the server gives those in any order.
Outcomes with_equal_names(bool same_time) {
  Outcomes outcomes;
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    INFO("seed " << seed);
    Changing world(seed, "certificates", make_certificate, change_certificate);
    world.server.rows_per_page_max = 7;
    world.start(30, 0);
    for (Json& row : world.rows()) {
      if (below(world.random(), 8) == 0) row["name"] = "the same";
      row["created_at"] = same_time ? "2026-01-01T00:00:00Z" : row["id"];
    }
    world.remember();
    world.server.before_sorting = [&](Selection& rows) {
      std::shuffle(rows.begin(), rows.end(), world.random());
    };
    judge(world, CertctlCollector::kCertificates, outcomes);
  }
  return outcomes;
}

TEST_CASE("names that are not unique come in any order: another order tells them apart") {
  const Outcomes outcomes = with_equal_names(/*same_time=*/false);
  CHECK(outcomes.published == 500);
}

TEST_CASE("names and times that are not unique: a true state, or inconsistent") {
  const Outcomes outcomes = with_equal_names(/*same_time=*/true);
  CHECK(outcomes.published > 50);
  CHECK(outcomes.inconsistent > 10);
}

TEST_CASE("the trap: between two pages one certificate goes and another comes") {
  for (std::size_t statement = 1; statement < 16; ++statement) {
    Changing world(statement, "certificates", make_certificate, change_certificate);
    world.server.rows_per_page_max = 10;
    world.start(30, 0);
    std::size_t statements = 0;
    world.server.before_each_statement = [&] {
      if (statements++ != statement) return;
      world.remove();
      world.add();
      world.remember();
    };
    Outcomes outcomes;
    judge(world, CertctlCollector::kCertificates, outcomes);
    CHECK(outcomes.published == 1);
  }
}

}  // namespace bao_exporter::certctl
