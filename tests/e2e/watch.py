"""What the exporter says of the nodes of a cluster, once and while somebody scrapes all the time, and
what the nodes say themselves meanwhile."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
import re
import ssl
import threading
import time

from cluster import LOOPBACK, ROLES, Cluster
from exporter_process import Exporter, wait_until
from exposition import Exposition
from samples import upstream_samples

NODES = ["openbao-0", "openbao-1", "openbao-2"]
ALL_ROLES = {"active", "standby", "sealed", "uninitialized", "unreachable", "unknown"}
# Every node that answers has these.
ALWAYS = ["vault_core_unsealed", "process_start_time_seconds", "go_goroutines"]
TOLD = ["vault_core_active", "bao_node_role", "bao_node_role_disagreement", "bao_node_up", "bao_node_last_poll_reason"]
RAFT = "vault_raft_storage_stats_applied_index"  # has the label peer_id, which is the node's name here

POLL = {"interval": "1s", "timeout": "800ms", "stale_after": "3s"}
INTERVAL_S = 1.0
TIMEOUT_S = 0.8
SCRAPE_PAUSE_S = 0.05  # between two scrapes of a Watch
REPORT_PAUSE_S = 0.05  # between two questions of Reports to a node
REPORT_TIMEOUT_S = 1.0
REPORT_LAG_S = 0.3  # the exporter may hear of a change before Reports do


def until_second_poll(interval_s: float = INTERVAL_S, timeout_s: float = TIMEOUT_S) -> float:
    """So long until the second poll from now has ended, at most."""
    return 2 * interval_s + timeout_s


# --- once ----------------------------------------------------------------------------


def reason(ours: Exposition, node: str) -> str:
    found = ours.samples("bao_node_last_poll_reason", node_name=node)
    assert len(found) == 1 and found[0].value == "1", found
    return found[0].labels["reason"]


def role(ours: Exposition, node: str) -> str:
    found = {s.labels["node_role"]: s.value for s in ours.samples("bao_node_role", node_name=node)}
    assert found.keys() == ALL_ROLES
    ones = [name for name, value in found.items() if value == "1"]
    assert len(ones) == 1 and sorted(found.values()) == ["0"] * 5 + ["1"], found
    return ones[0]


def check_down(ours: Exposition, node: str, why: str, *, was_up: bool | None = False) -> None:
    """`was_up`: whether it ever was; None: whichever."""
    assert reason(ours, node) == why
    assert ours.value("bao_node_up", node_name=node) == "0"
    assert ours.value("bao_node_samples", node_name=node) == "0"
    assert upstream_samples(ours, node) == []
    assert int(ours.value("bao_node_polls_total", node_name=node, reason=why)) >= 1
    assert was_up in (None, bool(ours.samples("bao_node_polls_total", node_name=node, reason="ok")))


def check_up(ours: Exposition, node: str, at_least: int = 100) -> None:
    """A node that has just started has less samples than an older one."""
    why = reason(ours, node)
    assert why == "ok", f"{node}: {why}"
    assert ours.value("bao_node_up", node_name=node) == "1"
    assert len(upstream_samples(ours, node)) == int(ours.value("bao_node_samples", node_name=node)) > at_least


def scrape_once_up(exporter: Exporter, nodes: list[str]) -> Exposition:
    """The first polls of a busy machine may take longer than their timeout."""

    def probe() -> Exposition:
        ours = exporter.scrape()
        for node in nodes:
            check_up(ours, node, at_least=0)
        return ours

    return wait_until(f"{nodes} to be up", probe)


def failovers(exporter: Exporter) -> int:
    return int(exporter.scrape().value("bao_cluster_failovers_total", cluster="e2e"))


def wait_table(exporter: Exporter, timeout: float, wanted: dict[str, tuple[str, str]]) -> None:
    """`{"openbao-0": ("active", "ok")}`: role and last reason in `bao-exporter nodes`."""

    def probe() -> bool:
        table = exporter.table()
        seen = {name: (row["ROLE"], row["LAST REASON"]) for name, row in table.items()}
        assert {name: seen[name] for name in wanted} == wanted, seen
        return True

    wait_until(f"the table to say {wanted}", probe, timeout)


def wait_voters(cluster: Cluster, timeout: float = 30) -> int:
    """One active node, the others standby, all voters; returns the active one."""

    def probe() -> bool:
        roles = cluster.roles()
        assert sorted(roles) == ["active", "standby", "standby"], roles
        path = "/v1/sys/storage/raft/configuration"
        status, _, body = cluster.request(roles.index("active"), "GET", path, cluster.token("root"))
        assert status == 200, (status, body)
        servers = json.loads(body)["data"]["config"]["servers"]
        assert sorted(server["node_id"] for server in servers if server["voter"]) == NODES, servers
        return True

    wait_until("one active node and three voters", probe, timeout)
    return cluster.wait_active()


def wait_well(exporter: Exporter, own: Cluster, active: int | None = None, timeout: float = 25) -> int:
    """All nodes well, and the exporter says so; returns who is active as the nodes say themselves."""
    found = wait_voters(own)
    assert active in (None, found)
    wait_table(exporter, timeout, {node: ("active" if i == found else "standby", "ok") for i, node in enumerate(NODES)})
    return found


def gauges_of_the_leader(own: Cluster, timeout: float = 60) -> set[str]:
    """The gauges that only the active node of this cluster has, as long as it is fresh. Those that
    are counted once in a usage_gauge_period come late: it must be a short one."""

    def gauges(i: int) -> set[str]:
        families = Exposition(own.metrics(i)).families.values()
        return {family.name for family in families if family.type == "gauge"}

    def found() -> set[str]:
        active = own.active()
        assert active is not None
        others = set().union(*(gauges(i) for i in range(3) if i != active))
        only = gauges(active) - others
        assert {"vault_autopilot_healthy", "vault_raft_peers", "vault_token_count"} <= only, only
        return only

    return wait_until("the gauges of the active node", found, timeout)


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
    start: dict[str, str]  # its process_start_time_seconds
    peer: dict[str, str]  # its peer_id
    leader: dict[str, set[str]]  # which of the gauges of the leader it has

    @classmethod
    def read(cls, text: str, began: float, leader_gauges: frozenset[str] = frozenset()) -> "Seen":
        ended = time.monotonic()
        own = {node: set() for node in NODES}
        seen = cls(began, ended, [], [], [], {}, {}, {}, own, {}, {}, {node: set() for node in NODES})
        wanted = "|".join([*ALWAYS, *TOLD, RAFT, *leader_gauges])
        for name, labels, value in re.findall(rf"^({wanted})\{{(.*)\}} (\S+)$", text, re.MULTILINE):
            seen._take(name, dict(re.findall(r'(\w+)="([^"]*)"', labels)), value, leader_gauges)
        return seen

    def _take(self, name: str, labels: dict[str, str], value: str, leader_gauges: frozenset[str]) -> None:
        node = labels["node_name"]
        if name in leader_gauges:
            self.leader[node].add(name)
        elif name in ALWAYS:
            self.own[node].add(name)
            if name == "process_start_time_seconds":
                self.start[node] = value
        elif name == RAFT:
            self.peer[node] = labels["peer_id"]
        elif name == "bao_node_up":
            self.up[node] = value
        elif value == "1":
            if name == "vault_core_active":
                self.core_active.append(node)
            elif name == "bao_node_role_disagreement":
                self.disagreement.append(node)
            elif name == "bao_node_last_poll_reason":
                self.reason[node] = labels["reason"]
            elif name == "bao_node_role":
                self.role[node] = labels["node_role"]
                if labels["node_role"] == "active":
                    self.active.append(node)


class Watch:
    """Scrapes on a thread of its own until the block ends, with `pause_s` between two scrapes. The
    port must answer with 200 all the time."""

    def __init__(self, exporter: Exporter, leader_gauges: set[str] | None = None, pause_s: float = SCRAPE_PAUSE_S):
        self.scrapes: list[Seen] = []
        self._exporter = exporter
        self._leader_gauges = frozenset(leader_gauges or ())
        self._pause_s = pause_s
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
            while not self._stop.wait(self._pause_s):
                began = time.monotonic()
                self.scrapes.append(Seen.read(self._exporter.text(), began, self._leader_gauges))
        except BaseException as failure:  # shown by __exit__
            self._failure = failure

    def wait_more(self, count: int) -> None:
        until = len(self.scrapes) + count
        wait_until(f"{count} more scrapes", lambda: len(self.scrapes) >= until or self._failure, 60)

    def wait_for(self, seconds: float) -> None:
        """So long scrapes go on, whatever they say."""
        until = time.monotonic() + seconds
        wait_until("a later scrape", self._scraped_after(until), seconds + 10)

    def _scraped_after(self, when: float):
        return lambda: self._failure or (self.scrapes and self.scrapes[-1].began > when)

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
                assert node in seen.active or not seen.leader[node], seen
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

    def first(self, node: str, wanted: str, since: float) -> float:
        """When a scrape first said that role after `since`."""
        for seen in self.scrapes:
            if seen.ended >= since and seen.role.get(node) == wanted:
                return seen.ended
        raise AssertionError(f"no scrape after {since} says that {node} is {wanted}")


# --- what the nodes say themselves ---------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Report:
    """From `at` on the node said `role`, until its next report."""

    at: float
    role: str


@dataclasses.dataclass(frozen=True)
class Term:
    """One time of a node as the active one, as sys/leader of that node tells it."""

    node: str
    active_time: str


class Reports:
    """Asks every node for sys/health, and the active one for sys/leader, on a thread for each, over
    a connection that stays open. A role begins when its first answer is here; `unreachable` when the
    first question that got none was put."""

    def __init__(self, cluster: Cluster):
        self.changes: dict[str, list[Report]] = {node: [] for node in NODES}
        self.terms: list[Term] = []
        self._context = ssl.create_default_context(cafile=cluster.ca_file)
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(node.name, node.api_port), daemon=True) for node in cluster.nodes
        ]

    def __enter__(self) -> "Reports":
        for thread in self._threads:
            thread.start()
        wait_until("a report of every node", lambda: all(self.changes.values()))
        return self

    def __exit__(self, *_) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, node: str, port: int) -> None:
        connection = http.client.HTTPSConnection(LOOPBACK, port, timeout=REPORT_TIMEOUT_S, context=self._context)
        with contextlib.closing(connection):
            while not self._stop.wait(REPORT_PAUSE_S):
                began = time.monotonic()
                try:
                    status, _ = self._ask(connection, "/v1/sys/health")
                    self._note(node, Report(time.monotonic(), ROLES.get(status, f"status {status}")))
                    if status == 200:
                        self._note_term(node, *self._ask(connection, "/v1/sys/leader"))
                except (OSError, http.client.HTTPException):
                    connection.close()  # the next question opens it again
                    self._note(node, Report(began, "unreachable"))

    @staticmethod
    def _ask(connection: http.client.HTTPSConnection, path: str) -> tuple[int, bytes]:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()

    def _note(self, node: str, report: Report) -> None:
        if not self.changes[node] or self.changes[node][-1].role != report.role:
            self.changes[node].append(report)

    def _note_term(self, node: str, status: int, body: bytes) -> None:
        leader = json.loads(body) if status == 200 else {}
        term = Term(node, leader.get("active_time", ""))
        if leader.get("is_self") and term not in self.terms:
            self.terms.append(term)

    def first(self, node: str, wanted: str, since: float) -> float:
        """When the node first said that role after `since`. A question that got no answer may have
        been put a little earlier."""
        for report in self.changes[node]:
            if report.at >= since - REPORT_TIMEOUT_S and report.role == wanted:
                return max(report.at, since)
        raise AssertionError(f"{node} did not say that it is {wanted}: {self.changes[node]}")

    def wait(self, node: str, wanted: str, timeout: float = 30) -> None:
        wait_until(f"{node} to be {wanted}", lambda: self.changes[node][-1].role == wanted, timeout)

    def wait_active(self, other_than: str = "", timeout: float = 30) -> str:
        def probe() -> str:
            active = [node for node, changes in self.changes.items() if changes[-1].role == "active"]
            assert len(active) == 1, self.changes
            return active[0] if active[0] != other_than else ""

        return wait_until("one node active", probe, timeout)


def check_told_in_time(watch: Watch, reports: Reports, within_s: float) -> int:
    """What a node says of itself is told by the exporter `within_s` later, and from then on until the
    node says something else. Returns how many roles in how many scrapes that was said of."""
    compared = 0
    for node, changes in reports.changes.items():
        for report, following in zip(changes, [*changes[1:], Report(watch.scrapes[-1].ended, "")]):
            later = range_of(watch.scrapes, report.at + within_s, following.at - REPORT_LAG_S)
            assert {seen.role[node] for seen in later} <= {report.role}, (node, report, following, changes)
            compared += len(later)
    return compared


def range_of(scrapes: list[Seen], begin: float, end: float) -> list[Seen]:
    return [seen for seen in scrapes if begin <= seen.began and seen.ended <= end]


# --- figures -------------------------------------------------------------------------


class Figures:
    """Rows of a table, to be quoted."""

    def __init__(self, title: str, columns: list[str]):
        self.title = title
        self.columns = columns
        self.rows: list[list[str]] = []

    def add(self, *cells: object) -> None:
        assert len(cells) == len(self.columns)
        self.rows.append([f"{cell * 1000:.0f}" if isinstance(cell, float) else str(cell) for cell in cells])

    def text(self) -> str:
        table = [self.columns, *self.rows]
        widths = [max(map(len, column)) for column in zip(*table)]
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths)) for row in table]
        return "\n".join([f"\n{self.title}", *lines, ""])

    def show(self, config) -> None:
        """Past pytest's capturing: into the log of a run that passed, too."""
        capture = config.pluginmanager.getplugin("capturemanager")
        with capture.global_and_fixture_disabled():
            print(self.text(), flush=True)
