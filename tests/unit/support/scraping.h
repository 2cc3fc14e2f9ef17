// A ScrapeService with what it serves, and requests to it.
#pragma once

#include <zlib.h>

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bao_exporter/check.h"
#include "bao_exporter/scrape_service.h"

namespace bao_exporter::test {

inline const std::string kToken = "abcdefghijklmnopqrstuvwxyz";
inline const std::string kBody =
    "# TYPE vault_core_active gauge\nvault_core_active{cluster=\"prod\"} 1\n";
inline const std::string kOverdue = "# TYPE bao_node_up gauge\nbao_node_up{cluster=\"prod\"} 0\n";

// The text of one gzip member that ends where `bytes` ends; nullopt: it is not that.
inline std::optional<std::string> gunzip(const std::string& bytes) {
  z_stream stream{};
  if (::inflateInit2(&stream, 16 + MAX_WBITS) != Z_OK) return std::nullopt;
  std::string input = bytes;
  stream.next_in = reinterpret_cast<Bytef*>(input.data());  // NOLINT: zlib's type
  stream.avail_in = static_cast<uInt>(input.size());
  std::string out;
  std::array<char, 4096> buffer{};
  int result = Z_OK;
  while (result == Z_OK) {
    stream.next_out = reinterpret_cast<Bytef*>(buffer.data());  // NOLINT: zlib's type
    stream.avail_out = static_cast<uInt>(buffer.size());
    result = ::inflate(&stream, Z_NO_FLUSH);
    out.append(buffer.data(), buffer.size() - stream.avail_out);
  }
  const bool whole =
      result == Z_STREAM_END && stream.avail_in == 0;  // checksum and size were right
  ::inflateEnd(&stream);
  if (!whole) return std::nullopt;
  return out;
}

inline Rope rope_of(const std::string& body) {
  auto text = std::make_shared<const std::string>(body);
  Rope rope;
  rope.append(*text);
  rope.own(text);
  return rope;
}

inline NodeView served_node(const std::string& name, Role role, const std::string& text) {
  NodeView view{name, {{"cluster", "prod"}, {"node_name", name}}, role, ErrorCode::kOk, true, {}};
  view.text = std::make_shared<const ServedText>(rope_of(text));
  return view;
}

inline NodeView silent_node(const std::string& name, Role role, ErrorCode reason) {
  return {name, {{"cluster", "prod"}, {"node_name", name}}, role, reason, true, {}};
}

inline ServedCertctl served_certctl(const std::string& name, ErrorCode reason,
                                    TimePoint valid_until, const std::string& text = "") {
  ServedCertctl certctl{name, {{"certctl", name}}, reason, valid_until, nullptr};
  if (!text.empty()) certctl.text = std::make_shared<const ServedText>(rope_of(text));
  return certctl;
}

class Service {
 public:
  Service() {
    auto tokens = std::make_shared<ScrapeTokens>();
    BAO_CHECK(!tokens->add("prometheus:" + kToken + "\nsecond:" + kToken + "2\n", "file"));
    token_slot_.set(std::move(tokens));
    configure({{"prod/a", "prod/b", "prod/new"}, {"https", "exporter:9825"}, {"ca", "lab", "new"}});
    service_.on_gzip_asked([this] { ++gzip_asked; });
  }

  void configure(PortFacts facts) {
    facts_.set(std::make_shared<const PortFacts>(std::move(facts)));
  }

  void publish(const std::string& body, TimePoint valid_until, std::uint64_t generation = 1,
               std::vector<NodeView> nodes = {}, std::vector<ServedCertctl> certctls = {}) {
    snapshots_.set(std::make_shared<const Snapshot>(
        rope_of(body), kOverdue, valid_until, generation, std::move(nodes), std::move(certctls)));
  }
  void publish_certctl(std::vector<ServedCertctl> certctls) {
    publish(kBody, now + std::chrono::hours(1), 1, {}, std::move(certctls));
  }
  void publish_nodes(std::vector<NodeView> nodes) {
    publish(kBody, now + std::chrono::hours(1), 1, std::move(nodes));
  }
  void publish(const std::string& body) { publish(body, now + std::chrono::hours(1)); }

  using Headers = std::vector<std::pair<std::string, std::string>>;
  Reply ask_raw(std::string_view method, std::string_view path, const Headers& headers) {
    HttpRequest request;
    request.peer = peer;
    request.method = method;
    request.path = path;
    request.headers.emplace_back("Host", "h");
    for (const auto& [name, value] : headers) request.headers.emplace_back(name, value);
    return service_.answer(request, now);
  }
  Reply probe(std::string_view method, std::string_view path,
              const std::vector<std::pair<std::string_view, std::string_view>>& headers = {}) {
    return service_.answer({method, path, headers, {}, /*admin=*/true}, now);
  }
  Reply ask(std::string_view method = "GET", std::string_view path = "/metrics", Headers more = {},
            const std::string& token = kToken) {
    more.emplace_back("Authorization", "Bearer " + token);
    return ask_raw(method, path, more);
  }

  ScrapeService& service() { return service_; }
  OwnMetrics& metrics() { return metrics_; }

  TimePoint now = Clock::now();
  PeerAddress peer;
  int gzip_asked = 0;

 private:
  Slot<Snapshot> snapshots_;
  Slot<ScrapeTokens> token_slot_;
  Slot<PortFacts> facts_;
  OwnMetrics metrics_;
  ScrapeService service_{snapshots_, token_slot_, facts_, metrics_};
};

inline std::string header(const Reply& reply, std::string_view name) {
  std::string found = "(none)";
  for (const auto& [key, value] : reply.headers) {
    if (key == name) found = found == "(none)" ? std::string(value) : "(twice)";
  }
  return found;
}

// Everything that a client can see of a reply.
inline std::string bytes_of(const Reply& reply) {
  std::string out = std::to_string(reply.status) + (reply.close ? " close" : " stay");
  for (const auto& [name, value] : reply.headers) {
    out += "\n" + std::string(name) + ": " + std::string(value);
  }
  out += "\nlength " + std::to_string(reply.body.bytes());
  return out + "\n\n" + (reply.send_body ? reply.body.to_string() : "");
}

}  // namespace bao_exporter::test
