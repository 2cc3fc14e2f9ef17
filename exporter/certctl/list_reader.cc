#include "certctl/list_reader.h"

namespace bao_exporter::certctl {

namespace {

constexpr int kReadingsMax = 4;
constexpr std::size_t kPagesMax = 2'000;  // of all readings together

std::string rows_of(std::size_t rows, std::size_t total) {
  return std::to_string(rows) + " of " + std::to_string(total) + " rows came";
}

}  // namespace

Result<Page> read_page(std::string_view json, const std::string& what) {
  auto read = read_json(json, what);
  if (!read.ok()) return read.error();
  Fields fields(read.value(), what + ": the answer");
  Page page;
  const bool has_rows = fields.list("data") != nullptr;
  page.total = fields.count("total");
  page.number = fields.count("page");
  page.size = fields.count("per_page");
  if (fields.error()) return *fields.error();
  if (has_rows) page.rows = std::move(read.value()["data"].get_ref<Json::array_t&>());
  return page;
}

const std::vector<std::string>& ListWalk::queries() const {
  return in_other_order_ ? plan_.other_order : plan_.queries;
}

std::string ListWalk::request() const {
  return queries()[query_] + "page=" + std::to_string(page_) +
         "&per_page=" + std::to_string(rows_per_page_);
}

Error ListWalk::wrong(std::string_view why) const {
  return Error{ErrorCode::kProtocol, plan_.what + ": " + std::string(why)};
}

std::optional<Error> ListWalk::check(const Page& page) {
  if (page.number != page_) {
    return wrong("page " + std::to_string(page.number) + " came when page " +
                 std::to_string(page_) + " was asked for");
  }
  if (pages_ == 0 && page.size > 0 && page.size < rows_per_page_) rows_per_page_ = page.size;
  if (page.size != rows_per_page_) {
    return wrong("pages of " + std::to_string(page.size) + " rows came when " +
                 std::to_string(rows_per_page_) + " were asked for");
  }
  if (page.rows.size() > rows_per_page_) return wrong("a page has more rows than per_page");
  const bool too_long = plan_.has_total && page.total > kPagesMax / 2 * rows_per_page_;
  if (++pages_ > kPagesMax || too_long) {
    return Error{ErrorCode::kTooLarge,
                 plan_.what + ": more than " + std::to_string(kPagesMax) + " pages to read"};
  }
  return std::nullopt;
}

ListWalk::Step ListWalk::spoiled(std::string why) {
  spoiled_by_ = std::move(why);
  return Step::kSpoiled;
}

ListWalk::Step ListWalk::rows_are_missing() {
  if (!plan_.other_order.empty()) in_other_order_ = !in_other_order_;
  return spoiled(rows_of(fresh_rows_, total_));
}

ListWalk::Step ListWalk::step(const Page& page, std::size_t fresh, std::size_t repeated) {
  const std::size_t total_before = std::exchange(total_, page.total);
  last_was_full_ = page.rows.size() == rows_per_page_;
  fresh_rows_ += fresh;
  if (plan_.has_total) {
    if (page_ > 1 && total_before != total_) {
      return spoiled("the total went from " + std::to_string(total_before) + " to " +
                     std::to_string(total_));
    }
    const bool more = page_ * rows_per_page_ < total_;
    if (more && fresh == 0) return rows_are_missing();
    if (more) return ++page_, Step::kNextPage;
    if (fresh_rows_ != total_) return rows_are_missing();
  } else {
    if (repeated > 0) return spoiled("rows came twice");
    if (last_was_full_) return ++page_, Step::kNextPage;
  }
  one_instant_ = page_ == 1 && !last_was_full_ && queries().size() == 1;
  if (query_ + 1 == queries().size()) return Step::kWhole;
  ++query_;
  begin_query();
  return Step::kNextPage;
}

void ListWalk::begin_query() {
  page_ = 1;
  fresh_rows_ = 0;
}

std::optional<Error> ListWalk::read_again(std::string_view because) {
  if (readings_++ == kReadingsMax) {
    return Error{ErrorCode::kInconsistent, plan_.what + ": changed while it was read, " +
                                               std::to_string(kReadingsMax) +
                                               " times; at last: " + std::string(because)};
  }
  query_ = 0;
  begin_query();
  return std::nullopt;
}

}  // namespace bao_exporter::certctl
