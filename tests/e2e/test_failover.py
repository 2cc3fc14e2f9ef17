"""Nodes die, freeze, step down and seal, while somebody scrapes all the time.

The clusters are this file's own. Every test begins and ends with all three nodes well."""

import dataclasses
import re
import threading
import time

import pytest
from cluster import Cluster
from exporter_process import Exporter, openbao, wait_until
from exposition import Exposition
from samples import check_node, is_leader_only, one_poll, upstream_samples

POLL = {"interval": "1s", "timeout": "800ms", "stale_after": "3s"}
INTERVAL_S = 1.0
TIMEOUT_S = 0.8
TWO_POLLS_S = 2 * INTERVAL_S + TIMEOUT_S  # until the second poll from now has ended
PAUSE_S = 0.05  # between two scrapes of a Watch
# Every node that answers has these.
ALWAYS = ["vault_core_unsealed", "process_start_time_seconds", "go_goroutines"]
TOLD = ["vault_core_active", "bao_node_role", "bao_node_role_disagreement", "bao_node_up", "bao_node_last_poll_reason"]
NODES = ["openbao-0", "openbao-1", "openbao-2"]


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    # The gauges that are counted once in a period shall be there early.
    with Cluster.start(
        tmp_path_factory.mktemp("openbao"), die_with_parent=True, usage_gauge_period="2s", max_lifetime_s=600
    ) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def leader_gauges(own):
    """The gauges that only the active node of this cluster has, as long as it is fresh."""

    def gauges(i: int) -> set[str]:
        families = Exposition(own.metrics(i)).families.values()
        return {family.name for family in families if family.type == "gauge"}

    def found() -> set[str]:
        active = own.active()
        others = set().union(*(gauges(i) for i in range(3) if i != active))
        only = gauges(active) - others
        assert {"vault_autopilot_healthy", "vault_raft_peers", "vault_token_count"} <= only, only
        return only

    return wait_until("the gauges of the active node", found, 30)


@pytest.fixture(scope="module")
def exporter(own, leader_gauges, tmp_path_factory):
    with Exporter(tmp_path_factory.mktemp("exporter"), [openbao(own)], authority=own, poll=POLL) as running:
        yield running


def wait_table(exporter: Exporter, timeout: float, wanted: dict[str, tuple[str, str]]) -> None:
    """`{"openbao-0": ("active", "ok")}`: role and last reason in `bao-exporter nodes`."""

    def probe() -> bool:
        table = exporter.table()
        seen = {name: (row["ROLE"], row["LAST REASON"]) for name, row in table.items()}
        assert {name: seen[name] for name in wanted} == wanted, seen
        return True

    wait_until(f"the table to say {wanted}", probe, timeout)


def wait_well(exporter: Exporter, own: Cluster, active: int | None = None) -> int:
    """All nodes up, and who is active as the nodes say themselves."""
    active = own.wait_active() if active is None else active
    wait_table(exporter, 25, {node: ("active" if i == active else "standby", "ok") for i, node in enumerate(NODES)})
    return active


# --- somebody who scrapes all the time -----------------------------------------------


@dataclasses.dataclass(frozen=True)
class Seen:
    """What one scrape said, by node."""

    began: float
    ended: float
    active: list[str]  # by bao_node_role
    core_active: list[str]  # by vault_core_active
    disagreement: list[str]  # by bao_node_role_disagreement
    up: dict[str, str]
    role: dict[str, str]
    reason: dict[str, str]
    own: dict[str, set[str]]  # which of ALWAYS the node has

    @classmethod
    def read(cls, text: str, began: float) -> "Seen":
        own = {node: set() for node in NODES}
        seen = cls(began, time.monotonic(), [], [], [], {}, {}, {}, own)
        for name, labels, value in re.findall(r"^(\w+)\{(.*)\} (\S+)$", text, re.MULTILINE):
            if name not in (*ALWAYS, *TOLD):
                continue
            label = dict(re.findall(r'(\w+)="([^"]*)"', labels))
            node = label["node_name"]
            if name in ALWAYS:
                own[node].add(name)
            elif name == "bao_node_up":
                seen.up[node] = value
            elif value == "1":
                if name == "vault_core_active":
                    seen.core_active.append(node)
                elif name == "bao_node_role_disagreement":
                    seen.disagreement.append(node)
                elif name == "bao_node_last_poll_reason":
                    seen.reason[node] = label["reason"]
                elif name == "bao_node_role":
                    seen.role[node] = label["node_role"]
                    if label["node_role"] == "active":
                        seen.active.append(node)
        return seen


