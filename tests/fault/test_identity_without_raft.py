"""Nodes without raft that show what another server is, by its process.

Who is refused has no samples, is down and says why. See prove_refused().
"""

import time

import pytest
from exporter_under_fault import never_two, rigs
from fake_node import exposition
from identity_proofs import (ACCUSED, FAST, POLLS_TO_BELIEVE, accuses_nobody, check_refused, lead,
                             own_processes, prove_refused, prove_served_again,
                             prove_two_servers_answered, without_raft)


@pytest.fixture
def make(make_rig):
    with rigs(make_rig, **FAST) as made:
        yield made


def test_without_raft_a_copy_is_told_by_its_process(make):
    rig = make(configure=lambda made: (without_raft(made), lead(made.nodes[2], made.nodes[0])))
    prove_refused(rig, {"n3": "duplicate_node"})


def test_without_raft_who_tells_its_role_by_health_has_it(make):
    rig = make(configure=lambda made: (without_raft(made), lead(made.nodes[0], made.nodes[2])),
               without_api=["n1"])
    prove_refused(rig, {"n1": "duplicate_node"})


@pytest.mark.parametrize("index, other", [(0, 2), (2, 0)], ids=["first_to_last", "last_to_first"])
def test_without_raft_who_was_that_process_before_keeps_it(make, index, other):
    rig = make(configure=without_raft)
    node = rig.nodes[index]
    before = rig.wait_all_up()
    lead(node, rig.nodes[other])
    good = before.lines_of(rig.nodes[other].name)
    scrape = rig.wait(lambda s: s.reason(node.name) in ACCUSED, 5, "the copy is refused", never_two)
    scrape = rig.wait_rounds(node.name, 3, lambda s: never_two(s))
    check_refused(scrape, node.name, scrape.reason(node.name))
    assert scrape.reason(node.name) in ("duplicate_node", "identity_mismatch")
    assert scrape.lines_of(rig.nodes[other].name) == good
    node.heal()
    prove_served_again(rig, node.name)


@pytest.mark.parametrize("same", ["process_start", "last_gc"])
def test_without_raft_start_or_collection_alone_is_no_copy(make, same):
    """Pods that were started in the same second."""
    def configure(rig):
        without_raft(rig)
        moment = time.time() - 60
        for node in rig.nodes:
            node.be(**(node.says | {same: moment}))

    rig = make(configure=configure)
    rig.wait_all_up()
    accuses_nobody(rig)


def test_without_raft_nodes_that_have_not_collected_yet_are_no_copies(make):
    """Started together, and go_memstats_last_gc_time_seconds is 0 until the first collection."""
    def configure(rig):
        for node in rig.nodes:
            node.be(peer_id="", process_start=1.8e9, last_gc=0)

    rig = make(configure=configure)
    rig.wait_all_up()
    accuses_nobody(rig)


def start_moves(rig, seconds):
    first = rig.nodes[0]
    first.says = first.says | {"process_start": first.says["process_start"] + seconds}


def test_without_raft_a_process_that_is_older_than_before_is_another_server(make):
    rig = make(configure=without_raft)
    prove_refused(rig, {"n1": "identity_changed"}, lambda: start_moves(rig, -60))
    rig.nodes[0].heal()
    prove_served_again(rig, "n1")


def test_without_raft_an_older_process_that_stays_is_believed_after_ten_polls(make):
    rig = make(configure=without_raft)
    prove_refused(rig, {"n1": "identity_changed"}, lambda: start_moves(rig, -60))
    after = rig.wait(lambda s: s.up("n1"), 6, "it is believed", never_two)
    assert POLLS_TO_BELIEVE - 1 <= after.polls("n1", "identity_changed") <= POLLS_TO_BELIEVE


def test_without_raft_an_older_process_and_then_the_known_one_is_two_servers(make):
    rig = make(configure=without_raft)
    first = rig.nodes[0]
    older = exposition("standby", 1, **(first.says | {
        "process_start": first.says["process_start"] - 60}))
    prove_two_servers_answered(rig, first, lambda exchange: exchange.answer(
        200, older, "text/plain; version=0.0.4; charset=utf-8"))


@pytest.mark.parametrize("seconds", [-3, 3600], ids=["clock_was_corrected", "restarted"])
def test_without_raft_a_start_that_moves_so_is_no_other_server(make, seconds):
    rig = make(configure=without_raft)
    rig.wait_all_up()
    start_moves(rig, seconds)
    rig.wait_rounds("n1", 1)
    accuses_nobody(rig)


def test_with_raft_the_start_of_the_process_accuses_nobody(make):
    rig = make(configure=own_processes)
    rig.wait_all_up()
    start_moves(rig, -3600)
    rig.wait_rounds("n1", 1)
    accuses_nobody(rig)
