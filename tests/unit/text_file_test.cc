#include "text_file.h"

#include <string>

#include "catch.h"
#include "support/folder.h"

namespace bao_exporter {

TEST_CASE("a file is read whole up to its limit, and takes no more room than it has text") {
  const test::Folder folder;
  constexpr std::size_t kMiB = std::size_t{1} << 20;
  for (const std::size_t bytes : {std::size_t{0}, std::size_t{700}, std::size_t{16} << 10,
                                  (std::size_t{16} << 10) + 1, kMiB}) {
    INFO(bytes);
    std::string text(bytes, 'x');
    if (bytes > 0) text.back() = '\n';
    const auto read = read_text_file(folder.write("text", text));
    REQUIRE(read.ok());
    CHECK(read.value() == text);
    CHECK(read.value().capacity() <= bytes + 64);
  }
  const auto larger = read_text_file(folder.write("text", std::string(kMiB + 1, 'x')));
  REQUIRE_FALSE(larger.ok());
  CHECK(larger.error().detail == "is larger than 1 MiB");
}

}  // namespace bao_exporter
