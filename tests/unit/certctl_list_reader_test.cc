#include "catch.h"
#include "certctl/list_reader.h"

namespace bao_exporter::certctl {

namespace {

struct Row {
  std::string value;
  friend bool operator==(const Row&, const Row&) = default;
};

Row read_row(Fields& fields) { return {fields.text("value")}; }

using Reader = ListReader<Row>;

Reader reader(bool has_total = true) { return {{"things", {"/things?"}, has_total}, read_row}; }

// Rows ID to ID + count - 1, each with that value.
std::string rows(std::size_t from, std::size_t count, const std::string& value = "a") {
  std::string json = "[";
  for (std::size_t i = from; i < from + count; ++i) {
    json += (i == from ? "" : ",") + std::string(R"({"id":")") + std::to_string(i) +
            R"(","value":")" + value + "\"}";
  }
  return json + "]";
}

std::string envelope(const std::string& data, std::size_t total, std::size_t page = 1,
                     std::size_t per_page = 500) {
  return R"({"data":)" + data + R"(,"total":)" + std::to_string(total) + R"(,"page":)" +
         std::to_string(page) + R"(,"per_page":)" + std::to_string(per_page) + "}\n";
}

// A page of a list of rows 0 to total - 1.
std::string page_of(std::size_t total, std::size_t page, std::size_t per_page = 500) {
  const std::size_t from = (page - 1) * per_page;
  return envelope(rows(from, std::min(per_page, total - from)), total, page, per_page);
}

void takes(Reader& reading, const std::string& json) {
  const auto error = reading.take(json);
  INFO((error ? error->detail : ""));
  REQUIRE_FALSE(error);
}

Error refuses(Reader& reading, const std::string& json) {
  const auto error = reading.take(json);
  REQUIRE(error);
  return *error;
}

}  // namespace

TEST_CASE("a list asks for pages of 500") {
  CHECK(reader().request() == "/things?page=1&per_page=500");
}

TEST_CASE("a short first page is the whole list, in one request") {
  Reader reading = reader();
  takes(reading, page_of(499, 1));
  CHECK(reading.done());
  CHECK(reading.rows().size() == 499);
}

TEST_CASE("an empty list may be null") {
  for (const char* data : {"null", "[]"}) {
    Reader reading = reader();
    takes(reading, envelope(data, 0));
    CHECK(reading.done());
    CHECK(reading.rows().empty());
  }
}

TEST_CASE("a full first page is no instant: one row may have come before it") {
  Reader reading = reader();
  takes(reading, page_of(500, 1));
  CHECK_FALSE(reading.done());
  takes(reading, page_of(500, 1));
  CHECK(reading.done());
}

TEST_CASE("more than a page is read until two readings in a row are equal") {
  Reader reading = reader();
  takes(reading, page_of(1'100, 1));
  CHECK(reading.request() == "/things?page=2&per_page=500");
  takes(reading, page_of(1'100, 2));
  takes(reading, page_of(1'100, 3));
  CHECK_FALSE(reading.done());
  CHECK(reading.request() == "/things?page=1&per_page=500");
  for (const std::size_t page : {1, 2, 3}) takes(reading, page_of(1'100, page));
  CHECK(reading.done());
  CHECK(reading.rows().size() == 1'100);
}

TEST_CASE("a row that changed between two readings makes a third one") {
  Reader reading = reader();
  for (const char* value : {"a", "b", "b"}) {
    CHECK_FALSE(reading.done());
    takes(reading, envelope(rows(0, 500, value), 501));
    takes(reading, envelope(rows(500, 1), 501, 2));
  }
  CHECK(reading.done());
  CHECK(reading.rows().at("0").value == "b");
}

TEST_CASE("a list that changes with every reading is inconsistent after four of them") {
  Reader reading = reader();
  std::optional<Error> error;
  int readings = 0;
  for (const char* value : {"a", "b", "c", "d", "e"}) {
    takes(reading, envelope(rows(0, 500, value), 501));
    error = reading.take(envelope(rows(500, 1), 501, 2));
    ++readings;
    if (error) break;
  }
  REQUIRE(error);
  CHECK(readings == 4);
  CHECK(error->code == ErrorCode::kInconsistent);
  CHECK(error->detail == "things: changed while it was read, 4 times; at last: rows changed");
}

TEST_CASE("the trap: one row goes and another comes between two pages, the total stays") {
  // Rows 0..999; row 3 goes and row 1000 comes after page 1 was read: page 2 begins with row 501,
  // and nobody saw row 500. Both pages are full, both totals are 1000, no row came twice.
  Reader reading = reader();
  takes(reading, envelope(rows(0, 500), 1'000));
  takes(reading, envelope(rows(501, 500), 1'000, 2));
  CHECK_FALSE(reading.done());
  // Page 1 is now 0..500 without 3.
  std::string first = rows(0, 3);
  first.back() = ',';
  first += rows(4, 497).substr(1);
  takes(reading, envelope(first, 1'000));
  takes(reading, envelope(rows(501, 500), 1'000, 2));
  CHECK_FALSE(reading.done());
  takes(reading, envelope(first, 1'000));
  takes(reading, envelope(rows(501, 500), 1'000, 2));
  REQUIRE(reading.done());
  CHECK(reading.rows().contains("500"));
  CHECK_FALSE(reading.rows().contains("3"));
}

TEST_CASE("a total that changes ends a reading at once, and begins the next") {
  Reader reading = reader();
  takes(reading, page_of(1'600, 1));
  takes(reading, envelope(rows(500, 500), 1'601, 2));
  CHECK(reading.request() == "/things?page=1&per_page=500");
}

TEST_CASE("rows that come twice where others are missing spoil a reading") {
  Reader reading = reader();
  std::optional<Error> error;
  for (int i = 0; i < 4; ++i) {
    takes(reading, envelope(rows(0, 500), 700));
    error = reading.take(envelope(rows(499, 200), 700, 2));
  }
  REQUIRE(error);
  CHECK(error->code == ErrorCode::kInconsistent);
  CHECK(error->detail ==
        "things: changed while it was read, 4 times; at last: 699 of 700 rows came");
}

TEST_CASE("a short page below the total is not believed") {
  Reader reading = reader();
  takes(reading, envelope(rows(0, 50), 332));
  takes(reading, envelope("null", 332));
  takes(reading, envelope(rows(0, 50), 332));
  CHECK(refuses(reading, envelope(rows(0, 50), 332)).code == ErrorCode::kInconsistent);
}

TEST_CASE("smaller pages than those asked for are followed") {
  Reader reading = reader();
  for (int readings = 0; readings < 2; ++readings) {
    takes(reading, page_of(120, 1, 50));
    CHECK(reading.request() == "/things?page=2&per_page=50");
    takes(reading, page_of(120, 2, 50));
    takes(reading, page_of(120, 3, 50));
  }
  CHECK(reading.done());
  CHECK(reading.rows().size() == 120);
}

TEST_CASE("a server that gives page 1 whatever page is asked for does not keep us busy") {
  Reader honest = reader();
  takes(honest, page_of(1'200, 1));
  const Error error = refuses(honest, page_of(1'200, 1));
  CHECK(error.code == ErrorCode::kProtocol);
  CHECK(error.detail == "things: page 1 came when page 2 was asked for");

  Reader lying = reader();
  std::optional<Error> told;
  int requests = 0;
  for (; !told; ++requests) {
    const bool second = lying.request().find("page=2") != std::string::npos;
    told = lying.take(envelope(rows(0, 500), 1'200, second ? 2 : 1));
    REQUIRE(requests < 100);
  }
  CHECK(told->code == ErrorCode::kInconsistent);
  CHECK(requests == 8);
}

TEST_CASE("a list of more than 1,000 pages is refused at its first page") {
  Reader reading = reader();
  CHECK(refuses(reading, envelope(rows(0, 500), 500'001)).code == ErrorCode::kTooLarge);
  Reader small = reader();
  CHECK(refuses(small, envelope(rows(0, 1), 1'001, 1, 1)).code == ErrorCode::kTooLarge);
}

TEST_CASE("without a total a list ends with a short page") {
  Reader reading = reader(false);
  for (int readings = 0; readings < 2; ++readings) {
    takes(reading, envelope(rows(0, 500), 500));
    CHECK_FALSE(reading.done());
    takes(reading, envelope(rows(500, 3), 3, 2));
  }
  CHECK(reading.done());
  CHECK(reading.rows().size() == 503);
}

TEST_CASE("without a total a row that comes twice spoils the reading") {
  Reader reading = reader(false);
  takes(reading, envelope(rows(0, 500), 500));
  takes(reading, envelope(rows(499, 3), 3, 2));
  CHECK(reading.request() == "/things?page=1&per_page=500");
  CHECK(reading.rows().empty());
}

TEST_CASE("without a total a list that never ends does") {
  Reader reading = reader(false);
  std::optional<Error> error;
  std::size_t page = 0;
  while (!error) {
    ++page;
    error = reading.take(envelope(rows(page, 1), 1, page, 1));
    REQUIRE(page < 5'000);
  }
  CHECK(error->code == ErrorCode::kTooLarge);
  CHECK(page == 2'001);
}

TEST_CASE("several queries are one list, read twice") {
  Reader reading({"things", {"/things?a&", "/things?b&"}, true}, read_row);
  for (int readings = 0; readings < 2; ++readings) {
    CHECK_FALSE(reading.done());
    CHECK(reading.request() == "/things?a&page=1&per_page=500");
    takes(reading, envelope(rows(0, 2), 2));
    CHECK(reading.request() == "/things?b&page=1&per_page=500");
    takes(reading, envelope(rows(2, 3), 3));
  }
  CHECK(reading.done());
  CHECK(reading.rows().size() == 5);
}

TEST_CASE("a row that is in two of the queries moved meanwhile") {
  Reader reading({"things", {"/things?a&", "/things?b&"}, true}, read_row);
  takes(reading, envelope(rows(0, 2), 2));
  takes(reading, envelope(rows(1, 3), 3));
  CHECK(reading.request() == "/things?a&page=1&per_page=500");
  CHECK(reading.rows().empty());
}

TEST_CASE("what is wrong in an answer is told with its place") {
  const auto told = [](const std::string& json) {
    Reader reading = reader();
    const Error error = refuses(reading, json);
    CHECK(error.code == ErrorCode::kProtocol);
    return error.detail;
  };
  CHECK(told("") == "things: it is not JSON");
  CHECK(told("{") == "things: it is not JSON");
  CHECK(told("[]") == "things: the answer is an array, not an object");
  CHECK(told("{}") == "things: the answer.data is missing");
  CHECK(told(envelope("{}", 0)) == "things: the answer.data is an object, not a list");
  CHECK(told(R"({"data":[],"total":0,"page":1})") == "things: the answer.per_page is missing");
  CHECK(told(R"({"data":[],"total":-1,"page":1,"per_page":500})") ==
        "things: the answer.total is not a count");
  CHECK(told(R"({"data":[],"total":1e3,"page":1,"per_page":500})") ==
        "things: the answer.total is not a count");
  CHECK(told(R"({"data":[],"total":99999999999999999999,"page":1,"per_page":500})") ==
        "things: the answer.total is not a count");
  CHECK(told(R"({"data":[],"total":1e999,"page":1,"per_page":500})") == "things: it is not JSON");
  CHECK(told(envelope("[]", 0, 1, 0)) == "things: pages of 0 rows came when 500 were asked for");
  CHECK(told(envelope("[]", 0, 1, 1'000)) ==
        "things: pages of 1000 rows came when 500 were asked for");
  CHECK(told(envelope(rows(0, 3), 3, 1, 2)) == "things: a page has more rows than per_page");
  CHECK(told(envelope("[1]", 1)) == "things: data[0] is a number, not an object");
  CHECK(told(envelope(R"([{"id":"x"},{}])", 2)) == "things: data[1].id is missing");
  CHECK(told(envelope(R"([{"id":7}])", 1)) == "things: data[0].id is a number, not a string");
  CHECK(told(envelope("[{\"id\":\"" + std::string(600, 'x') + "\"}]", 1)) ==
        "things: data[0].id is too long");
  CHECK(told(envelope(R"([{"id":"x","value":[]}])", 1)) ==
        "things: data[0].value is an array, not a string");
  CHECK(told(envelope(R"([{"id":"x","id":"y"}])", 1)) ==
        "things: an object of its JSON has a key twice");
  CHECK(told(envelope("[{\"id\":\"\xff\"}]", 1)) == "things: it is not JSON");
  CHECK(told(std::string(1'000'000, '[')) == "things: its JSON nests too deep");
  CHECK(told(envelope(std::string(1'000'000, '[') + std::string(1'000'000, ']'), 1)) ==
        "things: its JSON nests too deep");
}

TEST_CASE("the same key in two objects is no key twice") {
  Reader reading = reader();
  takes(reading, envelope(R"([{"id":"x","tags":{"id":"1"}},{"id":"y","tags":{"id":"2"}}])", 2));
  CHECK(reading.rows().size() == 2);
}

}  // namespace bao_exporter::certctl
