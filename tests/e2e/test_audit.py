"""However many Prometheus servers scrape us: OpenBao's audit log grows with our polls only."""

from __future__ import annotations

import contextlib
import json
import time

import pytest
from cluster import METRICS_PATH, Cluster
from exporter_process import Exporter, openbao, wait_until
from prometheus_server import running_prometheus

INTERVAL_S = 15  # of our polls, as shipped; that of the scrapes is 1 s
SCRAPES = 60
SERVERS = {"everything": "scrape.yml", "nodes": "scrape-nodes.yml"}  # one for each way
ENTRIES_PER_REQUEST = 2  # a request, a response


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    with Cluster.start(tmp_path_factory.mktemp("openbao"), audit=True, die_with_parent=True) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def exporter(audited, tmp_path_factory):
    poll = {"interval": f"{INTERVAL_S}s", "timeout": "8s", "stale_after": "45s"}
    folder = tmp_path_factory.mktemp("exporter")
    with Exporter(folder, [openbao(audited)], authority=audited, poll=poll) as running:
        yield running


def audit_lines(cluster: Cluster, i: int) -> list[str]:
    return (cluster.node_folder(i) / "audit.log").read_text().splitlines()


def entries(cluster: Cluster) -> list[int]:
    return [len(audit_lines(cluster, i)) for i in range(len(cluster.nodes))]


def polls(exporter: Exporter) -> list[int]:
    """Of each node, at a moment when none is being polled, nor is about to be."""

    def probe() -> list[int]:
        scrape = exporter.scrape()
        samples = scrape.samples("bao_node_polls_total")
        assert {sample.labels["reason"] for sample in samples if sample.value != "0"} == {"ok"}
        successes = scrape.samples("bao_node_last_success_timestamp_seconds")
        age = time.time() - min(float(sample.value) for sample in successes)
        assert age < INTERVAL_S - 3, f"a poll is near, the last one was {age:.1f} s ago"
        counts = {s.labels["node_name"]: int(s.value) for s in samples if s.labels["reason"] == "ok"}
        return [counts[name] for name in sorted(counts)]

    return wait_until("a moment between two polls", probe, 2 * INTERVAL_S)


def growth(before: list[int], after: list[int]) -> list[int]:
    return [new - old for old, new in zip(before, after, strict=True)]


def scraped(server) -> int:
    """The good scrapes of a server, by the target that has the fewest."""
    found = server.query("min(sum_over_time(up[5m]))")
    return int(found[0][1]) if found else 0


def test_two_servers_that_scrape_every_second_leave_no_more_than_the_polls(audited, exporter, tmp_path):
    polls_before, entries_before = polls(exporter), entries(audited)
    with contextlib.ExitStack() as stack:
        servers = [
            stack.enter_context(running_prometheus(tmp_path / name, shipped, exporter))
            for name, shipped in SERVERS.items()
        ]
        for server in servers:
            server.wait('count(up{node_name!=""} or bao_node_up) == bool 3', "1")
        wait_until(f"{SCRAPES} scrapes by each", lambda: all(scraped(server) >= SCRAPES for server in servers), 90)
        counts = [scraped(server) for server in servers]
    polls_after, entries_after = polls(exporter), entries(audited)

    polled, grown = growth(polls_before, polls_after), growth(entries_before, entries_after)
    direct = len(SERVERS) * ENTRIES_PER_REQUEST * SCRAPES
    print(f"\nscrapes {counts}, polls of each node {polled}, audit entries {grown}; scraped directly: {direct}")
    assert grown == [ENTRIES_PER_REQUEST * count for count in polled]
    assert max(polled) <= SCRAPES / INTERVAL_S + 2
    assert max(grown) < direct / 10
    for i in range(3):
        new = audit_lines(audited, i)[entries_before[i] :]
        assert {json.loads(line)["request"]["path"] for line in new} == {"sys/metrics"}


def test_a_scrape_of_the_node_itself_leaves_two_entries(audited, exporter):
    polls(exporter)
    before = entries(audited)
    for i in range(3):
        status, _, _ = audited.request(i, "GET", f"{METRICS_PATH}?format=prometheus", audited.token("metrics"))
        assert status == 200
    assert growth(before, entries(audited)) == [ENTRIES_PER_REQUEST] * 3
