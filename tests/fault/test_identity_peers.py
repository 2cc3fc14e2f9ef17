"""Nodes that show what another server is: by its raft id or its process. (Without raft:
test_identity_without_raft; by its cluster: test_identity_clusters.)

Who is refused has no samples, is down, has the role "unknown" and says why; everybody else is
served as before. See prove_refused().
"""

import signal
import time

import pytest
from exporter_under_fault import never_two, rigs
from fake_node import HEALTH, METRICS, exposition
from identity_proofs import (ACCUSED, DAY, FAST, POLLS_TO_BELIEVE, accuses_nobody, becomes_other,
                             check_told_of_the_new_one, lead, other_server, own_processes, peer_of,
                             prove_refused, prove_served_again, prove_two_servers_answered)


@pytest.fixture
def make(make_rig):
    with rigs(make_rig, **FAST) as made:
        yield made


# --- one server under two nodes -----------------------------------------------------------------

@pytest.mark.parametrize("roles", [("standby", "active", "standby"),
                                   ("active", "standby", "standby")], ids=["standby", "active"])
def test_of_two_entries_for_one_server_the_first_has_it_from_the_first_poll_on(make, roles):
    rig = make(roles, lambda made: (own_processes(made), lead(made.nodes[2], made.nodes[0])))
    under = prove_refused(rig, {"n3": "duplicate_node"})
    assert under.role("n1") == roles[0] and under.up("n1")


@pytest.mark.parametrize("index", [1, 2], ids=["active", "standby"])
def test_who_tells_its_role_by_health_has_it_before_who_does_not(make, index):
    def configure(rig):
        own_processes(rig)
        lead(rig.nodes[0], rig.nodes[index])

    rig = make(configure=configure, without_api=["n1"])
    prove_refused(rig, {"n1": "duplicate_node"})


@pytest.mark.parametrize("without_api", [(), ("n3",)], ids=["by_health", "by_core_active"])
def test_who_was_served_with_it_keeps_it_from_a_new_one(make, without_api):
    """n1 comes late, and shows what n3 is known by: neither order nor health helps it."""
    def configure(rig):
        own_processes(rig)
        rig.nodes[0].refuse()

    rig = make(configure=configure, without_api=without_api)
    rig.wait_published()
    rig.wait(lambda s: s.up("n2") and s.up("n3"), 3, "n2 and n3 are known")
    first, _, third = rig.nodes
    lead(first, third)
    first.listen()
    prove_refused(rig, {"n1": "duplicate_node"})


@pytest.mark.parametrize("index, other, actives", [(0, 2, 1), (0, 1, 1), (2, 0, 1), (1, 0, 0)],
                         ids=["a_standby", "the_active", "an_earlier_one", "active_to_standby"])
def test_a_known_node_that_leads_to_another_one_is_identity_mismatch(make, index, other, actives):
    rig = make(configure=own_processes)
    node = rig.nodes[index]
    under = prove_refused(rig, {node.name: "identity_mismatch"},
                          lambda: lead(node, rig.nodes[other]), actives)
    assert under.value("bao_node_role_disagreement", node_name=node.name) == 0
    node.heal()
    prove_served_again(rig, node.name)


def test_it_is_not_believed_however_long_it_stays(make):
    rig = make(configure=own_processes)
    first, _, third = rig.nodes
    prove_refused(rig, {"n1": "identity_mismatch"}, lambda: lead(first, third))

    def stays(scrape):
        assert not scrape.up("n1") and scrape.lines_of("n1") == []
        assert scrape.reason("n3") not in ACCUSED

    rig.wait_rounds("n1", POLLS_TO_BELIEVE + 3, stays, within=15)
    assert set(rig.scrape().poll_counts("n1")) <= {"ok", "identity_mismatch", "timeout"}


def test_who_shows_another_one_while_that_is_down_is_not_believed_at_once(make):
    """An address that moved from a dead server to a living one's neighbour."""
    rig = make(configure=own_processes)
    before = rig.wait_all_up()
    first, _, third = rig.nodes
    lead(first, third)
    third.refuse()
    rig.wait(lambda s: s.reason("n1") in ACCUSED, 5, "n1 is refused", never_two)

    def refused(scrape):
        never_two(scrape)
        assert not scrape.up("n1") and scrape.lines_of("n1") == []

    rig.wait_rounds("n1", 5, refused)
    assert before.lines_of("n3") and rig.scrape().lines_of("n3") == []
    first.heal()
    third.heal()
    rig.wait(lambda s: s.up("n1") and s.up("n3"), 3, "both are themselves again", never_two)


