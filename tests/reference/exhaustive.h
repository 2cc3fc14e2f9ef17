// All short texts over the grammar's bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "reference/differ.h"

namespace reference {

// Every string of up to `length` bytes, of an alphabet with each kind of byte that the grammar
// tells apart, between each of some beginnings and ends. Ends early when `go_on` says so.
void check_all_short_texts(Differ& differ, std::size_t length, const std::function<bool()>& go_on);

}  // namespace reference
