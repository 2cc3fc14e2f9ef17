#include "bao_exporter/open_metrics.h"

#include <algorithm>
#include <array>
#include <limits>
#include <span>
#include <unordered_map>
#include <vector>

#include "bao_exporter/exposition.h"
#include "bao_exporter/format.h"
#include "bao_exporter/hash.h"
#include "exposition/names.h"
#include "exposition/open_metrics_rules.h"

namespace bao_exporter {

namespace {

// What a family of each type says or might say, after its name.
std::span<const std::string_view> suffixes_of(MetricType type) {
  static constexpr std::array<std::string_view, 1> kBare = {""};
  static constexpr std::array<std::string_view, 3> kCounter = {"", "_total", "_created"};
  static constexpr std::array<std::string_view, 4> kSummary = {"", "_count", "_sum", "_created"};
  static constexpr std::array<std::string_view, 5> kHistogram = {"", "_count", "_sum", "_bucket",
                                                                 "_created"};
  switch (type) {
    case MetricType::kCounter:
      return kCounter;
    case MetricType::kSummary:
      return kSummary;
    case MetricType::kHistogram:
      return kHistogram;
    default:
      return kBare;
  }
}

// The type's word here; "untyped" has another.
std::string_view type_word(MetricType type) {
  return type == MetricType::kUntyped ? "unknown" : metric_type_name(type);
}

struct SeededHash {
  std::uint64_t seed;
  std::size_t operator()(std::string_view name) const { return hash_bytes(name, seed); }
};

class Writer {
 public:
  Writer(const Exposition& exposition, std::uint64_t seed)
      : exposition_(exposition), owners_(0, SeededHash{seed}) {}

  std::string write(std::size_t about) {
    out_.reserve(about + about / 8);
    for (std::size_t i = 0; i < exposition_.families.size(); ++i) {
      for (const Sample& sample : exposition_.samples_of(exposition_.families[i])) {
        owners_.try_emplace(std::string(sample.name), i);
      }
    }
    for (std::size_t i = 0; i < exposition_.families.size(); ++i) {
      const Family& family = exposition_.families[i];
      if (family.sample_count == 0) continue;
      if (is_open_metrics_legal(exposition_, family) && claim_names(i)) {
        write_as_it_is(family);
      } else {
        write_unknown(family);
      }
    }
    out_ += "# EOF\n";
    return std::move(out_);
  }

 private:
  static std::string_view base_of(const Family& family) {
    std::string_view name = family.name;
    if (family.type == MetricType::kCounter) name.remove_suffix(kCounterSuffix.size());
    return name;
  }

  // All names that the family would have, or none where another has one of them.
  bool claim_names(std::size_t index) {
    const Family& family = exposition_.families[index];
    std::vector<std::string> names;
    for (const std::string_view suffix : suffixes_of(family.type)) {
      names.push_back(std::string(base_of(family)).append(suffix));
      const auto at = owners_.find(names.back());
      if (at != owners_.end() && at->second != index) return false;
    }
    for (std::string& name : names) owners_.try_emplace(std::move(name), index);
    return true;
  }

  void write_header(const Family& family, std::string_view name, std::string_view type) {
    if (family.has_help && !family.help.empty()) {
      out_ += "# HELP ";
      append_family_name(out_, name);
      out_ += ' ';
      for (const char c : family.help) out_.append(c == '"' ? "\\" : "").push_back(c);
      out_ += '\n';
    }
    out_ += "# TYPE ";
    append_family_name(out_, name);
    out_.append(" ").append(type).append("\n");
  }

  void write_as_it_is(const Family& family) {
    write_header(family, base_of(family), type_word(family.type));
    for (const Sample& sample : exposition_.samples_of(family)) {
      append_sample(out_, exposition_, sample);
    }
  }

  // A family of its own for each name, in the order in which they come.
  void write_unknown(const Family& family) {
    std::vector<std::string_view> names;
    for (const Sample& sample : exposition_.samples_of(family)) {
      if (std::find(names.begin(), names.end(), sample.name) == names.end()) {
        names.push_back(sample.name);
      }
    }
    for (const std::string_view name : names) {
      write_header(family, name, "unknown");
      for (const Sample& sample : exposition_.samples_of(family)) {
        if (sample.name == name) append_sample(out_, exposition_, sample);
      }
    }
  }

  const Exposition& exposition_;
  // The families that have, or might have, samples of each name.
  std::unordered_map<std::string, std::size_t, SeededHash> owners_;
  std::string out_;
};

ParseLimits no_limits() {
  constexpr std::size_t kMost = std::numeric_limits<std::uint32_t>::max();
  return {kMost, kMost, kMost, kMost};
}

}  // namespace

Result<std::string> open_metrics(std::string_view text, std::uint64_t hash_seed) {
  if (text.empty()) return std::string("# EOF\n");
  const auto exposition = parse(text, no_limits(), hash_seed);
  if (!exposition.ok()) return exposition.error();
  return Writer(exposition.value(), hash_seed).write(text.size());
}

}  // namespace bao_exporter
