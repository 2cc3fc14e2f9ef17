// How fast the whole pipeline goes, per CPU second of input: strict parse, labels, merge of all
// nodes, and writing the rope into records of 16 KiB. Prints one line of JSON.
//
//   parse_bench --mode cold|steady --nodes 3 --seconds 2 --isa auto FILE [NEXT_FILE...]
//
// cold: FILE is the first body of every node, each time. steady: the files are the polls of a node,
// one after the other, again and again. What the transport does, making the body, is not counted.
#include <malloc.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "bao_exporter/merge.h"
#include "bao_exporter/outcome.h"
#include "exposition/isa.h"

namespace {

using namespace bao_exporter;  // NOLINT(google-build-using-namespace)

struct Options {
  std::string mode = "cold";
  std::string isa = "auto";
  std::size_t nodes = 3;
  double seconds = 2;
  std::vector<std::string> files;
};

double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

std::string content_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Where records are made for the socket.
class Records {
 public:
  void write(const Rope& rope) {
    for (std::string_view piece : rope.pieces()) {
      while (!piece.empty()) {
        const std::size_t bytes = std::min(piece.size(), room_.size() - used_);
        std::memcpy(room_.data() + used_, piece.data(), bytes);
        piece.remove_prefix(bytes);
        used_ += bytes;
        written_ += bytes;
        if (used_ == room_.size()) used_ = 0;
      }
    }
    asm volatile("" ::"r"(room_.data()) : "memory");  // somebody reads it
  }
  [[nodiscard]] std::size_t written() const { return written_; }

 private:
  std::array<char, std::size_t{16} << 10> room_{};
  std::size_t used_ = 0;
  std::size_t written_ = 0;
};

class Bench {
 public:
  explicit Bench(const Options& options) : steady_(options.mode == "steady") {
    for (const std::string& file : options.files) bodies_.push_back(content_of(file));
    limits_.samples_max = limits_.series_per_family_max = 10'000'000;
    for (std::size_t i = 0; i < options.nodes; ++i) {
      const std::string name = "openbao-" + std::to_string(i);
      nodes_.emplace_back();
      nodes_.back().plan =
          openbao_relabel_plan(render_identity({{"cluster", "prod"},
                                                {"node_name", name},
                                                {"instance", name + ".example.net:8200"},
                                                {"scrape_profile", "all_nodes"}}),
                               Role::kActive, true, "vault_");
      nodes_.back().plan.hash_seed = 0x5EED;
    }
  }

  int run(const Options& options) {
    round();  // arenas, caches
    round();
    bytes_ = samples_ = 0;
    cpu_ = 0;
    while (cpu_ < options.seconds) {
      if (!round()) return 1;
    }
    std::printf(
        "{\"mode\": \"%s\", \"bytes\": %zu, \"cpu_seconds\": %.6f, \"mb_per_s\": %.1f, "
        "\"samples_per_s\": %.0f, \"written\": %zu, \"steady_parts\": %llu}\n",
        options.mode.c_str(), bytes_, cpu_, static_cast<double>(bytes_) / cpu_ / 1e6,
        static_cast<double>(samples_) / cpu_, records_.written(),
        static_cast<unsigned long long>(nodes_.front().builder.steady_parts()));
    return 0;
  }

 private:
  struct Node {
    RelabelPlan plan;
    PartBuilder builder;
    std::shared_ptr<const NodePart> part;
  };

  bool round() {
    const std::string& body = bodies_[steady_ ? rounds_ % bodies_.size() : 0];
    ++rounds_;
    std::vector<std::string> copies(nodes_.size(), body);
    const double before = cpu_seconds();
    std::vector<MergeSource> sources;
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      Node& node = nodes_[i];
      auto built = node.builder.build(std::move(copies[i]), limits_, node.plan,
                                      steady_ ? node.part.get() : nullptr);
      if (!built.ok()) {
        std::fprintf(stderr, "refused: %s\n", built.error().detail.c_str());
        return false;
      }
      node.part = std::move(built).value();
      sources.push_back({static_cast<std::uint32_t>(i), node.part});
    }
    const Merged merged = merge(sources, types_);
    records_.write(merged.rope);
    cpu_ += cpu_seconds() - before;
    bytes_ += body.size() * nodes_.size();
    samples_ += merged.samples;
    return true;
  }

  bool steady_;
  std::vector<std::string> bodies_;
  ParseLimits limits_;
  std::vector<Node> nodes_;
  TypeBook types_;
  Records records_;
  std::size_t rounds_ = 0;
  std::size_t bytes_ = 0;
  std::uint64_t samples_ = 0;
  double cpu_ = 0;
};

std::optional<Isa> isa_of(const std::string& name) {
  if (name == "portable") return Isa::kPortable;
  if (name == "avx2") return Isa::kAvx2;
  if (name == "avx512") return Isa::kAvx512;
  return std::nullopt;
}

}  // namespace

int main(int argc, char** argv) {
  // Bodies come from the transport: what the kernel does for their pages is not ours to count.
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  CLI::App app("The exposition pipeline, measured");
  Options options;
  app.add_option("--mode", options.mode)->check(CLI::IsMember({"cold", "steady"}));
  app.add_option("--isa", options.isa)
      ->check(CLI::IsMember({"auto", "portable", "avx2", "avx512"}));
  app.add_option("--nodes", options.nodes)->check(CLI::Range(1, 1'000));
  app.add_option("--seconds", options.seconds);
  app.add_option("files", options.files)->required()->check(CLI::ExistingFile);
  CLI11_PARSE(app, argc, argv);
  const auto isa = isa_of(options.isa);
  if (isa && !has_isa(*isa)) {
    std::fprintf(stderr, "this machine has no %s\n", options.isa.c_str());
    return 2;
  }
  force_isa(isa);
  return Bench(options).run(options);
}
