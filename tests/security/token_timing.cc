// Whether the time of ScrapeTokens::match tells anything of the tokens that are stored: Welch's t
// test between two kinds of requests, mixed at random, as dudect does it (Reparaz, Balasch,
// Verbauwhede: "Dude, is my code constant time?"). |t| < 4.5 is what that method takes for "no
// difference shown". A comparison that ends early is measured beside it and must be found, else
// the test has no eyes.
//
// BAO_TIMING_SAMPLES: how many for each claim; the suite takes few, a release 1,000,000.
#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "bao_exporter/scrape_tokens.h"
#include "unit/catch.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define BAO_INSTRUMENTED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define BAO_INSTRUMENTED 1
#endif
#endif

namespace {

using bao_exporter::ScrapeTokens;

constexpr double kThreshold = 4.5;
constexpr double kKept = 0.9;  // of the samples: the slowest tell of interrupts, not of the code
constexpr std::size_t kTokenBytes = 64;
constexpr std::size_t kSamples = 100'000;
constexpr int kBetween = 4;

using Random = std::mt19937_64;

std::string token_of(Random& random, std::size_t bytes) {
  constexpr std::string_view kLetters =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::string token;
  while (token.size() < bytes) token += kLetters[random() % kLetters.size()];
  return token;
}

// What is not to be done: compares one after the other, byte by byte, and ends
// where the answer is clear.
class NaiveTokens {
 public:
  void add(const std::string& token) { tokens_.push_back(token); }
  __attribute__((noinline)) bool match(std::string_view presented) const {
    for (const std::string& token : tokens_) {
      std::size_t same = 0;
      while (same < token.size() && same < presented.size() && token[same] == presented[same]) {
        ++same;
      }
      if (same == token.size() && same == presented.size()) return true;
    }
    return false;
  }

 private:
  std::vector<std::string> tokens_;
};

// Two kinds of calls; `prepare` is not timed.
struct Claim {
  std::function<void(int kind)> prepare;
  std::function<bool()> call;
};

struct Sample {
  int kind;
  double nanoseconds;
};

std::vector<Sample> measure(const Claim& claim, std::size_t count, Random& random) {
  using Clock = std::chrono::steady_clock;
  std::vector<Sample> samples;
  samples.reserve(count);
  volatile bool sink = false;
  for (std::size_t i = 0; i < count; ++i) {
    const int kind = static_cast<int>(random() & 1U);
    claim.prepare(kind);
    const auto begin = Clock::now();
    sink = claim.call();
    const auto end = Clock::now();
    samples.push_back({kind, std::chrono::duration<double, std::nano>(end - begin).count()});
  }
  (void)sink;
  return samples;
}

double welch_t(const std::vector<Sample>& samples) {
  std::vector<double> times;
  times.reserve(samples.size());
  for (const Sample& sample : samples) times.push_back(sample.nanoseconds);
  const auto cut =
      times.begin() + static_cast<std::ptrdiff_t>(kKept * static_cast<double>(times.size()));
  std::nth_element(times.begin(), cut, times.end());
  const double limit = *cut;
  std::array<double, 2> n{};
  std::array<double, 2> mean{};
  std::array<double, 2> squares{};
  for (const Sample& sample : samples) {
    if (sample.nanoseconds > limit) continue;
    const auto kind = static_cast<std::size_t>(sample.kind);
    n.at(kind) += 1;
    const double delta = sample.nanoseconds - mean.at(kind);
    mean.at(kind) += delta / n.at(kind);
    squares.at(kind) += delta * (sample.nanoseconds - mean.at(kind));
  }
  const auto variance = [&](std::size_t kind) {
    return squares.at(kind) / (n.at(kind) - 1) / n.at(kind);
  };
  const double t = (mean[0] - mean[1]) / std::sqrt(variance(0) + variance(1));
  std::printf("    %.0f and %.0f samples, %.2f and %.2f ns, t = %.2f\n", n[0], n[1], mean[0],
              mean[1], t);
  return t;
}

// Once more where it seems to differ: what is really there is there again.
bool shows_difference(const char* name, const Claim& claim, std::size_t count, Random& random) {
  std::printf("%s\n", name);
  for (int run = 0; run < 2; ++run) {
    if (std::abs(welch_t(measure(claim, count, random))) < kThreshold) return false;
  }
  return true;
}

// What is presented, always in the same place, put there without a branch: what the processor
// learns of the kind while that is prepared would be measured too.
class Presented {
 public:
  using Bytes = std::array<char, kTokenBytes>;
  void offer(int kind, const std::string& token) {
    std::copy(token.begin(), token.end(), offered_.at(static_cast<std::size_t>(kind)).begin());
  }
  void choose(int kind) { bytes_ = offered_[static_cast<std::size_t>(kind)]; }
  [[nodiscard]] std::string_view view() const { return {bytes_.data(), bytes_.size()}; }

