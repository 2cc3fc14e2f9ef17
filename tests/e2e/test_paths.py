"""One node alone, and service discovery: the paths beside /metrics, and a real Prometheus that finds its targets there."""

import json
import subprocess

import pytest
from cluster import LOOPBACK
from exporter_process import CLUSTER, SCRAPE_TOKEN, Exporter, gunzip_one_member, instance, openbao, wait_until, write_private
from exposition import Exposition
from samples import identity, is_leader_only, relabelled, upstream_samples
from test_prometheus import BIN, Prometheus

ADVERTISED = "exporter.example.org:443"
DISCOVERY = """
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: nodes
    authorization: {{type: Bearer, credentials_file: {token_file}}}
    tls_config: {{ca_file: {ca_file}}}
    http_sd_configs:
      - url: https://{exporter}/sd
        refresh_interval: 1s
        authorization: {{type: Bearer, credentials_file: {token_file}}}
        tls_config: {{ca_file: {ca_file}}}
    relabel_configs:
      - {{source_labels: [__meta_bao_node_role], target_label: role_when_found}}
  - job_name: itself
    authorization: {{type: Bearer, credentials_file: {token_file}}}
    tls_config: {{ca_file: {ca_file}}}
    http_sd_configs:
      - url: https://{exporter}/sd/exporter
        refresh_interval: 1s
        authorization: {{type: Bearer, credentials_file: {token_file}}}
        tls_config: {{ca_file: {ca_file}}}
"""


@pytest.fixture(scope="module")
def exporter(cluster, tmp_path_factory):
    with Exporter(tmp_path_factory.mktemp("exporter"), [openbao(cluster)], authority=cluster) as running:
        yield running


def path_of(name: str) -> str:
    return f"/metrics/nodes/{CLUSTER}/{name}"


def text_of(exporter: Exporter, name: str) -> str:
    answer = exporter.get(path_of(name))
    assert answer.status == 200, answer
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return answer.body.decode()


def discovered(exporter: Exporter, path: str = "/sd") -> list[dict]:
    answer = exporter.get(path)
    assert answer.status == 200, answer
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    return json.loads(answer.body)


def of_one_snapshot(exporter: Exporter, name: str) -> tuple[Exposition, Exposition]:
    """The node alone, and everything, of the same poll."""

    def probe() -> tuple[Exposition, Exposition]:
        before = exporter.scrape()
        alone = Exposition(text_of(exporter, name))
        after = exporter.scrape()
        generation = "bao_exporter_snapshot_generation"
        assert before.value(generation) == after.value(generation)
        return alone, after

    return wait_until("two answers from one snapshot", probe)


@pytest.mark.parametrize("i", range(3))
def test_a_node_alone_has_the_samples_that_metrics_has_of_it_as_the_node_sent_them(exporter, cluster, i):
    entry = openbao(cluster)
    name = entry.nodes[i].name
    alone, everything = of_one_snapshot(exporter, name)
    told = Exposition(cluster.metrics(i))  # the node's own answer, some seconds later
    ours = [relabelled(sample, identity(entry, entry.nodes[i])) for sample in alone.samples()]
    assert {s.series: s.value for s in ours} == {s.series: s.value for s in upstream_samples(everything, name)}
    assert alone.samples("vault_core_unsealed", cluster="bao-e2e")  # OpenBao's own label
    active = cluster.role(i) == "active"
    assert active == any(is_leader_only(family) for family in alone.families.values())
    for family in told.families.values():
        if family.name in alone.families:
            sent = alone.families[family.name]
            assert (sent.type, sent.help) == (family.type, family.help)
    assert len(alone.families.keys() & told.families.keys()) > 100


def test_a_node_alone_is_served_packed_too(exporter):
    def same() -> bool:
        plain = exporter.get(path_of("openbao-0"))
        packed = exporter.get(path_of("openbao-0"), accept_encoding="gzip")
        assert "content-encoding" not in plain.headers and packed.headers["content-encoding"] == "gzip"
        assert len(packed.body) * 3 < len(plain.body)
        assert gunzip_one_member(packed.body) == plain.body
        return True

    wait_until("two answers from one poll", same)


@pytest.mark.parametrize(
    "path",
    ["/metrics/nodes", "/metrics/nodes/", f"/metrics/nodes/{CLUSTER}", path_of("openbao-0/"), path_of("openbao-0/x")]
    + [path_of("unheard"), "/metrics/nodes/unheard/openbao-0", f"/metrics/nodes/{CLUSTER}%2Fopenbao-0"]
    + [path_of("openbao%2D0"), path_of("%6fpenbao-0"), path_of("OPENBAO-0"), f"/metrics/nodes//{CLUSTER}/openbao-0"]
    + [f"/metrics/nodes/x/../{CLUSTER}/openbao-0", "/sd/", "/sd/nodes", "//sd", "/SD", "/%73d"],
)
def test_every_other_spelling_of_these_paths_is_404(exporter, path):
    answer = exporter.get(path)
    assert answer.status == 404
    assert b"/metrics/nodes/CLUSTER/NAME" in answer.body


