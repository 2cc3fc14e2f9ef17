"""What a real server can be put into, one node at a time: each has its reason and its role, and the
others notice nothing. More of tokens: test_tokens_upstream.py; without standby reads:
test_forwarding_standbys.py; the active node that dies, freezes or is sealed: test_failovers.py.

The clusters are this file's own. Every test begins and ends with all nodes well."""

import contextlib
import dataclasses
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cluster import METRICS_PATH, Cluster
from exporter_process import CLUSTER, ClusterEntry, Exporter, NodeEntry, openbao, wait_until
from exposition import Exposition
from watch import (
    NODES,
    POLL,
    TIMEOUT_S,
    Reports,
    Watch,
    check_down,
    check_told_in_time,
    check_up,
    failovers,
    role,
    scrape_once_up,
    until_second_poll,
    wait_table,
    wait_voters,
    wait_well,
)

HOLD_S = until_second_poll() + 1
TOLD_S = until_second_poll() + TIMEOUT_S  # the polls of a frozen node last as long as they may


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    with Cluster.start(tmp_path_factory.mktemp("openbao"), die_with_parent=True, max_lifetime_s=900) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def exporter(own, tmp_path_factory):
    with Exporter(tmp_path_factory.mktemp("exporter"), [openbao(own)], authority=own, poll=POLL) as running:
        yield running


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A cluster of one node, which is active again after each restart."""
    folder = tmp_path_factory.mktemp("alone")
    with Cluster.start(folder, nodes=1, die_with_parent=True, max_lifetime_s=900) as cluster:
        yield cluster


# --- what a server is put into -------------------------------------------------------


@contextlib.contextmanager
def configured(own: Cluster, i: int, old: str, new: str) -> Iterator[None]:
    """Node i runs with `new` for the last `old` in its configuration."""
    file = own.node_folder(i) / "server.hcl"
    before = file.read_text()
    head, found, tail = before.rpartition(old)
    assert found, f"{old!r} is not in {before}"
    file.write_text(head + new + tail)
    try:
        own.restart(i)
        own.wait_active()
        yield
    finally:
        file.write_text(before)
        own.restart(i)
        own.wait_active()


def without_metrics(own: Cluster, i: int):
    """On its API listener, which is the first one."""
    key = str(own.directory / "tls" / f"openbao-{i}.key")
    listener = f'tls_key_file = "{key}"\n}}'
    return configured(own, i, listener, listener[:-1] + "  telemetry {\n    disallow_metrics = true\n  }\n}")


def without_retention(own: Cluster, i: int):
    return configured(own, i, 'prometheus_retention_time = "24h"', 'prometheus_retention_time = "0s"')


def with_metrics_path(own: Cluster, i: int, path: str):
    return configured(own, i, "metrics_only = true", f'metrics_only = true\n    metrics_path = "{path}"')


@contextlib.contextmanager
def sealed(own: Cluster, i: int) -> Iterator[None]:
    own.seal(i)
    try:
        yield
    finally:
        own.unseal(i)


@contextlib.contextmanager
def started_sealed(own: Cluster, i: int) -> Iterator[None]:
    own.restart(i, unseal=False)
    try:
        yield
    finally:
        own.unseal(i)


@contextlib.contextmanager
def uninitialized(own: Cluster, i: int) -> Iterator[None]:
    own.kill(i)
    data = own.node_folder(i) / "raft"
    kept = data.rename(data.with_name("raft.kept"))
    data.mkdir(mode=0o700)
    try:
        own.restart(i, unseal=False)
        yield
    finally:
        own.kill(i)
        shutil.rmtree(data)
        kept.rename(data)
        own.restart(i)


@contextlib.contextmanager
def killed(own: Cluster, i: int) -> Iterator[None]:
    own.kill(i)
    try:
        yield
    finally:
        own.restart(i)


@contextlib.contextmanager
def frozen(own: Cluster, i: int) -> Iterator[None]:
    own.freeze(i)
    try:
        yield
    finally:
        own.thaw(i)


@dataclasses.dataclass(frozen=True)
class State:
    name: str
    put: Callable  # a context: node i of the cluster is in that state
    role: str
    reason: str
    sealed: str = "no"  # in the table


STATES = [
    State("sealed", sealed, "sealed", "sealed", "yes"),
    State("sealed since its start", started_sealed, "sealed", "sealed", "yes"),
    State("uninitialized", uninitialized, "uninitialized", "uninitialized", "yes"),
    State("killed", killed, "unreachable", "connect", "?"),
    State("frozen", frozen, "unreachable", "timeout", "?"),
    State("disallow_metrics", without_metrics, "standby", "metrics_disabled"),
    State("retention 0", without_retention, "standby", "telemetry_disabled"),
]


# --- the tests -----------------------------------------------------------------------


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.name)
def test_a_standby_in_a_state_of_its_own_is_told_and_nobody_else_is_touched(own, exporter, state):
    active = wait_well(exporter, own)
    victim, other = [i for i in range(3) if i != active]
    before = failovers(exporter)
    with Reports(own) as reports, Watch(exporter) as watch:
        watch.wait_more(5)
        with state.put(own, victim):
            wait_table(exporter, TOLD_S, {NODES[victim]: (state.role, state.reason)})
            watch.wait_for(HOLD_S)
            ours = exporter.scrape()
            check_down(ours, NODES[victim], state.reason, was_up=True)
            assert role(ours, NODES[victim]) == state.role
            row = exporter.table()[NODES[victim]]
            assert (row["SEALED"], row["SAMPLES"]) == (state.sealed, "0")
            source = "none" if state.role == "unreachable" else "health"
            assert ours.value("bao_node_info", node_name=NODES[victim], role_source=source) == "1"
            roles = ["active", "standby", state.role]
            for name in set(roles):
                assert ours.value("bao_cluster_nodes", node_role=name) == str(roles.count(name))
            for i in [active, other]:
                check_up(ours, NODES[i])
        wait_well(exporter, own, active)
        watch.wait_for(HOLD_S)
    watch.check()
    watch.check_always_served([NODES[active], NODES[other]])
    assert watch.actives() == [NODES[active]]
    assert failovers(exporter) == before
    assert check_told_in_time(watch, reports, until_second_poll()) > 0


@pytest.mark.parametrize(
    ("put", "why"),
    [(without_metrics, "metrics_disabled"), (without_retention, "telemetry_disabled")],
    ids=["disallow_metrics", "retention 0"],
)
def test_an_active_node_that_serves_no_metrics_is_active_all_the_same(alone, tmp_path, put, why):
    with put(alone, 0), Exporter(tmp_path, [openbao(alone)], authority=alone, poll=POLL) as exporter:
        ours = exporter.scrape()
        check_down(ours, "openbao-0", why)
        assert role(ours, "openbao-0") == exporter.table()["openbao-0"]["ROLE"] == "active"
        assert ours.value("bao_cluster_nodes", node_role="active") == "1"


def test_an_active_node_over_its_rate_limit_is_active_all_the_same(alone, tmp_path):
    quota, root = "/v1/sys/quotas/rate-limit/metrics", alone.token("root")
    limit = {"path": "sys/metrics", "rate": 1, "interval": "600s"}
    status, _, body = alone.request(0, "POST", quota, root, limit)
    assert status == 204, body
    try:
        with Exporter(tmp_path, [openbao(alone)], authority=alone, poll=POLL) as exporter:
            wait_table(exporter, TOLD_S, {"openbao-0": ("active", "rate_limited")})
            ours = exporter.scrape()
            check_down(ours, "openbao-0", "rate_limited", was_up=True)
            assert role(ours, "openbao-0") == "active"
    finally:
        assert alone.request(0, "DELETE", quota, root)[0] == 204


@pytest.mark.parametrize("with_the_active", [True, False], ids=["the active and a standby", "both standbys"])
def test_who_is_left_of_three_is_a_standby_with_samples(own, exporter, with_the_active):
    active = wait_well(exporter, own)
    others = [i for i in range(3) if i != active]
    victims = [active, others[0]] if with_the_active else others
    survivor = ({0, 1, 2} - set(victims)).pop()
    with Watch(exporter) as watch:
        watch.wait_more(5)
        for victim in victims:
            own.kill(victim)
        try:
            dead = {NODES[victim]: ("unreachable", "connect") for victim in victims}
            wait_table(exporter, 10, {**dead, NODES[survivor]: ("standby", "ok")})
            watch.wait_for(HOLD_S)
            ours = exporter.scrape()
            check_up(ours, NODES[survivor])
            assert ours.value("bao_cluster_nodes", node_role="active") == "0"
            assert {sample.value for sample in ours.samples("vault_core_active")} == {"0"}
            for victim in victims:
                check_down(ours, NODES[victim], "connect", was_up=True)
        finally:
            for victim in victims:
                own.restart(victim)
        wait_well(exporter, own)
    watch.check()
    if with_the_active:  # one that ceases to lead takes no token for a second or so
        watch.check_always_served([NODES[survivor]])


# --- tokens --------------------------------------------------------------------------


def with_token(own: Cluster, token: str) -> ClusterEntry:
    return dataclasses.replace(openbao(own), token=token)


def test_a_token_with_a_number_of_uses_is_rejected_by_standbys_after_three_rounds(own, tmp_path):
    # The active node takes it, so only its lasting tells that it is no matter of a moment.
    active = wait_voters(own)
    token = own.mint(["metrics-read"], num_uses=1000)
    with Exporter(tmp_path, [with_token(own, token)], authority=own, poll=POLL) as exporter, Watch(exporter) as watch:
        down = {node: ("standby", "token_rejected") for i, node in enumerate(NODES) if i != active}
        wait_table(exporter, 3 + TOLD_S, {NODES[active]: ("active", "ok"), **down})
        watch.wait_for(HOLD_S)
        ours = exporter.scrape()
    check_up(ours, NODES[active])
    for node in down:
        check_down(ours, node, "token_rejected")
        assert role(ours, node) == "standby"
        assert ours.value("bao_node_polls_total", node_name=node, reason="standby_rejected") == "2"
        assert {seen.up[node] for seen in watch.scrapes} == {"0"}
        turns = [seen.reason[node] for seen in watch.scrapes]
        assert turns == sorted(turns), "token_rejected stays"
    watch.check_always_served([NODES[active]])


def test_a_token_that_is_revoked_ends_all_samples_and_no_role(own, tmp_path):
    active = wait_voters(own)
    token = own.mint(["metrics-read"], ttl="1h")
    with Exporter(tmp_path, [with_token(own, token)], authority=own, poll=POLL) as exporter, Watch(exporter) as watch:
        wait_well(exporter, own, active)
        watch.wait_more(5)
        status, _, body = own.request(active, "POST", "/v1/auth/token/revoke", own.token("root"), {"token": token})
        assert status == 204, body
        roles = {node: "active" if i == active else "standby" for i, node in enumerate(NODES)}
        wait_table(exporter, TOLD_S, {node: (is_, "token_rejected") for node, is_ in roles.items()})
        watch.wait_for(HOLD_S)
        ours = exporter.scrape()
    watch.check()
    for node, is_ in roles.items():
        check_down(ours, node, "token_rejected", was_up=True)
        assert {seen.role[node] for seen in watch.scrapes} == {is_}


def test_a_batch_token_reads_every_node(own, tmp_path):
    token = own.mint(["metrics-read"], type="batch", ttl="1h")
    with Exporter(tmp_path, [with_token(own, token)], authority=own, poll=POLL) as exporter:
        wait_well(exporter, own)
        ours = exporter.scrape()
    for node in NODES:
        check_up(ours, node)


# --- metrics_only listeners ----------------------------------------------------------


def by_metrics_listeners(own: Cluster, paths: dict[int, str] | None = None, *, api: bool) -> ClusterEntry:
    """Every node at its metrics_only listener, without a token, at METRICS_PATH or its own path."""
    nodes = [
        NodeEntry(
            node.name,
            api_url=node.api_url if api else "",
            metrics_url=node.metrics_url.removesuffix(METRICS_PATH) + (paths or {}).get(i, METRICS_PATH),
            metrics_auth="none",
        )
        for i, node in enumerate(own.nodes)
    ]
    return ClusterEntry(CLUSTER, own.ca_file, None, nodes)


def told_of(own: Cluster, folder: Path, entry: ClusterEntry, victim: int) -> Exposition:
    """By an exporter that starts now, as soon as the others are up."""
    with Exporter(folder, [entry], authority=own, poll=POLL) as exporter:
        return scrape_once_up(exporter, [node for i, node in enumerate(NODES) if i != victim])


def wait_core_active(own: Cluster, paths: dict[int, str] | None = None) -> int:
    """Until every node tells its role in its own body: a standby does so some 10 s after its start.
    Returns the active one."""

    def tells(i: int) -> bool:
        path = (paths or {}).get(i, METRICS_PATH)
        status, _, body = own.request(i, "GET", f"{path}?format=prometheus", listener="metrics")
        assert status == 200, (i, status, body[:200])
        return bool(Exposition(body.decode()).samples("vault_core_active"))

    wait_until("core_active of every node", lambda: all(map(tells, range(3))), 30)
    return wait_voters(own)


def check_others(ours: Exposition, active: int, victim: int) -> None:
    for i, node in enumerate(NODES):
        if i != victim:
            check_up(ours, node)
            assert role(ours, node) == ("active" if i == active else "standby")


def test_a_metrics_path_of_ones_own_is_asked_as_it_is_written(own, tmp_path):
    active = wait_voters(own)
    special = ({0, 1, 2} - {active}).pop()
    paths = {special: "/metrics"}
    with with_metrics_path(own, special, "/metrics"):
        wait_core_active(own, paths)
        for name, api, role_if_wrong in [("both", True, "standby"), ("alone", False, "unknown")]:
            right = told_of(own, tmp_path / f"right-{name}", by_metrics_listeners(own, paths, api=api), special)
            check_others(right, active, special)
            check_up(right, NODES[special])
            assert role(right, NODES[special]) == "standby"
            wrong = told_of(own, tmp_path / f"wrong-{name}", by_metrics_listeners(own, api=api), special)
            check_others(wrong, active, special)
            check_down(wrong, NODES[special], "not_found")
            assert role(wrong, NODES[special]) == role_if_wrong


@dataclasses.dataclass(frozen=True)
class ByMetricsAlone:
    name: str
    put: Callable
    health: str  # the role with an api_url
    alone: str  # and without one
    core_active: set[str]


@pytest.mark.parametrize(
    "state",
    [
        # A node sealed at run time goes on to say 0 of core_active, as a standby does, and 0 of
        # core_unsealed; one that was sealed or empty at its start says nothing of core_active.
        ByMetricsAlone("sealed", sealed, "sealed", "sealed", {"0"}),
        ByMetricsAlone("sealed since its start", started_sealed, "sealed", "unknown", set()),
        ByMetricsAlone("uninitialized", uninitialized, "uninitialized", "unknown", set()),
    ],
    ids=lambda state: state.name,
)
def test_a_metrics_only_listener_answers_for_a_sealed_node_too(own, tmp_path, state):
    active = wait_core_active(own)
    victim = ({0, 1, 2} - {active}).pop()
    with state.put(own, victim):
        both = told_of(own, tmp_path / "both", by_metrics_listeners(own, api=True), victim)
        alone = told_of(own, tmp_path / "alone", by_metrics_listeners(own, api=False), victim)
    for ours, expected in [(both, state.health), (alone, state.alone)]:
        check_up(ours, NODES[victim], at_least=40)
        assert role(ours, NODES[victim]) == expected
        for family, values in [("core_active", state.core_active), ("core_unsealed", {"0"})]:
            found = ours.samples(f"vault_{family}", node_name=NODES[victim])
            assert {sample.value for sample in found} == values, found
        check_others(ours, active, victim)
    wait_voters(own)
