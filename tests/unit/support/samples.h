// Reads our own output again, with our own strict parser.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bao_exporter/check.h"
#include "bao_exporter/exposition.h"
#include "bao_exporter/format.h"

namespace bao_exporter::test {

using LabelsWanted = std::vector<std::pair<std::string_view, std::string_view>>;

class Samples {
 public:
  explicit Samples(std::string text) : text_(std::move(text)) {
    auto parsed = parse(text_, ParseLimits{}, 7);
    if (parsed.ok()) {
      exposition_ = std::move(parsed).value();
    } else {
      problem_ = parsed.error().detail;
    }
  }
  Samples(const Samples&) = delete;  // Views point into text_.
  Samples& operator=(const Samples&) = delete;

  [[nodiscard]] const std::string& text() const { return text_; }
  [[nodiscard]] const Exposition& exposition() const { return exposition_; }
  // Empty when the text is an exposition.
  [[nodiscard]] const std::string& problem() const { return problem_; }

  // Values of the samples of that name that have all those labels.
  [[nodiscard]] std::vector<std::string> values(std::string_view name,
                                                const LabelsWanted& wanted = {}) const {
    std::vector<std::string> found;
    for (const Sample& sample : exposition_.samples) {
      if (sample.name == name && has(sample, wanted)) found.emplace_back(sample.value);
    }
    return found;
  }

  // The only such value, or what there is instead.
  [[nodiscard]] std::string value(std::string_view name, const LabelsWanted& wanted = {}) const {
    const auto found = values(name, wanted);
    if (found.size() == 1) return found[0];
    return "(" + std::to_string(found.size()) + " samples)";
  }

  // That label of the only such sample.
  [[nodiscard]] std::string label(std::string_view name, std::string_view label_name,
                                  const LabelsWanted& wanted = {}) const {
    std::vector<std::string> found;
    for (const Sample& sample : exposition_.samples) {
      if (sample.name != name || !has(sample, wanted)) continue;
      for (const Label& label : exposition_.labels_of(sample)) {
        if (label.name == label_name) found.push_back(unescape_label_value(label.value));
      }
    }
    if (found.size() == 1) return found[0];
    return "(" + std::to_string(found.size()) + " labels)";
  }

  [[nodiscard]] const Family* family(std::string_view name) const {
    const auto at = std::find_if(exposition_.families.begin(), exposition_.families.end(),
                                 [&](const Family& f) { return f.name == name; });
    return at == exposition_.families.end() ? nullptr : &*at;
  }

 private:
  [[nodiscard]] bool has(const Sample& sample, const LabelsWanted& wanted) const {
    const auto labels = exposition_.labels_of(sample);
    return std::all_of(wanted.begin(), wanted.end(), [&](const auto& pair) {
      return std::any_of(labels.begin(), labels.end(), [&](const Label& label) {
        return label.name == pair.first && unescape_label_value(label.value) == pair.second;
      });
    });
  }

  std::string text_;
  Exposition exposition_;
  std::string problem_;
};

}  // namespace bao_exporter::test
