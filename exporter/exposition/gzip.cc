#include "bao_exporter/gzip.h"

#include <zlib.h>

#include <array>
#include <memory>

#include "bao_exporter/check.h"

namespace bao_exporter {

namespace {

// Level 1: compression bounds the cost of a publication, and the text shrinks nine-fold already.
constexpr int kLevel = 1;
constexpr std::array<char, 10> kHeader = {'\x1f', '\x8b', 8, 0, 0, 0, 0, 0, 0, '\xff'};

// Raw deflate into a string.
class Deflater {
 public:
  explicit Deflater(int window_bits = MAX_WBITS, int memory_level = 8) {
    BAO_CHECK(::deflateInit2(&stream_, kLevel, Z_DEFLATED, -window_bits, memory_level,
                             Z_DEFAULT_STRATEGY) == Z_OK);
  }
  ~Deflater() { ::deflateEnd(&stream_); }
  Deflater(const Deflater&) = delete;
  Deflater& operator=(const Deflater&) = delete;

  void feed(std::string_view text, int flush, std::string& out) {
    // zlib does not write through next_in.
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));  // NOLINT
    stream_.avail_in = static_cast<uInt>(text.size());
    do {
      stream_.next_out = reinterpret_cast<Bytef*>(buffer_.get());  // NOLINT
      stream_.avail_out = kBufferBytes;
      BAO_CHECK(::deflate(&stream_, flush) != Z_STREAM_ERROR);
      out.append(buffer_.get(), kBufferBytes - stream_.avail_out);
    } while (stream_.avail_out == 0);
  }

 private:
  static constexpr std::size_t kBufferBytes = std::size_t{16} << 10;

  z_stream stream_{};
  // On the stack it would stay with each thread that packs.
  std::unique_ptr<char[]> buffer_ = std::make_unique_for_overwrite<char[]>(kBufferBytes);  // NOLINT
};

std::uint32_t crc_of(std::string_view text, std::uint32_t before) {
  return static_cast<std::uint32_t>(
      ::crc32_z(before, reinterpret_cast<const Bytef*>(text.data()), text.size()));  // NOLINT
}

void append_little_endian(std::string& out, std::uint32_t value) {
  for (int shift = 0; shift < 32; shift += 8) out += static_cast<char>((value >> shift) & 0xFF);
}

}  // namespace

DeflatedPart deflate_open(const Rope& rope) {
  constexpr std::size_t kFeedMax = std::size_t{1} << 30;  // zlib counts input in 32 bits.
  DeflatedPart part;
  Deflater deflater;
  for (std::string_view piece : rope.pieces()) {
    part.crc = crc_of(piece, part.crc);
    part.plain_bytes += piece.size();
    while (!piece.empty()) {
      const std::string_view now = piece.substr(0, kFeedMax);
      deflater.feed(now, Z_NO_FLUSH, part.bytes);
      piece.remove_prefix(now.size());
    }
  }
  deflater.feed({}, Z_FULL_FLUSH, part.bytes);
  return part;
}

std::string deflate_tail(const DeflatedPart& part, std::string_view tail) {
  constexpr int kWindowBits = 12;  // a quarter of a megabyte need not be cleared for some kilobytes
  constexpr int kMemoryLevel = 5;
  std::string out;
  Deflater deflater(kWindowBits, kMemoryLevel);
  deflater.feed(tail, Z_FINISH, out);
  const std::uint32_t crc = static_cast<std::uint32_t>(
      ::crc32_combine(part.crc, crc_of(tail, 0), static_cast<z_off_t>(tail.size())));
  append_little_endian(out, crc);
  append_little_endian(out, static_cast<std::uint32_t>(part.plain_bytes + tail.size()));
  return out;
}

std::string_view gzip_header() noexcept { return {kHeader.data(), kHeader.size()}; }

}  // namespace bao_exporter
