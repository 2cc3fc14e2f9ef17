// Our way of a body, for `./dev bench parse`: read, judged, relabelled and merged over the nodes,
// for some CPU seconds; or how fast memory is over the same bytes. Prints one line of JSON.
//
//   parse_bench --mode cold|steady [--nodes N] [--seconds S] FILE [NEXT_FILE...]
//
// cold: each poll is the first. steady: the files are the same node's polls, one after the other.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "bao_exporter/merge.h"
#include "bao_exporter/node_part.h"
#include "bench/cpu_clock.h"

namespace {

using namespace bao_exporter;  // NOLINT(google-build-using-namespace)

struct Options {
  std::string mode = "cold";
  std::size_t nodes = 3;
  double seconds = 1;
  std::vector<std::string> files;
};

constexpr ParseLimits kLimits{10'000'000, 10'000'000, std::size_t{16} << 20, 1'000};
constexpr std::uint64_t kSeed = 0x5EED;

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  BAO_CHECK(file.good());
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

struct Work {
  std::size_t bytes = 0, samples = 0;
};

class Bench {
 public:
  explicit Bench(const Options& options) {
    for (const std::string& path : options.files) bodies_.push_back(read_file(path));
    for (std::size_t i = 0; i < options.nodes; ++i) {
      plans_.push_back({});
      plans_.back().identity = render_identity({{"cluster", "prod"},
                                                {"node_name", "node-" + std::to_string(i)},
                                                {"node_role", i == 0 ? "active" : "standby"}});
      plans_.back().hash_seed = kSeed;
    }
  }

  Work run_once() {
    const std::string& body = bodies_[round_++ % bodies_.size()];
    return merge_polls(body);
  }

 private:
  Work merge_polls(const std::string& body) {
    std::vector<MergeSource> sources;
    for (std::size_t i = 0; i < plans_.size(); ++i) {
      auto parsed = parse_body(body, kLimits, kSeed);
      BAO_CHECK(parsed.ok());
      sources.push_back(
          {static_cast<std::uint32_t>(i), NodePart::render(std::move(parsed).value(), plans_[i])});
    }
    TypeBook types;
    const Merged merged = merge(sources, types);
    BAO_CHECK(merged.rope.bytes() > body.size() * plans_.size());
    return {body.size() * plans_.size(), merged.samples};
  }

  std::vector<std::string> bodies_;
  std::vector<RelabelPlan> plans_;
  std::size_t round_ = 0;
};

void run(const Options& options) {
  Bench bench(options);
  bench.run_once();
  Work all;
  const double start = bench::cpu_seconds();
  double spent = 0;
  do {
    const Work work = bench.run_once();
    all.bytes += work.bytes;
    all.samples += work.samples;
    spent = bench::cpu_seconds() - start;
  } while (spent < options.seconds);
  std::printf(
      "{\"mode\": \"%s\", \"bytes\": %zu, \"cpu_seconds\": %.6f, \"mb_per_s\": %.3f, "
      "\"samples_per_s\": %.0f}\n",
      options.mode.c_str(), all.bytes, spent, static_cast<double>(all.bytes) / 1e6 / spent,
      static_cast<double>(all.samples) / spent);
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app{"Reading, relabelling and merging bodies"};
  app.add_option("--mode", options.mode)->check(CLI::IsMember({"cold", "steady"}));
  app.add_option("--nodes", options.nodes)->check(CLI::Range(1, 1000));
  app.add_option("--seconds", options.seconds, "CPU seconds, at least");
  app.add_option("file", options.files)->required();
  CLI11_PARSE(app, argc, argv);
  run(options);
  return 0;
}
