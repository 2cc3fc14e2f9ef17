// gzip in two parts that make one member: a long part that is compressed once, and a short tail
// that is compressed at each scrape.
//
// The first part is a raw deflate stream that ends in a full flush, so that an independent final
// block may follow it; the checksums are combined (zlib's crc32_combine). Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "bao_exporter/merge.h"

namespace bao_exporter {

struct DeflatedPart {
  std::string bytes;
  std::uint32_t crc = 0;
  std::uint64_t plain_bytes = 0;
};

[[nodiscard]] DeflatedPart deflate_open(const Rope& rope);

// What has to follow `part.bytes` (which follow kGzipHeader) to make one gzip member of the part's
// text and then `tail`.
[[nodiscard]] std::string deflate_tail(const DeflatedPart& part, std::string_view tail);

// The ten bytes before everything: no name, no time, no system.
[[nodiscard]] std::string_view gzip_header() noexcept;

}  // namespace bao_exporter
