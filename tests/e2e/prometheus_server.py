"""A real Prometheus that scrapes an Exporter with one of the files that we ship."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import yaml
from cluster import LOOPBACK
from exporter_process import ROOT, SCRAPE_TOKEN, Exporter, write_private
from test_prometheus import BIN, Prometheus

SHIPPED = ROOT / "configs/prometheus"


def _as_shipped(name: str, folder: Path, exporter: Exporter) -> str:
    """The file as it is, but for what a user fills in and the pace of a test."""
    text = (SHIPPED / name).read_text()
    for place, here in {
        "/etc/prometheus/bao-exporter.token": write_private(folder / "scrape.token", SCRAPE_TOKEN),
        "/etc/prometheus/bao-exporter-ca.pem": exporter.ca_file,
        "exporter.example:9825": f"{LOOPBACK}:{exporter.port}",
        "scrape_interval: 15s": "scrape_interval: 1s",
        "scrape_timeout: 10s": "scrape_timeout: 1s",
    }.items():
        assert place in text, f"{name} has no {place}"
        text = text.replace(place, str(here))
    return text.replace("refresh_interval: 60s", "refresh_interval: 1s")


@contextlib.contextmanager
def running_prometheus(
    folder: Path, shipped: str, exporter: Exporter, rules: dict[str, str] | None = None
) -> Iterator[Prometheus]:
    """`shipped` is scrape.yml or scrape-nodes.yml; `rules` are rule files, by name, evaluated every
    second."""
    rules = rules or {}
    folder.mkdir(exist_ok=True)
    for name, content in rules.items():
        (folder / name).write_text(content)
    more = {"global": {"evaluation_interval": "1s"}, "rule_files": [str(folder / name) for name in rules]}
    config = folder / "prometheus.yml"
    config.write_text(_as_shipped(shipped, folder, exporter) + yaml.safe_dump(more))
    check = subprocess.run(
        [BIN / "promtool", "check", "config", config], capture_output=True, text=True, timeout=60, check=False
    )
    assert check.returncode == 0, check.stdout + check.stderr
    server = Prometheus(folder, config)
    try:
        yield server
    finally:
        server.stop()
