"""With disable_standby_reads a standby that is asked for metrics forwards, and answers with the
active node's: under the same token everywhere, no node may pose as another.

The cluster is this file's own. Every test begins and ends with all three nodes running."""

import pytest
from cluster import Cluster
from exporter_process import Exporter, openbao, wait_until
from exposition import Exposition
from watch import (
    NODES,
    POLL,
    RAFT,
    Reports,
    Watch,
    check_down,
    check_told_in_time,
    check_up,
    role,
    until_second_poll,
    wait_table,
    wait_voters,
)

STANDBY = ("standby", "standby_redirect")
HOLD_S = until_second_poll() + 1


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    with Cluster.start(
        tmp_path_factory.mktemp("openbao"), die_with_parent=True, disable_standby_reads=True, max_lifetime_s=600
    ) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def exporter(own, tmp_path_factory):
    with Exporter(tmp_path_factory.mktemp("exporter"), [openbao(own)], authority=own, poll=POLL) as running:
        yield running


@pytest.fixture
def well(own, exporter):
    """The active node, everybody being well and told so."""
    active = wait_voters(own)
    wait_table(exporter, 25, {node: ("active", "ok") if i == active else STANDBY for i, node in enumerate(NODES)})
    return active


class Selves:
    """What each node's own body says of the node itself, by its metrics_only listener, which we do
    not poll and which never forwards: the start of each of its processes, and its peer_id."""

    def __init__(self, own: Cluster):
        self._own = own
        self.starts: dict[str, set[str]] = {node: set() for node in NODES}
        for i in range(3):
            self.look(i)

    def look(self, i: int) -> None:
        def peer() -> str:
            """A standby has one some 10 s after its start."""
            self._body = Exposition(self._own.metrics(i))
            found = {sample.labels["peer_id"] for sample in self._body.samples(RAFT)}
            return found.pop() if len(found) == 1 else ""

        assert wait_until("a peer_id", peer) == NODES[i]
        self.starts[NODES[i]].add(self._body.value("process_start_time_seconds"))

    def check(self, watch: Watch) -> None:
        """No series stands under the name of a node that is not its own."""
        starts = [start for node in NODES for start in self.starts[node]]
        assert len(starts) == len(set(starts)), "two processes cannot be told apart"
        compared = set()
        for seen in watch.scrapes:
            for node in NODES:
                assert seen.start.get(node) in {None, *self.starts[node]}, (node, seen)
                assert seen.peer.get(node) in {None, node}, (node, seen)
                if node in seen.start and node in seen.peer:
                    compared.add(node)
        assert compared >= {node for seen in watch.scrapes for node in seen.active}


def check_redirected(exporter: Exporter, active: int) -> None:
    ours = exporter.scrape()
    for i, node in enumerate(NODES):
        if i == active:
            check_up(ours, node)
            assert role(ours, node) == "active"
        else:
            check_down(ours, node, "standby_redirect", was_up=None)
            assert role(ours, node) == "standby"


def test_without_our_header_a_standby_answers_with_the_body_of_the_active_node(own, well):
    def ask(i: int, headers: dict[str, str]) -> tuple[int, str]:
        path = "/v1/sys/metrics?format=prometheus"
        status, answer, body = own.request(i, "GET", path, own.token("metrics"), headers=headers)
        return status, body.decode() if status == 200 else answer["Location"]

    active = Exposition(own.metrics(well))
    for i in {0, 1, 2} - {well}:
        mine = Exposition(own.metrics(i))
        status, text = ask(i, {})
        forwarded = Exposition(text)
        assert status == 200
        # It is the active node's, whole: its role, its process, its peer_id; nothing tells of the standby.
        assert {sample.value for sample in forwarded.samples("vault_core_active")} == {"1"}
        assert {sample.value for sample in mine.samples("vault_core_active")} <= {"0"}  # at first it has none
        for told, wanted in [(forwarded, True), (mine, False)]:
            same = told.value("process_start_time_seconds") == active.value("process_start_time_seconds")
            assert same == wanted
            assert ({s.labels["peer_id"] for s in told.samples(RAFT)} == {NODES[well]}) == wanted
        status, location = ask(i, {"X-Vault-No-Request-Forwarding": "true"})
        assert status == 307 and location.startswith(own.nodes[well].api_url)


def test_a_standby_without_reads_is_a_standby_of_which_we_have_no_samples(own, exporter, well):
    before = exporter.scrape().value("bao_node_polls_total", node_name=NODES[well], reason="ok")
    selves = Selves(own)
    with Watch(exporter) as watch:
        watch.wait_for(HOLD_S)
    watch.check()
    selves.check(watch)
    assert len(watch.scrapes) > 30
    for seen in watch.scrapes:
        assert seen.core_active == seen.active == [NODES[well]]
        assert {node: why for node, why in seen.reason.items() if node != NODES[well]} == {
            node: "standby_redirect" for node in NODES if node != NODES[well]
        }
    check_redirected(exporter, well)
    ours = exporter.scrape()
    assert int(ours.value("bao_node_polls_total", node_name=NODES[well], reason="ok")) > int(before)
    assert ours.value("bao_cluster_nodes", node_role="standby") == "2"


@pytest.mark.parametrize("act", ["step-down", "kill"])
def test_nobody_poses_as_the_active_node_through_a_failover(own, exporter, well, act):
    selves = Selves(own)
    with Reports(own) as reports, Watch(exporter) as watch:
        watch.wait_more(5)
        if act == "kill":
            own.kill(well)
        else:
            own.step_down()
        new = NODES.index(reports.wait_active(other_than=NODES[well]))
        selves.look(new)
        # A redirect of the other standby names the dead node until the election is over.
        told = ("unreachable", "connect") if act == "kill" else STANDBY
        other = ({0, 1, 2} - {well, new}).pop()
        wait_table(exporter, 10, {NODES[new]: ("active", "ok"), NODES[well]: told, NODES[other]: STANDBY})
        watch.wait_for(HOLD_S)
        if act == "kill":
            own.restart(well)
            selves.look(well)
        wait_table(exporter, 25, {NODES[new]: ("active", "ok"), NODES[well]: STANDBY, NODES[other]: STANDBY})
        watch.wait_for(HOLD_S)
    watch.check()
    selves.check(watch)
    assert check_told_in_time(watch, reports, until_second_poll()) > 0
    assert watch.actives() == [NODES[well], NODES[new]]
    check_redirected(exporter, new)


def test_a_lone_survivor_is_a_standby_that_points_to_a_dead_node(own, exporter, well):
    survivor = ({0, 1, 2} - {well}).pop()
    victims = sorted({0, 1, 2} - {survivor})
    selves = Selves(own)
    with Reports(own) as reports, Watch(exporter) as watch:
        watch.wait_more(5)
        for victim in victims:
            own.kill(victim)
        dead = {NODES[victim]: ("unreachable", "connect") for victim in victims}
        wait_table(exporter, 10, {**dead, NODES[survivor]: STANDBY})
        watch.wait_for(HOLD_S)
        ours = exporter.scrape()
        check_down(ours, NODES[survivor], "standby_redirect", was_up=None)
        assert not ours.samples("vault_core_active")
        for victim in victims:
            own.restart(victim)
        active = wait_voters(own)
        for i in range(3):
            selves.look(i)
        wait_table(exporter, 25, {node: ("active", "ok") if i == active else STANDBY for i, node in enumerate(NODES)})
        watch.wait_for(HOLD_S)
    watch.check()
    selves.check(watch)
    assert check_told_in_time(watch, reports, until_second_poll()) > 0
    check_redirected(exporter, active)
