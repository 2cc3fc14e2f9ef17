// The tokens that scrapes are let in with.
//
// A token file has one token a line: [NAME:]TOKEN or [NAME:]sha256:HEX; empty lines and lines that
// start with # are skipped. Only SHA-256 digests are kept. match() hashes what was presented and
// compares it with every digest in constant time, so its time tells nothing about a near miss or
// about which token it was (tests/security/token_timing.cc).
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bao_exporter/result.h"

namespace bao_exporter {

class ScrapeTokens {
 public:
  static constexpr std::size_t kPlainBytesMin = 20;
  static constexpr std::size_t kPlainBytesMax = 512;  // longer ones are not looked at in a request

  // What is wrong with a plain token, or with a name; nullopt: nothing.
  [[nodiscard]] static std::optional<std::string> token_problem(std::string_view token);
  [[nodiscard]] static std::optional<std::string> name_problem(std::string_view name);
  // "sha256:HEX" of a plain token, as a line of a token file has it.
  [[nodiscard]] static std::string hashed(std::string_view token);

  // Adds the lines of one file (`text`); errors name `file` and the line, never the text.
  [[nodiscard]] std::optional<Error> add(std::string_view text, const std::string& file);

  // The name of the token that was presented ("unnamed" without one); nullopt: none matches.
  [[nodiscard]] std::optional<std::string_view> match(std::string_view presented) const;

  // No token is asked for: the demo on loopback addresses, where the configuration says so.
  void let_everybody_in() { open_ = true; }
  [[nodiscard]] bool lets_everybody_in() const { return open_; }

  [[nodiscard]] std::size_t size() const { return tokens_.size(); }

  // Of two contents of our own files, so not in constant time.
  friend bool operator==(const ScrapeTokens&, const ScrapeTokens&) = default;

 private:
  using Digest = std::array<unsigned char, 32>;
  struct Token {
    std::string name;
    Digest digest;
    friend bool operator==(const Token&, const Token&) = default;
  };
  [[nodiscard]] std::optional<std::string> add_line(std::string_view line);
  [[nodiscard]] static Digest digest_of(std::string_view text);

  std::vector<Token> tokens_;
  bool open_ = false;
};

}  // namespace bao_exporter
