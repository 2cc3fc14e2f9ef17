#include "re2_matcher.h"

#include <re2/re2.h>

#include <utility>

#include "config_values.h"

namespace bao_exporter {

namespace {

constexpr std::int64_t kMemory = std::int64_t{8} << 20;

// In RE2's own words, but short and on one line: it quotes the part that it does not take.
Error refusal(const std::string& why) {
  return Error{ErrorCode::kConfig, "is no regular expression of RE2's (" + why + "); correct it"};
}

re2::StringPiece piece(std::string_view text) { return {text.data(), text.size()}; }

class Re2Matcher final : public Matcher {
 public:
  explicit Re2Matcher(const std::string& expression, const RE2::Options& options)
      : regex_(expression, options), pieces_(1) {
    if (regex_.ok()) pieces_ = regex_.NumberOfCapturingGroups() + 1;
  }

  [[nodiscard]] const RE2& regex() const { return regex_; }

  [[nodiscard]] bool match(std::string_view text) const override {
    return regex_.Match(piece(text), 0, text.size(), RE2::ANCHOR_BOTH, nullptr, 0);
  }

  [[nodiscard]] bool match(std::string_view text,
                           std::vector<std::string_view>& groups) const override {
    std::vector<re2::StringPiece> taken(static_cast<std::size_t>(pieces_));
    if (!regex_.Match(piece(text), 0, text.size(), RE2::ANCHOR_BOTH, taken.data(), pieces_)) {
      return false;
    }
    groups.clear();
    for (const re2::StringPiece& one : taken) groups.emplace_back(one.data(), one.size());
    return true;
  }

  [[nodiscard]] int group_of(std::string_view name) const override {
    const auto& groups = regex_.NamedCapturingGroups();
    const auto at = groups.find(std::string(name));
    return at == groups.end() ? -1 : at->second;
  }

 private:
  RE2 regex_;
  int pieces_;
};

// A \C that is not the end of a \\.
bool takes_bytes(const std::string& expression) {
  for (std::size_t at = 0; at + 1 < expression.size(); ++at) {
    if (expression[at] != '\\') continue;
    if (expression[++at] == 'C') return true;
  }
  return false;
}

// Prometheus takes (?<name>...) as (?P<name>...); this RE2 does not know it yet.
std::string with_old_names(const std::string& expression) {
  std::string out;
  bool in_class = false;
  for (std::size_t at = 0; at < expression.size(); ++at) {
    out += expression[at];
    if (expression[at] == '\\' && at + 1 < expression.size()) {
      out += expression[++at];
    } else if (expression[at] == '[') {
      in_class = true;
    } else if (expression[at] == ']') {
      in_class = false;
    } else if (!in_class && expression.compare(at, 3, "(?<") == 0) {
      out += "?P<";
      at += 2;
    }
  }
  return out;
}

}  // namespace

Result<std::shared_ptr<const Matcher>> make_re2_matcher(const std::string& expression) {
  if (takes_bytes(expression)) return refusal("no \\C: text is taken by characters, not by bytes");
  RE2::Options options;
  options.set_log_errors(false);
  options.set_dot_nl(true);
  options.set_max_mem(kMemory);
  auto matcher = std::make_shared<const Re2Matcher>(with_old_names(expression), options);
  if (!matcher->regex().ok()) return refusal(printable(matcher->regex().error()));
  return std::shared_ptr<const Matcher>(std::move(matcher));
}

}  // namespace bao_exporter
