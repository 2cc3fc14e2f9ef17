// Small words that the checks share.
#include <array>
#include <chrono>
#include <cstdio>

#include "doctor/checks.h"

namespace bao_exporter::doctor {

namespace {

constexpr std::size_t kNamesMax = 4;

// Bytes of a node (names in a certificate, a version) must not reach a terminal as they are.
std::string printable(const std::string& text) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f) {
      out += c;
    } else {
      out += "\\x";
      out += kDigits[byte >> 4U];
      out += kDigits[byte & 15U];
    }
  }
  return out;
}

}  // namespace

void Findings::add(std::string_view check, CheckResult result, std::optional<ErrorCode> reason,
                   const std::string& finding, const std::string& remedy) {
  list_.push_back({std::string(check), result, reason, printable(finding), printable(remedy)});
}

void Findings::ok(std::string_view check, const std::string& finding) {
  add(check, CheckResult::kOk, std::nullopt, finding, {});
}

void Findings::warn(std::string_view check, const std::string& finding, const std::string& remedy,
                    std::optional<ErrorCode> reason) {
  add(check, CheckResult::kWarn, reason, finding, remedy);
}

void Findings::fail(std::string_view check, const std::string& finding, const std::string& remedy,
                    std::optional<ErrorCode> reason) {
  add(check, CheckResult::kFail, reason, finding, remedy);
}

void Findings::fail(std::string_view check, ErrorCode reason, const std::string& finding) {
  add(check, CheckResult::kFail, reason, finding, std::string(reason_remedy(reason)));
}

std::string duration_words(std::int64_t seconds) {
  if (seconds < 120) return std::to_string(seconds) + " s";
  if (seconds < 7'200) return std::to_string(seconds / 60) + " min";
  if (seconds < 48 * 3'600) return std::to_string(seconds / 3'600) + " h";
  return std::to_string(seconds / 86'400) + " days";
}

std::string date_words(std::int64_t unix_seconds) {
  const std::chrono::sys_seconds time{std::chrono::seconds(unix_seconds)};
  const std::chrono::year_month_day date{std::chrono::floor<std::chrono::days>(time)};
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%04d-%02u-%02u", static_cast<int>(date.year()),
                static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()));
  return text.data();
}

std::string list_words(const std::vector<std::string>& names) {
  std::string words;
  for (std::size_t i = 0; i < names.size() && i < kNamesMax; ++i) {
    words += (i == 0 ? "" : ", ") + names[i];
  }
  if (names.size() > kNamesMax) {
    words += " and " + std::to_string(names.size() - kNamesMax) + " more";
  }
  return words;
}

}  // namespace bao_exporter::doctor
