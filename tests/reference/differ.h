// Puts the exporter's parser beside the reference parser, text by text, and counts.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bao_exporter/exposition.h"
#include "bao_exporter/node_part.h"
#include "exposition/isa.h"

namespace reference {

struct Counts {
  std::uint64_t runs = 0;
  std::uint64_t accepted = 0;
  std::uint64_t quoted_names = 0;  // of the accepted ones: with a name in quotes
  std::uint64_t differences = 0;
};

// Where two readings of one text differ, in words that hold none of the text; nullopt when they do
// not. Names, escapes, values and stamps are compared byte for byte.
[[nodiscard]] std::optional<std::string> difference(
    const bao_exporter::Result<bao_exporter::Exposition>& ours,
    const bao_exporter::Result<bao_exporter::Exposition>& theirs);

// Every way of the exporter to read a text: parse(), the part of a first poll, by each instruction
// set in turn, and the part of a poll that is compared with the one before, which is the last text
// it took. What is served of a text with quoted names is read, too: it has none. Threads: one at a
// time.
class Differ {
 public:
  explicit Differ(std::uint64_t hash_seed);

  // Prints a difference with its text, up to 20 of them. True: there is none.
  bool check(std::string_view text, const bao_exporter::ParseLimits& limits = {});

  [[nodiscard]] const Counts& counts() const { return counts_; }

 private:
  using Reading = bao_exporter::Result<bao_exporter::Exposition>;
  std::optional<std::string> find_difference(std::string_view text,
                                             const bao_exporter::ParseLimits& limits,
                                             const Reading& theirs);

  std::uint64_t hash_seed_;
  Counts counts_;
  bao_exporter::RelabelPlan plan_;
  std::vector<bao_exporter::Isa> loops_;  // of this machine
  bao_exporter::PartBuilder builder_;
  std::shared_ptr<const bao_exporter::NodePart> before_;
};

}  // namespace reference
