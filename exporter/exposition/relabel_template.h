// The text of `replacement` and `target_label`, with $1, ${1} and ${name} for what a regular
// expression took: the rules of Go's regexp.Expand.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "bao_exporter/relabel.h"

namespace bao_exporter {

class RelabelTemplate {
 public:
  RelabelTemplate() = default;
  // `matcher`: null where there is none, then there are no groups. A group that is not there is
  // empty.
  RelabelTemplate(std::string_view text, const Matcher* matcher);

  // Appends. `groups` as Matcher::match gives them.
  void expand(const std::vector<std::string_view>& groups, std::string& out) const;

  // "$1x" is the group "1x" and "$1é" depends on what Unicode calls a letter: the second is
  // refused.
  [[nodiscard]] static bool is_ambiguous(std::string_view text);

 private:
  struct Part {
    std::string text;
    int group = -1;  // not -1: this, and text is empty
  };
  void add_text(std::string_view text);

  std::vector<Part> parts_;
};

}  // namespace bao_exporter