def test_a_body_of_another_node_and_then_its_own_within_one_poll_is_two_servers(make):
    """Not where the first look contradicts health, too: that accuses nobody once it is gone."""
    rig = make(configure=own_processes)
    prove_two_servers_answered(rig, rig.nodes[0], rig.nodes[2].answer)


def test_nodes_that_changed_places_are_not_believed_however_long_it_stays(make):
    """Two pods that got each other's address, or a balancer that deals servers out anew: nobody is
    shown under the other's name."""
    rig = make(configure=own_processes)
    before = rig.wait_all_up()
    first, _, third = rig.nodes
    own = {name: before.lines_of(name) for name in ("n1", "n3")}
    bodies = [exposition("standby", node.index, **node.says) for node in (first, third)]
    third.body, first.body = bodies

    def right(scrape):
        never_two(scrape)
        assert scrape.reason("n2") not in ACCUSED
        for name, lines in own.items():
            assert scrape.lines_of(name) in ([], lines)

    rig.wait(lambda s: s.reason("n1") == s.reason("n3") == "identity_changed", 3, "refused", right)
    rig.wait_rounds("n1", POLLS_TO_BELIEVE + 3, right, within=12)
    after = rig.scrape()
    assert after.reason("n1") == after.reason("n3") == "identity_changed"
    first.heal()
    third.heal()
    rig.wait(lambda s: s.up("n1") and s.up("n3"), 3, "both are themselves again", right)


def test_one_server_in_two_clusters_accuses_nobody(make):
    """Raft ids are compared within a cluster: in another one they may be the same."""
    def configure(rig):
        own_processes(rig)
        rig.nodes[2].be(**rig.nodes[0].says)

    rig = make(configure=configure, start=False)
    text = rig.config_text()
    head, table, auth = text.partition("[[openbao]]\n")
    shared = table + auth[:auth.index("[[openbao.node]]")].replace('"fake"', '"twin"')
    at = text.rindex("[[openbao.node]]")
    rig.config_file.write_text(text[:at] + shared + text[at:])
    rig.start()
    rig.wait_published()
    rig.wait(lambda s: all(s.up(node.name) for node in rig.nodes), 3, "all are up")
    accuses_nobody(rig)
    assert rig.scrape().find("bao_node_up", cluster="twin", node_name="n3")


def test_a_refused_node_is_asked_once_a_round(make):
    """The second look is for the first suspicion, and for each poll that shows it: no more."""
    rig = make(configure=own_processes)
    first, _, third = rig.nodes
    prove_refused(rig, {"n1": "identity_mismatch"}, lambda: lead(first, third))
    marks = len(first.requests), len(third.requests)
    before = rig.scrape().polls("n3")
    rig.wait_rounds("n3", 4)
    rounds = rig.scrape().polls("n3") - before
    assert len(first.requests_of(METRICS, marks[0])) <= 2 * (rounds + 1)
    assert len(third.requests_of(METRICS, marks[1])) <= rounds + 1, "n3 is asked again for nothing"


# --- a node that becomes another server ---------------------------------------------------------

def test_a_load_balancer_that_alternates_is_refused_whenever_it_shows_the_other(make):
    """Each second poll is answered by another server, the second look as well."""
    rig = make(configure=own_processes)
    good = rig.wait_all_up().lines_of("n1")
    first = rig.nodes[0]
    other = other_server(first)
    turn = [0]

    def balance(exchange):
        turn[0] += 1
        (other if turn[0] % 3 else first.answer)(exchange)  # other, other, own

    first.faults[METRICS] = balance
    seen = set()

    def right(scrape):
        never_two(scrape)
        assert scrape.lines_of("n1") in ([], good)
        assert not {scrape.reason("n2"), scrape.reason("n3")} & ACCUSED
        seen.add(scrape.up("n1"))

    rig.wait_rounds("n3", 2 * POLLS_TO_BELIEVE + 4, right, within=20)
    counts = rig.scrape().poll_counts("n1")
    assert counts["identity_changed"] >= 5 and counts["ok"] >= 5, counts
    assert seen == {True, False}


