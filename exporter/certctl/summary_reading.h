// A collector that certctl answers with one object of counts: one request, one instant.
#pragma once

#include "certctl/collector.h"
#include "certctl/json_reader.h"
#include "certctl/tally.h"

namespace bao_exporter::certctl {

class SummaryReading : public Reading {
 public:
  [[nodiscard]] bool done() const override { return done_; }
  [[nodiscard]] std::optional<Error> take(std::string_view json) override;

 protected:
  SummaryReading(std::string what, const Vocabulary& statuses)
      : what_(std::move(what)), statuses_(statuses) {}

  // Counts one member of the object.
  virtual void add(const std::string& key, std::size_t rows);
  // All members were counted: do they fit together?
  [[nodiscard]] virtual std::optional<Error> check() { return std::nullopt; }

  [[nodiscard]] const std::string& what() const { return what_; }
  [[nodiscard]] const Tally<1>& counts() const { return counts_; }
  void count(const std::string& status, std::size_t rows) { counts_.add({status}, rows); }

 private:
  std::string what_;
  const Vocabulary& statuses_;
  Tally<1> counts_;
  bool done_ = false;
};

}  // namespace bao_exporter::certctl
