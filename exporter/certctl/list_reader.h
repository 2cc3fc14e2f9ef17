// Reads one of certctl's lists exactly: as it was at one instant between the first request and the
// last answer, or not at all.
//
// A short first page is such an instant: one query of the server's. A longer list changes while its
// pages are read: rows are missed or come twice when others go or come before them. So it is read
// again until two readings in a row are equal. Each row of them then was there, as it is, before
// and after the moment at which the second reading began, and the total of that moment says that
// there were no others. Pure.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bao_exporter/result.h"
#include "certctl/json_reader.h"

namespace bao_exporter::certctl {

inline constexpr std::size_t kRowsPerPage = 500;  // certctl answers 50 when asked for more

struct ListPlan {
  std::string what;  // "jobs": for the words
  // Paths up to the parameters that say which page: "/api/v1/jobs?", "/api/v1/jobs?status=Failed&".
  // Several are read one after the other, as one list.
  std::vector<std::string> queries;
  // false: `total` counts the rows of the page (notifications). Then a list ends with a short page,
  // and a row that comes twice spoils the reading.
  bool has_total = true;
  // The same, in another order. A reading that lacks rows though the total stayed is followed by
  // one in the other order: where rows are equal in an order, certctl may give one of them twice
  // and another not at all, each time.
  std::vector<std::string> other_order = {};
};

struct Page {
  Json::array_t rows;
  std::size_t total = 0;
  std::size_t number = 0;
  std::size_t size = 0;  // rows that it has room for
};
[[nodiscard]] Result<Page> read_page(std::string_view json, const std::string& what);

// Which page is next, and whether a reading is whole. Knows how many rows there are, not which.
class ListWalk {
 public:
  enum class Step : std::uint8_t { kNextPage, kWhole, kSpoiled };

  explicit ListWalk(ListPlan plan) : plan_(std::move(plan)) {}

  [[nodiscard]] std::string request() const;
  // Before its rows are read: is it the page that was asked for?
  [[nodiscard]] std::optional<Error> check(const Page& page);
  // After: `fresh` of its rows were not in this reading before, `repeated` were.
  [[nodiscard]] Step step(const Page& page, std::size_t fresh, std::size_t repeated);
  // The reading that ends now was of one page only, and a short one.
  [[nodiscard]] bool was_one_instant() const { return one_instant_; }
  // nullopt: the next reading begins.
  [[nodiscard]] std::optional<Error> read_again(std::string_view because);
  [[nodiscard]] const std::string& spoiled_by() const { return spoiled_by_; }

  [[nodiscard]] const ListPlan& plan() const { return plan_; }
  [[nodiscard]] std::size_t last_total() const { return total_; }
  [[nodiscard]] bool last_page_was_full() const { return last_was_full_; }

 private:
  [[nodiscard]] const std::vector<std::string>& queries() const;
  [[nodiscard]] Error wrong(std::string_view why) const;
  [[nodiscard]] Step spoiled(std::string why);
  [[nodiscard]] Step rows_are_missing();
  void begin_query();

  ListPlan plan_;
  std::size_t rows_per_page_ = kRowsPerPage;
  std::size_t query_ = 0;
  std::size_t page_ = 1;
  std::size_t fresh_rows_ = 0;  // of this query, in this reading
  std::size_t total_ = 0;
  bool last_was_full_ = false;
  bool one_instant_ = false;
  int readings_ = 1;
  bool in_other_order_ = false;
  std::size_t pages_ = 0;
  std::string spoiled_by_;
};

// Row: what is counted of a row, with ==. Two readings are equal when their ids and rows are.
template <typename Row>
class ListReader {
 public:
  using Rows = std::map<std::string, Row>;  // by id
  using ReadRow = Row (*)(Fields& fields);

  ListReader(ListPlan plan, ReadRow read_row) : walk_(std::move(plan)), read_row_(read_row) {}

  [[nodiscard]] bool done() const { return done_; }
  [[nodiscard]] std::string request() const { return walk_.request(); }
  // Of the reading that is under way; all, once it is done.
  [[nodiscard]] const Rows& rows() const { return rows_; }
  [[nodiscard]] const ListWalk& walk() const { return walk_; }

  [[nodiscard]] std::optional<Error> take(std::string_view json) {
    auto page = read_page(json, walk_.plan().what);
    if (!page.ok()) return page.error();
    if (auto error = walk_.check(page.value())) return error;
    std::size_t fresh = 0;
    std::size_t repeated = 0;
    for (const Json& object : page.value().rows) {
      auto row = row_of(object, fresh + repeated);
      if (!row.ok()) return row.error();
      const bool added = rows_.insert(std::move(row).value()).second;
      ++(added ? fresh : repeated);
    }
    switch (walk_.step(page.value(), fresh, repeated)) {
      case ListWalk::Step::kNextPage:
        return std::nullopt;
      case ListWalk::Step::kWhole:
        return end_whole();
      case ListWalk::Step::kSpoiled:
        break;
    }
    before_.reset();
    rows_.clear();
    return walk_.read_again(walk_.spoiled_by());
  }

 private:
  Result<std::pair<const std::string, Row>> row_of(const Json& object, std::size_t index) const {
    Fields fields(object, walk_.plan().what + ": data[" + std::to_string(index) + "]");
    std::pair<const std::string, Row> row(fields.word("id"), read_row_(fields));
    if (fields.error()) return *fields.error();
    return row;
  }

  std::optional<Error> end_whole() {
    done_ = walk_.was_one_instant() || (before_ && *before_ == rows_);
    if (done_) {
      before_.reset();
      return std::nullopt;
    }
    const std::string_view differs = before_ ? "rows changed" : "it was read once";
    before_ = std::exchange(rows_, {});
    return walk_.read_again(differs);
  }

  ListWalk walk_;
  ReadRow read_row_;
  Rows rows_;
  std::optional<Rows> before_;  // the reading before this one, when it was whole
  bool done_ = false;
};

}  // namespace bao_exporter::certctl