def test_a_load_balancer_before_two_listed_nodes_shows_each_server_once(make):
    rig = make(configure=own_processes)
    before = rig.wait_all_up()
    first, _, third = rig.nodes
    good = {name: before.lines_of(name) for name in ("n1", "n2", "n3")}
    turn = [0]

    def balance(exchange):
        if exchange.request.path == METRICS:
            turn[0] += 1
        (third if turn[0] % 3 else first).answer(exchange)

    first.faults = {path: balance for path in (HEALTH, METRICS)}

    def right(scrape):
        never_two(scrape)
        for name, lines in good.items():
            assert scrape.lines_of(name) in ([], lines)
        assert not {scrape.reason("n2"), scrape.reason("n3")} & ACCUSED

    rig.wait_rounds("n3", POLLS_TO_BELIEVE + 2, right, within=12)
    assert rig.scrape().polls("n1", "identity_mismatch") >= 3


def test_an_identity_that_changed_and_stays_is_believed_after_ten_polls(make):
    rig = make(configure=own_processes)
    first = rig.nodes[0]
    under = prove_refused(rig, {"n1": "identity_changed"}, lambda: becomes_other(first))
    assert under.polls("n1", "identity_changed") < POLLS_TO_BELIEVE
    mark = rig.log_bytes()
    rig.wait(lambda s: s.up("n1"), 6, "it is believed", never_two)
    after = rig.scrape()
    assert peer_of(after, "n1") == "raft-7" and after.lines_of("n1")
    assert POLLS_TO_BELIEVE - 1 <= after.polls("n1", "identity_changed") <= POLLS_TO_BELIEVE
    check_told_of_the_new_one(rig, mark)
    # Now the former one is another server.
    first.heal()
    rig.wait(lambda s: s.reason("n1") == "identity_changed", 3, "the former is refused", never_two)


def test_a_replaced_server_is_believed_at_once(make):
    """Its process is younger than our last sight of the one before."""
    rig = make(configure=own_processes)
    rig.wait_all_up()
    first = rig.nodes[0]
    mark = rig.log_bytes()
    first.refuse()
    rig.wait(lambda s: not s.up("n1"), 3, "the old one is gone")
    becomes_other(first, process_start=time.time() + 1)
    first.listen()

    def never_accused(scrape):
        assert scrape.reason("n1") not in ACCUSED

    rig.wait(lambda s: s.up("n1") and peer_of(s, "n1") == "raft-7",
             2 * rig.interval + rig.timeout, "the new one is served", never_accused)
    rig.wait_rounds("n1", 3, never_accused)
    assert not ACCUSED & set(rig.scrape().poll_counts("n1"))
    check_told_of_the_new_one(rig, mark)


def skewed(rig, seconds):
    """The clocks of all nodes are wrong by this."""
    for node in rig.nodes:
        node.be(health={"server_time_utc": int(time.time() + seconds)},
                process_start=time.time() - DAY + node.index + seconds)


def test_a_clock_ahead_makes_no_process_young(make):
    rig = make(configure=lambda made: skewed(made, DAY))
    first = rig.nodes[0]
    prove_refused(rig, {"n1": "identity_changed"},
                  lambda: becomes_other(first, process_start=time.time() + DAY - 3600))


def test_a_clock_behind_makes_no_process_old(make):
    rig = make(configure=lambda made: skewed(made, -DAY))
    rig.wait_all_up()
    first = rig.nodes[0]
    first.refuse()
    rig.wait(lambda s: not s.up("n1"), 3, "the old one is gone")
    becomes_other(first, process_start=time.time() - DAY + 30)
    first.listen()
    scrape = rig.wait(lambda s: s.up("n1"), 2, "the new one is served")
    assert not ACCUSED & set(scrape.poll_counts("n1"))


def test_a_replaced_server_with_the_same_raft_id_is_itself(make):
    """A restart, or a pod that came again with its volume."""
    rig = make(configure=own_processes)
    rig.wait_all_up()
    rig.nodes[0].be(process_start=time.time() + 1)
    rig.wait_rounds("n1", 1)
    accuses_nobody(rig)


def test_who_shows_the_known_identity_again_is_served_again(make):
    rig = make(configure=own_processes)
    first = rig.nodes[0]
    for _ in range(2):
        prove_refused(rig, {"n1": "identity_changed"}, lambda: becomes_other(first))
        first.heal()
        prove_served_again(rig, "n1")
        assert peer_of(rig.scrape(), "n1") == "raft-1"


def test_ten_polls_that_are_not_in_a_row_are_not_believed(make):
    rig = make(configure=own_processes)
    good = rig.wait_all_up().lines_of("n1")
    first = rig.nodes[0]

    def right(scrape):
        assert scrape.lines_of("n1") in ([], good)

    for _ in range(2):
        count = rig.scrape().polls("n1", "identity_changed")
        becomes_other(first)
        rig.wait(lambda s: s.polls("n1", "identity_changed") >= count + 6, 5, "six polls", right)
        first.heal()
        prove_served_again(rig, "n1")
    assert rig.scrape().polls("n1", "identity_changed") > POLLS_TO_BELIEVE


