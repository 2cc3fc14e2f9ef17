#include "config_values.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <limits>

namespace bao_exporter {

namespace {

struct Unit {
  std::string_view name;
  std::int64_t factor;
};

constexpr std::array<Unit, 4> kDurationUnits = {
    {{"h", 3'600'000}, {"m", 60'000}, {"s", 1'000}, {"ms", 1}}};
constexpr std::array<Unit, 3> kSizeUnits = {{{"GiB", std::int64_t{1} << 30},
                                             {"MiB", std::int64_t{1} << 20},
                                             {"KiB", std::int64_t{1} << 10}}};

template <std::size_t N>
std::optional<std::int64_t> parse_with_unit(std::string_view text,
                                            const std::array<Unit, N>& units) {
  const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  constexpr std::size_t kDigitsMax = 11;  // 10^11 hours still fit in milliseconds
  if (digits == 0 || digits > kDigitsMax) return std::nullopt;
  std::int64_t number = 0;
  std::from_chars(text.data(), text.data() + digits, number);
  const auto unit = std::find_if(units.begin(), units.end(),
                                 [&](const Unit& u) { return u.name == text.substr(digits); });
  if (unit == units.end()) return std::nullopt;
  if (number > std::numeric_limits<std::int64_t>::max() / unit->factor) return std::nullopt;
  return number * unit->factor;
}

template <std::size_t N>
std::string format_with_unit(std::int64_t value, const std::array<Unit, N>& units) {
  for (const Unit& unit : units) {
    if (value != 0 && value % unit.factor == 0) {
      return std::to_string(value / unit.factor) + std::string(unit.name);
    }
  }
  return std::to_string(value);
}

bool is_alphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

// The bytes of the UTF-8 character at the start of `text`; 0 when it is not one.
std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
  };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0U) != 0x80) return 0;
  }
  if (first == 0xe0 && byte(1) < 0xa0) return 0;  // longer than needed
  if (first == 0xed && byte(1) > 0x9f) return 0;  // surrogates
  if (first == 0xf0 && byte(1) < 0x90) return 0;
  if (first == 0xf4 && byte(1) > 0x8f) return 0;  // above U+10FFFF
  return length;
}

}  // namespace

std::optional<Milliseconds> parse_duration(std::string_view text) {
  const auto value = parse_with_unit(text, kDurationUnits);
  if (!value) return std::nullopt;
  return Milliseconds(*value);
}

std::string format_duration(Milliseconds duration) {
  if (duration.count() == 0) return "0s";
  return format_with_unit(duration.count(), kDurationUnits);
}

std::optional<std::size_t> parse_size(std::string_view text) {
  const auto value = parse_with_unit(text, kSizeUnits);
  if (!value) return std::nullopt;
  return static_cast<std::size_t>(*value);
}

std::string format_size(std::size_t bytes) {
  return format_with_unit(static_cast<std::int64_t>(bytes), kSizeUnits);
}

bool is_name(std::string_view text) {
  constexpr std::size_t kNameBytesMax = 63;
  if (text.empty() || text.size() > kNameBytesMax || !is_alphanumeric(text.front())) return false;
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return is_alphanumeric(c) || c == '.' || c == '_' || c == '-'; });
}

std::string expand_variables(const ConfigEnvironment& environment, std::string& text) {
  std::string out;
  std::size_t done = 0;
  for (std::size_t at = text.find("${"); at != std::string::npos; at = text.find("${", done)) {
    out.append(text, done, at - done);
    const std::size_t end = text.find('}', at);
    if (end == std::string::npos) return "has a ${ without its }; close it";
    const std::string name = text.substr(at + 2, end - at - 2);
    if (name == "CREDENTIALS_DIRECTORY") {
      if (environment.credentials_directory.empty()) {
        return "needs ${CREDENTIALS_DIRECTORY}, which is not set; systemd sets it for a unit with "
               "LoadCredential=";
      }
      out += environment.credentials_directory;
    } else if (name == "NODE_NAME") {
      if (environment.node_name.empty()) {
        return "needs ${NODE_NAME}, which is not set; set it from spec.nodeName in the pod";
      }
      out += environment.node_name;
    } else {
      return "may contain ${CREDENTIALS_DIRECTORY} and ${NODE_NAME} and no other ${...}; write the "
             "value itself";
    }
    done = end + 1;
  }
  out.append(text, done);
  text = std::move(out);
  return {};
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before(b.size() + 1);
  std::vector<std::size_t> above(b.size() + 1);
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) above[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = above[j - 1] + (a[i - 1] == b[j - 1] ? 0U : 1U);
      row[j] = std::min({replaced, above[j] + 1, row[j - 1] + 1});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before[j - 2] + 1);
      }
    }
    before.swap(above);
    above.swap(row);
  }
  return above[b.size()];
}

std::string nearest_word(std::string_view word, const std::vector<std::string>& known) {
  constexpr std::size_t kWordBytesMax = 64;
  constexpr std::size_t kPartBytesMin = 3;
  if (word.size() > kWordBytesMax) return {};
  std::string nearest;
  std::size_t least = std::max<std::size_t>(1, word.size() / 3) + 1;
  for (const std::string& candidate : known) {
    const std::size_t distance = edit_distance(word, candidate);
    if (distance >= least) continue;
    least = distance;
    nearest = candidate;
  }
  if (!nearest.empty() || word.size() < kPartBytesMin) return nearest;
  // Half a name ("url" for "api_url") is further away than that, but as clear.
  for (const std::string& candidate : known) {
    if (candidate.find(word) != std::string::npos) return candidate;
    if (word.find(candidate) != std::string_view::npos) return candidate;
  }
  return {};
}

int first_line_not_utf8(std::string_view text) {
  int line = 1;
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    if (length == 0) return line;
    if (text.front() == '\n') ++line;
    text.remove_prefix(length);
  }
  return 0;
}

bool has_control_character(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7f;
  });
}

std::string printable(std::string_view text) {
  constexpr std::size_t kShownBytesMax = 200;
  std::string out(text.substr(0, kShownBytesMax));
  for (char& c : out) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte >= 0x7f) c = '?';
  }
  if (text.size() > kShownBytesMax) out += "...";
  return out;
}

}  // namespace bao_exporter
