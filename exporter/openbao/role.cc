#include "bao_exporter/role.h"

#include <array>

namespace bao_exporter {

namespace {
constexpr std::array<std::string_view, kRoleCount> kRoleNames = {
    "active", "standby", "sealed", "uninitialized", "unreachable", "unknown"};
constexpr std::array<std::string_view, 4> kSourceNames = {"health", "core_active", "seal_status",
                                                          "none"};
}  // namespace

std::string_view role_name(Role role) noexcept {
  return kRoleNames[static_cast<std::size_t>(role)];
}

std::string_view role_source_name(RoleSource source) noexcept {
  return kSourceNames[static_cast<std::size_t>(source)];
}

}  // namespace bao_exporter
