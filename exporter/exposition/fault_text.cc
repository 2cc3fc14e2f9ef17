#include "exposition/fault_text.h"

#include <algorithm>
#include <string>

#include "exposition/text_rules.h"

namespace bao_exporter {

namespace {

std::size_t line_begin_before(std::string_view text, std::size_t offset) {
  const std::size_t newline = text.substr(0, offset).rfind('\n');
  return newline == std::string_view::npos ? 0 : newline + 1;
}

Error error_in(std::string_view text, std::size_t offset, ErrorCode code, std::string_view what) {
  const std::size_t begin = line_begin_before(text, offset);
  return error_at(text, begin, Fault{code, offset - begin + 1, what});
}

}  // namespace

Error error_at(std::string_view text, std::size_t line_begin, const Fault& fault) {
  const std::string_view before = text.substr(0, line_begin);
  const auto line = std::count(before.begin(), before.end(), '\n') + 1;
  return Error{fault.code, "line " + std::to_string(line) + ", column " +
                               std::to_string(fault.column) + ": " + std::string(fault.what)};
}

Error duplicate_error(std::string_view text, std::size_t at) {
  const std::size_t begin = text.find_first_not_of(" \t", line_begin_before(text, at));
  return error_in(text, begin, ErrorCode::kDuplicateSeries, "this series was given before");
}

std::optional<Error> truncation(std::string_view text) {
  if (!text.empty() && text.back() == '\n') return std::nullopt;
  return error_in(text, text.size(), ErrorCode::kTruncated, "the body does not end with a newline");
}

std::optional<Error> illegal_byte(std::string_view text, std::size_t from) {
  const std::size_t bad = text_rules::find_illegal_byte(text.substr(from));
  if (bad == std::string_view::npos) return std::nullopt;
  return error_in(text, from + bad, ErrorCode::kMalformed,
                  "a NUL byte, a carriage return or invalid UTF-8");
}

}  // namespace bao_exporter
