"""What our /metrics must say of a node, worked out anew from the node's own exposition and the
promises in docs: by the text of the promises, not by the exporter's code."""

from __future__ import annotations

import re

from exposition import Family, Sample

IDENTITY = ["cluster", "node_name", "instance", "scrape_profile"]
RESERVED = {*IDENTITY, "pod", "kubernetes_namespace", "node", "node_role", "job", "certctl"}
OURS = ("bao_node_", "bao_cluster_", "bao_token_", "bao_exporter_", "certctl_state_")
PREFIX = "(?:vault|openbao)_"
LEADER_ONLY = re.compile(
    PREFIX + r"(?:autopilot_.*|raft_peers|raft_leader_.*|raft_replication_.*|raft_commitNumLogs|raft_storage_follower_.*"
    r"|expire_num_.*|expire_leases_by_expiration|token_count.*|secret_kv_count|core_mount_table_.*)"
)
LEADER_ONLY_GAUGE = re.compile(PREFIX + r"identity_.*_count")


def is_leader_only(family: Family) -> bool:
    if LEADER_ONLY.fullmatch(family.name):
        return True
    return family.type == "gauge" and bool(LEADER_ONLY_GAUGE.fullmatch(family.name))


def relabelled(sample: Sample, identity: dict[str, str]) -> Sample:
    """The node's sample as we must serve it."""
    labels = dict(identity)
    for name, value in sample.labels.items():
        if name == "cluster":
            continue  # OpenBao's own name of the cluster; bao_node_info has it
        if name == "namespace":
            name = "openbao_namespace"
        elif name in RESERVED or name.startswith("__"):
            name = f"exported_{name}"
        labels[name] = value
    if re.fullmatch(PREFIX + "core_unsealed", sample.name):
        labels["seal_state_source"] = "cluster" if sample.labels.get("cluster") else "startup"
    return Sample(sample.name, labels, sample.value)
