"""What is served of every node after a failover, to the byte. How failovers are told, and when:
test_failovers.py.

The cluster is this file's own."""

import pytest
from cluster import Cluster
from exporter_process import Exporter, openbao
from exposition import Exposition
from samples import check_node, is_leader_only, one_poll, upstream_samples
from watch import NODES, POLL, Watch, failovers, gauges_of_the_leader, wait_well


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    # The gauges that are counted once in a period shall be there early.
    with Cluster.start(
        tmp_path_factory.mktemp("openbao"), die_with_parent=True, usage_gauge_period="2s", max_lifetime_s=600
    ) as cluster:
        yield cluster


def test_step_down_leaves_no_gauge_of_the_leader_behind(own, tmp_path):
    leader_gauges = gauges_of_the_leader(own)
    with Exporter(tmp_path, [openbao(own)], authority=own, poll=POLL) as exporter:
        old = wait_well(exporter, own)
        before = failovers(exporter)
        with Watch(exporter, leader_gauges) as watch:
            watch.wait_more(5)
            assert own.step_down() == old
            new = own.wait_active(other_than=old)
            wait_well(exporter, own, new)
            watch.wait_more(5)
        watch.check()
        assert watch.actives() == [NODES[old], NODES[new]]
        assert failovers(exporter) == before + 1

        # The node that was active keeps telling its old gauges; nobody is told them by us.
        left_behind = leader_gauges & Exposition(own.metrics(old)).families.keys()
        assert {"vault_autopilot_healthy", "vault_raft_peers"} <= left_behind
        poll = one_poll(own, exporter)
    for i, node in enumerate(NODES):
        families = {sample.name for sample in upstream_samples(poll.ours, node)}
        if i != new:
            assert families & leader_gauges == set()
    # And the leader's own are there.
    assert poll.ours.samples("vault_raft_peers", node_name=NODES[new])

    # Everything else of every node is, to the byte, and what is dropped is counted.
    for i in range(3):
        check_node(poll, i, openbao(own), active=i == new)
    expected = sum(len(f.samples) for f in poll.before[old].families.values() if is_leader_only(f))
    assert poll.dropped[old] == expected > 10
    grown = [s.labels["cause"] for s in poll.ours.samples("bao_node_samples_dropped_total") if s.value != "0"]
    assert set(grown) == {"leader_only"}
