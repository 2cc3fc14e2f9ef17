// Names that are made to meet in a hash table whose hash has no seed, for `./dev bench growth`.
#pragma once

#include <string>
#include <vector>

namespace bench {

// Names of metrics with one std::hash<std::string_view>, as libstdc++ has it on 64 bits.
[[nodiscard]] std::vector<std::string> colliding_for_std(std::size_t count);

// Names of metrics with one bao_exporter::hash_bytes of seed 0.
[[nodiscard]] std::vector<std::string> colliding_for_ours(std::size_t count);

}  // namespace bench
