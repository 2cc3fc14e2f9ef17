// Has a client said enough for a TLS worker to take it? Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace bao_exporter {

enum class Greeting : std::uint8_t {
  kUnfinished,  // so far it may be a ClientHello
  kWhole,       // its first record is there
  kOther,       // never one: plain HTTP, SSL 2, anything else
};

// What of a connection's first bytes has to be looked at.
inline constexpr std::size_t kGreetingBytes = 6;

// `first`: the first bytes, at most kGreetingBytes of them; `there`: how many there are in all.
[[nodiscard]] Greeting judge_greeting(std::string_view first, std::size_t there) noexcept;

}  // namespace bao_exporter
