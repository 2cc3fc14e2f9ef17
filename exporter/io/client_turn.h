// Whose turn it is on a connection, by the kernel's account of it.
#pragma once

namespace bao_exporter {

// True where we have not read all that the client said, or have not said anything yet ourselves.
[[nodiscard]] bool is_our_turn(int fd) noexcept;

}  // namespace bao_exporter
