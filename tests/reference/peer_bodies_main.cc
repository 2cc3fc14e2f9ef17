// Makes bodies and tells how the exporter's parser reads them, for test_prometheus_parser.py.
// Standard output, for each body three pieces, each after its length (32 bits, little endian): the
// body; what the parser says, "ok" and the series as go/main.go's dump() has them, or "no " and the
// error; and, when it is accepted, the body as we would write it.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <utility>
#include <vector>

#include "bao_exporter/exposition.h"
#include "bao_exporter/format.h"
#include "reference/bodies.h"
#include "reference/bytes.h"
#include "reference/openbao_body.h"
#include "reference/parse.h"

namespace {

using namespace reference;  // NOLINT(google-build-using-namespace)
using bao_exporter::Exposition;
using bao_exporter::Sample;

constexpr char kWordEnd = '\xFF', kSeriesEnd = '\xFE';

void print(std::string_view piece) {
  const auto size = static_cast<std::uint32_t>(piece.size());
  std::array<unsigned char, 4> length{};
  for (std::size_t i = 0; i < 4; ++i) {
    length[i] = static_cast<unsigned char>(size >> (8 * i) & 0xFFU);
  }
  std::fwrite(length.data(), 1, length.size(), stdout);
  std::fwrite(piece.data(), 1, piece.size(), stdout);
}

std::string unescaped(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool escape = text[i] == '\\';
    if (escape) ++i;
    out += escape && text[i] == 'n' ? '\n' : text[i];
  }
  return out;
}

std::string bits(std::string_view number_text) {
  const double value = std::strtod(std::string(number_text).c_str(), nullptr);
  if (std::isnan(value)) return "NaN";
  std::uint64_t word = 0;
  std::memcpy(&word, &value, sizeof word);
  std::array<char, 17> text{};
  std::snprintf(text.data(), text.size(), "%llx", static_cast<unsigned long long>(word));
  return text.data();
}

std::string boundary(std::string_view name, std::string value) {
  const bool is_boundary = name == "le" || name == "quantile";
  // Words such as +Inf stand in no exponent and have no digit.
  if (!is_boundary || !number(value) || value.find_first_of("0123456789") == std::string::npos) {
    return value;
  }
  return bits(value);
}

void dump(std::string& out, const Exposition& exposition, const Sample& sample) {
  std::vector<std::pair<std::string, std::string>> pairs;
  pairs.emplace_back("__name__", unescaped(sample.name));
  for (const auto& label : exposition.labels_of(sample)) {
    std::string value = boundary(label.name, unescaped(label.value));
    if (!value.empty()) pairs.emplace_back(unescaped(label.name), std::move(value));
  }
  std::sort(pairs.begin(), pairs.end());
  for (const auto& [name, value] : pairs) {
    out.append(name).append(1, kWordEnd).append(value).append(1, kWordEnd);
  }
  out.append(bits(sample.value)).append(1, kWordEnd);
  if (!sample.timestamp.empty()) {
    out += std::to_string(std::strtoll(std::string(sample.timestamp).c_str(), nullptr, 10));
  }
  out += kSeriesEnd;
}

// Of the reference parser's reading nothing is written anew.
void tell(const std::string& body, std::uint64_t hash_seed, bool by_reference) {
  print(body);
  const auto reading = by_reference ? parse(body, {}) : bao_exporter::parse(body, {}, hash_seed);
  if (!reading.ok()) {
    print("no " + reading.error().detail);
    print("");
    return;
  }
  std::string said = "ok";
  for (const Sample& sample : reading.value().samples) dump(said, reading.value(), sample);
  print(said);
  print(by_reference ? "" : bao_exporter::format(reading.value()));
}

std::string some_body(Random& random) {
  std::string body = random.one_in(50) ? openbao_body({60 + random.below(200), 5, random.next()})
                                       : grammar_body(random);
  for (std::size_t n = random.below(3); n > 0; --n) spoil(body, random);
  if (!random.one_in(20) && !body.ends_with('\n')) body += '\n';
  return body;
}

}  // namespace

int main(int argc, char** argv) try {
  std::uint64_t runs = 1000, seed = 1;
  bool by_reference = false;
  CLI::App app{"Bodies, and how the exporter reads them"};
  app.add_option("--runs", runs, "bodies");
  app.add_option("--seed", seed, "of the bodies");
  app.add_flag("--reference", by_reference, "the reference parser's reading, not the exporter's");
  CLI11_PARSE(app, argc, argv);
  Random random(seed);
  for (; runs > 0; --runs) tell(some_body(random), seed, by_reference);
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "peer_bodies: %s\n", error.what());
  return 2;
}
