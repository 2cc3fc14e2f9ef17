// The labels of one sample while rules change them. Values are raw: without escapes.
//
// The order in which labels are visited is that of Prometheus' labels.Builder: those that the
// sample came with by name, then those that were set, in the order of their first setting. It
// matters where labelmap gives one name to two labels: the last one wins.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

namespace bao_exporter {

class LabelSet {
 public:
  struct Entry {
    std::string_view name;
    std::string_view value;
    std::uint32_t place = 0;  // for writing: as they came, then as they were set
    bool fixed = false;
  };

  void clear();
  // The views must live until clear().
  void add(std::string_view name, std::string_view value, bool fixed);
  // After the last add(): by name. Only labelmap needs it.
  void sort();

  // Empty: there is none.
  [[nodiscard]] std::string_view get(std::string_view name) const;
  // Copies both. An empty value removes the label.
  void set(std::string_view name, std::string_view value);
  void remove(std::string_view name);

  [[nodiscard]] std::size_t size() const { return came_.size() + set_.size(); }
  [[nodiscard]] bool changed() const { return changed_; }
  // In the order of visits.
  [[nodiscard]] const std::vector<Entry>& came() const { return came_; }
  [[nodiscard]] const std::vector<Entry>& added() const { return set_; }

  // A copy that lives until clear().
  std::string_view keep(std::string text) { return kept_.emplace_back(std::move(text)); }

 private:
  std::vector<Entry> came_;
  std::vector<Entry> set_;
  std::deque<std::string> kept_;
  std::uint32_t places_ = 0;
  bool changed_ = false;
};

}  // namespace bao_exporter
