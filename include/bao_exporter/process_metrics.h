// What the process itself uses: processor time, memory, descriptors, threads.
#pragma once

#include <string_view>

#include "bao_exporter/own_text.h"

namespace bao_exporter {

// Appends the families under `prefix` ("process_" or "bao_exporter_process_"), read from
// /proc/self now. What cannot be read is left out. Threads: any.
void append_process_families(OwnText& text, std::string_view prefix);

}  // namespace bao_exporter
