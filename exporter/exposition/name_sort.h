// The order of families by name.
#pragma once

#include <cstdint>

#include "exposition/family_book.h"
#include "exposition/pod.h"

namespace bao_exporter {

// Fills `order`, which has room for all families, with their indices. No two have one name,
// and none has a NUL in it.
void sort_by_name(const Pod<FamilyRecord>& families, std::uint32_t* order);

}  // namespace bao_exporter
