"""What our /metrics must say of a node, worked out anew from the node's own exposition."""

from __future__ import annotations

import dataclasses
import re

from cluster import Cluster
from exporter_process import ClusterEntry, Exporter, NodeEntry, instance, wait_until
from exposition import Exposition, Family, Sample

IDENTITY = ["cluster", "node_name", "instance", "scrape_profile"]
RESERVED = {*IDENTITY, "pod", "kubernetes_namespace", "node", "node_role", "job", "certctl"}
OURS = ("bao_node_", "bao_cluster_", "bao_token_", "bao_exporter_", "certctl_state_")
PREFIX = "(?:vault|openbao)_"
LEADER_ONLY = re.compile(
    PREFIX + r"(?:autopilot_.*|raft_peers|raft_leader_.*|raft_replication_.*|raft_commitNumLogs"
    r"|raft_storage_follower_.*|expire_num_.*|expire_leases_by_expiration|token_count.*|secret_kv_count|core_mount_table_.*)"
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


def identity(cluster: ClusterEntry, node: NodeEntry) -> dict[str, str]:
    names = {"cluster": cluster.cluster, "node_name": node.name, "instance": instance(node)}
    return {**names, "scrape_profile": "all_nodes"}


def upstream_samples(ours: Exposition, node: str) -> list[Sample]:
    """What we serve of that node's own samples."""
    return [
        sample
        for family in ours.families.values()
        if not family.name.startswith(OURS)
        for sample in family.samples
        if sample.labels.get("node_name") == node
    ]


def total(ours: Exposition, name: str, node: str) -> int:
    return sum(int(sample.value) for sample in ours.samples(name, node_name=node))


@dataclasses.dataclass(frozen=True)
class OnePoll:
    """One poll of every node, and every node's own answer just before and just after it."""

    before: list[Exposition]
    ours: Exposition
    after: list[Exposition]
    dropped: list[int]  # what bao_node_samples_dropped_total of each node grew by


def one_poll(cluster: Cluster, exporter: Exporter, timeout: float = 90.0) -> OnePoll:
    """A poll around which the cluster was quiet: each node had the same series before and after.
    The nodes' own answers come from their metrics_only listeners, which we do not poll."""
    names = [node.name for node in cluster.nodes]

    def own() -> list[Exposition]:
        return [Exposition(cluster.metrics(i)) for i in range(len(names))]

    def counts(ours: Exposition, name: str) -> list[int]:
        return [total(ours, name, node) for node in names]

    def polls(ours: Exposition) -> list[int]:
        return counts(ours, "bao_node_polls_total")

    def next_round(last: Exposition) -> Exposition:
        """The next one that is published; nodes are all polled in a round."""
        have = polls(last)
        latest = [last]

        def all_polled() -> bool:
            latest[0] = exporter.scrape()
            return all(now > before for now, before in zip(polls(latest[0]), have))

        wait_until("the next round", all_polled)
        return latest[0]

    def quiet() -> OnePoll:
        first = next_round(exporter.scrape())  # so the next poll is an interval away
        before = own()
        second = next_round(first)
        after = own()
        assert polls(second) == [count + 1 for count in polls(first)], "a round slipped between"
        for one, other in zip(before, after):
            assert {s.series for s in one.samples()} == {s.series for s in other.samples()}, "series came or went"
        name = "bao_node_samples_dropped_total"
        dropped = [now - then for now, then in zip(counts(second, name), counts(first, name))]
        return OnePoll(before, second, after, dropped)

    return wait_until("a quiet round", quiet, timeout)


# Gauges of a Go process that rise and fall by themselves, so that two equal reads do not tell that
# they stayed: connections, goroutines, memory.
_RESTLESS = re.compile(r"go_.*|process_open_fds|process_(?:resident|virtual)_memory_.*|(?:vault|openbao)_runtime_.*")


def unmoved(before: Exposition, after: Exposition) -> list[Sample]:
    """Counters and gauges that did not move between two reads of a node, and the sums and counts
    of summaries that observed nothing between them."""
    values = {sample.series: sample.value for sample in after.samples()}

    def stayed(sample: Sample) -> bool:
        return values.get(sample.series) == sample.value

    found = []
    for family in before.families.values():
        if family.type in ("counter", "gauge") and not _RESTLESS.fullmatch(family.name):
            found += filter(stayed, family.samples)
        counts = [s for s in family.samples if family.type == "summary" and s.name == f"{family.name}_count"]
        for count in filter(stayed, counts):
            sums = [s for s in family.samples if s.name == f"{family.name}_sum" and s.labels == count.labels]
            found += [count, *sums]
    return found


def check_node(poll: OnePoll, i: int, entry: ClusterEntry, *, active: bool) -> None:
    """What we serve of node i is what it told: no series more or less, under its identity, values
    to the byte, and what is missing is counted."""
    us = identity(entry, entry.nodes[i])
    told = poll.before[i]
    expected = {
        relabelled(sample, us).series
        for family in told.families.values()
        if active or not is_leader_only(family)
        for sample in family.samples
    }
    served = {sample.series: sample.value for sample in upstream_samples(poll.ours, entry.nodes[i].name)}
    assert served.keys() == expected
    assert len(told.samples()) - len(served) == poll.dropped[i]

    compared = 0
    for sample in unmoved(told, poll.after[i]):
        out = relabelled(sample, us)
        if out.series in served:
            assert served[out.series] == sample.value, out
            compared += 1
    assert compared > 100, "too few samples stayed to say anything"

    for name, family in told.families.items():
        if active or not is_leader_only(family):
            assert (poll.ours.families[name].type, poll.ours.families[name].help) == (family.type, family.help)
