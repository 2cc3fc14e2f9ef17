// The loops of each instruction set, by choice.
#pragma once

#include <optional>
#include <vector>

#include "exposition/isa.h"

namespace bao_exporter {

// Until the end of a test.
class Forced {
 public:
  explicit Forced(Isa isa) { force_isa(isa); }
  Forced(const Forced&) = delete;
  Forced& operator=(const Forced&) = delete;
  ~Forced() { force_isa(std::nullopt); }
};

inline std::vector<Isa> loops_of_this_machine() {
  std::vector<Isa> out;
  for (const Isa isa : {Isa::kPortable, Isa::kAvx2, Isa::kAvx512}) {
    if (has_isa(isa)) out.push_back(isa);
  }
  return out;
}

}  // namespace bao_exporter
