#include "certctl/jobs_by_status.h"

#include <algorithm>
#include <numeric>

namespace bao_exporter::certctl {

namespace {

constexpr const char* kWhat = "jobs";
constexpr int kTriesMax = 4;

ListReader<Job> list_at(std::string query) {
  return {{kWhat, {"/api/v1/jobs?" + std::move(query)}}, read_job};
}

std::string percent_encoded(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                       c == '_' || c == '-' || c == '.';
    if (plain) {
      out += c;
    } else {
      out += {'%', kDigits[byte >> 4U], kDigits[byte & 0xFU]};
    }
  }
  return out;
}

std::string total_of(const std::string& status) {
  return "/api/v1/jobs?status=" + percent_encoded(status) + "&page=1&per_page=1";
}

Error inconsistent(const std::string& why) {
  return Error{ErrorCode::kInconsistent, std::string(kWhat) +
                                             ": changed while they were counted, " +
                                             std::to_string(kTriesMax) + " times; at last: " + why};
}

std::string went(const std::string& what, std::size_t from, std::size_t to) {
  return what + " went from " + std::to_string(from) + " to " + std::to_string(to);
}

std::vector<std::string> words_of(const Vocabulary& vocabulary) {
  return {vocabulary.words.begin(), vocabulary.words.end()};
}

void learn(std::vector<std::string>& words, const std::string& word) {
  // As many as anybody has; each is a request.
  constexpr std::size_t kWordsMax = 32;
  const bool known = std::find(words.begin(), words.end(), word) != words.end();
  if (!known && words.size() < kWordsMax) words.push_back(word);
}

}  // namespace

JobsByStatus::JobsByStatus(std::size_t total, Rows newest)
    : statuses_(words_of(kJobStatuses)),
      types_(words_of(kJobTypes)),
      all_total_(total),
      newest_(std::move(newest)),
      list_(list_at("")) {
  begin_round();
}

std::string JobsByStatus::request() const {
  switch (stage_) {
    case Stage::kTypes:
      return total_of(status()) + "&type=" + percent_encoded(types_[type_totals_.size()]);
    case Stage::kStatusAgain:
      return total_of(status());
    default:
      return list_.request();
  }
}

std::optional<Error> JobsByStatus::take(std::string_view json) {
  if (stage_ == Stage::kList) return take_list(json);
  if (stage_ == Stage::kAllAgain) return take_all_again(json);
  const auto page = read_page(json, kWhat);
  if (!page.ok()) return page.error();
  return stage_ == Stage::kTypes ? take_type(page.value().total)
                                 : take_status_again(page.value().total);
}

void JobsByStatus::begin_round() {
  learn_words(newest_);
  counts_ = {};
  sum_ = 0;
  status_ = 0;
  begin_status();
}

void JobsByStatus::begin_status() {
  stage_ = Stage::kList;
  list_ = list_at("status=" + percent_encoded(status()) + "&");
}

void JobsByStatus::end_status(std::size_t rows) {
  sum_ += rows;
  if (++status_ < statuses_.size()) return begin_status();
  stage_ = Stage::kAllAgain;
  list_ = list_at("");
}

void JobsByStatus::learn_words(const Rows& rows) {
  for (const auto& [id, job] : rows) {
    learn(statuses_, job.status);
    learn(types_, job.type);
  }
}

std::optional<Error> JobsByStatus::take_list(std::string_view json) {
  if (auto error = list_.take(json)) return error;
  const auto is_other = [&](const auto& entry) { return entry.second.status != status(); };
  if (std::any_of(list_.rows().begin(), list_.rows().end(), is_other)) {
    return Error{ErrorCode::kProtocol,
                 std::string(kWhat) + ": jobs came that are not of the status asked for"};
  }
  learn_words(list_.rows());
  const std::size_t total = list_.walk().last_total();
  if (total > kRowsPerPage && !is_waiting(status())) {
    tries_ = 0;
    begin_types(total);
  } else if (list_.done()) {
    for (const auto& [id, job] : list_.rows()) counts_.add(job);
    end_status(list_.rows().size());
  }
  return std::nullopt;
}

void JobsByStatus::begin_types(std::size_t status_total) {
  stage_ = Stage::kTypes;
  status_total_ = status_total;
  type_totals_.clear();
}

std::optional<Error> JobsByStatus::take_type(std::size_t total) {
  type_totals_.push_back(total);
  if (type_totals_.size() == types_.size()) stage_ = Stage::kStatusAgain;
  return std::nullopt;
}

std::optional<Error> JobsByStatus::take_status_again(std::size_t total) {
  const std::size_t of_types =
      std::accumulate(type_totals_.begin(), type_totals_.end(), std::size_t{0});
  if (total != status_total_ || of_types > total) {
    if (++tries_ == kTriesMax) return inconsistent(went(status(), status_total_, total));
    begin_types(total);
    return std::nullopt;
  }
  for (std::size_t i = 0; i < types_.size(); ++i) counts_.add(types_[i], status(), type_totals_[i]);
  counts_.add_other(status(), total - of_types);
  end_status(total);
  return std::nullopt;
}

// States that nobody named (old rows in a spelling of their own) are found by being missing: the
// same number of jobs, twice.
bool JobsByStatus::adds_up(std::size_t total) {
  if (sum_ == total) return true;
  const std::size_t missing = sum_ < total ? total - sum_ : 0;
  const bool as_before = std::exchange(left_over_, missing) == missing;
  if (missing == 0 || !as_before) return false;
  counts_.add_other("other", missing);
  return true;
}

std::optional<Error> JobsByStatus::take_all_again(std::string_view json) {
  if (auto error = list_.take(json)) return error;
  const std::size_t total = list_.walk().last_total();
  const bool same = total == all_total_ && list_.rows() == newest_;
  const bool complete = adds_up(total);
  if (same && complete) {
    stage_ = Stage::kDone;
    return std::nullopt;
  }
  if (++rounds_ == kTriesMax) {
    if (total != all_total_) return inconsistent(went("the total", all_total_, total));
    return inconsistent(same ? "the states have " + std::to_string(sum_) + " of " +
                                   std::to_string(total) + " jobs"
                             : "the newest jobs changed");
  }
  all_total_ = total;
  newest_ = list_.rows();
  begin_round();
  return std::nullopt;
}

}  // namespace bao_exporter::certctl
