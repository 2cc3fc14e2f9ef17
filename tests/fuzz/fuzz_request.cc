// Any header lines as a request: nobody without the token is admitted, whatever else is there, and
// nobody to a path that is not there byte for byte.
#include <algorithm>
#include <array>
#include <cstdlib>

#include "bao_exporter/front_door.h"
#include "fuzz/fuzz_target.h"

namespace {

constexpr std::string_view kToken = "fuzz-token-0123456789abcdef";
constexpr std::array<std::string_view, 7> kPaths = {
    "/metrics",     "/metrics/nodes/prod/openbao-0", "/metrics/exporter", "/sd", "/sd/certctl",
    "/sd/exporter", "/metrics/certctl/ca-1"};

bao_exporter::ScrapeTokens make_tokens() {
  bao_exporter::ScrapeTokens tokens;
  if (tokens.add(kToken, "fuzz")) std::abort();
  return tokens;
}

std::string_view take_line(std::string_view& text) {
  const std::size_t end = std::min(text.find('\n'), text.size());
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return line;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const bao_exporter::ScrapeTokens tokens = make_tokens();
  std::string_view text(reinterpret_cast<const char*>(data), size);  // NOLINT
  const bool has_token = text.find(kToken) != std::string_view::npos;
  bao_exporter::HttpRequest request;
  request.method = take_line(text);
  request.path = take_line(text);
  while (!text.empty()) {
    const std::string_view line = take_line(text);
    const std::size_t colon = std::min(line.find(':'), line.size());
    std::string_view value = line.substr(std::min(colon + 1, line.size()));
    while (!value.empty() && value.front() == ' ') value.remove_prefix(1);
    request.headers.emplace_back(line.substr(0, colon), value);
  }
  static const bao_exporter::NodeNames nodes = {"prod/openbao-0"};
  static const bao_exporter::NodeNames certctls = {"ca-1"};
  const bao_exporter::Admission admission = bao_exporter::admit(request, tokens, nodes, certctls);
  if (!has_token && admission.status != 401) std::abort();
  const bool is_path = std::find(kPaths.begin(), kPaths.end(), request.path) != kPaths.end();
  if (admission.status == 200 && !is_path) std::abort();
  return 0;
}
