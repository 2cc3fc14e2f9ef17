// The reference parser: what bao_exporter::parse must do, written a second time, plainly and
// without regard to speed, to be compared with it (differential_main.cc, fuzz_exposition.cc). The
// two share the types of the public headers and no code.
//
// The grammar and the order in which faults are found are those of bao_exporter/exposition.h;
// quoted names are read as Prometheus 3 reads them (model/textparse of version 3.16: promlex.l,
// promparse.go).
#pragma once

#include <string_view>

#include "bao_exporter/exposition.h"

namespace reference {

// `met_quoted_name` becomes true when the text was read to a place where only Prometheus 3 has a
// name: a quote, or a brace at a sample's start.
[[nodiscard]] bao_exporter::Result<bao_exporter::Exposition> parse(
    std::string_view text, const bao_exporter::ParseLimits& limits,
    bool* met_quoted_name = nullptr);

}  // namespace reference
