#include "exposition/out_labels.h"

#include <algorithm>
#include <iterator>

#include "bao_exporter/format.h"
#include "exposition/names.h"

namespace bao_exporter {

namespace {
constexpr const char* kExported = "exported_";
}  // namespace

bool is_reserved_label(const RelabelPlan& plan, std::string_view name) {
  return name.starts_with("__") ||
         std::find(plan.reserved_labels.begin(), plan.reserved_labels.end(), name) !=
             plan.reserved_labels.end();
}

bool OutLabels::assign(std::span<const Label> labels, bool state_label) {
  out_.clear();
  made_.clear();
  removed_ = {};
  bool ambiguous = false;
  for (const Label& label : labels) {
    ambiguous |= label.value.empty();
    if (!plan_.removed_label.empty() && label.name == plan_.removed_label) {
      removed_ = label.value;
    } else {
      out_.push_back({new_name(label.name), label.value});
    }
  }
  ambiguous |= rename_quoted();
  for (Label& label : out_) {
    if (!is_reserved_label(plan_, label.name) || is_rename_target(label.name)) continue;
    label.name = exported(label.name);
    ambiguous = true;
  }
  if (state_label) out_.push_back({plan_.state_label, removed_.empty() ? "startup" : "cluster"});
  return ambiguous;
}

std::string OutLabels::key(std::string_view sample_name) const {
  std::vector<Label> sorted;
  std::copy_if(out_.begin(), out_.end(), std::back_inserter(sorted),
               [](const Label& label) { return !label.value.empty(); });
  std::sort(sorted.begin(), sorted.end(),
            [](const Label& a, const Label& b) { return a.name < b.name; });
  std::string key(sample_name);
  for (const Label& label : sorted) {
    key += '\0';
    key += label.name;
    key += '\0';
    key += label.value;
  }
  return key;
}

void OutLabels::append_head(std::string& out, std::string_view sample_name) const {
  out += sample_name;
  char separator = '{';
  if (!plan_.identity.empty()) {
    out += separator;
    out += plan_.identity;
    separator = ',';
  }
  append_labels(out, out_, separator);
  if (!out_.empty() || separator == ',') out += '}';
  out += ' ';
}

std::string_view OutLabels::new_name(std::string_view name) const {
  for (const auto& [from, to] : plan_.renamed_labels) {
    if (name == from) return to;
  }
  return name;
}

// A label that has its reserved name from our renaming keeps it; the node's own does not. Equal
// bytes cannot tell the two apart, the place of the bytes can.
bool OutLabels::is_rename_target(std::string_view name) const {
  return std::any_of(plan_.renamed_labels.begin(), plan_.renamed_labels.end(),
                     [&](const auto& rename) { return name.data() == rename.second.data(); });
}

bool OutLabels::has(std::string_view name) const {
  return std::any_of(out_.begin(), out_.end(),
                     [&](const Label& label) { return label.name == name; });
}

// Names that only quotes allow, in an order that is not the sender's. False: there are none. Of a
// third one that is served as the same name, and of all after it, nothing is left: longer and longer
// names for them would let a sender make much of little.
bool OutLabels::rename_quoted() {
  std::vector<Label*> quoted;
  for (Label& label : out_) {
    if (!is_label_name(label.name)) quoted.push_back(&label);
  }
  std::sort(quoted.begin(), quoted.end(),
            [](const Label* a, const Label* b) { return a->name < b->name; });
  for (Label* label : quoted) {
    std::string served = served_label_name(label->name);
    if (has(served)) served.insert(0, kExported);
    label->name = has(served) ? std::string_view() : made_.emplace_back(std::move(served));
  }
  std::erase_if(out_, [](const Label& label) { return label.name.empty(); });
  return !quoted.empty();
}

std::string_view OutLabels::exported(std::string_view name) {
  std::string made = kExported + std::string(name);
  while (has(made)) made.insert(0, kExported);
  return made_.emplace_back(std::move(made));
}

}  // namespace bao_exporter
