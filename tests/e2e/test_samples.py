"""What /metrics says of every node's own samples, and in what form, on a real cluster."""

import os
import subprocess
from pathlib import Path

import pytest
from exporter_process import ROOT, Exporter, gunzip_one_member, openbao, wait_until
from exposition import Exposition
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics_families
from prometheus_client.parser import text_string_to_metric_families
from samples import check_node, one_poll, upstream_samples

PROMTOOL = Path(os.environ.get("BAO_EXPORTER_PROMETHEUS_DIR") or ROOT / "build/deps/prometheus/usr/bin") / "promtool"
OWN = "# HELP bao_exporter_"  # our own families come last and are made at each scrape


@pytest.fixture(scope="module")
def exporter(cluster, tmp_path_factory):
    poll = {"interval": "2s", "timeout": "1500ms", "stale_after": "6s"}
    with Exporter(tmp_path_factory.mktemp("exporter"), [openbao(cluster)], authority=cluster, poll=poll) as running:
        yield running


@pytest.fixture(scope="module")
def poll(cluster, exporter):
    return one_poll(cluster, exporter)


@pytest.mark.parametrize("i", range(3))
def test_every_sample_of_a_node_is_served_to_the_byte_under_its_identity(cluster, poll, i):
    check_node(poll, i, openbao(cluster), active=cluster.role(i) == "active")


def test_every_sample_belongs_to_a_node_or_is_ours(cluster, poll):
    of_nodes = sum(len(upstream_samples(poll.ours, node.name)) for node in cluster.nodes)
    ours = sum(
        len(family.samples)
        for family in poll.ours.families.values()
        if family.name.startswith(("bao_node_", "bao_cluster_", "bao_token_", "bao_exporter_"))
    )
    assert of_nodes + ours == len(poll.ours.samples())
    # And to the right node: raft's own name of each, which the fixture made equal to ours.
    peers = {
        sample.labels["peer_id"]: sample.labels["node_name"]
        for sample in poll.ours.samples()
        if sample.name.startswith("vault_raft_storage_stats_")
    }
    assert peers == {node.name: node.name for node in cluster.nodes}


def test_labels_that_openbao_sends_are_renamed(cluster, poll):
    active = cluster.active()
    told, name = poll.before[active], f"openbao-{active}"
    # There is something to rename: both kinds of core_unsealed, and the labels cluster and namespace.
    sent = [sample.labels.get("cluster", "") for sample in told.samples("vault_core_unsealed")]
    assert "bao-e2e" in sent
    assert told.samples(namespace="root")

    assert poll.ours.value("vault_core_unsealed", node_name=name, seal_state_source="cluster") == "1"
    sources = [s.labels["seal_state_source"] for s in poll.ours.samples("vault_core_unsealed", node_name=name)]
    assert sorted(sources) == sorted("cluster" if value else "startup" for value in sent)
    assert poll.ours.samples(openbao_namespace="root", node_name=name)
    assert not [sample for sample in poll.ours.samples() if sample.labels.keys() & {"namespace", "exported_cluster"}]
    assert {s.labels["cluster"] for s in poll.ours.samples() if "cluster" in s.labels} == {"e2e"}
    assert poll.ours.value("bao_node_info", node_name=name, openbao_cluster_name="bao-e2e") == "1"


def promtool_check(text: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [PROMTOOL, "check", "metrics"], input=text, capture_output=True, text=True, timeout=60, check=False
    )


def test_promtool_reads_it(exporter):
    text = exporter.text()
    broken = promtool_check(text + "broken{ 1\n")  # how it says that it cannot
    assert broken.returncode == 1 and "parsing error" in broken.stdout + broken.stderr
    run = promtool_check(text)
    said = run.stdout + run.stderr
    # 3: its taste in OpenBao's names ("counter metrics should have _total"), which we leave alone.
    assert run.returncode == 3 and "parsing error" not in said, said
    families = {line.split(" ")[0] for line in said.splitlines()}
    assert any(name.startswith("vault_") for name in families)
    assert not [name for name in families if name.startswith("bao_")]


