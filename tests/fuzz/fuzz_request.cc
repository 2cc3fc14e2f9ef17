// Any header lines as a request: nobody without the token is admitted, whatever else is there,
// nobody to a path that is not there byte for byte, nobody with a body or without one Host; and the
// admin address tells nothing but of health. Then the answers of it in turn to the limiter: never
// more than the bound is remembered.
#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>
#include <cstring>

#include "bao_exporter/auth_limiter.h"
#include "bao_exporter/front_door.h"
#include "bao_exporter/probe_answers.h"
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

void require(bool condition) {
  if (!condition) std::abort();
}

std::size_t count_of(const bao_exporter::HttpRequest& request, std::string_view wanted) {
  return static_cast<std::size_t>(
      std::count_if(request.headers.begin(), request.headers.end(), [&](const auto& header) {
        std::string_view name = header.first;
        while (!name.empty() && (name.front() == ' ' || name.front() == '\t'))
          name.remove_prefix(1);
        while (!name.empty() && (name.back() == ' ' || name.back() == '\t')) name.remove_suffix(1);
        return std::equal(
            name.begin(), name.end(), wanted.begin(), wanted.end(),
            [](char a, char b) { return std::tolower(static_cast<unsigned char>(a)) == b; });
      }));
}

// What whoever is admitted must have shown.
void require_sound(const bao_exporter::HttpRequest& request,
                   const bao_exporter::Admission& admission) {
  require(std::find(kPaths.begin(), kPaths.end(), request.path) != kPaths.end());
  require(request.method == "GET" || request.method == "HEAD");
  require(admission.head == (request.method == "HEAD"));
  require(request.headers.size() < 64);
  require(count_of(request, "authorization") == 1);
  require(count_of(request, "transfer-encoding") == 0);
  require(count_of(request, "content-length") <= 1);
  const std::size_t hosts = count_of(request, "host");
  require(hosts == 1 || (hosts == 0 && request.version == "1.0"));
  require(!admission.open_metrics || count_of(request, "accept") > 0);
  require(!admission.gzip || count_of(request, "accept-encoding") > 0);
}

void probe(bao_exporter::HttpRequest request) {
  request.admin = true;
  const auto answer = bao_exporter::answer_probe(request, {false, false, true});
  const bool known = request.path == "/-/healthy" || request.path == "/-/ready";
  const bool reads = request.method == "GET" || request.method == "HEAD";
  require((answer.status == 200) == (known && reads));
  require(answer.status == 200 || answer.status == 404);
}

void limit(const bao_exporter::HttpRequest& request) {
  static bao_exporter::AuthLimiter limiter;
  static bao_exporter::TimePoint now = bao_exporter::TimePoint() + std::chrono::hours(1);
  now += std::chrono::milliseconds(request.path.size());
  bao_exporter::PeerAddress peer;
  std::memcpy(peer.bytes.data(), request.path.data(),
              std::min(request.path.size(), peer.bytes.size()));
  const auto delay = limiter.note_failure(peer, now);
  require(delay == bao_exporter::Milliseconds(0) || delay == bao_exporter::AuthLimiter::kDelay);
  require(limiter.addresses() <= bao_exporter::AuthLimiter::kAddressesMax);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const bao_exporter::ScrapeTokens tokens = make_tokens();
  std::string_view text(reinterpret_cast<const char*>(data), size);  // NOLINT
  const bool has_token = text.find(kToken) != std::string_view::npos;
  bao_exporter::HttpRequest request;
  request.method = take_line(text);
  request.path = take_line(text);
  if (request.path.ends_with(" HTTP/1.0")) {
    request.version = "1.0";
    request.path.remove_suffix(std::string_view(" HTTP/1.0").size());
  }
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
  require(has_token || admission.status == 401);
  require(admission.status != 401 || (admission.close && admission.token_name.empty()));
  require(admission.status != 400 || admission.close);
  if (admission.status == 200) require_sound(request, admission);
  if (admission.status == 401) limit(request);
  probe(request);
  return 0;
}
