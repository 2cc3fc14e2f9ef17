"""How to make a node show another server, and to prove who is refused for it: it has no samples, is
down, has the role "unknown" and says why, while everybody else is served as before.
"""

import time

from exporter_under_fault import never_two
from fake_node import HEALTH, LEADER, METRICS, exposition

FAST = {"interval": "300ms", "timeout": "280ms", "stale_after": "3s"}
ACCUSED = {"identity_mismatch", "identity_changed", "duplicate_node"}
POLLS_TO_BELIEVE = 10
ONE, OTHER = "11111111-1111-1111-1111-111111111111", "99999999-9999-9999-9999-999999999999"
DAY = 86_400


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
