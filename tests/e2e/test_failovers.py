"""Every kind of failover, three times, at a poll every second, while somebody scrapes all the time.

The clusters are this file's own. Every test begins and ends with all three nodes well. The delays
are printed at the end of the run. test_failovers_defaults.py has the same at the default rhythm.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator

import pytest
from cluster import Cluster
from exporter_process import CLUSTER, Exporter, openbao
from exposition import Exposition
from watch import (
    INTERVAL_S,
    NODES,
    SCRAPE_PAUSE_S,
    TIMEOUT_S,
    Figures,
    Reports,
    Watch,
    check_told_in_time,
    failovers,
    gauges_of_the_leader,
    until_second_poll,
    wait_table,
    wait_well,
)

TIMES = 3
COLUMNS = ["act", "from", "to", "terms", "leaderless", "new: told after report", "new: told after act",
           "old: told after report", "old: told after act"]  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Rhythm:
    """Of the exporter, of who scrapes it, and of what happens."""

    interval_s: float
    timeout_s: float
    scrape_pause_s: float
    hold_s: float  # so long each state is looked at

    @property
    def poll(self) -> dict[str, str]:
        stale_after_s = 3 * self.interval_s
        return {
            "interval": f"{self.interval_s:.0f}s",
            "timeout": f"{self.timeout_s * 1000:.0f}ms",
            "stale_after": f"{stale_after_s:.0f}s",
        }

    @property
    def two_polls_s(self) -> float:
        return until_second_poll(self.interval_s, self.timeout_s)


EACH_SECOND = Rhythm(INTERVAL_S, TIMEOUT_S, SCRAPE_PAUSE_S, hold_s=until_second_poll() + 1)


@dataclasses.dataclass(frozen=True)
class Stage:
    """A cluster, and the exporter in front of it."""

    own: Cluster
    exporter: Exporter
    rhythm: Rhythm
    leader_gauges: set[str]
    figures: Figures


@dataclasses.dataclass(frozen=True)
class Act:
    """Something that ends the term of node `old`, and what makes the node well again."""

    name: str
    do: Callable[[Cluster, int], object]
    mend: Callable[[Cluster, int], object]
    told: tuple[str, str]  # role and reason of the old node between the two
    process_stays: bool


ACTS = {
    act.name: act
    for act in [
        Act("kill", Cluster.kill, Cluster.restart, ("unreachable", "connect"), False),
        Act("freeze", Cluster.freeze, Cluster.thaw, ("unreachable", "timeout"), True),
        Act("step-down", lambda own, _: own.step_down(), lambda own, _: None, ("standby", "ok"), True),
        Act("seal", Cluster.seal, Cluster.unseal, ("sealed", "sealed"), True),
    ]
}
# In this order, again and again: after a step-down come the two acts that take longest, so that the
# node is not barred any more when the next one makes it a candidate.
ORDER = ["kill", "step-down", "freeze", "lost quorum", "seal"]


@contextlib.contextmanager
def figures_of(rhythm: Rhythm, config) -> Iterator[Figures]:
    figures = Figures(f"Failovers, interval {rhythm.interval_s:.0f} s; all times in ms:", COLUMNS)
    yield figures
    figures.show(config)


@contextlib.contextmanager
def stage_of(folder, rhythm: Rhythm, own: Cluster, leader_gauges: set[str], figures: Figures) -> Iterator[Stage]:
    with Exporter(folder, [openbao(own)], authority=own, poll=rhythm.poll) as exporter:
        yield Stage(own, exporter, rhythm, leader_gauges, figures)


def counting_cluster(folder) -> Cluster:
    # The gauges that are counted once in a period shall be there early.
    return Cluster.start(folder, die_with_parent=True, usage_gauge_period="10s", max_lifetime_s=900)


def freezing_cluster(folder) -> Cluster:
    # OpenBao 2.7.2 may die of a nil pointer (entityGaugeCollector) when it loses its leadership while
    # its usage gauges are counted, and after a thaw they all are due: so never count them.
    return Cluster.start(folder, die_with_parent=True, usage_gauge_period="24h", max_lifetime_s=900)


# --- what is checked -----------------------------------------------------------------


def check_counted(stage: Stage, before: int, reports: Reports) -> None:
    """One failover more; should the cluster itself have elected twice, at most each of them."""
    terms = len(reports.terms) - 1
    assert terms >= 1, reports.terms
    assert 1 <= failovers(stage.exporter) - before <= terms, reports.terms


def check_nobody_has_the_gauges_of_the_leader(stage: Stage, watch: Watch, active: str) -> None:
    """But the leader. In /metrics that held during all scrapes: see Watch.check."""
    assert {"vault_autopilot_healthy", "vault_raft_peers"} <= watch.scrapes[-1].leader[active]
    for node in NODES:
        answer = stage.exporter.get(f"/metrics/nodes/{CLUSTER}/{node}")
        assert answer.status == 200, (node, answer.status, answer.body[:200])
        families = Exposition(answer.body.decode()).families.keys()
        assert "vault_core_unsealed" in families
        if node == active:
            assert {"vault_autopilot_healthy", "vault_raft_peers"} <= families
        else:
            assert families & stage.leader_gauges == set(), node


def check_roles(stage: Stage, watch: Watch, reports: Reports) -> None:
    compared = check_told_in_time(watch, reports, stage.rhythm.two_polls_s)
    assert compared > 0 or stage.rhythm.hold_s < stage.rhythm.two_polls_s


def check_in_time(stage: Stage, delays: list[float]) -> None:
    assert all(delay <= stage.rhythm.two_polls_s for delay in delays), delays


def check_failover(stage: Stage, act: Act) -> None:
    own, exporter = stage.own, stage.exporter
    old = wait_well(exporter, own, timeout=3 * stage.rhythm.interval_s + 25)
    before = failovers(exporter)
    with Reports(own) as reports, Watch(exporter, stage.leader_gauges, stage.rhythm.scrape_pause_s) as watch:
        watch.wait_more(5)
        acted = time.monotonic()
        act.do(own, old)
        try:
            new = reports.wait_active(other_than=NODES[old])
            wait_table(exporter, 2 * stage.rhythm.two_polls_s, {new: ("active", "ok"), NODES[old]: act.told})
            watch.wait_for(stage.rhythm.hold_s)
        finally:
            act.mend(own, old)
        wait_well(exporter, own, NODES.index(new), timeout=3 * stage.rhythm.interval_s + 25)
        watch.wait_more(5)
        watch.wait_for(stage.rhythm.hold_s)

    watch.check()
    check_roles(stage, watch, reports)
    assert watch.actives() == [NODES[old], new]
    watch.check_always_served([node for node in NODES if node not in (NODES[old], new)])
    new_reported = reports.first(new, "active", acted)
    new_told = watch.first(new, "active", new_reported)
    old_reported = reports.first(NODES[old], act.told[0], acted)
    old_told = watch.first(NODES[old], act.told[0], old_reported)
    check_in_time(stage, [new_told - new_reported, old_told - old_reported])
    check_counted(stage, before, reports)
    assert exporter.scrape().value("bao_cluster_nodes", node_role="active") == "1"
    check_nobody_has_the_gauges_of_the_leader(stage, watch, new)
    if act.process_stays:  # and there was something to leave out
        left_behind = stage.leader_gauges & Exposition(own.metrics(old)).families.keys()
        assert {"vault_autopilot_healthy", "vault_raft_peers"} <= left_behind
    stage.figures.add(
        act.name, NODES[old], new, len(reports.terms) - 1, new_reported - acted,
        new_told - new_reported, new_told - acted, old_told - old_reported, old_told - acted,
    )  # fmt: skip


def check_lost_quorum(stage: Stage, *, with_the_active: bool) -> None:
    """Two of three die: the active one and another, or both others."""
    own, exporter = stage.own, stage.exporter
    old = wait_well(exporter, own, timeout=3 * stage.rhythm.interval_s + 25)
    others = [i for i in range(3) if i != old]
    victims = [old, others[0]] if with_the_active else others
    survivor = NODES[({0, 1, 2} - set(victims)).pop()]
    before = failovers(exporter)
    with Reports(own) as reports, Watch(exporter, stage.leader_gauges, stage.rhythm.scrape_pause_s) as watch:
        watch.wait_more(5)
        acted = time.monotonic()
        for victim in victims:
            own.kill(victim)
        reports.wait(survivor, "standby")
        down = {NODES[victim]: ("unreachable", "connect") for victim in victims}
        wait_table(exporter, 2 * stage.rhythm.two_polls_s, {**down, survivor: ("standby", "ok")})
        leaderless_from = len(watch.scrapes) + 1
        watch.wait_more(5)
        watch.wait_for(stage.rhythm.hold_s)
        back = time.monotonic()
        leaderless = watch.scrapes[leaderless_from:]
        for victim in victims:
            own.restart(victim)
        new = NODES[wait_well(exporter, own, timeout=3 * stage.rhythm.interval_s + 25)]
        watch.wait_more(5)
        watch.wait_for(stage.rhythm.hold_s)

    watch.check()
    check_roles(stage, watch, reports)
    assert leaderless and all(seen.active == [] for seen in leaderless if seen.ended <= back)
    new_reported = reports.first(new, "active", back)
    new_told = watch.first(new, "active", new_reported)
    old_role = "unreachable" if old in victims else "standby"
    old_reported = reports.first(NODES[old], old_role, acted)
    old_told = watch.first(NODES[old], old_role, old_reported)
    check_in_time(stage, [new_told - new_reported, old_told - old_reported])
    check_nobody_has_the_gauges_of_the_leader(stage, watch, new)
    stage.figures.add(
        "lost quorum", NODES[old], new, len(reports.terms) - 1, new_reported - acted,
        new_told - new_reported, new_told - back, old_told - old_reported, old_told - acted,
    )  # fmt: skip
    check_counted(stage, before, reports)


# --- the tests -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def figures(request):
    with figures_of(EACH_SECOND, request.config) as table:
        yield table


@pytest.fixture(scope="module")
def counting(tmp_path_factory, figures):
    with counting_cluster(tmp_path_factory.mktemp("counting")) as own:
        gauges = gauges_of_the_leader(own)
        with stage_of(tmp_path_factory.mktemp("exporter"), EACH_SECOND, own, gauges, figures) as stage:
            yield stage


@pytest.fixture(scope="module")
def freezing(tmp_path_factory, figures, counting):
    with freezing_cluster(tmp_path_factory.mktemp("freezing")) as own:
        folder = tmp_path_factory.mktemp("exporter")
        with stage_of(folder, EACH_SECOND, own, counting.leader_gauges, figures) as stage:
            yield stage


@pytest.mark.parametrize(
    ("act", "nth"), [pytest.param(act, n, id=f"{act}-{n}") for n in range(1, TIMES + 1) for act in ORDER]
)
def test_nobody_is_active_twice_and_each_failover_is_told_in_time_and_counted_once(counting, freezing, act, nth):
    if act == "lost quorum":
        check_lost_quorum(counting, with_the_active=nth != 2)
    else:
        check_failover(freezing if act == "freeze" else counting, ACTS[act])
