// `./dev bench growth`: how the CPU time of one poll (read, relabel, merge) grows with the size of
// bodies that are made to be dear. Prints a table; the exit status is 1 when an exponent is above
// the bar.
#include <malloc.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "bao_exporter/check.h"
#include "bao_exporter/hash.h"
#include "bao_exporter/merge.h"
#include "bao_exporter/node_part.h"
#include "bench/collisions.h"
#include "bench/cpu_clock.h"

namespace {

using namespace bao_exporter;  // NOLINT(google-build-using-namespace)

constexpr std::size_t kHuge = static_cast<std::size_t>(-1);
constexpr ParseLimits kLimits{kHuge, kHuge, kHuge,
                              1'000};  // of labels as many as can be configured
constexpr double kBar = 1.10;
constexpr int kRounds = 3;

std::string repeated(std::size_t bytes, const std::function<std::string(std::size_t)>& line) {
  std::string body;
  body.reserve(bytes + 4096);
  for (std::size_t i = 0; body.size() < bytes; ++i) body += line(i);
  return body;
}

std::string labels(std::size_t count, std::size_t series) {
  std::string out = "n" + std::to_string(series) + "{";
  for (std::size_t i = 0; i < count; ++i) {
    out.append(i == 0 ? "" : ",").append("l").append(std::to_string(i)).append("=\"\"");
  }
  return out + "} 1\n";
}

// As many lines as there are names, whatever the size.
std::string of_names(const std::vector<std::string>& names, std::size_t bytes) {
  const std::size_t count = std::min(names.size(), bytes / 160);
  return repeated(count * 160, [&](std::size_t i) {
    std::string line = names[i % names.size()] + "{l=\"\"} 1\n";
    return line.insert(line.size() - 5, 160 - line.size(), 'x');
  });
}

// The same with the names as values of one family's label.
std::string of_values(const std::vector<std::string>& names, std::size_t bytes) {
  const std::size_t count = std::min(names.size(), bytes / 160);
  return repeated(count * 160, [&](std::size_t i) {
    std::string line = "a{l=\"" + names[i % names.size()] + "\",m=\"\"} 1\n";
    return line.insert(line.size() - 5, 160 - line.size(), 'x');
  });
}

struct Kind {
  const char* name;
  std::function<std::string(std::size_t bytes)> body;
};

const std::vector<std::string>& for_std() {
  static const auto names = bench::colliding_for_std(100'000);
  return names;
}

const std::vector<std::string>& for_ours() {
  static const auto names = bench::colliding_for_ours(100'000);
  return names;
}

const std::vector<Kind>& kinds() {
  const auto escapes = [](std::size_t bytes, const char* begin, const char* escape,
                          const char* end) {
    return begin + repeated(bytes, [&](std::size_t) { return escape; }) + end;
  };
  static const std::vector<Kind> all = {
      {"escapes in one label value",
       [=](std::size_t n) { return escapes(n, "a{l=\"", "\\\\\\\"\\n", "\"} 1\n"); }},
      {"escapes in one HELP",
       [=](std::size_t n) { return escapes(n, "# HELP a ", "\\\\", "\na 1\n"); }},
      {"escapes in many label values",
       [](std::size_t n) {
         return repeated(n, [](std::size_t i) {
           return "a{l=\"\\\\\\\"\\n\\\\\\\"\\n" + std::to_string(i) + "\"} 1\n";
         });
       }},
      {"one large family",
       [](std::size_t n) {
         return repeated(n, [](std::size_t i) { return "a{l=\"" + std::to_string(i) + "\"} 1\n"; });
       }},
      {"many families",
       [](std::size_t n) {
         return repeated(n, [](std::size_t i) { return "n" + std::to_string(i) + " 1\n"; });
       }},
      {"families backwards",
       [](std::size_t n) {
         return repeated(
             n, [](std::size_t i) { return "n" + std::to_string(9'999'999 - i) + " 1\n"; });
       }},
      {"families announced only",
       [](std::size_t n) {
         return repeated(n,
                         [](std::size_t i) { return "# TYPE n" + std::to_string(i) + " gauge\n"; });
       }},
      {"many labels: 64",
       [](std::size_t n) { return repeated(n, [](std::size_t i) { return labels(64, i); }); }},
      {"many labels: 1000",
       [](std::size_t n) { return repeated(n, [](std::size_t i) { return labels(1000, i); }); }},
      {"lines of one byte",
       [](std::size_t n) { return repeated(n, [](std::size_t) { return "\n"; }) + "a 1\n"; }},
      {"comments of one byte",
       [](std::size_t n) { return repeated(n, [](std::size_t) { return "#\n"; }) + "a 1\n"; }},
      {"refused at its end: no newline",
       [](std::size_t n) { return repeated(n, [](std::size_t) { return "\n"; }) + "a"; }},
      {"refused at its end: a series twice",
       [](std::size_t n) {
         return repeated(n,
                         [](std::size_t i) { return "a{l=\"" + std::to_string(i) + "\"} 1\n"; }) +
                "a{l=\"0\"} 1\n";
       }},
      {"names that collide for std::hash", [](std::size_t n) { return of_names(for_std(), n); }},
      {"names that collide for ours without seed",
       [](std::size_t n) { return of_names(for_ours(), n); }},
      {"values that collide for std::hash", [](std::size_t n) { return of_values(for_std(), n); }},
      {"values that collide for ours without seed",
       [](std::size_t n) { return of_values(for_ours(), n); }},
  };
  return all;
}

// A node that is polled again and again, as the poller does it: what was published last is kept
// until the next is. Copying the body is the transport's work, and not counted.
class Node {
 public:
  Node(const RelabelPlan& plan, bool steady) : plan_(plan), steady_(steady) {}

  // CPU seconds.
  double poll(const std::string& text) {
    std::string body = text;
    if (!steady_) types_ = TypeBook();
    const double start = bench::cpu_seconds();
    auto built = builder_.build(std::move(body), kLimits, plan_, steady_ ? part_.get() : nullptr);
    if (built.ok()) {
      part_ = std::move(built).value();
      merged_ = merge({{0, part_}}, types_);
    }
    return bench::cpu_seconds() - start;
  }

 private:
  const RelabelPlan& plan_;
  bool steady_;
  PartBuilder builder_;
  TypeBook types_;
  std::shared_ptr<const NodePart> part_;
  Merged merged_;
};

// What memory alone does with that many bytes: linear but for what caches hold. A steady poll
// compares the body with the one before, and copies what was rendered.
class InOrder {
 public:
  explicit InOrder(const std::string& text) : before_(text), out_(text), to_(text) {}

  double poll(const std::string& text) {
    const std::string body = text;
    const double start = bench::cpu_seconds();
    BAO_CHECK(std::memcmp(body.data(), before_.data(), body.size()) == 0);
    std::memcpy(to_.data(), out_.data(), out_.size());
    asm volatile("" : : "r"(to_.data()) : "memory");  // somebody reads it
    return bench::cpu_seconds() - start;
  }

 private:
  std::string before_, out_, to_;
};

// A place in a table for every sixteen bytes, as many as a short name has; a quarter is taken.
class AtRandom {
 public:
  explicit AtRandom(const std::string& text) : table_(std::bit_ceil(text.size() / 4)) {}

  double poll(const std::string& text) {
    const double start = bench::cpu_seconds();
    for (std::size_t i = 0; i < text.size() / 16; ++i) {
      ++table_[mix64(i ^ 0x9E3779B97F4A7C15, 0xD1B54A32D192ED03) & (table_.size() - 1)];
    }
    asm volatile("" : : "r"(table_.data()) : "memory");
    return bench::cpu_seconds() - start;
  }

 private:
  std::vector<std::uint32_t> table_;
};

// The least CPU seconds of some polls, after those that grow the arenas: what was in the way is no
// growth.
template <typename Polled>
double least_of(Polled&& polled, const std::string& body) {
  for (int i = 0; i < 3; ++i) polled.poll(body);
  double least = 1e9, all = 0;
  for (int runs = 0; runs < 3 || (all < 0.05 && runs < 2000); ++runs) {
    const double spent = polled.poll(body);
    least = std::min(least, spent);
    all += spent;
  }
  return least;
}

// Least squares over the logarithms.
double exponent(const std::vector<std::pair<double, double>>& points) {
  double x = 0, y = 0, xx = 0, xy = 0;
  for (const auto& [size, seconds] : points) {
    x += std::log(size);
    y += std::log(seconds);
    xx += std::log(size) * std::log(size);
    xy += std::log(size) * std::log(seconds);
  }
  const auto n = static_cast<double>(points.size());
  return (n * xy - x * y) / (n * xx - x * x);
}

// In rounds over all sizes: what slows one of them down for a while does not bend the line.
double measure(const std::string& name, const std::vector<std::string>& bodies,
               const std::function<double(const std::string&)>& seconds_of) {
  std::vector<std::pair<double, double>> points;
  for (const std::string& body : bodies) points.emplace_back(body.size(), 1e9);
  for (int round = 0; round < kRounds; ++round) {
    for (std::size_t i = 0; i < bodies.size(); ++i) {
      points[i].second = std::min(points[i].second, seconds_of(bodies[i]));
    }
  }
  std::printf("| %s |", name.c_str());
  for (const auto& [bytes, seconds] : points) std::printf(" %.3g |", seconds * 1e3);
  return exponent(points);
}

void measure_memory(const std::vector<std::string>& bodies) {
  for (const bool in_order : {true, false}) {
    const double grows =
        measure(in_order ? "memory alone, in order" : "memory alone, at random", bodies,
                [&](const std::string& body) {
                  return in_order ? least_of(InOrder(body), body) : least_of(AtRandom(body), body);
                });
    std::printf(" %.3f |\n", grows);
  }
}

bool measure_polls(const Kind& kind, const std::vector<std::string>& bodies, std::uint64_t seed,
                   bool steady) {
  RelabelPlan plan;
  plan.identity = render_identity({{"cluster", "prod"}, {"node_name", "a"}});
  plan.hash_seed = seed;
  const double grows =
      measure(kind.name + std::string(steady ? ", steady" : ""), bodies,
              [&](const std::string& body) { return least_of(Node(plan, steady), body); });
  std::printf(" %.3f%s |\n", grows, grows <= kBar ? "" : " ABOVE");
  std::fflush(stdout);
  return grows <= kBar;
}

}  // namespace

int main(int argc, char** argv) {
  // What the kernel does for pages that come and go with each body is not ours to count.
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  std::size_t from = 64, to = 16 * 1024;
  std::string only;
  CLI::App app{"How CPU time grows with bodies that are made to be dear"};
  app.add_option("--from", from, "KiB")->check(CLI::Range(1, 1 << 20));
  app.add_option("--to", to, "KiB")->check(CLI::Range(1, 1 << 20));
  app.add_option("--only", only, "kinds with this word in their name");
  CLI11_PARSE(app, argc, argv);
  const std::uint64_t seed =
      (std::uint64_t{std::random_device{}()} << 32U) | std::random_device{}();
  std::printf(
      "CPU milliseconds of a poll, by KiB of its body; the bar of the exponent is %.2f\n\n| body |",
      kBar);
  for (std::size_t kib = from; kib <= to; kib *= 2) std::printf(" %zu |", kib);
  std::printf(" exponent |\n|---|");
  for (std::size_t kib = from; kib <= to; kib *= 2) std::printf("---|");
  std::printf("---|\n");
  const auto bodies_of = [&](const Kind& kind) {
    std::vector<std::string> bodies;
    for (std::size_t kib = from; kib <= to; kib *= 2) bodies.push_back(kind.body(kib * 1024));
    return bodies;
  };
  bool good = true;
  measure_memory(bodies_of(kinds().front()));
  for (const Kind& kind : kinds()) {
    if (std::string_view(kind.name).find(only) == std::string_view::npos) continue;
    const std::vector<std::string> bodies = bodies_of(kind);
    for (const bool steady : {false, true}) {
      good = measure_polls(kind, bodies, seed, steady) && good;
    }
  }
  return good ? 0 : 1;
}
