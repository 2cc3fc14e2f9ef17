"""Alerts that were written for OpenBao's own metrics fire when they should and only then, on two real
Prometheus servers in front of one exporter: one scrapes each node as a target of its own, as
scrape-nodes.yml ships it, and has those alerts and nothing of ours; the other scrapes everything as
one target and has our alerts, and of those the ones that docs/prometheus.md says work there too.

What goes wrong is done to a real cluster, and to a fake one where a real one would not do it."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from cluster import LOOPBACK, Cluster
from exporter_process import CLUSTER, ClusterEntry, Exporter, NodeEntry, wait_until
from fake_node import Certificates, FakeNode, exposition, family
from prometheus_server import SHIPPED, running_prometheus
from test_prometheus import Prometheus

QUIET_S = float(os.environ.get("BAO_QUIET_SECONDS", "30"))
SETTLED_S = 3
LOOK_S = 0.5
STAYS_S = 4  # what fires has to go on firing, alone, for so long
FAKE = "fake"
FAKE_NODES = {"n1", "n2", "n3"}
# A healthy standby is down for autopilot after 10 s without contact; then there is an election, a
# restart, an unsealing, and both servers look every second.
TIME_S = 60

# --- the alerts for OpenBao ----------------------------------------------------------

GROUP = "cluster, kubernetes_namespace, openbao_namespace, scrape_profile"
TARGET = "cluster, kubernetes_namespace, scrape_profile, pod, instance"
DEPLOYMENT = "cluster, kubernetes_namespace, scrape_profile"

RECORDINGS = {
    "openbao:core_active:sum": f"sum by ({GROUP}) (vault_core_active)",
    "openbao:core_unsealed:min": " or ".join(
        f'min by ({GROUP}, pod, instance) (vault_core_unsealed{{cluster!="",seal_state_source="{source}"}})'
        for source in ("cluster", "startup", "")
    ),
    "openbao:autopilot_healthy:max": f"max by ({GROUP}) (vault_autopilot_healthy)",
    "openbao:autopilot_failure_tolerance:max": f"max by ({GROUP}) (vault_autopilot_failure_tolerance)",
    "openbao:autopilot_node_healthy:min": f"min by ({GROUP}, pod, instance, node_id) (vault_autopilot_node_healthy)",
    "openbao:raft_peers:max": f"max by ({GROUP}) (vault_raft_peers)"
    f" or count by ({GROUP}) (vault_autopilot_node_healthy)"
    f" or count by ({GROUP}) (count by ({GROUP}, peer_id) (vault_raft_storage_stats_commit_index))",
}
# Those that need an `up` of each node.
BY_UP = {
    "OpenBaoUnreachable": '(up{job="openbao"} == 0) or absent(up{job="openbao"})',
    "OpenBaoCoreUnsealedSignalMissing": f'max by ({TARGET}) (up{{job="openbao"}} == 1)'
    f" unless on ({TARGET}) openbao:core_unsealed:min",
    "OpenBaoCoreActiveSignalMissing": f'max by ({DEPLOYMENT}) (up{{job="openbao"}} == 1)'
    f" unless on ({DEPLOYMENT}) openbao:core_active:sum",
}
BY_RECORDINGS = {
    "OpenBaoSealedUnexpectedly": "openbao:core_unsealed:min == 0",
    "OpenBaoNoActiveNode": "openbao:core_active:sum == 0",
    "OpenBaoMultipleActiveNodes": "openbao:core_active:sum > 1",
    "OpenBaoRaftPeerCountLow": "openbao:raft_peers:max < 3",
    "OpenBaoAutopilotUnhealthy": "openbao:autopilot_healthy:max == 0",
    "OpenBaoAutopilotFailureToleranceLost": "openbao:raft_peers:max >= 3"
    " and openbao:autopilot_failure_tolerance:max < 1",
    "OpenBaoAutopilotNodeUnhealthy": "openbao:autopilot_node_healthy:min == 0",
}


def rules_for_openbao(alerts: dict[str, str]) -> str:
    recordings = [
        {"record": name, "expr": expr, "labels": {"source_prefix": "vault"}} for name, expr in RECORDINGS.items()
    ]
    rules = [{"alert": name, "expr": expr, "for": "0s"} for name, expr in alerts.items()]
    return yaml.safe_dump({"groups": [{"name": "openbao", "rules": recordings + rules}]})


def our_alerts_at_once() -> str:
    """As shipped, without the patience; but those on rates look back for minutes all the same, and
    the certificates of this test are meant to end in two days."""
    document = yaml.safe_load((SHIPPED / "alerts.yml").read_text())
    for group in document["groups"]:
        for rule in group["rules"]:
            if "ratio5m" not in rule["expr"] and "not_after" not in rule["expr"]:
                rule["for"] = "0s"
    return yaml.safe_dump(document)


# --- the two servers -----------------------------------------------------------------

# An alert as (its name, cluster, the node that it is about or "").
Firing = tuple[str, str, str]


@dataclasses.dataclass
class Site:
    """Everything that runs."""

    real: Cluster
    fakes: list[FakeNode]
    exporter: Exporter
    nodes: Prometheus  # scrapes each node
    everything: Prometheus  # scrapes /metrics

    def name_of(self, labels: dict[str, str]) -> str:
        names = {f"{LOOPBACK}:{node.metrics_port}": node.name for node in self.real.nodes}
        names |= {f"{LOOPBACK}:{node.port}": node.name for node in self.fakes}
        instance = labels.get("instance", "")
        return labels.get("node_id") or labels.get("node_name") or names.get(instance, instance)

    def alerts(self, server: Prometheus, expression: str) -> set[Firing]:
        found = [labels for labels, _ in server.query(expression)]
        return {(labels["alertname"], labels.get("cluster", ""), self.name_of(labels)) for labels in found}

    def firing(self) -> tuple[set[Firing], set[Firing]]:
        expression = 'ALERTS{alertstate="firing"}'
        return self.alerts(self.nodes, expression), self.alerts(self.everything, expression)

    def fired(self, seconds: float) -> tuple[set[Firing], set[Firing]]:
        """All that fired at any time of the last seconds."""
        expression = f'count_over_time(ALERTS{{alertstate="firing"}}[{int(seconds)}s])'
        return self.alerts(self.nodes, expression), self.alerts(self.everything, expression)

    def wait_settled(self) -> None:
        """All nodes well, and no alert for some seconds."""
        self.real.wait_active()
        self.nodes.wait('sum(up{job="openbao"})', "6")
        self.everything.wait("sum(bao_node_up)", "6")
        for server in (self.nodes, self.everything):
            server.wait("count(vault_core_active)", "6")  # a standby that just started has none yet
            server.wait("count(openbao:raft_peers:max)", "2")

        def probe() -> bool:
            fired = self.fired(SETTLED_S)
            assert fired == (set(), set()), f"fired in the last {SETTLED_S} s: {fired}"
            return True

        wait_until("no alert any more", probe, TIME_S)

    def wait_firing(self, theirs: set[Firing], ours: set[Firing], timeout: float = TIME_S) -> None:
        wanted = theirs, both_of(theirs, ours)

        def probe() -> bool:
            found = self.firing()
            assert found == wanted, f"\nfires:  {found}\nwanted: {wanted}"
            return True

        wait_until("exactly these alerts", probe, timeout)

    def stays(self, theirs: set[Firing], ours: set[Firing], seconds: float) -> None:
        """What fired between two looks is found by `fired`."""
        wanted = theirs, both_of(theirs, ours)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = self.firing()
            assert found == wanted, f"\nfires:  {found}\nwanted: {wanted}"
            time.sleep(LOOK_S)


def both_of(theirs: set[Firing], ours: set[Firing]) -> set[Firing]:
    """What fires where everything is one target: ours, and of theirs what works there."""
    return ours | {one for one in theirs if one[0] not in BY_UP}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with contextlib.ExitStack() as stack:
        # A node of 2.7.2 may end when it stops being active while its usage gauges are counted.
        real = Cluster.start(
            tmp_path_factory.mktemp("openbao"),
            die_with_parent=True,
            usage_gauge_period="24h",
            max_lifetime_s=600 + QUIET_S,
        )
        stack.enter_context(real)
        certificates = Certificates(tmp_path_factory.mktemp("certificates"))
        fakes = []
        for index, role in enumerate(["active", "standby", "standby"], start=1):
            fakes.append(FakeNode(certificates, f"n{index}", role, index))
            stack.callback(fakes[-1].stop)
        # By listeners for metrics only, so that a sealed node gives its metrics too.
        of_real = [
            NodeEntry(node.name, node.api_url, metrics_url=node.metrics_url, metrics_auth="none")
            for node in real.nodes
        ]
        of_fake = [NodeEntry(node.name, node.url) for node in fakes]
        clusters = [
            ClusterEntry(CLUSTER, real.ca_file, None, of_real),
            ClusterEntry(FAKE, Path(certificates.pem("ca")), "s.fake", of_fake),
        ]
        exporter = stack.enter_context(Exporter(tmp_path_factory.mktemp("exporter"), clusters, authority=real))
        nodes = {"openbao.yml": rules_for_openbao(BY_UP | BY_RECORDINGS)}
        everything = {
            "openbao.yml": rules_for_openbao(BY_RECORDINGS),
            "rules.yml": (SHIPPED / "rules.yml").read_text(),
            "alerts.yml": our_alerts_at_once(),
        }
        servers = [
            stack.enter_context(running_prometheus(tmp_path_factory.mktemp(name), shipped, exporter, rules))
            for name, shipped, rules in [
                ("nodes", "scrape-nodes.yml", nodes),
                ("everything", "scrape.yml", everything),
            ]
        ]
        yield Site(real, fakes, exporter, *servers)


@pytest.fixture(autouse=True)
def well(site):
    """Each test begins with all nodes well and no alert."""
    site.wait_settled()


# --- what is done --------------------------------------------------------------------


def provoke(
    site: Site,
    begin: Callable[[], object],
    end: Callable[[], object],
    theirs: set[Firing],
    ours: set[Firing],
    meanwhile: set[str] = frozenset(),
) -> None:
    """`begin` makes exactly `theirs` and `ours` fire, `end` ends them all. Nothing else fires at any
    time, but for the names in `meanwhile`: what happens on the way there and back, and would not
    outlast the patience of the alert."""
    since = time.monotonic()
    try:
        begin()
        site.wait_firing(theirs, ours)
        site.stays(theirs, ours, STAYS_S)
    finally:
        end()
    site.wait_firing(set(), set())
    for fired, wanted in zip(site.fired(time.monotonic() - since), (theirs, both_of(theirs, ours)), strict=True):
        assert wanted <= fired
        assert {one for one in fired - wanted if one[0] not in meanwhile} == set()


def set_bodies(site: Site, change: Callable[[str], str], names: set[str] = FAKE_NODES) -> None:
    for node in site.fakes:
        if node.name in names:
            node.body = lambda role, index=node.index: change(exposition(role, index).decode()).encode()


def heal(site: Site) -> None:
    for node in site.fakes:
        node.heal()


def without(text: str, name: str) -> str:
    lines = text.splitlines(keepends=True)
    kept = [line for line in lines if not line.removeprefix("# HELP ").removeprefix("# TYPE ").startswith(name)]
    assert len(kept) <= len(lines) - 3
    return "".join(kept)


# Our recordings and our alerts are two groups: of a node that is back, the alerts may see the
# samples before the recordings have seen them.
AS_IT_COMES_BACK = {"BaoNodeCoreActiveMissing", "BaoNodeCoreUnsealedMissing"}


# --- the tests -----------------------------------------------------------------------


def test_nothing_fires_while_all_is_well(site):
    site.stays(set(), set(), QUIET_S)
    assert site.fired(QUIET_S) == (set(), set())
    for server, recording in [(site.nodes, "openbao:core_unsealed:min"), (site.everything, "bao:node_core_unsealed")]:
        server.wait(f"count({recording} == 1)", "6")
        # And they were looked at all that time.
        looked = server.query(f"min(count_over_time({recording}[{int(QUIET_S)}s]))")
        assert float(looked[0][1]) > 0.9 * QUIET_S


def test_each_node_is_a_target_with_the_labels_that_the_rules_group_by(site):
    targets = {labels["instance"]: labels for labels, _ in site.nodes.query('up{job="openbao"}')}
    assert len(targets) == 6
    for i, node in enumerate(site.real.nodes):
        instance = f"{LOOPBACK}:{node.metrics_port}"
        assert targets[instance] == {
            "__name__": "up",
            "job": "openbao",
            "cluster": CLUSTER,
            "instance": instance,
            "node_name": f"openbao-{i}",
            "scrape_profile": "all_nodes",
        }
    assert {labels["node_name"] for labels in targets.values() if labels["cluster"] == FAKE} == FAKE_NODES


def test_a_nodes_series_have_the_targets_labels_and_no_others_of_these(site):
    own = '{job="openbao",__name__!~"up|scrape_.*"}'
    for gone in ["namespace", "exported_cluster", "exported_instance", "exported_job", "node_role"]:
        assert site.nodes.query(f'count({{job="openbao",{gone}!=""}})') == [], gone
    site.nodes.wait(f'count(count by (instance) ({own[:-1]},cluster!="",scrape_profile="all_nodes"}}))', "6")
    assert site.nodes.query('count({job="openbao",openbao_namespace="root"})') != []
    site.nodes.wait('count(vault_core_unsealed{seal_state_source="cluster"})', "6")
    site.nodes.wait('count(vault_core_unsealed{seal_state_source="startup"})', "3")  # of the fakes
    # Each sample became a series of its own: of two for one series Prometheus keeps one.
    site.nodes.wait(f'count({own}) - sum(scrape_samples_post_metric_relabeling{{job="openbao"}})', "0")


def test_the_exporter_is_a_target_of_its_own(site):
    site.nodes.wait('up{job="bao-exporter"}', "1")
    site.nodes.wait("count(bao_exporter_build_info)", "1")
    assert site.nodes.query("count(bao_node_up)") == []


def test_a_dead_node_is_told_and_no_former_active_node_hides_it(site):
    former = site.real.step_down()
    active = site.real.wait_active(other_than=former)
    (dead,) = {0, 1, 2} - {former, active}
    name = f"openbao-{dead}"
    for server in (site.nodes, site.everything):
        server.wait(f'vault_core_active{{node_name="openbao-{active}"}}', "1")
    site.wait_settled()

    def end() -> None:
        # Scraped directly, the former active node would have hidden it to the last.
        direct = site.real.metrics(former)
        site.real.restart(dead)
        assert "\nvault_autopilot_healthy 1\n" in direct

    provoke(
        site,
        lambda: site.real.kill(dead),
        end,
        {
            ("OpenBaoUnreachable", CLUSTER, name),
            ("OpenBaoAutopilotUnhealthy", CLUSTER, ""),
            ("OpenBaoAutopilotFailureToleranceLost", CLUSTER, ""),
            ("OpenBaoAutopilotNodeUnhealthy", CLUSTER, name),
        },
        {
            ("BaoNodeUnreachable", CLUSTER, name),
            ("BaoClusterAutopilotUnhealthy", CLUSTER, ""),
            ("BaoClusterFailureToleranceLost", CLUSTER, ""),
            ("BaoClusterAutopilotNodeUnhealthy", CLUSTER, name),
        },
        {"OpenBaoSealedUnexpectedly", "BaoNodeSealed", *AS_IT_COMES_BACK},
    )


def test_a_sealed_node_is_told_by_its_listener_for_metrics_only(site):
    active = site.real.wait_active()
    sealed = (active + 1) % 3
    name = f"openbao-{sealed}"
    provoke(
        site,
        lambda: site.real.seal(sealed),
        lambda: site.real.unseal(sealed),
        {
            ("OpenBaoSealedUnexpectedly", CLUSTER, name),
            ("OpenBaoAutopilotUnhealthy", CLUSTER, ""),
            ("OpenBaoAutopilotFailureToleranceLost", CLUSTER, ""),
            ("OpenBaoAutopilotNodeUnhealthy", CLUSTER, name),
        },
        {
            ("BaoNodeSealed", CLUSTER, name),
            ("BaoClusterAutopilotUnhealthy", CLUSTER, ""),
            ("BaoClusterFailureToleranceLost", CLUSTER, ""),
            ("BaoClusterAutopilotNodeUnhealthy", CLUSTER, name),
        },
    )


def test_a_cluster_without_an_active_node_is_told(site):
    provoke(
        site,
        lambda: setattr(site.fakes[0], "role", "standby"),
        lambda: heal(site),
        {("OpenBaoNoActiveNode", FAKE, "")},
        {("BaoClusterNoActiveNode", FAKE, "")},
    )


def test_two_active_nodes_of_one_term_are_told(site):
    provoke(
        site,
        lambda: setattr(site.fakes[1], "role", "active"),
        lambda: heal(site),
        {("OpenBaoMultipleActiveNodes", FAKE, "")},
        {("BaoClusterMultipleActiveNodes", FAKE, "")},
        # The newer claim is withheld until it was looked at twice; on a busy machine, and with
        # alerts as impatient as here, that is long enough.
        {"BaoNodeAnswerUnusable", "BaoNodeCoreActiveMissing", "BaoNodeCoreUnsealedMissing"},
    )


def test_a_standby_that_forwards_is_no_second_active_node(site):
    """The active node's body under a standby's address: scraped directly it would be told as two
    active nodes. Here it is a node that cannot be had."""
    provoke(
        site,
        lambda: set_bodies(site, lambda _: exposition("active", 1).decode(), {"n2"}),
        lambda: heal(site),
        {("OpenBaoUnreachable", FAKE, "n2")},
        {("BaoNodeAnswerUnusable", FAKE, "n2"), ("BaoNodeRoleDisagreement", FAKE, "n2")},
        AS_IT_COMES_BACK,
    )


def test_a_node_that_does_not_tell_whether_it_is_sealed_is_told(site):
    provoke(
        site,
        lambda: set_bodies(site, lambda text: without(text, "vault_core_unsealed"), {"n2"}),
        lambda: heal(site),
        {("OpenBaoCoreUnsealedSignalMissing", FAKE, "n2")},
        {("BaoNodeCoreUnsealedMissing", FAKE, "n2")},
    )


def test_a_cluster_that_does_not_tell_who_is_active_is_told(site):
    provoke(
        site,
        lambda: set_bodies(site, lambda text: without(text, "vault_core_active")),
        lambda: heal(site),
        {("OpenBaoCoreActiveSignalMissing", FAKE, "")},
        {("BaoNodeCoreActiveMissing", FAKE, name) for name in FAKE_NODES},
        # The targets are scraped one after the other.
        {"OpenBaoNoActiveNode"},
    )


def test_a_cluster_that_lost_a_node_for_good_is_told(site):
    def of_two(text: str) -> str:
        peers = family("vault_raft_peers", "gauge", [("", {}, 3)])
        assert peers in text
        return text.replace(peers, family("vault_raft_peers", "gauge", [("", {}, 2)]))

    provoke(
        site,
        lambda: set_bodies(site, of_two, {"n1"}),
        lambda: heal(site),
        {("OpenBaoRaftPeerCountLow", FAKE, "")},
        {("BaoClusterRaftPeersLow", FAKE, "")},
    )


def test_an_exporter_that_does_not_answer_is_told(site):
    exporter = f"{LOOPBACK}:{site.exporter.port}"
    names = {(CLUSTER, f"openbao-{i}") for i in range(3)} | {(FAKE, name) for name in FAKE_NODES}
    provoke(
        site,
        lambda: os.kill(site.exporter.pid, signal.SIGSTOP),
        lambda: os.kill(site.exporter.pid, signal.SIGCONT),
        {("OpenBaoUnreachable", *name) for name in names},
        {("BaoExporterDown", "", exporter)},
        # The polls that were under way when it was stopped; targets that come back one by one.
        {
            *("BaoNodeUnreachable", "BaoNodeNotPolled", "BaoExporterPollLoopStalled"),
            *("OpenBaoRaftPeerCountLow", "OpenBaoNoActiveNode", "BaoClusterNoActiveNode"),
            *AS_IT_COMES_BACK,
        },
    )
