// Any bytes as a token file: an error names the file and nothing of its content, and only a token
// that stands on a line lets anybody in. Then the lines once more, each as what is presented.
#include <algorithm>
#include <cstdlib>
#include <string>
#include <string_view>

#include "bao_exporter/scrape_tokens.h"
#include "fuzz/fuzz_target.h"

namespace {

using bao_exporter::ScrapeTokens;

constexpr std::string_view kFile = "/etc/bao/tokens";
void require(bool condition) {
  if (!condition) std::abort();
}

// One of our sentences after the file and the number of the line: no part of the text.
void require_discreet(std::string_view said) {
  require(said.starts_with(kFile));
  said.remove_prefix(kFile.size());
  while (said.starts_with(':') || (!said.empty() && said.front() >= '0' && said.front() <= '9')) {
    said.remove_prefix(1);
  }
  require(said.starts_with(' '));
  said.remove_prefix(1);
  require(said == "has no token in it" || said == "sha256: takes 64 hexadecimal digits" ||
          said == ScrapeTokens::name_problem("-") || said == ScrapeTokens::token_problem(" ") ||
          said == ScrapeTokens::token_problem("short") ||
          said == ScrapeTokens::token_problem(std::string(600, 'a')));
}

// A plain token stands on its line whole, after its name; a hash is that of what was presented.
void require_listed(std::string_view presented, std::string_view name, std::string_view text) {
  require(!presented.empty());
  const std::string hash =
      ScrapeTokens::hashed(presented).substr(std::string_view("sha256:").size());
  std::string lower(text);
  for (char& c : lower) c = c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c;
  require(text.find(presented) != std::string_view::npos || lower.find(hash) != std::string::npos);
  require(name == "unnamed" || text.find(std::string(name) + ":") != std::string_view::npos);
  require(!ScrapeTokens::name_problem(name));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);  // NOLINT
  ScrapeTokens tokens;
  if (const auto error = tokens.add(text, std::string(kFile))) require_discreet(error->detail);
  require(tokens.size() <= size);
  std::string_view left = text;
  while (!left.empty()) {
    const std::size_t end = std::min(left.find('\n'), left.size());
    std::string_view line = left.substr(0, end);
    left.remove_prefix(std::min(end + 1, left.size()));
    for (;;) {
      if (const auto name = tokens.match(line)) require_listed(line, *name, text);
      const std::size_t colon = line.find(':');
      if (colon == std::string_view::npos) break;
      line.remove_prefix(colon + 1);
    }
  }
  require(!tokens.match("never-listed-anywhere-0123456789") ||
          text.find("never-listed") != std::string_view::npos);
  return 0;
}
