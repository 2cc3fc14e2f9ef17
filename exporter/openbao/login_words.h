// What an operator does about a login that OpenBao denied.
#pragma once

#include <string_view>

namespace bao_exporter {

// For the body of a denial: OpenBao's phrase (of a closed list) and what to do. Never empty.
[[nodiscard]] std::string_view login_denial_words(std::string_view body);

// For a renewal that is refused for good with 400; empty: it is something else.
[[nodiscard]] std::string_view renewal_denial_words(std::string_view body);

}  // namespace bao_exporter
