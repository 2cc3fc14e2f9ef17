"""Nodes that show what another server is: by its raft id, its process or its cluster.

Who is refused has no samples, is down, has the role "unknown" and says why; everybody else is
served as before. See prove_refused().
"""

import signal
import time

import pytest
from exporter_under_fault import never_two, rigs, watch
from fake_node import HEALTH, LEADER, METRICS, exposition, health_json

FAST = {"interval": "300ms", "timeout": "280ms", "stale_after": "3s"}
ACCUSED = {"identity_mismatch", "identity_changed", "duplicate_node"}
POLLS_TO_BELIEVE = 10
ONE, OTHER = "11111111-1111-1111-1111-111111111111", "99999999-9999-9999-9999-999999999999"
DAY = 86_400


@pytest.fixture
def make(make_rig):
    with rigs(make_rig, **FAST) as made:
        yield made


def own_processes(rig, **more):
    """Each node is a process of its own, that runs since yesterday."""
    for node in rig.nodes:
        node.be(process_start=time.time() - DAY + node.index, **more)


def without_raft(rig):
    for node in rig.nodes:
        node.be(peer_id="", process_start=time.time() - DAY + node.index,
                last_gc=time.time() - 60 + node.index)


def lead(node, other):
    """The node's address leads to the other server."""
    node.faults = {path: other.answer for path in (HEALTH, METRICS, LEADER)}


def once(node, fault, path=METRICS):
    """The next request of the path is answered so, and no later one."""
    def answer(exchange):
        del node.faults[path]
        fault(exchange)

    node.faults[path] = answer


def other_server(node, **says):
    """What a server behind the node's address answers that is not in the configuration."""
    body = exposition("standby", 7, **{"peer_id": "raft-7",
                                       "process_start": time.time() - 2 * DAY, **says})

    def answer(exchange):
        standing_in, exchange.node.body = exchange.node.body, body
        exchange.node.answer(exchange)
        exchange.node.body = standing_in

    return answer


def becomes_other(node, **says):
    node.faults[METRICS] = other_server(node, **says)


def peer_of(scrape, node):
    return scrape.find("bao_node_info", node_name=node)[0][1].get("peer_id", "")


def check_told_of_the_new_one(rig, mark):
    """An operator who looks for it finds when n1 became raft-7."""
    lines = [line for line in rig.log_lines("node=fake/n1", since=mark)
             if "raft-7" in line and "level=debug" not in line and "reason=" not in line]
    assert len(lines) == 1, lines


def check_refused(scrape, node, reason):
    assert scrape.reason(node) == reason
    assert not scrape.up(node)
    assert scrape.role(node) == "unknown" and scrape.role_source(node) == "none"
    assert scrape.lines_of(node) == []
    assert scrape.value("bao_node_samples", node_name=node) == 0


def prove_refused(rig, refused, inflict=None, actives=1):
    """The rule of this file. `refused`: {node: reason}. After `inflict()` (None: from the start)
    those are refused, told, counted and logged, and it stays so; of the others everything is the
    same as before; in no scrape are there two active nodes or samples of a wrong server."""
    own, counted, log_mark = {}, {}, 0
    if inflict is not None:
        before = rig.wait_all_up()
        own = {node.name: before.lines_of(node.name) for node in rig.nodes}
        counted = {name: before.polls(name, reason) for name, reason in refused.items()}
        log_mark = rig.log_bytes()
        inflict()
    else:
        rig.wait_published()

    def right(scrape):
        never_two(scrape)
        for node in rig.nodes:
            lines = scrape.lines_of(node.name)
            if node.name in refused:
                assert lines in ([], own.get(node.name, [])), f"{node.name} shows another server"
                continue
            assert scrape.reason(node.name) not in ACCUSED, f"{node.name} is accused"
            if lines:
                assert lines == own.setdefault(node.name, lines), f"{node.name} was touched"

    others = [node.name for node in rig.nodes if node.name not in refused]

    def said(scrape):
        return (all(scrape.reason(name) == reason for name, reason in refused.items()) and
                all(scrape.up(name) for name in others))

    rig.wait(said, 5, f"refused: {refused}", right)
    under = rig.wait(lambda s: said(s) and all(s.polls(name, reason) >= counted.get(name, 0) + 3
                                               for name, reason in refused.items()),
                     5, f"it stays, and each poll counts: {refused}", right)
    for name, reason in refused.items():
        check_refused(under, name, reason)
        assert rig.log_lines("level=warn", f"node=fake/{name}", f"reason={reason}",
                             since=log_mark), f"no warning about {name}"
    for name in others:
        assert under.lines_of(name)
    assert under.value("bao_cluster_nodes", node_role="active") == actives
    assert under.value("bao_cluster_nodes", node_role="unknown") == len(refused)
    under.check_valid()
    return under


def prove_served_again(rig, name):
    """After heal(): not later than with the second poll from now."""
    rig.wait(lambda s: s.up(name) and s.lines_of(name), 2 * rig.interval + rig.timeout,
             f"{name} is served again", never_two)


def accuses_nobody(rig, rounds=4, before=None):
    """In so many rounds nobody is accused, and nobody shows anything else (than before)."""
    own = {node.name: before.lines_of(node.name) for node in rig.nodes} if before else {}

    def nothing(scrape):
        never_two(scrape)
        for node in rig.nodes:
            assert scrape.reason(node.name) not in ACCUSED, f"{node.name} is accused"
            lines = scrape.lines_of(node.name)
            if lines:
                assert lines == own.setdefault(node.name, lines), f"{node.name} changed"

    rig.wait_rounds("n1", rounds, nothing, within=10)
    scrape = rig.scrape()
    for node in rig.nodes:
        assert not ACCUSED & set(scrape.poll_counts(node.name)), scrape.poll_counts(node.name)
    assert not [line for line in rig.log_lines("level=warn") if any(a in line for a in ACCUSED)]
    return scrape


def prove_two_servers_answered(rig, node, fault):
    """One answer of another server, and the node's own when it is asked again at once: in that poll
    two servers answered here, so nothing of it is believed. The next one is the node's own."""
    before = rig.wait_all_up()
    own = before.lines_of(node.name)
    mark = len(node.requests)
    once(node, fault)

    def right(scrape):
        never_two(scrape)
        assert scrape.lines_of(node.name) in ([], own)
        assert not {scrape.reason(other.name) for other in rig.nodes if other is not node} & ACCUSED

    rig.wait(lambda s: s.polls(node.name, "identity_changed") == 1, 3, "that poll is refused",
             right)
    assert METRICS not in node.faults
    rig.wait(lambda s: s.up(node.name), 2, "the next poll is served", right)
    after = rig.wait_rounds(node.name, 3, right)
    assert after.polls(node.name, "identity_changed") == 1
    assert not ACCUSED - {"identity_changed"} & set(after.poll_counts(node.name))
    assert shortest_gap(node, mark) < rig.interval / 2, "it was not asked again at once"
    return after


def shortest_gap(node, since):
    asked = [request.arrived for request in node.requests_of(METRICS, since)]
    return min(after - before for before, after in zip(asked, asked[1:]))


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


# --- without raft -------------------------------------------------------------------------------

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


# --- another cluster ----------------------------------------------------------------------------

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