 private:
  std::array<Bytes, 2> offered_{};
  Bytes bytes_{};
};

// ScrapeTokens with the naive one's shape.
class RealTokens {
 public:
  void add(const std::string& token) {
    if (tokens_.add(token, "file")) std::abort();
  }
  [[nodiscard]] bool match(std::string_view presented) const {
    return tokens_.match(presented).has_value();
  }

 private:
  ScrapeTokens tokens_;
};

// Each makes a claim about one kind of tokens, and holds what it is about.
template <typename Tokens>
struct Prefix {
  explicit Prefix(Random& random) {
    const std::string stored = token_of(random, kTokenBytes);
    tokens.add(stored);
    presented.offer(0, stored.substr(0, kTokenBytes - 1) + ".");
    presented.offer(1, token_of(random, kTokenBytes));
  }
  Claim claim() {
    return {[this](int kind) { presented.choose(kind); },
            [this] { return tokens.match(presented.view()); }};
  }
  Presented presented;
  Tokens tokens;
};

template <typename Tokens>
struct Length {
  explicit Length(Random& random) {
    const std::string longer = token_of(random, kTokenBytes);
    stored[0].add(longer.substr(0, ScrapeTokens::kPlainBytesMin));
    stored[1].add(longer);
    presented.offer(0, longer.substr(0, kTokenBytes - 1) + ".");
    presented.choose(0);
  }
  Claim claim() {
    return {[this](int kind) {
              // Copied to the same place, or its place would be what is measured.
              tokens = stored[static_cast<std::size_t>(kind)];
              // The copying is to be over and forgotten.
              for (int i = 0; i < kBetween; ++i) (void)tokens.match(presented.view());
            },
            [this] { return tokens.match(presented.view()); }};
  }
  std::array<Tokens, 2> stored;
  Presented presented;
  Tokens tokens;
};

template <typename Tokens>
struct Position {
  explicit Position(Random& random) {
    std::array<std::string, 8> several;
    for (std::string& token : several) {
      token = token_of(random, kTokenBytes);
      tokens.add(token);
    }
    presented.offer(0, several.front());
    presented.offer(1, several.back());
  }
  Claim claim() {
    return {[this](int kind) { presented.choose(kind); },
            [this] { return tokens.match(presented.view()); }};
  }
  Presented presented;
  Tokens tokens;
};

template <template <typename> typename Kind>
void judge() {
#ifdef BAO_INSTRUMENTED
  WARN("not measured: the time of instrumented code is not that of what is shipped");
#else
  Random random(std::random_device{}());
  const char* const asked = std::getenv("BAO_TIMING_SAMPLES");  // NOLINT(concurrency-mt-unsafe)
  const std::size_t count = asked == nullptr ? kSamples : std::strtoul(asked, nullptr, 10);
  Kind<RealTokens> real(random);
  CHECK_FALSE(shows_difference("ScrapeTokens", real.claim(), count, random));
  Kind<NaiveTokens> naive(random);
  CHECK(shows_difference("one that ends early", naive.claim(), kSamples, random));
#endif
}

}  // namespace

TEST_CASE("the time of a compare does not tell a long prefix of a token from none") {
  judge<Prefix>();
}

TEST_CASE("the time of a compare does not tell how long a token is") { judge<Length>(); }

TEST_CASE("the time of a match does not tell which of several tokens it is") { judge<Position>(); }
