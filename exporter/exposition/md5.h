// MD5 (RFC 1321), for hashmod's sake alone: nothing that has to be secure may use it.
#pragma once

#include <cstdint>
#include <string_view>

namespace bao_exporter {

// The last eight bytes of the digest as one big-endian number, as Prometheus' hashmod takes them.
[[nodiscard]] std::uint64_t md5_tail(std::string_view text);

}  // namespace bao_exporter
