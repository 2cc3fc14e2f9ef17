// Times as certctl writes them (Go's RFC 3339). Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace bao_exporter::certctl {

// 0001-01-01T00:00:00Z: what Go writes for a time that was never set.
inline constexpr std::int64_t kGoZeroTime = -62'135'596'800;

// "2026-11-23T00:15:02.976524Z", "2026-11-23T01:15:02+01:00": whole seconds since 1970, rounded
// down. nullopt: no such time.
[[nodiscard]] std::optional<std::int64_t> unix_seconds_of(std::string_view text);

}  // namespace bao_exporter::certctl
