// What the nodes of a farm say of themselves: bodies of one shape, poll by poll, of whose families
// only a part has new values each time, and a short tail that is each node's own.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace bench {

struct FarmShape {
  std::size_t nodes = 5;
  std::size_t cluster_size = 5;  // the first of each is active
  std::size_t samples = 5'000;   // of each node
  std::size_t families = 250;
  double changing = 0.3;      // the share of families that have new values at a poll
  std::size_t variants = 32;  // polls until all begins again
  std::uint64_t seed = 7;
};

class FarmBodies {
 public:
  explicit FarmBodies(const FarmShape& shape);

  [[nodiscard]] bool is_active(std::size_t node) const { return node % shape_.cluster_size == 0; }
  [[nodiscard]] std::size_t cluster_of(std::size_t node) const {
    return node / shape_.cluster_size;
  }

  // Nodes begin at different variants. What the farm's nodes share lives as long as this.
  [[nodiscard]] const std::string& body(std::size_t node, std::size_t poll) const {
    return variants_[(node * 7 + poll) % variants_.size()];
  }
  [[nodiscard]] const std::string& tail(std::size_t node) const { return tails_[node]; }

 private:
  FarmShape shape_;
  std::vector<std::string> variants_;
  std::vector<std::string> tails_;
};

}  // namespace bench
