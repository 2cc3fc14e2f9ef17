#include "exposition/relabel_template.h"

#include <algorithm>
#include <optional>

#include "exposition/text_rules.h"

namespace bao_exporter {

namespace {

constexpr int kNoGroup = -2;  // named, and not there: nothing

// What stands after a $.
struct Reference {
  std::string_view name;
  std::string_view rest;
};

bool is_word(char c) { return text_rules::is_label_byte(c); }

std::optional<Reference> read_reference(std::string_view text) {
  const bool braced = text.starts_with('{');
  if (braced) text.remove_prefix(1);
  const auto length =
      static_cast<std::size_t>(std::find_if_not(text.begin(), text.end(), is_word) - text.begin());
  if (length == 0) return std::nullopt;
  Reference reference{text.substr(0, length), text.substr(length)};
  if (braced) {
    if (!reference.rest.starts_with('}')) return std::nullopt;
    reference.rest.remove_prefix(1);
  }
  return reference;
}

// A number without leading zeros, below what Go takes for one; else it is a name.
int group_number(std::string_view name, const Matcher* matcher) {
  constexpr int kTooLarge = 100'000'000;
  int number = 0;
  for (const char c : name) {
    if (!text_rules::is_digit(c) || number >= kTooLarge) {
      number = -1;
      break;
    }
    number = number * 10 + (c - '0');
  }
  if (name.size() > 1 && name.front() == '0') number = -1;
  if (number < 0 && matcher != nullptr) number = matcher->group_of(name);
  return number < 0 ? kNoGroup : number;
}

}  // namespace

RelabelTemplate::RelabelTemplate(std::string_view text, const Matcher* matcher) {
  for (auto at = text.find('$'); at != std::string_view::npos; at = text.find('$')) {
    add_text(text.substr(0, at));
    text.remove_prefix(at + 1);
    if (text.starts_with('$')) {
      add_text("$");
      text.remove_prefix(1);
    } else if (const auto reference = read_reference(text)) {
      parts_.push_back({{}, group_number(reference->name, matcher)});
      text = reference->rest;
    } else {
      add_text("$");
    }
  }
  add_text(text);
}

void RelabelTemplate::add_text(std::string_view text) {
  if (!text.empty()) parts_.push_back({std::string(text), -1});
}

void RelabelTemplate::expand(const std::vector<std::string_view>& groups, std::string& out) const {
  for (const Part& part : parts_) {
    if (part.group == -1) {
      out += part.text;
    } else if (part.group >= 0 && static_cast<std::size_t>(part.group) < groups.size()) {
      out += groups[static_cast<std::size_t>(part.group)];
    }
  }
}

bool RelabelTemplate::is_ambiguous(std::string_view text) {
  for (auto at = text.find('$'); at != std::string_view::npos; at = text.find('$', at)) {
    if (text.substr(++at).starts_with('$')) {
      ++at;
      continue;
    }
    if (text.substr(at).starts_with('{')) ++at;
    while (at < text.size() && is_word(text[at])) ++at;
    if (at < text.size() && static_cast<unsigned char>(text[at]) >= 0x80) return true;
  }
  return false;
}

}  // namespace bao_exporter
