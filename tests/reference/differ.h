// Puts the exporter's parser beside the reference parser, text by text, and counts.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "bao_exporter/exposition.h"

namespace reference {

// False until bao_exporter::parse reads quoted names. Texts in which the reference parser met one
// are then not compared but counted, as Counts::quoted_names.
inline constexpr bool kExporterReadsQuotedNames = false;

struct Counts {
  std::uint64_t runs = 0;
  std::uint64_t accepted = 0;
  std::uint64_t quoted_names = 0;  // of the runs: read by the reference parser only
  std::uint64_t differences = 0;
};

// Where two readings of one text differ, in words that hold none of the text; nullopt when they do
// not. Names, escapes, values and stamps are compared byte for byte.
[[nodiscard]] std::optional<std::string> difference(
    const bao_exporter::Result<bao_exporter::Exposition>& ours,
    const bao_exporter::Result<bao_exporter::Exposition>& theirs);

// Threads: one at a time.
class Differ {
 public:
  explicit Differ(std::uint64_t hash_seed) : hash_seed_(hash_seed) {}

  // Prints a difference with its text, up to 20 of them. True: there is none.
  bool check(std::string_view text, const bao_exporter::ParseLimits& limits = {});

  [[nodiscard]] const Counts& counts() const { return counts_; }

 private:
  std::uint64_t hash_seed_;
  Counts counts_;
};

}  // namespace reference
