// Whose turn it is on a connection, by the kernel's account of it.
#pragma once

#include "bao_exporter/time.h"

namespace bao_exporter {

// For how long it has been the client's turn: since our last words, as long as nothing came after
// them. Zero where we have said nothing yet, or have not read all. Resolution: a tick of the
// kernel.
[[nodiscard]] Milliseconds clients_turn_since(int fd) noexcept;

}  // namespace bao_exporter
