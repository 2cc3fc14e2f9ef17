#include "bao_exporter/client_hello.h"

namespace bao_exporter {

namespace {

constexpr std::size_t kHeaderBytes = 5;  // of a TLS record (RFC 8446, 5.1)
constexpr std::size_t kRecordBytesMax = 1U << 14U;
constexpr std::size_t kHelloBytesMin = 4;  // of a handshake message without content
constexpr unsigned char kHandshake = 22;
constexpr unsigned char kMajorVersion = 3;
constexpr unsigned char kClientHello = 1;

}  // namespace

Greeting judge_greeting(std::string_view first, std::size_t there) noexcept {
  const auto byte = [first](std::size_t at) { return static_cast<unsigned char>(first[at]); };
  if (!first.empty() && byte(0) != kHandshake) return Greeting::kOther;
  if (first.size() > 1 && byte(1) != kMajorVersion) return Greeting::kOther;
  if (first.size() > kHeaderBytes && byte(kHeaderBytes) != kClientHello) return Greeting::kOther;
  if (first.size() < kHeaderBytes) return Greeting::kUnfinished;
  const std::size_t length = (std::size_t{byte(3)} << 8U) | byte(4);
  if (length < kHelloBytesMin || length > kRecordBytesMax) return Greeting::kOther;
  return there < kHeaderBytes + length ? Greeting::kUnfinished : Greeting::kWhole;
}

}  // namespace bao_exporter
