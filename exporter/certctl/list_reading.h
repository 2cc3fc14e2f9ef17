// A collector whose whole reading is one list.
#pragma once

#include "certctl/collector.h"
#include "certctl/list_reader.h"

namespace bao_exporter::certctl {

template <typename Row>
class ListReading : public Reading {
 public:
  using Reader = ListReader<Row>;
  using Count = Counted (*)(const typename Reader::Rows& rows, const ReadingOptions& options);

  ListReading(ListPlan plan, typename Reader::ReadRow read_row, Count count,
              const ReadingOptions& options)
      : reader_(std::move(plan), read_row), count_(count), options_(options) {}

  [[nodiscard]] bool done() const override { return reader_.done(); }
  [[nodiscard]] std::string request() const override { return reader_.request(); }
  [[nodiscard]] std::optional<Error> take(std::string_view json) override {
    return reader_.take(json);
  }
  [[nodiscard]] Counted finish() const override { return count_(reader_.rows(), options_); }

 private:
  Reader reader_;
  Count count_;
  ReadingOptions options_;
};

}  // namespace bao_exporter::certctl
