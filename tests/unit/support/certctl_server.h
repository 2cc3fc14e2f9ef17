// certctl's lists as its REST API gives them, in memory: pages, filters, totals, and its defects
// (facts: COUNT and SELECT are two statements, an unstable default order, notifications whose
// `total` is the page's). Rows may change before every statement.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "../catch.h"
#include "bao_exporter/exposition.h"
#include "bao_exporter/format.h"
#include "certctl/collector.h"

namespace bao_exporter::test {

using Json = nlohmann::json;
using Table = std::vector<Json>;
// "family{label=\"value\"}" to its value.
using Series = std::map<std::string, double>;

using Selection = std::vector<const Json*>;

class CertctlServer {
 public:
  std::map<std::string, Table> tables;    // by the last part of the path
  std::map<std::string, Json> summaries;  // likewise
  std::size_t rows_per_page_max = 500;
  std::function<void()> before_each_statement = [] {};
  // What the database does with rows that its ORDER BY does not tell apart.
  std::function<void(Selection&)> before_sorting = [](Selection&) {};
  std::vector<std::string> requests;

  std::string get(const std::string& request) {
    requests.push_back(request);
    const std::size_t question = request.find('?');
    const std::string path = request.substr(0, question);
    const std::string name = path.substr(std::string("/api/v1/").size());
    if (summaries.contains(name)) {
      before_each_statement();
      return summaries[name].dump();
    }
    REQUIRE(tables.contains(name));
    return page(name, query_of(request.substr(question + 1))).dump();
  }

 private:
  using Query = std::map<std::string, std::string>;

  static Query query_of(const std::string& text) {
    Query query;
    std::size_t from = 0;
    while (from < text.size()) {
      const std::size_t to = std::min(text.find('&', from), text.size());
      const std::string pair = text.substr(from, to - from);
      const std::size_t equal = pair.find('=');
      REQUIRE(equal != std::string::npos);
      query[pair.substr(0, equal)] = pair.substr(equal + 1);
      from = to + 1;
    }
    return query;
  }

  Selection select(const std::string& name, const Query& query) {
    before_each_statement();
    Selection rows;
    for (const Json& row : tables[name]) {
      bool wanted = true;
      for (const char* filter : {"status", "type"}) {
        const auto at = query.find(filter);
        wanted = wanted && (at == query.end() || row[filter] == at->second);
      }
      if (wanted) rows.push_back(&row);
    }
    if (query.contains("sort")) {
      const std::string key = query.at("sort") == "createdAt" ? "created_at" : query.at("sort");
      before_sorting(rows);
      std::stable_sort(rows.begin(), rows.end(), [&](const Json* a, const Json* b) {
        return a->value(key, std::string()) < b->value(key, std::string());
      });
    }
    return rows;
  }

  Json page(const std::string& name, const Query& query) {
    std::size_t size = std::stoul(query.at("per_page"));
    if (size > rows_per_page_max) size = rows_per_page_max;
    const std::size_t number = std::stoul(query.at("page"));
    const bool one_statement = name == "jobs" || name == "issuers";
    std::size_t total = one_statement ? 0 : select(name, query).size();
    const Selection rows = select(name, query);
    if (one_statement) total = rows.size();

    Json data = Json::array();
    for (std::size_t i = (number - 1) * size; i < rows.size() && i < number * size; ++i) {
      data.push_back(projected(*rows[i], query));
    }
    if (name == "notifications") total = data.size();
    return {{"data", data.empty() ? Json() : data},
            {"total", total},
            {"page", number},
            {"per_page", size}};
  }

  static Json projected(const Json& row, const Query& query) {
    if (!query.contains("fields")) return row;
    Json kept = Json::object();
    const std::string fields = "," + query.at("fields") + ",";
    for (const auto& [key, value] : row.items()) {
      if (fields.find("," + key + ",") != std::string::npos) kept[key] = value;
    }
    return kept;
  }
};

struct Read {
  std::optional<Error> error;
  certctl::Counted counted;
  std::size_t requests = 0;
  bool costly = false;
};

inline Read read_all(certctl::Reading& reading, CertctlServer& server) {
  Read read;
  while (!reading.done()) {
    REQUIRE(++read.requests < 20'000);
    read.error = reading.take(server.get(reading.request()));
    if (read.error) return read;
  }
  read.counted = reading.finish();
  read.costly = reading.is_costly();
  return read;
}

inline Read read_all(CertctlCollector collector, CertctlServer& server,
                     const certctl::ReadingOptions& options = {}) {
  return read_all(*certctl::begin_reading(collector, options), server);
}

// The text must be an exposition that holds each series once.
inline Series series_of(const std::string& text) {
  const auto parsed = parse(text, {}, 1);
  INFO(text);
  REQUIRE(parsed.ok());
  Series series;
  for (const Sample& sample : parsed.value().samples) {
    std::string name(sample.name);
    char separator = '{';
    for (const Label& label : parsed.value().labels_of(sample)) {
      name += separator + std::string(label.name) + "=\"" + std::string(label.value) + '"';
      separator = ',';
    }
    if (sample.label_count > 0) name += '}';
    series[name] = std::stod(std::string(sample.value));
  }
  return series;
}

}  // namespace bao_exporter::test
