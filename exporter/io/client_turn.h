// Whose turn it is on a connection, by the kernel's account of it.
#pragma once

namespace bao_exporter {

// True where the client has said what we have not read yet.
[[nodiscard]] bool is_our_turn(int fd) noexcept;

}  // namespace bao_exporter
