// The loops of each instruction set, by choice.
#pragma once

#include <optional>
#include <utility>
#include <vector>

#include "exposition/isa.h"

namespace bao_exporter {

// Until the end of its life; then what was in force before it.
class Forced {
 public:
  explicit Forced(Isa isa) : before_(std::exchange(in_force_, isa)) { force_isa(isa); }
  Forced(const Forced&) = delete;
  Forced& operator=(const Forced&) = delete;
  ~Forced() {
    in_force_ = before_;
    force_isa(before_);
  }

 private:
  inline static std::optional<Isa> in_force_;
  std::optional<Isa> before_;
};

inline std::vector<Isa> loops_of_this_machine() {
  std::vector<Isa> out;
  for (const Isa isa : {Isa::kPortable, Isa::kAvx2, Isa::kAvx512}) {
    if (has_isa(isa)) out.push_back(isa);
  }
  return out;
}

}  // namespace bao_exporter