def test_prometheus_client_reads_all_of_it(exporter):
    text = exporter.text()
    theirs = [s for family in text_string_to_metric_families(text) for s in family.samples]
    ours = Exposition(text).samples()
    # It calls the sample of a counter NAME_total, whatever it was.
    assert len(theirs) == len(ours) > 1000
    assert [float(s.value) for s in ours] == pytest.approx([s.value for s in theirs], rel=0, abs=0, nan_ok=True)
    assert [s.labels for s in ours] == [s.labels for s in theirs]


@pytest.mark.parametrize("path", ["/metrics", "/metrics/nodes/e2e/openbao-0", "/metrics/exporter"])
def test_who_takes_open_metrics_alone_gets_the_same_samples_so_that_its_own_reader_takes_them(exporter, path):
    def series(samples) -> dict[tuple, float]:
        # A node's own values move with each poll; names and labels do not, but for what is ours.
        found = {(s.name, tuple(sorted(s.labels.items()))): float(s.value) for s in samples}
        return {key: value for key, value in found.items() if not key[0].startswith("bao_exporter_")}

    answer = exporter.get(path, accept="application/openmetrics-text; version=1.0.0")
    assert answer.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    text = answer.body.decode()
    assert text.endswith("\n# EOF\n")
    families = list(open_metrics_families(text))  # strict: raises
    theirs = series(sample for family in families for sample in family.samples)
    ours = series(Exposition(exporter.get(path).body.decode()).samples())
    assert theirs.keys() ^ ours.keys() == set()
    types = {family.name: family.type for family in families}
    assert len(theirs) > (10 if path == "/metrics/exporter" else 100)
    if path == "/metrics":
        assert types["bao_node_polls"] == "counter" and types["vault_core_active"] == "gauge"
        assert types["bao_node_poll_duration_seconds"] == "histogram"
        assert "summary" in types.values() and "unknown" in types.values()
    zipped = exporter.get(path, accept="application/openmetrics-text", accept_encoding="gzip")
    assert zipped.headers["content-encoding"] == "gzip"
    assert gunzip_one_member(zipped.body).endswith(b"\n# EOF\n")


def test_who_takes_text_gets_text_whatever_else_it_would_rather_have(exporter):
    for accept in [
        "*/*",
        "application/openmetrics-text;version=1.0.0;q=1,text/plain;version=0.0.4;q=0.1",
        "application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1",
        "application/openmetrics-text;version=2.0.0",
    ]:
        answer = exporter.get(accept=accept)
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert answer.headers["vary"] == "Accept, Accept-Encoding"


def test_a_family_has_one_head_and_the_samples_of_all_nodes(exporter):
    lines = exporter.text().splitlines()  # Exposition refuses a family in two places
    for word in ["# HELP ", "# TYPE "]:
        names = [line.split(" ")[2] for line in lines if line.startswith(word)]
        assert len(names) == len(set(names)) > 100
    family = exporter.scrape().families["vault_core_active"]
    assert [sample.labels["node_name"] for sample in family.samples] == ["openbao-0", "openbao-1", "openbao-2"]


def test_gzip_is_one_member_with_the_same_bytes(exporter):
    def plain() -> str:
        return exporter.text()

    def same_snapshot() -> bool:
        before = plain()
        answer = exporter.get(accept_encoding="gzip")
        after = plain()
        assert answer.headers["content-encoding"] == "gzip"
        assert len(answer.body) < len(before) / 4
        text = gunzip_one_member(answer.body).decode()
        Exposition(text)
        assert before.split(OWN)[0] == after.split(OWN)[0], "a round ended between the scrapes"
        if text.split(OWN)[0] != before.split(OWN)[0]:
            pytest.fail("the gzip answer has another text")
        assert OWN in text
        return True

    # Twice: made for the asking scrape, then made in advance with the next snapshot.
    for _ in range(2):
        wait_until("a gzip answer between two plain ones of one snapshot", same_snapshot)
        generation = exporter.scrape().value("bao_node_last_success_timestamp_seconds", node_name="openbao-0")

        def next_snapshot() -> bool:
            now = exporter.scrape().value("bao_node_last_success_timestamp_seconds", node_name="openbao-0")
            return now != generation

        wait_until("the next snapshot", next_snapshot)
