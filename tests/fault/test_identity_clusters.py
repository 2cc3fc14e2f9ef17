"""Nodes that show what a server of another cluster is.

Who is refused has no samples, is down and says why. See prove_refused().
"""

import time

import pytest
from exporter_under_fault import never_two, rigs, watch
from fake_node import HEALTH, health_json
from identity_proofs import (ACCUSED, FAST, ONE, OTHER, accuses_nobody, once, own_processes,
                             peer_of, prove_refused, prove_served_again, shortest_gap)


@pytest.fixture
def make(make_rig):
    with rigs(make_rig, **FAST) as made:
        yield made


def in_clusters(*ids):
    def configure(rig):
        own_processes(rig)
        for node, cluster in zip(rig.nodes, ids):
            node.be(health={"cluster_id": cluster})
    return configure


@pytest.mark.parametrize("ids, refused, actives", [
    ((OTHER, ONE, ONE), "n1", 1), ((ONE, ONE, OTHER), "n3", 1), ((ONE, OTHER, ONE), "n2", 0)],
    ids=["first", "last", "active"])
def test_a_node_of_another_cluster_is_refused_from_the_first_poll_on(make, ids, refused, actives):
    rig = make(configure=in_clusters(*ids))
    prove_refused(rig, {refused: "identity_mismatch"}, actives=actives)


def test_the_active_node_of_another_cluster_supersedes_nobody(make):
    """Its term is newer, and is that of somebody else's cluster."""
    def configure(rig):
        in_clusters(OTHER, ONE, ONE)(rig)
        rig.nodes[0].active_time = "2026-11-23T09:00:00Z"

    rig = make(("active", "active", "standby"), configure)
    under = prove_refused(rig, {"n1": "identity_mismatch"})
    assert under.role("n2") == "active"
    assert set(under.poll_counts("n2")) <= {"ok", "timeout"}


def test_a_node_that_comes_into_another_cluster_is_refused(make):
    rig = make(configure=in_clusters(ONE, ONE, ONE))
    first = rig.nodes[0]
    prove_refused(rig, {"n1": "identity_mismatch"},
                  lambda: setattr(first, "health", {"cluster_id": OTHER}))
    first.heal()
    prove_served_again(rig, "n1")


def test_another_cluster_once_accuses_nobody(make):
    """Health and metrics are asked once more, and the server behind them is the same."""
    rig = make(configure=in_clusters(ONE, ONE, ONE))
    before = rig.wait_all_up()
    first = rig.nodes[0]
    mark = len(first.requests)
    once(first, lambda exchange: exchange.answer(
        429, health_json("standby", cluster_id=OTHER)), path=HEALTH)
    accuses_nobody(rig, before=before)
    assert HEALTH not in first.faults
    assert shortest_gap(first, mark) < rig.interval / 2, "it was not asked again at once"


def test_the_majority_decides_not_who_was_there_before(make):
    rig = make(configure=in_clusters(ONE, ONE, ONE))
    rig.wait_all_up()
    for node in rig.nodes[1:]:
        node.health = {"cluster_id": OTHER}
    rig.wait(lambda s: s.reason("n1") == "identity_mismatch" and s.up("n2") and s.up("n3"), 5,
             "n1 is alone")
    prove_refused(rig, {"n1": "identity_mismatch"})


@pytest.mark.parametrize("role", ["sealed", "uninitialized"])
def test_nodes_that_tell_no_cluster_accuse_nobody(make, role):
    rig = make((role, "active", role), in_clusters(ONE, ONE, ONE))
    rig.wait_published()
    scrape = rig.wait(lambda s: s.up("n2"), 3, "n2 is served", never_two)
    scrape = rig.wait_rounds("n2", 4)
    assert scrape.up("n2") and scrape.role("n2") == "active" and scrape.lines_of("n2")
    for name in ("n1", "n3"):
        assert scrape.reason(name) == role and scrape.role(name) == role
    assert not ACCUSED & set(scrape.poll_counts("n2"))


def test_nodes_that_become_sealed_accuse_nobody(make):
    rig = make(configure=in_clusters(ONE, ONE, ONE))
    rig.wait_all_up()
    for index in (0, 2):
        rig.nodes[index].role = "sealed"
    scrape = rig.wait(lambda s: s.role("n1") == s.role("n3") == "sealed" and s.up("n2"), 3,
                      "two are sealed")
    scrape = rig.wait_rounds("n2", 4)
    assert scrape.up("n2") and not ACCUSED & set(scrape.poll_counts("n2"))


def test_health_without_a_cluster_id_accuses_nobody(make):
    rig = make(configure=in_clusters(None, ONE, None))
    rig.wait_all_up()
    accuses_nobody(rig)


def test_of_two_the_one_of_the_known_cluster_is_served(make):
    rig = make(("standby", "active"), in_clusters(ONE, ONE))
    rig.wait_all_up()
    first = rig.nodes[0]
    prove_refused(rig, {"n1": "identity_mismatch"},
                  lambda: setattr(first, "health", {"cluster_id": OTHER}))


def test_of_two_that_nobody_knows_the_first_is_served(make):
    rig = make(("standby", "active"), in_clusters(ONE, OTHER))
    prove_refused(rig, {"n2": "identity_mismatch"}, actives=0)


def test_a_cluster_that_was_rebuilt_is_accepted(make):
    """All nodes have a new cluster id, raft id and process."""
    rig = make(configure=in_clusters(ONE, ONE, ONE))
    before = rig.wait_all_up()
    for node in rig.nodes:
        node.refuse()
    rig.wait(lambda s: not any(s.up(node.name) for node in rig.nodes), 3, "all are gone")
    for node in rig.nodes:
        node.be(health={"cluster_id": OTHER}, peer_id=f"raft-new-{node.index}",
                process_start=time.time() + 1)
        node.listen()
    after = rig.wait(lambda s: all(s.up(node.name) for node in rig.nodes), 3, "all are back",
                     never_two)
    for node in rig.nodes:
        assert peer_of(after, node.name) == f"raft-new-{node.index}"
        assert len(after.lines_of(node.name)) == len(before.lines_of(node.name))
    watch(rig, 2 * rig.interval, never_two)
    # And it is the known one now.
    prove_refused(rig, {"n1": "identity_mismatch"},
                  lambda: setattr(rig.nodes[0], "health", {"cluster_id": ONE}))
