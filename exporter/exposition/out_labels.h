// The labels of one sample on their way out, by the rules of RelabelPlan: the plain way, that takes
// whatever labels there are.
#pragma once

#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bao_exporter/exposition.h"
#include "bao_exporter/node_part.h"

namespace bao_exporter {

[[nodiscard]] bool is_reserved_label(const RelabelPlan& plan, std::string_view name);

class OutLabels {
 public:
  explicit OutLabels(const RelabelPlan& plan) : plan_(plan) {}

  // True when the result may equal that of another sample that was different before.
  bool assign(std::span<const Label> labels, bool state_label);

  [[nodiscard]] const std::vector<Label>& labels() const { return out_; }
  [[nodiscard]] std::string_view removed() const { return removed_; }

  // Equal for samples that Prometheus takes for the same series.
  [[nodiscard]] std::string key(std::string_view sample_name) const;
  // The line up to its value.
  void append_head(std::string& out, std::string_view sample_name) const;

 private:
  [[nodiscard]] std::string_view new_name(std::string_view name) const;
  [[nodiscard]] bool is_rename_target(std::string_view name) const;
  [[nodiscard]] bool has(std::string_view name) const;
  bool rename_quoted();
  std::string_view exported(std::string_view name);

  const RelabelPlan& plan_;
  std::vector<Label> out_;
  std::deque<std::string> made_;
  std::string_view removed_;
};

}  // namespace bao_exporter
