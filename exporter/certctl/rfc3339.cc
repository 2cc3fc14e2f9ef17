#include "certctl/rfc3339.h"

#include <algorithm>
#include <array>
#include <chrono>

namespace bao_exporter::certctl {

namespace {

constexpr std::string_view kShape = "dddd-dd-ddTdd:dd:dd";

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// "dd:dd": each d a digit, anything else itself.
bool has_shape(std::string_view text, std::string_view shape) {
  return std::equal(text.begin(), text.end(), shape.begin(), shape.end(), [](char is, char wanted) {
    return wanted == 'd' ? is_digit(is) : is == wanted;
  });
}

int number_at(std::string_view text, std::size_t at, std::size_t digits) {
  int value = 0;
  for (const char c : text.substr(at, digits)) value = value * 10 + (c - '0');
  return value;
}

// "Z", "+01:30": seconds ahead of UTC.
std::optional<int> offset_of(std::string_view text) {
  if (text == "Z") return 0;
  if (!has_shape(text, "+dd:dd") && !has_shape(text, "-dd:dd")) return std::nullopt;
  const int hours = number_at(text, 1, 2);
  const int minutes = number_at(text, 4, 2);
  if (hours > 23 || minutes > 59) return std::nullopt;
  const int seconds = hours * 3600 + minutes * 60;
  return text[0] == '-' ? -seconds : seconds;
}

// ".734479023": how many bytes it is; nullopt: a point without digits.
std::optional<std::size_t> fraction_bytes(std::string_view text) {
  if (text.empty() || text[0] != '.') return 0;
  const auto* const end = std::find_if_not(text.begin() + 1, text.end(), is_digit);
  const auto bytes = static_cast<std::size_t>(end - text.begin());
  return bytes > 1 ? std::optional(bytes) : std::nullopt;
}

}  // namespace

std::optional<std::int64_t> unix_seconds_of(std::string_view text) {
  if (!has_shape(text.substr(0, kShape.size()), kShape)) return std::nullopt;
  const int hour = number_at(text, 11, 2);
  const int minute = number_at(text, 14, 2);
  const int second = number_at(text, 17, 2);
  const std::chrono::year_month_day date{
      std::chrono::year(number_at(text, 0, 4)),
      std::chrono::month(static_cast<unsigned>(number_at(text, 5, 2))),
      std::chrono::day(static_cast<unsigned>(number_at(text, 8, 2)))};
  if (!date.ok() || hour > 23 || minute > 59 || second > 59) return std::nullopt;

  const std::string_view rest = text.substr(kShape.size());
  const auto fraction = fraction_bytes(rest);
  if (!fraction) return std::nullopt;
  const auto offset = offset_of(rest.substr(*fraction));
  if (!offset) return std::nullopt;
  const std::int64_t days = std::chrono::sys_days(date).time_since_epoch().count();
  return ((days * 24 + hour) * 60 + minute) * 60 + second - *offset;
}

}  // namespace bao_exporter::certctl
