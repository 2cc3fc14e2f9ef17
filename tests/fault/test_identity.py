"""Whose body is it, and who is active: nodes that contradict themselves or each other."""

import time

import pytest
from exporter_under_fault import (never_two, prove_fault, rigs, roles_of_active,
                                  served_as_active, watch)
from fake_node import HEALTH, LEADER, METRICS, exposition

OLD = "2026-11-23T00:20:45.734479023Z"
NEW = "2026-11-23T00:20:45.734479024Z"  # a nanosecond later


@pytest.fixture(scope="module")
def rig(make_rig):
    rig = make_rig()
    rig.wait_all_up()
    return rig


@pytest.fixture(autouse=True)
def healing(request):
    yield
    if "rig" not in request.fixturenames:
        return
    rig = request.getfixturevalue("rig")
    for node in rig.nodes:
        node.heal()
        node.active_time = OLD
    rig.wait_all_up()
    time.sleep(rig.interval + rig.timeout)


def test_a_standby_that_hands_on_the_body_of_the_active_is_identity_mismatch(rig):
    victim = rig.nodes[0]
    mark = len(victim.requests)
    verdict = prove_fault(rig, lambda node: setattr(node, "body", exposition("active", 2)),
                          "identity_mismatch", during=never_two)
    assert verdict.scrape.role("n1") == "standby"
    assert verdict.scrape.value("bao_node_role_disagreement", node_name="n1") == 1
    assert verdict.scrape.polls("n1", "identity_mismatch") >= 1
    # Nobody is accused at first sight: it was asked twice, the second time at once.
    asked = [request.arrived for request in victim.requests_of(METRICS, mark)]
    assert min(b - a for a, b in zip(asked, asked[1:])) < rig.interval / 2


def test_identity_mismatch_lasts_as_long_as_the_fault(rig):
    node = rig.nodes[0]
    node.body = exposition("active", 2)
    rig.wait(lambda s: s.reason("n1") == "identity_mismatch", 3, "accused", never_two)

    def stays(scrape):
        never_two(scrape)
        assert scrape.reason("n1") == "identity_mismatch" and scrape.role("n1") == "standby"
        assert scrape.lines_of("n1") == [] and not scrape.up("n1")
        assert scrape.role("n2") == "active" and scrape.up("n2")

    assert watch(rig, 4 * rig.interval, stays) > 20


def test_of_two_actives_the_older_is_superseded(rig):
    old, new, _ = rig.nodes
    new.active_time = NEW
    old.active_time = OLD
    rig.wait_all_up()
    rig.wait_rounds("n2", 1)  # the new term is known
    before = rig.scrape()
    good = {name: before.lines_of(name) for name in ("n2", "n3")}

    def right(scrape):
        never_two(scrape)
        for name, lines in good.items():
            assert scrape.up(name) and scrape.lines_of(name) == lines
        assert scrape.role("n2") == "active"

    old.role = "active"
    rig.wait(lambda s: s.reason("n1") == "superseded", 3, "n1 is superseded", right)

    def stays(scrape):
        right(scrape)
        assert scrape.reason("n1") == "superseded" and scrape.role("n1") == "unknown"
        assert scrape.lines_of("n1") == [] and not scrape.up("n1")

    assert watch(rig, 4 * rig.interval, stays) > 20
    after = rig.scrape()
    assert after.dropped("n1", "superseded") > before.dropped("n1", "superseded")
    assert after.value("bao_cluster_nodes", node_role="active") == 1
    assert after.value("bao_cluster_nodes", node_role="unknown") == 1


def test_each_superseded_poll_is_counted_under_that_reason(rig):
    rig.nodes[1].active_time = NEW
    rig.wait_rounds("n2", 1)
    rig.nodes[0].role = "active"
    rig.wait(lambda s: s.reason("n1") == "superseded", 3, "n1 is superseded")
    rig.wait(lambda s: s.polls("n1", "superseded") >= 1, 3, "polls_total{reason=superseded} grows")


