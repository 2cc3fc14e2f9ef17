// Writes gauges as text exposition, one family after the other.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bao_exporter::certctl {

class StateText {
 public:
  using Labels = std::vector<std::pair<std::string_view, std::string_view>>;

  void gauge(std::string_view name, std::string_view help);
  // Of the gauge that was begun last. Labels with an empty value are written: certctl may have
  // none.
  void sample(const Labels& labels, double value);

  [[nodiscard]] std::string take() { return std::exchange(text_, {}); }

 private:
  std::string text_;
  std::string name_;
};

}  // namespace bao_exporter::certctl
