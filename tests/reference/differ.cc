#include "reference/differ.h"

#include <algorithm>
#include <cstdio>

#include "bao_exporter/format.h"
#include "reference/parse.h"

namespace reference {

namespace {

using bao_exporter::Exposition;
using bao_exporter::Family;
using bao_exporter::Isa;
using bao_exporter::NodePart;
using bao_exporter::Result;
using bao_exporter::Sample;

std::string at(const char* what, std::size_t index) {
  return std::string(what) + " " + std::to_string(index);
}

bool same(const Family& a, const Family& b) {
  return a.name == b.name && a.help == b.help && a.type == b.type && a.has_help == b.has_help &&
         a.has_type == b.has_type && a.sample_begin == b.sample_begin &&
         a.sample_count == b.sample_count;
}

bool same(const Exposition& x, const Sample& a, const Exposition& y, const Sample& b) {
  return a.name == b.name && a.value == b.value && a.timestamp == b.timestamp &&
         std::ranges::equal(x.labels_of(a), y.labels_of(b));
}

std::optional<std::string> difference(const Exposition& ours, const Exposition& theirs) {
  if (ours.families.size() != theirs.families.size()) return "the number of families";
  if (ours.samples.size() != theirs.samples.size()) return "the number of samples";
  for (std::size_t i = 0; i < ours.families.size(); ++i) {
    if (!same(ours.families[i], theirs.families[i])) return at("family", i);
  }
  for (std::size_t i = 0; i < ours.samples.size(); ++i) {
    if (!same(ours, ours.samples[i], theirs, theirs.samples[i])) return at("sample", i);
  }
  return std::nullopt;
}

Result<Exposition> read_by(const Result<std::shared_ptr<const NodePart>>& part) {
  if (!part.ok()) return part.error();
  return part.value()->excerpt([](const Family&) { return true; });
}

bool same(const NodePart& a, const NodePart& b) {
  const auto joined = [](const NodePart& part) {
    std::string text;
    for (const std::string_view slice : part.own_text()) text += slice;
    return text;
  };
  return a.samples() == b.samples() && a.dropped() == b.dropped() && joined(a) == joined(b) &&
         std::ranges::equal(a.families(), b.families(), [](const auto& x, const auto& y) {
           return x.name == y.name && x.help == y.help && x.lines == y.lines && x.type == y.type &&
                  x.has_help == y.has_help && x.samples == y.samples;
         });
}

// What is wrong with what is served: for the reference parser it is a text in which each series is
// there once, and no name stands in quotes.
std::optional<std::string> fault_of_served(const NodePart& part) {
  constexpr std::size_t kMost = static_cast<std::size_t>(-1);
  std::string text;
  for (const auto& family : part.families()) {
    bao_exporter::append_family_header(text, family.name, family.has_help, family.help,
                                       family.type);
    text += family.lines;
  }
  if (text.empty()) return std::nullopt;
  bool met_quoted_name = false;
  const auto reading = parse(text, {kMost, kMost, kMost, kMost}, &met_quoted_name);
  if (!reading.ok()) return "what is served: " + reading.error().detail;
  if (met_quoted_name) return "a quoted name is served";
  if (reading.value().samples.size() != part.samples()) return "the number of served samples";
  return std::nullopt;
}

std::string verdict(const Result<Exposition>& reading) {
  if (reading.ok()) return "accepts";
  return std::string(bao_exporter::reason_name(reading.error().code)) + " (" +
         reading.error().detail + ")";
}

// As a C string literal, to be made a test of.
void print_text(std::string_view text) {
  std::fputs("  text: \"", stdout);
  for (const char c : text.substr(0, 2000)) {
    if (c == '\n') {
      std::fputs("\\n", stdout);
    } else if (c == '"' || c == '\\') {
      std::printf("\\%c", c);
    } else if (c < ' ' || c == 0x7F) {
      std::printf("\\%03o", static_cast<unsigned>(static_cast<unsigned char>(c)));
    } else {
      std::putchar(c);
    }
  }
  std::printf("\"%s\n", text.size() > 2000 ? " and more" : "");
}

}  // namespace

std::optional<std::string> difference(const Result<Exposition>& ours,
                                      const Result<Exposition>& theirs) {
  if (ours.ok() && theirs.ok()) return difference(ours.value(), theirs.value());
  if (!ours.ok() && !theirs.ok() && ours.error().code == theirs.error().code &&
      ours.error().detail == theirs.error().detail) {
    return std::nullopt;
  }
  return "ours: " + verdict(ours) + ", reference: " + verdict(theirs);
}

Differ::Differ(std::uint64_t hash_seed) : hash_seed_(hash_seed) {
  plan_.identity = "cluster=\"prod\",node_name=\"a\"";
  plan_.removed_label = "cluster";
  plan_.reserved_labels = {"node_name", "job"};
  plan_.hash_seed = hash_seed;
  for (const Isa isa : {Isa::kPlain, Isa::kPortable, Isa::kAvx2, Isa::kAvx512}) {
    if (bao_exporter::has_isa(isa)) loops_.push_back(isa);
  }
}

std::optional<std::string> Differ::find_difference(std::string_view text,
                                                   const bao_exporter::ParseLimits& limits,
                                                   const Reading& theirs) {
  if (auto found = difference(bao_exporter::parse(text, limits, hash_seed_), theirs)) return found;
  bao_exporter::force_isa(loops_[counts_.runs % loops_.size()]);
  const auto first = NodePart::build(std::string(text), limits, plan_);
  const auto next = builder_.build(std::string(text), limits, plan_, before_.get());
  if (auto found = difference(read_by(first), theirs)) return "a first poll: " + *found;
  if (auto found = difference(read_by(next), theirs)) return "a next poll: " + *found;
  if (!first.ok()) return std::nullopt;
  before_ = next.value();
  if (!same(*first.value(), *next.value())) return "what is served of a next poll";
  return fault_of_served(*first.value());
}

bool Differ::check(std::string_view text, const bao_exporter::ParseLimits& limits) {
  ++counts_.runs;
  bool met_quoted_name = false;
  const auto theirs = parse(text, limits, &met_quoted_name);
  if (theirs.ok()) ++counts_.accepted;
  if (met_quoted_name && theirs.ok()) ++counts_.quoted_names;
  const auto found = find_difference(text, limits, theirs);
  if (!found) return true;
  if (++counts_.differences <= 20) {
    std::printf("DIFFERENCE in %s\n", found->c_str());
    std::printf("  limits: samples %zu, family %zu, line %zu, labels %zu\n", limits.samples_max,
                limits.series_per_family_max, limits.line_bytes_max, limits.labels_per_sample_max);
    print_text(text);
  }
  return false;
}

}  // namespace reference