@pytest.mark.parametrize("path", [path_of("openbao-0"), "/sd", "/sd/certctl", "/sd/exporter"])
def test_these_paths_take_get_and_head_with_the_token(exporter, path):
    assert exporter.get(path).status == 200
    assert exporter.get(path + "?x=1").status == 200
    assert exporter.get(path, method="HEAD").body == b""
    assert exporter.get(path, method="POST").status == 405
    refused = exporter.get(path, token=None)
    assert (refused.status, refused.body) == (401, b"")


def test_discovery_lists_each_node_with_its_labels_at_the_real_port(exporter, cluster):
    entry = openbao(cluster)
    assert discovered(exporter) == [
        {
            "targets": [f"{LOOPBACK}:{exporter.port}"],
            "labels": {
                "__metrics_path__": path_of(node.name),
                "__scheme__": "https",
                "cluster": CLUSTER,
                "node_name": node.name,
                "instance": instance(node),
                "scrape_profile": "all_nodes",
                "__meta_bao_node_role": cluster.role(i),
            },
        }
        for i, node in enumerate(entry.nodes)
    ]
    assert discovered(exporter, "/sd/certctl") == []
    [itself] = discovered(exporter, "/sd/exporter")
    assert itself["labels"]["__metrics_path__"] == "/metrics/exporter"


def test_these_paths_are_counted_by_route_and_not_by_name(exporter):
    for path in [path_of("openbao-0"), path_of("unheard"), "/sd", "/sd/certctl", "/sd/exporter"]:
        exporter.get(path)
    paths = {sample.labels["path"] for sample in exporter.scrape().samples("bao_exporter_scrapes_total")}
    assert paths == {"/metrics", "/metrics/nodes", "/sd", "/sd/certctl", "/sd/exporter", "other"}


def test_a_node_that_fails_is_503_with_its_reason_and_the_others_are_served(cluster, tmp_path):
    refused = [openbao(cluster, token=None)]
    with Exporter(tmp_path / "exporter", refused, authority=cluster) as exporter:
        answer = exporter.get(path_of("openbao-0"))
        reason = exporter.table()["openbao-0"]["LAST REASON"]
        assert answer.status == 503
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert answer.body.decode().startswith(f"{reason}: {CLUSTER}/openbao-0 ")
        assert answer.body.count(b"\n") == 1
        assert len(discovered(exporter)) == len(cluster.nodes)  # Prometheus shall see it down


def test_the_advertised_address_is_told_and_a_new_one_after_a_reload(cluster, tmp_path):
    listener = {"advertised_address": ADVERTISED}
    with Exporter(tmp_path / "exporter", [openbao(cluster)], authority=cluster, listener=listener) as exporter:
        assert {tuple(group["targets"]) for group in discovered(exporter)} == {(ADVERTISED,)}
        text = exporter.config.read_text()
        assert text.count(ADVERTISED) == 1
        exporter.config.write_text(text.replace(ADVERTISED, "[2001:db8::1]:9825"))

        def taken() -> bool:
            assert {tuple(group["targets"]) for group in discovered(exporter)} == {("[2001:db8::1]:9825",)}
            return True

        wait_until("the new address", taken)
        assert discovered(exporter, "/sd/exporter")[0]["targets"] == ["[2001:db8::1]:9825"]


def test_prometheus_finds_each_node_and_scrapes_it_as_if_it_were_the_node(exporter, cluster, tmp_path):
    token_file = write_private(tmp_path / "scrape.token", SCRAPE_TOKEN)
    config = tmp_path / "prometheus.yml"
    places = {"token_file": token_file, "ca_file": cluster.ca_file, "exporter": f"{LOOPBACK}:{exporter.port}"}
    config.write_text(DISCOVERY.format(**places))
    check = [BIN / "promtool", "check", "config", config]
    checked = subprocess.run(check, capture_output=True, text=True, timeout=60, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    prometheus = Prometheus(tmp_path, config)
    try:
        prometheus.wait('sum(up{job="nodes"})', "3")
        prometheus.wait('sum(up{job="itself"})', "1")
        prometheus.wait('count(vault_core_active{job="nodes"})', "3")
        found = [labels for labels, _ in prometheus.query("vault_core_active")]
        entry = openbao(cluster)
        assert {(labels["node_name"], labels["instance"]) for labels in found} == {
            (node.name, instance(node)) for node in entry.nodes
        }
        assert {labels["cluster"] for labels in found} == {CLUSTER}
        assert {labels["exported_cluster"] for labels in found} == {"bao-e2e"}
        roles = sorted(labels["role_when_found"] for labels in found)
        assert roles == ["active", "standby", "standby"]
        complaints = [line for line in prometheus.log().splitlines() if "scrape_pool=" in line and "level=warn" in line]
        assert complaints == []
    finally:
        prometheus.stop()
