"""What the port serves of certctl servers: all in /metrics, each by itself, and where it is found."""

import json
import os
import subprocess
import threading
import time
from pathlib import Path

import pytest
from certctl import FakeCertctl
from certctl_rig import CertctlRig, inventories, last_success, reason, server_table, wait_inventory, wait_reasons
from certctl_state import FakeState
from certctl_tls import Material
from exporter_process import ROOT, wait_until
from exposition import Exposition

PROMTOOL = Path(os.environ.get("BAO_EXPORTER_PROMETHEUS_DIR") or ROOT / "build/deps/prometheus/usr/bin") / "promtool"
OTHER = "other-ctl"
INTERVAL_S = 1
SOONEST = "certctl_state_certificate_not_after_timestamp_seconds"
# certctl's own names: gauges whose names end as those of counters.
COMPLAINTS = {"certctl_agent_total", "certctl_certificate_total", "certctl_ocsp_counter_total"}


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    return Material(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def pair(tmp_path_factory, material):
    """Two servers with rows of their own, and nothing else that is polled."""
    folder = tmp_path_factory.mktemp("port")
    with FakeCertctl(state=FakeState(certificates=40, jobs=12, seed=2), material=material) as other:
        table = server_table(other, OTHER, other.write_key(folder / "other.key", "viewer"))
        with CertctlRig(
            folder,
            state=FakeState(certificates=332),
            material=material,
            more=[table],
            listener={"advertised_address": "exporter.test:9825"},
        ) as rig:
            for fake in (rig.fake, other):
                fake.events.happen()
                fake.events.odd_labels()
            wait_inventory(rig, 2)
            rig.other = other
            yield rig


def series(scrape: Exposition, certctl: str | None = None) -> set:
    labels = {} if certctl is None else {"certctl": certctl}
    found = scrape.samples(**labels)
    return {sample.series for sample in found if sample.name.startswith("certctl_")}


def test_each_family_is_there_once_with_the_series_of_both_servers(pair):
    scrape = pair.scrape()  # the reader refuses a family in two places, and a series twice
    names = {name for name in scrape.families if name.startswith("certctl_")}
    for name in names:
        servers = {sample.labels.get("certctl") for sample in scrape.families[name].samples}
        assert servers <= {"ctl", OTHER}, (name, servers)
    for certctl, fake, rows in (("ctl", pair.fake, 332), (OTHER, pair.other, 40)):
        instance = f"127.0.0.1:{fake.port}"
        total = scrape.value("certctl_certificate_total", certctl=certctl, instance=instance)
        assert float(total) == rows == sum(
            float(sample.value) for sample in scrape.samples("certctl_state_certificates", certctl=certctl)
        )
        assert len(series(scrape, certctl)) > 100
        assert {s.labels["instance"] for s in scrape.samples(certctl=certctl)} == {instance}


def test_promtool_complains_of_certctls_own_names_only(pair):
    for path in ("/metrics", "/metrics/certctl/ctl"):
        body = pair.exporter.get(path).body
        done = subprocess.run([PROMTOOL, "check", "metrics"], input=body, capture_output=True, timeout=60, check=False)
        said = (done.stdout + done.stderr).decode().splitlines()
        complaints = {line.split(" ", 1)[0] for line in said}
        assert complaints <= COMPLAINTS, said
        print(f"\n{path}: {said}")


def test_one_server_alone_is_served_without_the_labels_of_its_target(pair):
    text = pair.exporter.get("/metrics/certctl/ctl").body.decode()
    alone = Exposition(text.replace("\n\n", "\n"))  # certctl's empty lines, which are allowed
    added = {("certctl", "ctl"), ("instance", f"127.0.0.1:{pair.fake.port}")}
    together = series(pair.scrape(), "ctl")
    assert {(name, labels - added) for name, labels in together} == series(alone)
    assert {name for name in alone.families if not name.startswith("certctl_")} == set()
    assert pair.exporter.get("/metrics/certctl/nobody").status == 404
    assert pair.exporter.get("/metrics/certctl/ctl", token=None).status == 401


def test_the_servers_are_discovered_with_the_labels_that_their_own_path_lacks(pair):
    answer = pair.exporter.get("/sd/certctl")
    assert answer.status == 200 and answer.headers["content-type"] == "application/json"
    assert json.loads(answer.body) == [
        {
            "targets": ["exporter.test:9825"],
            "labels": {
                "__metrics_path__": f"/metrics/certctl/{name}",
                "__scheme__": "https",
                "certctl": name,
                "instance": f"127.0.0.1:{fake.port}",
            },
        }
        for name, fake in (("ctl", pair.fake), (OTHER, pair.other))
    ]
    assert json.loads(pair.exporter.get("/sd").body) == []


def test_one_server_away_is_503_at_its_path_and_leaves_the_other_alone(pair):
    before = series(pair.scrape(), OTHER)
    pair.fake.stop()
    try:
        scrape = wait_reasons(pair, metrics="connect")
        answer = pair.exporter.get("/metrics/certctl/ctl")
        assert answer.status == 503 and answer.body.count(b"\n") == 1 and b"connect" in answer.body
        assert scrape.samples("certctl_certificate_total", certctl="ctl") == []
        for _ in range(10):
            assert series(pair.scrape(), OTHER) == before
            assert pair.exporter.get(f"/metrics/certctl/{OTHER}").status == 200
            time.sleep(0.2)
    finally:
        pair.fake.start()
    wait_reasons(pair, 10, metrics="ok", certificates="ok")
    assert pair.exporter.get("/metrics/certctl/ctl").status == 200


def test_it_stays_fresh_where_only_certctl_is_polled(pair):
    """Longer than anything that may be stale: poll.stale_after is 3 s here."""
    wait_reasons(pair, metrics="ok", certificates="ok")
    wait_inventory(pair, 2)
    know = series(pair.scrape())
    until = time.monotonic() + 8
    while time.monotonic() < until:
        scrape = pair.scrape()
        for certctl in ("ctl", OTHER):
            assert reason(scrape, "metrics", certctl) == "ok"
            assert time.time() - last_success(scrape, "metrics", certctl) < INTERVAL_S + 1.5
            assert time.time() - last_success(scrape, "certificates", certctl) < 2 * INTERVAL_S + 2
        assert series(scrape) == know
        time.sleep(0.1)


class Looking(threading.Thread):
    """Scrapes as fast as may be: the series of each answer that is 200, and None for each other."""

    def __init__(self, rig: CertctlRig):
        super().__init__(daemon=True)
        self.rig = rig
        self.answers: list[set | None] = []
        self._end = threading.Event()

    def run(self):
        while not self._end.is_set():
            self.answers.append(self._look())

    def _look(self):
        try:
            answer = self.rig.exporter.get()
        except OSError:
            return None
        return series(Exposition(answer.body.decode())) if answer.status == 200 else None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self.join()


def lacking(before: set, answers: list[set]) -> dict[str, int]:
    """{family: in how many answers it lacked series}"""
    found = {}
    for answer in answers:
        for name in {name for name, _ in before - answer}:
            found[name] = found.get(name, 0) + 1
    return found


def test_no_scrape_after_a_restart_lacks_a_series(tmp_path, material):
    """At the pace of the defaults: what came a poll later would be missing for a minute."""
    pace = dict.fromkeys(("interval", "inventory_interval", "timeout"))
    poll = {"interval": "10s", "timeout": "8s", "stale_after": "30s"}  # nothing is served sooner than it is whole
    state = FakeState(certificates=10_332)
    with CertctlRig(tmp_path, state=state, material=material, certctl=pace, poll=poll) as rig:
        rig.exporter.reload()  # asks again, so that all that there is is there
        wait_until("a second inventory", lambda: len(inventories(rig)) >= 2)
        time.sleep(1)
        before = series(rig.scrape())
        rig.ready = False
        rig.exporter.stop()
        began = time.monotonic()
        rig.start()
        with Looking(rig) as looking:
            wait_until("an answer", lambda: any(looking.answers))
            print(f"\nthe first answer came {time.monotonic() - began:.2f} s after the end")
            time.sleep(2)
        good = [answer for answer in looking.answers if answer is not None]
        assert len(good) > 10
        assert lacking(before, good) == {}, f"of {len(good)} answers"


def test_a_reload_that_changes_one_server_leaves_the_other_alone(pair):
    wait_inventory(pair, 2)
    before = series(pair.scrape(), OTHER)
    with Looking(pair) as looking:
        pair.reconfigure(soonest_expiries=7)
        pair.wait("the new number of them", lambda scrape: len(scrape.samples(SOONEST, certctl="ctl")) == 7)
        time.sleep(0.5)
    assert None not in looking.answers and len(looking.answers) > 5
    assert lacking(before, looking.answers) == {}
