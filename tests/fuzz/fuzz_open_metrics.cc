// Any exposition that we take, as OpenMetrics: the same samples with the same values, in families
// that stand together, each once, of names that no two of them have.
#include <cstdlib>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "bao_exporter/exposition.h"
#include "bao_exporter/format.h"
#include "bao_exporter/open_metrics.h"
#include "fuzz/fuzz_target.h"

namespace {

using namespace bao_exporter;  // NOLINT(google-build-using-namespace)

void require(bool condition) {
  if (!condition) std::abort();
}

std::multiset<std::string> lines_of(const Exposition& exposition) {
  std::multiset<std::string> lines;
  for (const Sample& sample : exposition.samples) {
    std::string line;
    append_sample(line, exposition, sample);
    line.pop_back();
    lines.insert(line);
  }
  return lines;
}

// The name that the text begins with, in quotes or not; it goes.
std::string_view take_name(std::string_view& text) {
  const bool quoted = text.starts_with('"');
  if (quoted) text.remove_prefix(1);
  std::size_t end = 0;
  while (end < text.size() && text[end] != '"' &&
         (quoted || (text[end] != '{' && text[end] != ' '))) {
    end += text[end] == '\\' ? 2 : 1;
  }
  const std::string_view name = text.substr(0, end);
  text.remove_prefix(end + (quoted ? 1 : 0));
  return name;
}

bool belongs(std::string_view sample, std::string_view family, std::string_view type) {
  if (!sample.starts_with(family)) return false;
  const std::string_view suffix = sample.substr(family.size());
  if (type == "counter") return suffix == "_total";
  if (suffix.empty()) return type != "histogram";
  if (type != "summary" && type != "histogram") return false;
  return suffix == "_sum" || suffix == "_count" || (type == "histogram" && suffix == "_bucket");
}

// A reader of what is written, as strict as OpenMetrics wants one, but for numbers.
class Reader {
 public:
  void read(std::string_view text) {
    while (!text.empty()) {
      const std::size_t end = text.find('\n');
      require(end != std::string_view::npos && !ended_);
      take(text.substr(0, end));
      text.remove_prefix(end + 1);
    }
    require(ended_);
  }
  [[nodiscard]] const std::multiset<std::string>& samples() const { return samples_; }

 private:
  void take(std::string_view line) {
    if (line == "# EOF") {
      ended_ = true;
    } else if (line.starts_with("# HELP ")) {
      take_help(line.substr(7));
    } else if (line.starts_with("# TYPE ")) {
      take_type(line.substr(7));
    } else {
      require(!line.empty() && line.front() != '#' && !type_.empty());
      std::string_view rest = line.substr(line.starts_with("{\"") ? 1 : 0);
      require(belongs(take_name(rest), family_, type_));
      samples_.insert(std::string(line));
    }
  }
  void take_help(std::string_view rest) {
    helped_ = take_name(rest);
    const std::string_view help = rest.substr(1);
    for (std::size_t i = 0; i < help.size(); ++i) {
      require(help[i] != '"');
      if (help[i] != '\\') continue;
      ++i;
      require(i < help.size() && (help[i] == '\\' || help[i] == 'n' || help[i] == '"'));
    }
  }
  void take_type(std::string_view rest) {
    family_ = take_name(rest);
    type_ = rest.substr(1);
    require(helped_.empty() || helped_ == family_);
    helped_.clear();
    static const std::map<std::string, std::vector<std::string>, std::less<>> kSuffixes = {
        {"counter", {"", "_total", "_created"}},
        {"gauge", {""}},
        {"unknown", {""}},
        {"summary", {"", "_count", "_sum", "_created"}},
        {"histogram", {"", "_count", "_sum", "_bucket", "_created"}}};
    const auto known = kSuffixes.find(type_);
    require(known != kSuffixes.end());
    for (const std::string& suffix : known->second) require(names_.insert(family_ + suffix).second);
  }

  std::string helped_;
  std::string family_;
  std::string type_;
  std::set<std::string> names_;
  std::multiset<std::string> samples_;
  bool ended_ = false;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);  // NOLINT
  constexpr std::size_t kMost = 1U << 30U;
  const auto before = parse(text, {kMost, kMost, kMost, kMost}, 1);
  const auto converted = open_metrics(text, 2);
  require(converted.ok() == (before.ok() || text.empty()));
  if (!before.ok()) return 0;
  Reader reader;
  reader.read(converted.value());
  require(reader.samples() == lines_of(before.value()));
  return 0;
}
