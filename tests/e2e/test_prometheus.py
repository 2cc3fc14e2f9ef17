"""A real Prometheus, configured as the README tells a user to, scrapes us over verified TLS."""

import contextlib
import http.server
import json
import os
import random
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
from cluster import LOOPBACK, die_with_parent
from exporter_process import ROOT, SCRAPE_TOKEN, Exporter, openbao, wait_until, write_private

BIN = Path(os.environ.get("BAO_EXPORTER_PROMETHEUS_DIR") or ROOT / "build/deps/prometheus/usr/bin")
SCRAPES = 12  # how many are waited for: several polls, and snapshots old and new

# What we ship, as it is, but for the places that a user fills in and the pace of a test.
SHIPPED = ROOT / "configs/prometheus/scrape.yml"

# Not a part of what a user writes: a target that does wrong, so that we know how Prometheus
# complains of one.
CONTROL = """
  - job_name: control
    scrape_interval: 1s
    static_configs:
      - targets: ["{control}"]
"""


def scrape_config(**places: object) -> str:
    text = SHIPPED.read_text()
    for shipped, here in {
        "/etc/prometheus/bao-exporter.token": places["token_file"],
        "/etc/prometheus/bao-exporter-ca.pem": places["ca_file"],
        "exporter.example:9825": places["exporter"],
        "scrape_interval: 15s": "scrape_interval: 1s",
        "scrape_timeout: 10s": "scrape_timeout: 1s",
    }.items():
        assert text.count(shipped) == 1, f"{SHIPPED} has {shipped!r} {text.count(shipped)} times"
        text = text.replace(shipped, str(here))
    return text.rstrip("\n") + "\n" + CONTROL.format(control=places["control"])


class Backwards(http.server.BaseHTTPRequestHandler):
    """Each answer has an older timestamp than the one before."""

    time_ms = int(time.time() * 1000)

    def do_GET(self):
        Backwards.time_ms -= 1
        body = f"# TYPE backwards gauge\nbackwards 1 {Backwards.time_ms}\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def control_target():
    server = http.server.ThreadingHTTPServer((LOOPBACK, 0), Backwards)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"{LOOPBACK}:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def free_port() -> int:
    """Prometheus cannot be told to take any. Below those that the kernel gives to connections, and
    below the clusters' (cluster.py)."""
    for port in random.sample(range(11000, 17900), 200):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((LOOPBACK, port))
            return port
    raise RuntimeError("200 ports tried between 11000 and 17900, none is free")


class Prometheus:
    def __init__(self, folder: Path, config: Path):
        self.log_file = folder / "prometheus.log"
        self.address = f"{LOOPBACK}:{free_port()}"
        command = [BIN / "prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"]
        command += [f"--web.listen-address={self.address}", "--log.level=debug"]
        with open(self.log_file, "wb") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder, preexec_fn=die_with_parent()
            )

    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def query(self, expression: str) -> list[tuple[dict, str]]:
        url = f"http://{self.address}/api/v1/query?" + urllib.parse.urlencode({"query": expression})
        if self.process.poll() is not None:
            raise RuntimeError(f"prometheus ended:\n{self.log()}")
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=5) as answer:
                data = json.load(answer)["data"]
        except OSError as error:
            raise AssertionError(f"no answer: {error}") from error
        if data["resultType"] == "scalar":
            return [({}, data["result"][1])]
        return [(item["metric"], item["value"][1]) for item in data["result"]]

    def wait(self, expression: str, value: str) -> None:
        def probe() -> bool:
            found = self.query(expression)
            assert [value for _, value in found] == [value], found
            return True

        wait_until(f"{expression} to be {value}", probe, 30)

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@pytest.fixture(scope="module")
def prometheus(cluster, tmp_path_factory):
    folder = tmp_path_factory.mktemp("prometheus")
    exporter_folder = tmp_path_factory.mktemp("exporter")
    with Exporter(exporter_folder, [openbao(cluster)], authority=cluster) as exporter, control_target() as control:
        token_file = write_private(folder / "scrape.token", SCRAPE_TOKEN)
        config = folder / "prometheus.yml"
        config.write_text(
            scrape_config(
                ca_file=cluster.ca_file,
                token_file=token_file,
                exporter=f"{LOOPBACK}:{exporter.port}",
                control=control,
            )
        )
        check = subprocess.run(
            [BIN / "promtool", "check", "config", config], capture_output=True, text=True, timeout=60, check=False
        )
        assert check.returncode == 0, check.stdout + check.stderr
        running = Prometheus(folder, config)
        try:
            yield running
        finally:
            running.stop()


def test_the_scrape_is_up_over_verified_tls_with_the_token(prometheus):
    prometheus.wait('up{job="bao-exporter"}', "1")


def test_every_node_is_there_and_one_is_active(prometheus):
    prometheus.wait("count(vault_core_active)", "3")
    prometheus.wait("sum(vault_core_active)", "1")
    prometheus.wait('sum(bao_node_role{node_role="active"})', "1")
    prometheus.wait("sum(bao_node_up)", "3")


def test_nodes_keep_their_own_names(prometheus, cluster):
    prometheus.wait("count(vault_core_active)", "3")
    found = [labels for labels, _ in prometheus.query("vault_core_active")]
    instances = {labels["instance"] for labels in found}
    assert instances == {f"{LOOPBACK}:{node.api_port}" for node in cluster.nodes}
    assert {labels["node_name"] for labels in found} == {node.name for node in cluster.nodes}
    assert {labels["job"] for labels in found} == {"bao-exporter"}
    # honor_labels would show a label that collided.
    renamed = prometheus.query('count({job="bao-exporter", exported_instance!=""})')
    assert renamed == []


def test_a_role_joins_to_a_sample(prometheus):
    joined = "vault_core_active * on (cluster, node_name) group_left (node_role) (bao_node_role == 1)"
    prometheus.wait(f"count({joined})", "3")
    roles = sorted((value, labels["node_role"]) for labels, value in prometheus.query(joined))
    assert roles == [("0", "standby"), ("0", "standby"), ("1", "active")]


def test_prometheus_has_nothing_to_complain_of(prometheus):
    for job in ["bao-exporter", "control"]:
        prometheus.wait(f'count_over_time(up{{job="{job}"}}[5m]) >= bool {SCRAPES}', "1")
    of_targets = [line for line in prometheus.log().splitlines() if "scrape_pool=" in line]
    assert any("scrape_pool=control" in line and "out-of-order" in line for line in of_targets), of_targets
    assert [line for line in of_targets if "scrape_pool=bao-exporter" in line] == []
    assert prometheus.query('min_over_time(up{job="bao-exporter"}[5m])')[0][1] == "1"


def test_every_sample_of_a_scrape_became_a_series_of_its_own(prometheus):
    # Of two samples for one series in one scrape this Prometheus keeps one, and says nothing.
    own = 'count({job="bao-exporter", __name__!~"up|scrape_.*"})'
    prometheus.wait(f'{own} - scalar(scrape_samples_scraped{{job="bao-exporter"}})', "0")
    prometheus.wait(f"{own} > bool 1000", "1")
