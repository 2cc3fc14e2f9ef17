// BAO_CHECK: an invariant that only a bug of ours can break. Active in every build; prints one
// line and aborts. Operating errors are values (result.h), never checks.
#pragma once

namespace bao_exporter {

[[noreturn]] void check_failed(const char* condition, const char* file, int line) noexcept;

}  // namespace bao_exporter

#define BAO_CHECK(condition)                           \
  (static_cast<bool>(condition) ? static_cast<void>(0) \
                                : ::bao_exporter::check_failed(#condition, __FILE__, __LINE__))
