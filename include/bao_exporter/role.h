// What a node is, and who said so.
#pragma once

#include <cstdint>
#include <string_view>

namespace bao_exporter {

enum class Role : std::uint8_t {
  kActive,
  kStandby,
  kSealed,
  kUninitialized,
  kUnreachable,
  kUnknown,
};
inline constexpr std::size_t kRoleCount = static_cast<std::size_t>(Role::kUnknown) + 1;

// Label `node_role`.
[[nodiscard]] std::string_view role_name(Role role) noexcept;

enum class RoleSource : std::uint8_t { kHealth, kCoreActive, kSealStatus, kNone };

// Label `role_source`.
[[nodiscard]] std::string_view role_source_name(RoleSource source) noexcept;

}  // namespace bao_exporter
