#include "reference/differ.h"

#include <algorithm>
#include <cstdio>

#include "reference/parse.h"

namespace reference {

namespace {

using bao_exporter::Exposition;
using bao_exporter::Family;
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

bool Differ::check(std::string_view text, const bao_exporter::ParseLimits& limits) {
  ++counts_.runs;
  bool met_quoted_name = false;
  const auto theirs = parse(text, limits, &met_quoted_name);
  if (theirs.ok()) ++counts_.accepted;
  if (met_quoted_name && !kExporterReadsQuotedNames) {
    ++counts_.quoted_names;
    return true;
  }
  const auto ours = bao_exporter::parse(text, limits, hash_seed_);
  const auto found = difference(ours, theirs);
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
