// Counts rows by the values of their labels.
#pragma once

#include <array>
#include <map>
#include <string>

#include "certctl/state_text.h"
#include "certctl/words.h"

namespace bao_exporter::certctl {

template <std::size_t kLabels>
class Tally {
 public:
  using Names = std::array<std::string_view, kLabels>;
  using Values = std::array<std::string, kLabels>;

  void add(Values values, std::size_t rows = 1) { counts_[std::move(values)] += rows; }

  // 0 for each word that no row has: who asks for it gets an answer.
  void add_all(const Vocabulary& vocabulary) requires(kLabels == 1) {
    for (const std::string_view word : vocabulary.words) add({std::string(word)}, 0);
  }

  [[nodiscard]] std::size_t of(const Values& values) const {
    const auto at = counts_.find(values);
    return at == counts_.end() ? 0 : at->second;
  }

  void write(StateText& text, const Names& names) const {
    for (const auto& [values, rows] : counts_) {
      StateText::Labels labels;
      for (std::size_t i = 0; i < kLabels; ++i) labels.emplace_back(names[i], values[i]);
      text.sample(labels, static_cast<double>(rows));
    }
  }

 private:
  std::map<Values, std::size_t> counts_;
};

}  // namespace bao_exporter::certctl
