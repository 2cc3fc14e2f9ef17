// The exporter's parser against the reference parser: all short texts, then random bodies. Prints
// what was run and what differs; the exit status is 1 when something does.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <exception>
#include <vector>

#include "reference/bodies.h"
#include "reference/differ.h"
#include "reference/exhaustive.h"
#include "reference/openbao_body.h"

namespace {

using namespace reference;  // NOLINT(google-build-using-namespace)

struct Options {
  std::size_t length = 4;
  std::uint64_t runs = 1'000'000;
  std::uint64_t seed = 1;
  double seconds = 0;
};

class Clock {
 public:
  explicit Clock(double seconds) : seconds_(seconds) {}
  [[nodiscard]] double passed() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }
  [[nodiscard]] bool over() const { return seconds_ > 0 && passed() > seconds_; }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  double seconds_;
};

void print(const char* what, const Counts& now, const Counts& before, const Clock& clock) {
  std::printf(
      "%s: %llu runs, %llu accepted, of those %llu with quoted names, "
      "%llu differences; %.1f s\n",
      what, static_cast<unsigned long long>(now.runs - before.runs),
      static_cast<unsigned long long>(now.accepted - before.accepted),
      static_cast<unsigned long long>(now.quoted_names - before.quoted_names),
      static_cast<unsigned long long>(now.differences - before.differences), clock.passed());
  std::fflush(stdout);
}

// One run in eight is a recorded shape, each as it is and then spoilt a few times.
void check_random_bodies(Differ& differ, const Options& options, const Clock& clock) {
  Random random(options.seed);
  std::string body, spoilt;
  for (std::uint64_t i = 0; i < options.runs; ++i) {
    if (i % 256 == 0 && clock.over()) return;
    if (i % 8 == 0) {
      body = random.one_in(40) ? openbao_body({60 + random.below(200), 5, random.next(), 1, 0})
                               : grammar_body(random);
      differ.check(body, some_limits(random));
      continue;
    }
    spoilt = body;
    for (std::size_t n = 1 + random.below(3); n > 0; --n) spoil(spoilt, random);
    if (!spoilt.ends_with('\n') && !random.one_in(20)) spoilt += '\n';
    differ.check(spoilt, random.one_in(4) ? some_limits(random) : bao_exporter::ParseLimits{});
  }
}

int run(const Options& options) {
  const Clock clock(options.seconds);
  Differ differ(options.seed);
  check_all_short_texts(differ, options.length,
                        [&] { return !clock.over() && differ.counts().differences < 20; });
  const Counts short_texts = differ.counts();
  print("all short texts", short_texts, {}, clock);
  check_random_bodies(differ, options, clock);
  print("random bodies", differ.counts(), short_texts, clock);
  print("in all", differ.counts(), {}, clock);
  return differ.counts().differences == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) try {
  Options options;
  CLI::App app{"The exporter's parser against the reference parser"};
  app.add_option("--length", options.length, "bytes of the longest of all short texts");
  app.add_option("--runs", options.runs, "random bodies");
  app.add_option("--seed", options.seed, "of the random bodies");
  app.add_option("--seconds", options.seconds, "end after this time; 0: do not");
  CLI11_PARSE(app, argc, argv);
  return run(options);
} catch (const std::exception& error) {
  std::fprintf(stderr, "differential: %s\n", error.what());
  return 2;
}
