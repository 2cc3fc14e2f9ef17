#include "reference/openbao_body.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <set>
#include <string_view>
#include <vector>

#include "reference/random.h"

namespace reference {

namespace {

using std::string_view;

constexpr string_view kParts[] = {
    "audit",   "barrier", "cache",  "core", "expire",       "ha",      "identity", "kv",
    "merkle",  "metrics", "policy", "pki",  "quota",        "raft",    "rollback", "route",
    "runtime", "seal",    "secret", "sys",  "raft_storage", "storage", "token",    "wal"};
constexpr string_view kDeeds[] = {"alloc_bytes",
                                  "apply",
                                  "attempt",
                                  "check_token",
                                  "commit_time",
                                  "tidy",
                                  "create",
                                  "create_root",
                                  "delete",
                                  "entry_size",
                                  "fetch_entry",
                                  "flush",
                                  "fsm_apply",
                                  "get",
                                  "handle_login",
                                  "handle_request",
                                  "leader_contact",
                                  "list",
                                  "log_request",
                                  "log_response",
                                  "lookup",
                                  "num_entities",
                                  "num_leases",
                                  "pause_ns",
                                  "post_unseal",
                                  "put",
                                  "read",
                                  "register",
                                  "renew",
                                  "revoke",
                                  "rpc_heartbeat",
                                  "set_policy",
                                  "step_down",
                                  "tally_by_auth",
                                  "tally_by_ttl",
                                  "thread_wait",
                                  "transition",
                                  "upsert_entity",
                                  "verify_leader",
                                  "write",
                                  "irrevocable",
                                  "tally_by_policy",
                                  "dispatch_entries",
                                  "pre_seal",
                                  "election"};
constexpr string_view kMounts[] = {
    "auth/token/", "auth/approle/", "auth/kubernetes/", "cubbyhole/", "database/", "identity/",
    "pki/",        "pki-int/",      "secret/",          "ssh/",       "sys/",      "transit/"};
constexpr string_view kNamespaces[] = {"root", "admin", "team-a", "team-b", "prod/eu", "prod/us"};
constexpr string_view kOperations[] = {"create", "delete", "list",   "read",
                                       "renew",  "revoke", "update", "rollback"};
constexpr string_view kBounds[] = {"0.005", "0.01", "0.025", "0.05", "0.1",
                                   "0.25",  "0.5",  "1",     "2.5",  "+Inf"};

enum class Kind : std::uint8_t { kSummary, kGauge, kCounter, kHistogram };

constexpr string_view word_of(Kind kind) {
  constexpr string_view kWords[] = {"summary", "gauge", "counter", "histogram"};
  return kWords[static_cast<std::size_t>(kind)];
}

constexpr std::size_t samples_of_a_series(Kind kind) {
  constexpr std::size_t kCounts[] = {5, 1, 1, 12};
  return kCounts[static_cast<std::size_t>(kind)];
}

struct Family {
  std::string name;
  Kind kind = Kind::kGauge;
  std::size_t number = 0;  // decides which labels it has
  std::size_t series = 1;
  [[nodiscard]] bool labelled() const { return number % 3 != 0; }
};

Kind some_kind(Random& random) {
  const std::size_t percent = random.below(100);
  if (percent < 60) return Kind::kSummary;
  if (percent < 82) return Kind::kGauge;
  return percent < 96 ? Kind::kCounter : Kind::kHistogram;
}

std::vector<Family> some_families(const BodyShape& shape, Random& random) {
  std::set<std::string> names;
  while (names.size() < shape.families) {
    std::string name = "vault_";
    name.append(random.pick(kParts)).append("_").append(random.pick(kDeeds));
    if (random.one_in(3)) name.append("_").append(random.pick(kDeeds));
    names.insert(name);
  }
  std::vector<Family> families;
  families.reserve(names.size());
  for (const std::string& name : names) {
    families.push_back({name, some_kind(random), families.size(), 1});
  }
  return families;
}

// Series are added where there are labels until the number of samples is reached; what is left of
// it when a summary is too large becomes series of a gauge.
void fill(std::vector<Family>& families, const BodyShape& shape, Random& random) {
  families.at(1).kind = Kind::kGauge;
  std::size_t total = 0;
  for (const Family& family : families) total += samples_of_a_series(family.kind);
  while (total < shape.samples) {
    Family& family = families[random.below(families.size())];
    const std::size_t more = samples_of_a_series(family.kind);
    if (total + more > shape.samples) {
      families[1].series += shape.samples - total;
      return;
    }
    if (!family.labelled()) continue;
    ++family.series;
    total += more;
  }
}

std::string labels_of(const Family& family, std::size_t k) {
  if (!family.labelled()) return {};
  const string_view mount = kMounts[(family.number + k) % std::size(kMounts)];
  std::string out = "cluster=\"vault-cluster-7f3a9c21\",mount_point=\"";
  out += mount;
  if (k >= std::size(kMounts)) out += "team-" + std::to_string(k / std::size(kMounts)) + "/";
  out.append("\",namespace=\"").append(kNamespaces[k % std::size(kNamespaces)]).append("\"");
  if (family.number % 2 == 1) {
    out.append(",operation=\"").append(kOperations[k % std::size(kOperations)]).append("\"");
  }
  if (family.number % 17 == 4) {
    out += R"(,path="v1/\"quoted\"/a\\b\n)" + std::to_string(k) + "\"";
  }
  return out;
}

class Writer {
 public:
  explicit Writer(const BodyShape& shape)
      : values_(shape.value_seed * 7919 + shape.seed), churn_(shape.churn) {}

