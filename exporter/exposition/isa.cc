#include "exposition/isa.h"

#include <atomic>

#include "bao_exporter/check.h"
#include "exposition/pass.h"

namespace bao_exporter {

namespace {

bool run_plain(Pass& pass) {
  while (pass.at < pass.end) {
    if (!pass.take_line()) return false;
  }
  return pass.close_family(pass.book.current());
}

constexpr PassLoops kPlainLoops = {run_plain, [](Pass&) { return false; }};

#if defined(__x86_64__)
bool runs(Isa isa) {
  if (isa == Isa::kAvx2) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2");
  return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("bmi2");
}

const PassLoops& loops_of(Isa isa) {
  if (isa == Isa::kPlain) return kPlainLoops;
  if (isa == Isa::kAvx512) return pass_avx512::kLoops;
  return isa == Isa::kAvx2 ? pass_avx2::kLoops : pass_portable::kLoops;
}
#else
bool runs(Isa) { return false; }
const PassLoops& loops_of(Isa isa) {
  return isa == Isa::kPlain ? kPlainLoops : pass_portable::kLoops;
}
#endif

const PassLoops& widest() {
  for (const Isa isa : {Isa::kAvx512, Isa::kAvx2}) {
    if (has_isa(isa)) return loops_of(isa);
  }
  return loops_of(Isa::kPortable);
}

std::atomic<const PassLoops*>& chosen() {
  static std::atomic<const PassLoops*> loops{&widest()};
  return loops;
}

}  // namespace

bool has_isa(Isa isa) { return isa <= Isa::kPortable || runs(isa); }

const PassLoops& pass_loops() { return *chosen().load(std::memory_order_relaxed); }

void force_isa(std::optional<Isa> isa) {
  BAO_CHECK(!isa || has_isa(*isa));
  chosen().store(isa ? &loops_of(*isa) : &widest(), std::memory_order_relaxed);
}

}  // namespace bao_exporter
