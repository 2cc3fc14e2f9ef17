// Which of the compiled loops over plain lines is used: chosen once per body.
#pragma once

#include <cstdint>
#include <optional>

namespace bao_exporter {

struct Pass;

// kPlain: no loop at all, each line goes the long way.
enum class Isa : std::uint8_t { kPlain, kPortable, kAvx2, kAvx512 };

struct PassLoops {
  bool (*cold)(Pass&);
  // As cold(), but nothing is known when it gives up: then cold() decides.
  bool (*steady)(Pass&);
};

// Compiled in, and this machine can run it.
[[nodiscard]] bool has_isa(Isa isa);
// The widest of this machine, or what a test has asked for.
[[nodiscard]] const PassLoops& pass_loops();
// For tests and benchmarks; nullopt: the widest again.
void force_isa(std::optional<Isa> isa);

namespace pass_portable {
extern const PassLoops kLoops;
}
#if defined(__x86_64__)
namespace pass_avx2 {
extern const PassLoops kLoops;
}
namespace pass_avx512 {
extern const PassLoops kLoops;
}
#endif

}  // namespace bao_exporter