def test_a_failover_shows_never_two_actives(rig):
    """The new active is seen before the old one has noticed."""
    first, second, third = rig.nodes
    assert rig.scrape().role("n2") == "active"
    failovers = rig.scrape().value("bao_cluster_failovers_total", cluster="fake")
    third.active_time = NEW
    third.role = "active"  # n2 still says active
    rig.wait(lambda s: s.role("n3") == "active", 3, "n3 took over", never_two)
    watch(rig, 2 * rig.interval, never_two)
    second.role = "standby"
    rig.wait(lambda s: s.role("n2") == "standby" and s.up("n2"), 3, "n2 gave up", never_two)
    assert first.role == "standby"
    assert rig.scrape().value("bao_cluster_failovers_total", cluster="fake") == failovers + 1


def last_request(rig):
    return max(node.requests[-1].arrived for node in rig.nodes)


@pytest.mark.parametrize("proof", [OLD, None], ids=["equal_terms", "no_terms"])
def test_two_actives_of_no_older_term_are_reported_after_a_second_look(rig, proof):
    """They may be two. Both are shown, and stay shown: no flapping from round to round."""
    first, second, third = rig.nodes
    second.active_time = first.active_time = proof
    rig.wait_rounds("n2", 1)
    # Between two rounds: a poll that is under way counts for none of them.
    rig.wait(lambda s: 0.2 < time.monotonic() - last_request(rig) < 0.6 * rig.interval, 8, "a pause")
    mark = len(first.requests), len(second.requests)
    first.role = "active"
    rig.wait(lambda s: roles_of_active(s) == {"n1", "n2"}, 4, "both are reported")
    looks = (len(first.requests_of(METRICS, mark[0])) + len(second.requests_of(METRICS, mark[1])))
    assert looks >= 3, "reported without a second look"

    def stays(scrape):
        assert roles_of_active(scrape) == served_as_active(scrape) == {"n1", "n2"}
        assert all(scrape.up(node.name) for node in rig.nodes)

    assert watch(rig, 5 * rig.interval, stays) > 20
    assert third.role == "standby"


def test_two_reported_actives_stay_when_a_third_node_changes_in_the_middle_of_a_round(rig):
    """A change of role publishes at once: with the fresh poll of one active and the last of the
    other. Which of the two is the later one must not matter any more."""
    first, second, third = rig.nodes
    rig.wait_rounds("n2", 1)
    first.role = "active"
    rig.wait(lambda s: roles_of_active(s) == {"n1", "n2"}, 4, "both are reported")

    def after(seconds):
        def slowly(exchange):
            time.sleep(seconds)
            exchange.node.answer(exchange)
        return slowly

    wrong = []

    def stays(scrape):
        if roles_of_active(scrape) != {"n1", "n2"}:
            wrong.append({name: (scrape.role(name), scrape.reason(name)) for name in ("n1", "n2")})

    # In each round: one active at once, the third node at 0.15 s, the other active at 0.4 s.
    for slow in (first, second):
        slow.faults[METRICS] = after(0.4)
        for role in ("sealed", "standby", "sealed", "standby"):
            third.faults[HEALTH] = after(0.15)
            third.role = role
            watch(rig, rig.interval, stays)
        slow.faults = {}
    assert wrong == []


def test_health_and_body_that_disagree_once_accuse_nobody(rig):
    """What a failover looks like from outside: health and metrics are two requests."""
    active = rig.nodes[1]
    told = []

    def once_not_active(role):
        told.append(role)
        return exposition("standby" if len(told) == 1 else "active", 2)

    before = rig.wait_all_up()
    active.body = once_not_active

    def nothing(scrape):
        assert scrape.role("n2") == "active" and scrape.reason("n2") == "ok" and scrape.up("n2")
        assert scrape.value("bao_node_role_disagreement", node_name="n2") == 0
        assert scrape.lines_of("n2") == before.lines_of("n2")

    watch(rig, 3 * rig.interval, nothing)
    assert len(told) >= 3  # one of them was the second look
    after = rig.scrape()
    assert set(after.poll_counts("n2")) == set(before.poll_counts("n2"))


def test_a_standby_whose_body_says_active_once_is_not_accused(rig):
    standby = rig.nodes[0]
    told = []

    def once_active(role):
        told.append(role)
        return exposition("active" if len(told) == 1 else "standby", 1)

    before = rig.wait_all_up()
    standby.body = once_active

    def nothing(scrape):
        never_two(scrape)
        assert scrape.role("n1") == "standby" and scrape.reason("n1") == "ok"
        assert scrape.lines_of("n1") == before.lines_of("n1")

    watch(rig, 3 * rig.interval, nothing)
    assert len(told) >= 3


