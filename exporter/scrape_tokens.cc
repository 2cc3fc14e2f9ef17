#include "bao_exporter/scrape_tokens.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <algorithm>
#include <cstdint>

#include "ascii.h"

namespace bao_exporter {

namespace {

constexpr std::string_view kHashed = "sha256:";

// RFC 6750: what may follow "Bearer ".
bool is_token68(std::string_view text) {
  const std::size_t end = text.find_last_not_of('=') + 1;
  return end > 0 &&
         std::all_of(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(end), [](char c) {
           return ascii::is_letter_or_digit(c) || c == '-' || c == '.' || c == '_' || c == '~' ||
                  c == '+' || c == '/';
         });
}

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= 63 && ascii::is_letter_or_digit(text[0]) &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return ascii::is_letter_or_digit(c) || c == '.' || c == '_' || c == '-';
         });
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// The compiler knows nothing of the result, so it cannot make a branch of what is computed with it.
std::uintptr_t opaque(std::uintptr_t value) {
  __asm__("" : "+r"(value));  // NOLINT(hicpp-no-assembler)
  return value;
}

// All ones where `difference`, 0 to 255 as CRYPTO_memcmp gives it, is 0; else 0.
std::uintptr_t mask_of_equal(int difference) {
  const auto wide = static_cast<std::uintptr_t>(static_cast<unsigned char>(difference));
  return std::uintptr_t{0} - (opaque(wide - 1) >> (sizeof(std::uintptr_t) * 8 - 1));
}

std::uintptr_t select(std::uintptr_t mask, std::uintptr_t yes, std::uintptr_t no) {
  return (yes & mask) | (no & ~mask);
}

}  // namespace

std::optional<std::string> ScrapeTokens::token_problem(std::string_view token) {
  if (!is_token68(token)) {
    return "a token may have letters, digits and - . _ ~ + / only, with = at its end";
  }
  if (token.size() < kPlainBytesMin) return "a token needs at least 20 characters";
  if (token.size() > kPlainBytesMax) return "a token may have at most 512 characters";
  return std::nullopt;
}

std::optional<std::string> ScrapeTokens::name_problem(std::string_view name) {
  if (is_name(name)) return std::nullopt;
  return "the name before ':' must be letters, digits, '.', '_' or '-', at most 63, a letter or "
         "digit first";
}

std::string ScrapeTokens::hashed(std::string_view token) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string line(kHashed);
  for (const unsigned char byte : digest_of(token)) {
    line += kDigits[byte >> 4U];
    line += kDigits[byte & 15U];
  }
  return line;
}

ScrapeTokens::Digest ScrapeTokens::digest_of(std::string_view text) {
  Digest digest;
  ::SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(),  // NOLINT
           digest.data());
  return digest;
}

std::optional<Error> ScrapeTokens::add(std::string_view text, const std::string& file) {
  const std::size_t before = tokens_.size();
  std::size_t number = 0;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = ascii::trimmed(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    ++number;
    if (line.empty() || line[0] == '#') continue;
    if (auto problem = add_line(line)) {
      return Error{ErrorCode::kConfig, file + ":" + std::to_string(number) + ": " + *problem};
    }
  }
  if (tokens_.size() == before) {
    return Error{ErrorCode::kConfig, file + ": has no token in it"};
  }
  return std::nullopt;
}

std::optional<std::string> ScrapeTokens::add_line(std::string_view line) {
  Token token;
  if (!line.starts_with(kHashed)) {
    if (const std::size_t colon = line.find(':'); colon != std::string_view::npos) {
      token.name = line.substr(0, colon);
      if (auto problem = name_problem(token.name)) return problem;
      line.remove_prefix(colon + 1);
    }
  }
  if (token.name.empty()) token.name = "unnamed";
  if (line.starts_with(kHashed)) {
    line.remove_prefix(kHashed.size());
    if (line.size() != 2 * token.digest.size()) return "sha256: takes 64 hexadecimal digits";
    for (std::size_t i = 0; i < token.digest.size(); ++i) {
      const int high = hex_digit(line[2 * i]);
      const int low = hex_digit(line[2 * i + 1]);
      if (high < 0 || low < 0) return "sha256: takes 64 hexadecimal digits";
      token.digest[i] = static_cast<unsigned char>(high * 16 + low);
    }
  } else {
    if (auto problem = token_problem(line)) return problem;
    token.digest = digest_of(line);
  }
  tokens_.push_back(std::move(token));
  return std::nullopt;
}

std::optional<std::string_view> ScrapeTokens::match(std::string_view presented) const {
  const Digest digest = digest_of(presented);
  // Every token is compared, always, and its name is taken or not by arithmetic.
  std::uintptr_t name = 0;
  std::uintptr_t size = 0;
  for (const Token& token : tokens_) {
    const std::uintptr_t equal =
        mask_of_equal(::CRYPTO_memcmp(token.digest.data(), digest.data(), digest.size()));
    name = select(equal, reinterpret_cast<std::uintptr_t>(token.name.data()), name);  // NOLINT
    size = select(equal, token.name.size(), size);
  }
  if (name == 0) return std::nullopt;
  return std::string_view(reinterpret_cast<const char*>(name), size);  // NOLINT
}

}  // namespace bao_exporter
