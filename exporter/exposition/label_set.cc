#include "exposition/label_set.h"

#include <algorithm>

namespace bao_exporter {

namespace {

auto find_name(std::vector<LabelSet::Entry>& entries, std::string_view name) {
  return std::find_if(entries.begin(), entries.end(),
                      [&](const LabelSet::Entry& entry) { return entry.name == name; });
}

const LabelSet::Entry* look_up(const std::vector<LabelSet::Entry>& entries, std::string_view name) {
  for (const LabelSet::Entry& entry : entries) {
    if (entry.name == name) return &entry;
  }
  return nullptr;
}

}  // namespace

void LabelSet::clear() {
  came_.clear();
  set_.clear();
  kept_.clear();
  places_ = 0;
  changed_ = false;
}

void LabelSet::add(std::string_view name, std::string_view value, bool fixed) {
  came_.push_back({name, value, places_++, fixed});
}

void LabelSet::sort() {
  std::sort(came_.begin(), came_.end(),
            [](const Entry& a, const Entry& b) { return a.name < b.name; });
}

std::string_view LabelSet::get(std::string_view name) const {
  if (const Entry* entry = look_up(set_, name)) return entry->value;
  if (const Entry* entry = look_up(came_, name)) return entry->value;
  return {};
}

void LabelSet::set(std::string_view name, std::string_view value) {
  if (value.empty()) return remove(name);
  if (const auto at = find_name(set_, name); at != set_.end()) {
    if (at->value == value) return;
    at->value = keep(std::string(value));
    changed_ = true;
    return;
  }
  Entry entry{{}, {}, places_, false};
  if (const auto at = find_name(came_, name); at != came_.end()) {
    entry = *at;
    came_.erase(at);
  } else {
    ++places_;
    entry.name = keep(std::string(name));
  }
  if (entry.value != value) {
    entry.value = keep(std::string(value));
    changed_ = true;
  }
  set_.push_back(entry);
}

void LabelSet::remove(std::string_view name) {
  for (std::vector<Entry>* entries : {&set_, &came_}) {
    const auto at = find_name(*entries, name);
    if (at == entries->end()) continue;
    entries->erase(at);
    changed_ = true;
    return;
  }
}

}  // namespace bao_exporter
