// Names that are ours: labels and families that no upstream may send under.
#pragma once

#include <string>
#include <vector>

namespace bao_exporter {

inline std::vector<std::string> reserved_labels() {
  return {"cluster",
          "node_name",
          "instance",
          "pod",
          "node",
          "kubernetes_namespace",
          "node_role",
          "job",
          "scrape_profile",
          "certctl",
          "openbao_namespace",
          "seal_state_source"};
}

// Of each sample: who it is of, what it is called, and which part of a histogram or summary it is.
// Relabel rules can read these, and neither change nor remove them.
inline std::vector<std::string> fixed_labels() {
  return {"cluster",   "node_name", "instance",       "pod",      "node", "kubernetes_namespace",
          "node_role", "certctl",   "scrape_profile", "__name__", "le",   "quantile"};
}

inline std::vector<std::string> reserved_family_prefixes() {
  return {"bao_node_", "bao_cluster_", "bao_token_", "bao_exporter_", "certctl_state_"};
}

}  // namespace bao_exporter
