// Bodies to put before parsers: made by the grammar with a few faults in them, or spoilt
// afterwards.
#pragma once

#include <string>

#include "bao_exporter/exposition.h"
#include "reference/random.h"

namespace reference {

// Some families of any type. Names come from few words, so that families clash and series come
// twice; about every tenth thing is wrong or rare.
[[nodiscard]] std::string grammar_body(Random& random);

// One fault or oddity: bytes, lines moved, doubled or left out, a cut.
void spoil(std::string& body, Random& random);

// The default ones, or small ones.
[[nodiscard]] bao_exporter::ParseLimits some_limits(Random& random);

}  // namespace reference
