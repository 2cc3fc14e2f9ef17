#include "bao_exporter/certctl_book.h"

#include <algorithm>
#include <utility>

#include "bao_exporter/log.h"
#include "certctl/relabel.h"

namespace bao_exporter {

namespace {

constexpr std::size_t kToldMax = 50;  // of one server: its names are its own to choose

ErrorCode reason_at(const CertctlView* view, TimePoint now) {
  if (view == nullptr) return ErrorCode::kNotPolled;
  return now > view->valid_until ? ErrorCode::kOverdue : view->reason;
}

void append_own_text(Rope& rope, const std::shared_ptr<const NodePart>& part) {
  if (part == nullptr) return;
  for (const std::string_view slice : part->own_text()) rope.append(slice);
  rope.own(part);
}

std::shared_ptr<const ServedText> text_of(const CertctlView& view) {
  if (view.reason != ErrorCode::kOk) return nullptr;
  Rope rope;
  append_own_text(rope, view.upstream);
  append_own_text(rope, view.state);
  return std::make_shared<const ServedText>(std::move(rope));
}

}  // namespace

void CertctlBook::replace(const Config& config) {
  std::vector<Server> before = std::exchange(servers_, {});
  added_.clear();
  for (const CertctlConfig& wanted : config.certctls) {
    const auto old = std::find_if(before.begin(), before.end(), [&](const Server& server) {
      return server.name == wanted.name && server.url == wanted.url;
    });
    servers_.push_back(old != before.end() ? std::move(*old) : Server{});
    servers_.back().name = wanted.name;
    servers_.back().url = wanted.url;
    servers_.back().labels = certctl_labels(wanted);
  }
}

void CertctlBook::note(const CertctlViews& views) {
  for (Server& server : servers_) {
    const auto at = std::find_if(views.begin(), views.end(),
                                 [&](const auto& view) { return view->name == server.name; });
    // None: it was begun anew by a reload, and has nothing to tell yet.
    if (at == views.end() || *at == server.view) continue;
    server.view = *at;
    server.text = text_of(*server.view);
    warn_of_dropped(server);
  }
}

bool CertctlBook::complete() const {
  return std::all_of(servers_.begin(), servers_.end(), [](const Server& server) {
    return server.view != nullptr && server.view->reason != ErrorCode::kNotPolled;
  });
}

void CertctlBook::add_sources(std::vector<MergeSource>& sources, std::uint32_t rank,
                              TimePoint now) {
  added_.clear();
  const auto add = [&](std::size_t server, std::uint32_t at,
                       const std::shared_ptr<const NodePart>& part) {
    if (part == nullptr) return;
    sources.push_back({at, part});
    added_.push_back(server);
  };
  for (std::size_t i = 0; i < servers_.size(); ++i, rank += 2) {
    const CertctlView* view = servers_[i].view.get();
    const ErrorCode reason = reason_at(view, now);
    if (view == nullptr || reason == ErrorCode::kOverdue) continue;
    if (reason == ErrorCode::kOk) add(i, rank, view->upstream);
    add(i, rank + 1, view->state);
  }
}

void CertctlBook::note_lost(const Merged& merged, std::size_t before) {
  for (const LostFamily& lost : merged.lost) {
    if (lost.source < before) continue;
    warn_once(servers_[added_[lost.source - before]], drop_cause_name(DropCause::kTypeConflict),
              lost.name);
  }
}

// For a family that lost, or for a cause of which the part tells no families.
void CertctlBook::warn_once(Server& server, std::string_view cause, std::string_view family) {
  const std::string_view key = family.empty() ? cause : family;
  if (server.told.size() >= kToldMax || !server.told.emplace(key).second) return;
  log::warn(
      "samples of certctl are not served",
      {{"certctl", server.name}, {"cause", std::string(cause)}, {"family", std::string(family)}});
}

void CertctlBook::warn_of_dropped(Server& server) {
  if (server.view->upstream == nullptr) return;
  const DropCounts& dropped = server.view->upstream->dropped();
  for (std::size_t i = 0; i < dropped.size(); ++i) {
    if (dropped[i] > 0) warn_once(server, drop_cause_name(static_cast<DropCause>(i)), {});
  }
}

std::vector<ServedCertctl> CertctlBook::views(TimePoint now) const {
  std::vector<ServedCertctl> views;
  for (const Server& server : servers_) {
    ServedCertctl served;
    served.name = server.name;
    served.labels = server.labels;
    served.reason = reason_at(server.view.get(), now);
    if (server.view != nullptr) served.valid_until = server.view->valid_until;
    if (served.reason == ErrorCode::kOk) served.text = server.text;
    views.push_back(std::move(served));
  }
  return views;
}

}  // namespace bao_exporter