class Watch:
    """Scrapes every PAUSE_S on a thread of its own until the block ends. The port must answer with
    200 all the time."""

    def __init__(self, exporter: Exporter):
        self.scrapes: list[Seen] = []
        self._exporter = exporter
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, kind, *_) -> None:
        self._stop.set()
        self._thread.join()
        if kind is None and self._failure is not None:
            raise AssertionError("a scrape failed") from self._failure

    def _run(self) -> None:
        try:
            while not self._stop.wait(PAUSE_S):
                began = time.monotonic()
                self.scrapes.append(Seen.read(self._exporter.text(), began))
        except BaseException as failure:  # shown by __exit__
            self._failure = failure

    def wait_more(self, count: int) -> None:
        until = len(self.scrapes) + count
        wait_until(f"{count} more scrapes", lambda: len(self.scrapes) >= until or self._failure)

    def check(self) -> None:
        """What holds whatever happens to one node."""
        assert len(self.scrapes) > 20
        for seen in self.scrapes:
            assert len(seen.active) <= 1, seen
            assert len(seen.core_active) <= 1, seen
            # Roles and values come from one poll. An active node may say 0 for a moment; then that
            # is told. Nobody else may say 1.
            quiet = [node for node in seen.active if seen.own[node] and node not in seen.core_active]
            assert set(quiet) <= set(seen.disagreement), seen
            assert set(seen.core_active) <= set(seen.active), seen
            assert set(seen.up) == set(seen.role) == set(seen.reason) == set(NODES), seen
            for node in NODES:
                ok = seen.reason[node] == "ok"
                assert seen.up[node] == ("1" if ok else "0"), seen
                assert seen.own[node] == (set(ALWAYS) if ok else set()), seen
            assert seen.ended - seen.began < 2, "a scrape took long"

    def check_always_served(self, nodes: list[str]) -> None:
        for seen in self.scrapes:
            for node in nodes:
                assert seen.own[node] == set(ALWAYS), (node, seen)

    def actives(self) -> list[str]:
        """Who was active, in turn; nobody is left out."""
        turns: list[str] = []
        for seen in self.scrapes:
            if seen.active and turns[-1:] != seen.active:
                turns += seen.active
        return turns


def failovers(exporter: Exporter) -> int:
    return int(exporter.scrape().value("bao_cluster_failovers_total", cluster="e2e"))


# --- the tests -----------------------------------------------------------------------


def test_kill_of_the_active_node(own, exporter):
    old = wait_well(exporter, own)
    survivors = [node for node in NODES if node != NODES[old]]
    before = failovers(exporter)
    with Watch(exporter) as watch:
        watch.wait_more(5)
        own.kill(old)
        new = own.wait_active(other_than=old)
        wait_table(exporter, TWO_POLLS_S, {NODES[new]: ("active", "ok"), NODES[old]: ("unreachable", "connect")})
        end_of_table = len(watch.scrapes)
        watch.wait_more(30)
        dead = watch.scrapes[end_of_table + 2 : end_of_table + 30]
        own.restart(old)
        assert wait_well(exporter, own) == new
        watch.wait_more(5)
    watch.check()
    watch.check_always_served(survivors)
    assert watch.actives() == [NODES[old], NODES[new]]
    for seen in dead:
        assert (seen.role[NODES[old]], seen.up[NODES[old]]) == ("unreachable", "0")
        assert seen.active == [NODES[new]]
    assert failovers(exporter) == before + 1
    assert exporter.scrape().value("bao_cluster_nodes", node_role="active") == "1"


def test_step_down_leaves_no_gauge_of_the_leader_behind(own, exporter, leader_gauges):
    old = wait_well(exporter, own)
    before = failovers(exporter)
    with Watch(exporter) as watch:
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


def test_a_sealed_standby(own, exporter):
    active = wait_well(exporter, own)
    sealed, other = [i for i in range(3) if i != active]
    before = failovers(exporter)
    with Watch(exporter) as watch:
        watch.wait_more(5)
        own.seal(sealed)
        wait_table(exporter, TWO_POLLS_S, {NODES[sealed]: ("sealed", "sealed")})
        row = exporter.table()[NODES[sealed]]
        assert (row["SEALED"], row["SAMPLES"]) == ("yes", "0")
        ours = exporter.scrape()
        assert ours.value("bao_cluster_nodes", node_role="sealed") == "1"
        assert ours.value("bao_node_info", node_name=NODES[sealed], role_source="health") == "1"
        own.unseal(sealed)
        wait_well(exporter, own, active)
        watch.wait_more(5)
    watch.check()
    watch.check_always_served([NODES[active], NODES[other]])
    assert watch.actives() == [NODES[active]]
    assert failovers(exporter) == before


def test_an_active_node_that_freezes_and_comes_back_is_never_a_second_one(tmp_path):
    # OpenBao 2.7.2 may die of a nil pointer (entityGaugeCollector) when it loses its leadership
    # while its usage gauges are counted, and after a thaw they all are due: so never count them.
    with Cluster.start(tmp_path / "openbao", die_with_parent=True, usage_gauge_period="24h") as cluster:
        with Exporter(tmp_path / "exporter", [openbao(cluster)], authority=cluster, poll=POLL) as exporter:
            check_freeze(cluster, exporter)


def check_freeze(own: Cluster, exporter: Exporter) -> None:
    old = wait_well(exporter, own)
    survivors = [node for node in NODES if node != NODES[old]]
    before = failovers(exporter)
    with Watch(exporter) as watch:
        watch.wait_more(5)
        own.freeze(old)
        try:
            new = own.wait_active(other_than=old)
            wait_table(
                exporter,
                TWO_POLLS_S + TIMEOUT_S,  # polls of a frozen node last as long as they may
                {NODES[new]: ("active", "ok"), NODES[old]: ("unreachable", "timeout")},
            )
        finally:
            own.thaw(old)
        assert wait_well(exporter, own, new) == new
        watch.wait_more(5)
    watch.check()
    watch.check_always_served(survivors)
    assert watch.actives() == [NODES[old], NODES[new]]
    assert failovers(exporter) == before + 1
