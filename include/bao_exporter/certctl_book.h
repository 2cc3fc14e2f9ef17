// The book on every certctl server, where publications are made: its newest view.
//
// Threads: the build thread only.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bao_exporter/certctl_view.h"
#include "bao_exporter/config.h"
#include "bao_exporter/merge.h"
#include "bao_exporter/snapshot.h"

namespace bao_exporter {

class CertctlBook {
 public:
  explicit CertctlBook(const Config& config) { replace(config); }

  // From now on these servers. What is known of one that keeps its name and its URL stays.
  void replace(const Config& config);

  // What is known of each, in the place of what was known before; of one that is not among them,
  // what was known stays. Of servers that are not configured nothing is taken.
  void note(const CertctlViews& views);

  // Every server was polled at least once.
  [[nodiscard]] bool complete() const;

  // Appends the parts to merge: of each server its own families, then those of its state, ranks
  // from `rank` on in the order of the configuration.
  void add_sources(std::vector<MergeSource>& sources, std::uint32_t rank, TimePoint now);

  // Logs, once for each family, what of the sources added last is not served. `before`: how many
  // sources of others were merged before them.
  void note_lost(const Merged& merged, std::size_t before);

  // What the paths of single servers and service discovery say of each.
  [[nodiscard]] std::vector<ServedCertctl> views(TimePoint now) const;

 private:
  struct Server {
    std::string name;
    std::string url;
    std::vector<std::pair<std::string, std::string>> labels;
    std::shared_ptr<const CertctlView> view;  // null: not polled yet
    std::shared_ptr<const ServedText> text;   // null: its path does not serve it
    std::set<std::string, std::less<>> told;  // families and causes that were logged
  };
  static void warn_once(Server& server, std::string_view cause, std::string_view family);
  static void warn_of_dropped(Server& server);

  std::vector<Server> servers_;
  std::vector<std::size_t> added_;  // whose each source is that was added last
};

}  // namespace bao_exporter
