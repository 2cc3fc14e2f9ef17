"""`./dev demo --once`: a real OpenBao cluster and the fake certctl in one /metrics."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cluster import find_bao
from prometheus_client.parser import text_string_to_metric_families

HERE = Path(__file__).parent
# What certctl itself names so; everything else of promtool's complaints is about OpenBao's names.
CERTCTL_COMPLAINTS = {"certctl_agent_total", "certctl_certificate_total", "certctl_ocsp_counter_total"}


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    scrape = folder / "scrape.txt"
    ended = subprocess.run(
        [sys.executable, HERE / "demo.py", "--once", "--scrape-file", scrape,
         "--exporter", os.environ["BAO_EXPORTER"], "--bao", find_bao()],
        capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout, scrape.read_text()


def test_one_scrape_has_openbao_and_certctl(demo):
    _, scrape = demo
    families = {family.name: family for family in text_string_to_metric_families(scrape)}
    assert sum(sample.value for sample in families["bao_node_up"].samples) == 3
    certificates = families["certctl_state_certificates"].samples
    assert sum(sample.value for sample in certificates) == 332
    assert {sample.labels["certctl"] for sample in certificates} == {"fake-certctl"}


def test_promtool_reads_it_and_complains_of_foreign_names_only(demo):
    _, scrape = demo
    promtool = Path(os.environ["BAO_EXPORTER_PROMETHEUS_DIR"]) / "promtool"
    checked = subprocess.run([promtool, "check", "metrics"], input=scrape, capture_output=True, text=True)
    assert checked.returncode in (0, 3), checked.stderr  # 3: lint, never a parse error
    named = {line.split()[0] for line in (checked.stdout + checked.stderr).splitlines() if line.strip()}
    assert {name for name in named if name.startswith("certctl_")} <= CERTCTL_COMPLAINTS
    assert not {name for name in named if name.startswith(("bao_", "certctl_state_"))}


def test_the_demo_says_plainly_that_its_certctl_is_a_fake(demo):
    printed, scrape = demo
    assert "a FAKE certctl" in printed
    assert 'certctl_state_info{certctl="fake-certctl"' in scrape and "-fake" in scrape
    assert "certctl says   bao-exporter says" in printed