  void write(const Family& family) {
    out_.append("# HELP ").append(family.name).append(" ").append(family.name).append("\n# TYPE ");
    out_.append(family.name).append(" ").append(word_of(family.kind)).append("\n");
    for (std::size_t k = 0; k < family.series; ++k) {
      const std::string labels = labels_of(family, k);
      switch (family.kind) {
        case Kind::kSummary:
          summary(family.name, labels);
          break;
        case Kind::kHistogram:
          histogram(family.name, labels);
          break;
        default:
          line(family.name, "", labels, {}, value());
      }
    }
  }

  std::string take() { return std::move(out_); }

 private:
  void summary(const std::string& name, const std::string& labels) {
    const bool idle = values_.unit() < 0.55;
    for (const char* quantile : {"quantile=\"0.5\"", "quantile=\"0.9\"", "quantile=\"0.99\""}) {
      line(name, "", labels, quantile, idle ? "NaN" : value());
    }
    line(name, "_sum", labels, {}, value());
    line(name, "_count", labels, {}, std::to_string(1 + values_.below(1'000'000)));
  }

  void histogram(const std::string& name, const std::string& labels) {
    std::size_t count = 0;
    for (const string_view bound : kBounds) {
      count += values_.below(1000);
      line(name, "_bucket", labels, "le=\"" + std::string(bound) + "\"", std::to_string(count));
    }
    line(name, "_sum", labels, {}, value());
    line(name, "_count", labels, {}, std::to_string(count));
  }

  void line(const std::string& name, string_view suffix, const std::string& labels,
            const std::string& last, const std::string& value) {
    if (churn_ > 0 && values_.unit() < churn_) return;
    out_.append(name).append(suffix);
    if (!labels.empty() || !last.empty()) {
      out_.append("{").append(labels);
      if (!labels.empty() && !last.empty()) out_ += ',';
      out_.append(last).append("}");
    }
    out_.append(" ").append(value).append("\n");
  }

  // As Go's strconv writes them: small integers, shortest decimals, large ones with an exponent.
  std::string value() {
    const std::size_t percent = values_.below(100);
    if (percent < 30) return std::to_string(values_.below(51));
    if (percent >= 90) return std::to_string(100'000 + values_.below(1'000'000'000));
    constexpr std::array<double, 11> kScales = {1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1,
                                                1,    10,   100,  1e3,  1e4};
    if (percent < 75) return shortest(values_.unit() * kScales[values_.below(kScales.size())]);
    std::array<char, 32> text{};
    const int length = std::snprintf(text.data(), text.size(), "%.6ge+%02zu",
                                     1 + values_.unit() * 8, 6 + values_.below(7));
    return {text.data(), static_cast<std::size_t>(length)};
  }

  static std::string shortest(double value) {
    std::array<char, 32> text{};
    const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
    return {text.data(), end};
  }

  Random values_;
  double churn_;
  std::string out_;
};

}  // namespace

std::string openbao_body(const BodyShape& shape) {
  Random random(shape.seed);
  std::vector<Family> families = some_families(shape, random);
  fill(families, shape, random);
  Writer writer(shape);
  for (const Family& family : families) writer.write(family);
  return writer.take();
}

}  // namespace reference
