#include "bao_exporter/scrape_tokens.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <algorithm>

#include "ascii.h"

namespace bao_exporter {

namespace {

constexpr std::string_view kHashed = "sha256:";

// RFC 6750: what may follow "Bearer ".
bool is_token68(std::string_view text) {
  const std::size_t end = text.find_last_not_of('=') + 1;
  return end > 0 &&
         std::all_of(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(end), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '.' || c == '_' || c == '~' || c == '+' || c == '/';
         });
}

bool is_name(std::string_view text) {
  const auto letter_or_digit = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  return !text.empty() && text.size() <= 63 && letter_or_digit(text[0]) &&
         std::all_of(text.begin(), text.end(), [&](char c) {
           return letter_or_digit(c) || c == '.' || c == '_' || c == '-';
         });
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

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
      if (!is_name(token.name)) {
        return "the name before ':' must be letters, digits, '.', '_' or '-', at most 63";
      }
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
    if (!is_token68(line)) {
      return "a token may have letters, digits and - . _ ~ + / only, with = at its end";
    }
    if (line.size() < kPlainBytesMin) return "a token needs at least 20 characters";
    token.digest = digest_of(line);
  }
  tokens_.push_back(std::move(token));
  return std::nullopt;
}

std::optional<std::string_view> ScrapeTokens::match(std::string_view presented) const {
  const Digest digest = digest_of(presented);
  const Token* found = nullptr;
  for (const Token& token : tokens_) {
    // Every token is compared, always.
    const bool equal = ::CRYPTO_memcmp(token.digest.data(), digest.data(), digest.size()) == 0;
    found = equal ? &token : found;
  }
  if (found == nullptr) return std::nullopt;
  return found->name;
}

}  // namespace bao_exporter
