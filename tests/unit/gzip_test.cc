#include "bao_exporter/gzip.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <latch>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "bao_exporter/snapshot.h"
#include "catch.h"

namespace bao_exporter {

namespace {

// The text of a gzip file that is exactly one complete member; zlib checks its sum and its length.
std::optional<std::string> inflated(const std::string& bytes) {
  z_stream stream{};
  if (::inflateInit2(&stream, 16 + MAX_WBITS) != Z_OK) return std::nullopt;
  std::string input = bytes;
  stream.next_in = reinterpret_cast<Bytef*>(input.data());
  stream.avail_in = static_cast<uInt>(input.size());
  std::string out;
  std::vector<char> buffer(100'000);
  int state = Z_OK;
  while (state == Z_OK) {
    stream.next_out = reinterpret_cast<Bytef*>(buffer.data());
    stream.avail_out = static_cast<uInt>(buffer.size());
    state = ::inflate(&stream, Z_NO_FLUSH);
    out.append(buffer.data(), buffer.size() - stream.avail_out);
  }
  const bool all_read = stream.avail_in == 0;
  ::inflateEnd(&stream);
  if (state != Z_STREAM_END || !all_read) return std::nullopt;
  return out;
}

std::string member(const DeflatedPart& part, std::string_view tail) {
  return std::string(gzip_header()) + part.bytes + deflate_tail(part, tail);
}

// Views into the text's bytes, of random lengths.
Rope rope_of(std::string_view text, std::mt19937_64& engine) {
  Rope rope;
  while (!text.empty()) {
    const std::size_t length =
        std::min<std::size_t>(text.size(), 1 + engine() % (engine() % 4 == 0 ? 200'000 : 200));
    rope.append(text.substr(0, length));
    text.remove_prefix(length);
  }
  return rope;
}

std::string noise(std::size_t bytes, std::mt19937_64& engine) {
  std::string out(bytes, '\0');
  for (char& c : out) c = static_cast<char>(engine() & 0xFF);
  return out;
}

std::string metrics(std::size_t bytes, std::mt19937_64& engine) {
  std::string out;
  while (out.size() < bytes) {
    out += "vault_core_handle_request{cluster=\"prod\",quantile=\"0.5\"} " +
           std::to_string(engine() % 100'000) + "\n";
  }
  out.resize(bytes);
  return out;
}

}  // namespace

TEST_CASE("a deflated part and a tail are one gzip member of both texts") {
  std::mt19937_64 engine(1);
  const std::vector<std::size_t> bodies = {0, 1, 2, 100, 32'768, 65'535, 65'536, 65'537, 2'000'000};
  const std::vector<std::size_t> tails = {0, 1, 100, 65'536, 70'000};
  for (const std::size_t body_bytes : bodies) {
    for (const bool compressible : {true, false}) {
      const std::string body =
          compressible ? metrics(body_bytes, engine) : noise(body_bytes, engine);
      const DeflatedPart part = deflate_open(rope_of(body, engine));
      CHECK(part.plain_bytes == body.size());
      CHECK(part.crc == ::crc32_z(0, reinterpret_cast<const Bytef*>(body.data()), body.size()));
      for (const std::size_t tail_bytes : tails) {
        const std::string tail =
            compressible ? metrics(tail_bytes, engine) : noise(tail_bytes, engine);
        CAPTURE(body_bytes, compressible, tail_bytes);
        const std::optional<std::string> text = inflated(member(part, tail));
        REQUIRE(text.has_value());
        CHECK(*text == body + tail);
      }
    }
  }
}

TEST_CASE("random texts in random pieces come back whole") {
  std::mt19937_64 engine(2);
  for (int i = 0; i < 200; ++i) {
    const std::string body =
        engine() % 2 == 0 ? metrics(engine() % 100'000, engine) : noise(engine() % 100'000, engine);
    const std::string tail = metrics(engine() % 5'000, engine);
    const DeflatedPart part = deflate_open(rope_of(body, engine));
    const std::optional<std::string> text = inflated(member(part, tail));
    REQUIRE(text.has_value());
    REQUIRE(*text == body + tail);
  }
}

TEST_CASE("the end of a member tells the sum and the length of the whole text") {
  Rope rope;
  rope.append("body");
  const std::string bytes = member(deflate_open(rope), "tail");
  REQUIRE(bytes.size() > 8);
  const auto number = [&](std::size_t from_end) {
    std::uint32_t out = 0;
    for (std::size_t i = 0; i < 4; ++i) {
      out |= std::uint32_t{static_cast<unsigned char>(bytes[bytes.size() - from_end + i])}
             << (8 * i);
    }
    return out;
  };
  CHECK(number(8) == ::crc32(0, reinterpret_cast<const Bytef*>("bodytail"), 8));
  CHECK(number(4) == 8);
}

TEST_CASE("a member with a byte missing, added or changed is found out") {
  std::mt19937_64 engine(3);
  const std::string body = metrics(3'000, engine);
  const std::string good = member(deflate_open(rope_of(body, engine)), "tail\n");
  REQUIRE(inflated(good).has_value());
  CHECK_FALSE(inflated(good + '\0').has_value());
  CHECK_FALSE(inflated(good.substr(0, good.size() - 1)).has_value());
  for (std::size_t i = 0; i < 8; ++i) {
    std::string bad = good;
    bad[bad.size() - 1 - i] = static_cast<char>(bad[bad.size() - 1 - i] ^ 1);
    CHECK_FALSE(inflated(bad).has_value());
  }
}

TEST_CASE("one part serves many tails") {
  Rope rope;
  rope.append("a 1\n");
  const DeflatedPart part = deflate_open(rope);
  for (int i = 0; i < 10; ++i) {
    const std::string tail(static_cast<std::size_t>(i) * 1'000, 'x');
    CHECK(inflated(member(part, tail)) == "a 1\n" + tail);
  }
}

TEST_CASE("the pieces of a rope do not change its deflated text's meaning") {
  std::mt19937_64 engine(4);
  const std::string body = metrics(50'000, engine);
  const DeflatedPart one = deflate_open(rope_of(body, engine));
  Rope bytewise;
  for (std::size_t i = 0; i < body.size(); ++i)
    bytewise.append(std::string_view(body).substr(i, 1));
  const DeflatedPart other = deflate_open(bytewise);
  CHECK(one.crc == other.crc);
  CHECK(one.plain_bytes == other.plain_bytes);
  CHECK(inflated(member(other, "")) == body);
}

TEST_CASE("metrics shrink to less than a quarter") {
  std::mt19937_64 engine(5);
  const std::string body = metrics(500'000, engine);
  CHECK(deflate_open(rope_of(body, engine)).bytes.size() < body.size() / 4);
}

TEST_CASE("the gzip header has no name, no time and no system") {
  CHECK(gzip_header() == std::string_view("\x1f\x8b\x08\0\0\0\0\0\0\xff", 10));
}

TEST_CASE("a snapshot is deflated once, whoever asks, and all get the same") {
  std::mt19937_64 engine(6);
  const std::string body = metrics(1'000'000, engine);
  const Snapshot snapshot(rope_of(body, engine), "overdue\n", TimePoint{}, 1);
  constexpr std::size_t kThreads = 8;
  std::latch start(kThreads);
  std::array<const DeflatedPart*, kThreads> seen{};
  std::array<std::size_t, kThreads> sizes{};
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      start.arrive_and_wait();
      seen[i] = &snapshot.deflated();
      sizes[i] = seen[i]->bytes.size();
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (std::size_t i = 0; i < kThreads; ++i) {
    CHECK(seen[i] == seen[0]);
    CHECK(sizes[i] == sizes[0]);
  }
  CHECK(sizes[0] > 0);
  CHECK(inflated(member(*seen[0], "")) == body);
}

TEST_CASE("a snapshot is overdue after its time, not at it") {
  const TimePoint until = TimePoint{} + Milliseconds(1'000);
  Rope rope;
  rope.append("a 1\n");
  const Snapshot snapshot(std::move(rope), "up 0\n", until, 7);
  CHECK_FALSE(snapshot.overdue_at(until - Milliseconds(1)));
  CHECK_FALSE(snapshot.overdue_at(until));
  CHECK(snapshot.overdue_at(until + Clock::duration(1)));
  CHECK(snapshot.body().to_string() == "a 1\n");
  CHECK(snapshot.overdue_text() == "up 0\n");
  CHECK(snapshot.generation() == 7);
}

}  // namespace bao_exporter