def test_another_identity_and_then_the_known_one_within_one_poll_is_two_servers(make):
    rig = make(configure=own_processes)
    first = rig.nodes[0]
    prove_two_servers_answered(rig, first, other_server(first))


def test_a_load_balancer_that_gives_each_request_to_the_next_is_found_in_each_poll(make):
    """The second look always shows the other one of the two."""
    rig = make(configure=own_processes)
    good = rig.wait_all_up().lines_of("n1")
    first = rig.nodes[0]
    other = other_server(first)
    turn = [0]

    def balance(exchange):
        turn[0] += 1
        (other if turn[0] % 2 else first.answer)(exchange)

    first.faults[METRICS] = balance

    def right(scrape):
        never_two(scrape)
        assert scrape.lines_of("n1") in ([], good)
        assert not {scrape.reason("n2"), scrape.reason("n3")} & ACCUSED

    scrape = rig.wait_rounds("n3", POLLS_TO_BELIEVE + 4, right, within=12)
    assert scrape.polls("n1", "identity_changed") >= 5


def test_a_reload_makes_nobody_believe_more(make):
    """Who is known by what outlives it."""
    rig = make(configure=own_processes)
    good = rig.wait_all_up().lines_of("n1")
    first = rig.nodes[0]
    rig.write_config(interval="310ms", timeout="290ms")
    reload(rig, 2)
    rig.wait(lambda s: s.up("n1"), 3, "n1 is up")
    becomes_other(first)
    rig.wait(lambda s: s.reason("n1") == "identity_changed", 3, "n1 is refused", never_two)
    rig.write_config(interval="300ms", timeout="280ms")
    reload(rig, 3)

    def right(scrape):
        assert scrape.lines_of("n1") in ([], good)

    rig.wait_rounds("n1", 3, right)
    assert rig.scrape().reason("n1") == "identity_changed"
    first.heal()
    prove_served_again(rig, "n1")


def reload(rig, generation):
    rig.process.send_signal(signal.SIGHUP)
    rig.wait(lambda s: s.value("bao_exporter_config_generation") >= generation, 5, "a reload")


def test_the_active_node_that_becomes_another_server_is_refused_too(make):
    rig = make(configure=own_processes)
    active = rig.nodes[1]

    def another(exchange):
        body = exposition("active", 7, peer_id="raft-7", process_start=time.time() - 2 * DAY)
        exchange.answer(200, body, "text/plain; version=0.0.4; charset=utf-8")

    prove_refused(rig, {"n2": "identity_changed"},
                  lambda: active.faults.update({METRICS: another}), actives=0)
    active.heal()
    prove_served_again(rig, "n2")


def test_a_cluster_of_one_that_polls_all_nodes_is_no_active_address(make):
    rig = make(["active"], own_processes)
    first = rig.nodes[0]

    def another(exchange):
        body = exposition("active", 7, peer_id="raft-7", process_start=time.time() - 2 * DAY)
        exchange.answer(200, body, "text/plain; version=0.0.4; charset=utf-8")

    prove_refused(rig, {"n1": "identity_changed"},
                  lambda: first.faults.update({METRICS: another}), actives=0)


# --- what else is told of a refused node --------------------------------------------------------

@pytest.mark.parametrize("reason", sorted(ACCUSED))
def test_the_path_of_a_refused_node_is_503_with_the_reason(make, reason):
    late = reason == "duplicate_node"

    def configure(rig):
        own_processes(rig)
        if late:
            rig.nodes[0].refuse()

    rig = make(configure=configure)
    rig.wait_published()
    first, _, third = rig.nodes
    rig.wait(lambda s: s.up("n3") and s.up("n1") != late, 3, "n3 is known")
    if reason == "identity_changed":
        becomes_other(first)
    else:
        lead(first, third)
    if late:
        first.listen()
    rig.wait(lambda s: s.reason("n1") == reason, 5, f"n1 is {reason}", never_two)
    answer = rig.scrape(path="/metrics/nodes/fake/n1")
    assert answer.status == 503
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert answer.text.startswith(f"{reason}: fake/n1") and answer.text.count("\n") == 1
    assert rig.scrape(path="/metrics/nodes/fake/n3").status == 200
