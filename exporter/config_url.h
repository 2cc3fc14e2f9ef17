// URLs and addresses as the configuration accepts them. Pure.
#pragma once

#include <string>
#include <string_view>

#include "bao_exporter/config.h"

namespace bao_exporter {

// Takes `text` apart. What is wrong and what to do, or empty. Never quotes the text: what stands
// in it may be a password.
[[nodiscard]] std::string url_problem(std::string_view text, Url& out);

// As url_problem, for an address to listen on.
[[nodiscard]] std::string listen_address_problem(std::string_view text, ListenAddress& out);

// An address of the loopback itself, as a number: 127.0.0.0/8 or ::1. A name is none, whatever it
// resolves to today.
[[nodiscard]] bool is_loopback(std::string_view host);

// 0.0.0.0 or ::, however it is written: every address of this machine.
[[nodiscard]] bool is_wildcard_host(std::string_view host);

// A host name, an IPv4 or an IPv6 address (without brackets).
[[nodiscard]] bool is_host(std::string_view text);

}  // namespace bao_exporter