def test_an_active_by_health_whose_body_stays_standby_is_reported_not_guessed(rig):
    active = rig.nodes[1]
    active.body = exposition("standby", 2)
    scrape = rig.wait(lambda s: s.value("bao_node_role_disagreement", node_name="n2") == 1, 3,
                      "the disagreement is reported")
    assert scrape.role("n2") == "active" and scrape.reason("n2") == "ok"
    assert scrape.find("vault_core_active", node_name="n2")[0][2] == "0"


def test_a_leader_answer_that_cannot_be_read_is_an_unproven_term(rig):
    """n2 is active with a proven term; n1 claims it without proof: superseded, however new."""
    first = rig.nodes[0]
    unreadable = b'{"is_self":true,"active_time":"x"}'
    first.faults[LEADER] = lambda exchange: exchange.answer(200, unreadable)
    first.role = "active"
    rig.wait(lambda s: s.reason("n1") == "superseded", 3, "n1 is superseded", never_two)
    watch(rig, 2 * rig.interval, never_two)


# --- a failover that fits between two polls -----------------------------------------------------

LATER = "2026-11-23T00:20:46.734479023Z"


@pytest.fixture
def make(make_rig):
    with rigs(make_rig, interval="300ms", timeout="280ms", stale_after="3s") as made:
        yield made


def failovers(scrape):
    return scrape.value("bao_cluster_failovers_total", cluster="fake")


def role_changes(scrape):
    return {s[1]["node_name"]: float(s[2]) for s in scrape.find("bao_node_role_changes_total")}


def test_a_new_term_of_the_same_active_node_is_a_failover(make):
    """It was gone and is back: two changes of its role, and of nobody else's."""
    rig = make()
    rig.wait_all_up()
    before = rig.wait_rounds("n2", 1)

    def still_active(scrape):
        assert scrape.role("n2") in ("active", "unreachable") and never_two(scrape) is None

    for times, term in enumerate((NEW, LATER), start=1):
        mark = rig.log_bytes()
        rig.nodes[1].active_time = term
        rig.wait(lambda s, n=times: failovers(s) >= failovers(before) + n, 3, "counted",
                 still_active)
        after = rig.wait_rounds("n2", 3, still_active)
        assert failovers(after) == failovers(before) + times
        changes = role_changes(before)
        assert role_changes(after) == changes | {"n2": changes["n2"] + 2 * times}
        assert len(rig.log_lines('msg="failover"', "level=warn", since=mark)) == 1


def test_a_new_term_of_a_cluster_of_one_is_no_failover(make):
    """It was restarted, or unsealed: nobody took over."""
    rig = make(["active"])
    rig.wait_all_up()
    before = rig.wait_rounds("n1", 1)
    rig.nodes[0].active_time = NEW
    after = rig.wait_rounds("n1", 4)
    assert failovers(after) == failovers(before) == 0
    assert role_changes(after) == role_changes(before)
    assert not rig.log_lines('msg="failover"')


@pytest.mark.parametrize("silent", ["no_term", "no_leader_answer"])
def test_a_term_that_is_not_told_for_a_while_is_no_failover(make, silent):
    rig = make()
    rig.wait_all_up()
    before = rig.wait_rounds("n2", 1)
    active = rig.nodes[1]
    if silent == "no_term":
        active.active_time = None
    else:
        active.faults[LEADER] = lambda exchange: exchange.answer(500, b"{}")
    rig.wait_rounds("n2", 2)
    active.faults = {}
    active.active_time = OLD
    after = rig.wait_rounds("n2", 3)
    assert failovers(after) == failovers(before)
    assert role_changes(after) == role_changes(before)


def test_a_failover_there_and_back_counts_two(make):
    """Each new active node has a new term; that is not counted a second time."""
    rig = make()
    before = rig.wait_all_up()
    _, second, third = rig.nodes
    for times, (new, old, term) in enumerate(((third, second, NEW), (second, third, LATER)),
                                             start=1):
        old.role = "standby"
        new.active_time = term
        new.role = "active"
        rig.wait(lambda s, name=new.name: s.role(name) == "active", 3, f"{new.name} took over",
                 never_two)
        after = rig.wait_rounds("n2", 3, never_two)
        assert failovers(after) == failovers(before) + times
