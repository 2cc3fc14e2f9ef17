"""What the fake certctl's database held at each instant, and the fake as a program."""

import collections
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
from certctl import FakeCertctl
from certctl_client import Client
from certctl_rows import CERTIFICATE_STATUSES, rfc3339
from certctl_state import KINDS, FakeState

CERTIFICATES = "/api/v1/certificates"
DAY = 86400


def counted(state):
    """Of the certificates, slowly."""
    spelling = {status.lower(): status for status in CERTIFICATE_STATUSES}
    rows = [row.said for row in state.rows["certificates"].values()]
    return collections.Counter((spelling[row["status"].lower()], row["issuer_id"],
                                row["environment"]) for row in rows)


def test_the_default_state_has_some_of_everything(big):
    said = big.history.now()
    assert sum(said["certificates"].values()) == 10_332
    for place, count in ((0, 8), (1, 5), (2, 4)):
        assert len({key[place] for key in said["certificates"]}) == count
    assert 0 < said["expiring"]["7d"] < said["expiring"]["30d"] < said["expiring"]["90d"]
    assert len(said["agents"]) == 3 and said["agents_without_heartbeat"] == 3
    assert len({status for _, status in said["jobs"]}) == 7
    assert len({kind for kind, _ in said["jobs"]}) == 4  # both spellings are one
    assert len(said["notifications"]) == len(said["health_checks"]) == 5
    assert len(said["discovered"]) == 3 and len(said["soonest"]) == 50
    assert {row.said["status"] for row in big.rows["certificates"].values()} > set(
        CERTIFICATE_STATUSES)


def test_names_and_ends_occur_more_than_once(big):
    rows = [row.said for row in big.rows["certificates"].values()]
    for fields in (("name",), ("expires_at",),
                   ("name", "common_name", "issuer_id", "environment", "owner_id")):
        assert len({tuple(row[field] for field in fields) for row in rows}) < 10_332


def test_a_seed_makes_the_same_rows_again():
    one, two = (FakeState(certificates=200, seed=7, now=1_800_000_000) for _ in range(2))
    for kind in KINDS:
        assert [row.said for row in one.rows[kind].values()] == [
            row.said for row in two.rows[kind].values()]


def test_the_history_has_the_counts_of_each_instant():
    state = FakeState(certificates=300)
    times, slow, dated = [], [], []
    for _ in range(60):
        state.churn()
        times.append(time.monotonic())
        slow.append(counted(state))
        dated.append([state.history.now()[name] for name in ("expiring", "soonest")])
    for moment, certificates, (expiring, soonest) in zip(times, slow, dated):
        (said,) = state.history.counts_between(moment, moment)
        assert said["certificates"] == certificates
        assert (said["expiring"], said["soonest"]) == (expiring, soonest)
    assert len(state.history.counts_between(times[9], times[19])) in range(6, 12)


def test_the_history_counts_expiries_and_leaves_revoked_ones_out():
    state = FakeState.empty()
    now = time.time()
    before = time.monotonic()
    added = [state.add_certificate(status="active", expires_at=rfc3339(now + days * DAY))
             for days in (-1, 3, 20, 60, 200)]
    said = state.history.now()
    assert said["expiring"] == {"7d": 1, "30d": 2, "90d": 3}
    assert [round((row[0] - now) / DAY) for row in said["soonest"]] == [3, 20, 60, 200]
    assert {status for status, _, _ in said["certificates"]} == {"Active"}
    state.change("certificates", added[1], status="revoked")
    assert state.history.now()["expiring"] == {"7d": 0, "30d": 1, "90d": 2}
    assert state.history.now()["soonest"][0][0] == pytest.approx(now + 20 * DAY, abs=1)
    later = state.history.counts_between(before, time.monotonic(), now=now + 61 * DAY, soonest=1)
    assert later[-1]["expiring"] == {"7d": 0, "30d": 0, "90d": 0} and len(later[-1]["soonest"]) == 1
    assert len(state.history.counts_between(now - 5, time.time(), clock="wall")) == len(later) == 7


def test_a_transaction_is_one_instant():
    state = FakeState.empty(certificates=10)
    before = len(state.history)
    with state.transaction():
        state.remove("certificates", "cert-000001")
        state.add_certificate()
        state.add_job(status="Pending")
    assert len(state.history) == before + 1


def test_published_counts_are_matched_with_one_instant():
    state = FakeState.empty(certificates=30)
    begin = time.monotonic()
    first = state.history.now()
    state.change("certificates", "cert-000001", status="Revoked", issuer_id="one")
    second = state.history.now()
    state.add_job(status="Pending", type="renewal")
    end = time.monotonic()
    matching = state.history.matching
    assert matching(begin, end, certificates=first["certificates"], expiring=first["expiring"])
    assert matching(begin, end, certificates=second["certificates"])
    assert matching(begin, end, jobs={("Renewal", "Pending"): 1},
                    certificates=second["certificates"])
    assert not matching(begin, end, jobs={("Renewal", "Pending"): 1},
                        certificates=first["certificates"])
    assert not matching(end, end, certificates=first["certificates"])


def test_oldest_heartbeat_and_pending_job_are_in_the_history():
    state = FakeState.empty()
    assert state.history.now()["agent_oldest_heartbeat"] is None
    assert state.history.now()["job_oldest_pending"] == {"created_at": None, "scheduled_at": None}
    state.add_job(status="pending", created_at=rfc3339(1000), scheduled_at=rfc3339(2000.5))
    state.add_job(status="Running", created_at=rfc3339(10), scheduled_at=rfc3339(10))
    assert state.history.now()["job_oldest_pending"] == {"created_at": 1000,
                                                         "scheduled_at": 2000.5}
    state.add("agents", {"id": "a", "status": "online", "last_heartbeat_at": rfc3339(50)})
    state.add("agents", {"id": "b", "status": "Strange"})
    said = state.history.now()
    assert (said["agent_oldest_heartbeat"], said["agents_without_heartbeat"]) == (50, 1)
    assert said["agents"] == {"Online": 1, "Strange": 1}
    state.beat()
    assert state.history.now()["agent_oldest_heartbeat"] == 50  # "online" is not Online


def test_what_one_page_said_was_true_at_one_instant_while_rows_change(fake_of):
    fake, client = fake_of(FakeState(certificates=400))
    with fake.state.churning(200):
        for _ in range(20):
            begin = time.monotonic()
            rows = client.json(CERTIFICATES + "?per_page=500")["data"]
            spelling = {status.lower(): status for status in CERTIFICATE_STATUSES}
            seen = collections.Counter((spelling[row["status"].lower()], row["issuer_id"],
                                        row["environment"]) for row in rows)
            assert fake.state.history.matching(begin, time.monotonic(), certificates=seen)
            time.sleep(0.01)
    assert len(fake.state.history) > 10


def test_replicas_share_a_database(material):
    state = FakeState(certificates=20)
    with FakeCertctl(state=state, material=material) as one, \
            FakeCertctl(state=state, material=material) as other:
        secret = one.keys.secret("viewer")
        other.keys.add("viewer", secret=secret)
        for fake in (one, other):
            assert Client(fake.port, fake.ca_file, secret).json(CERTIFICATES)["total"] == 20


# --- the command line ---------------------------------------------------------------------------

def test_the_command_line_says_that_it_is_a_fake(tmp_path):
    program = pathlib.Path(__file__).with_name("certctl.py")
    with subprocess.Popen([sys.executable, str(program), "--dir", str(tmp_path), "--certificates",
                           "77", "--churn", "5", "--owner-pid", str(os.getpid())],
                          stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline()
            assert line.startswith("FAKE certctl 0.0.0-fake (not the real one; 77 made-up")
            url = (tmp_path / "url").read_text().strip()
            secret = (tmp_path / "keys" / "viewer").read_text().strip()
            client = Client(int(url.rsplit(":", 1)[1]), str(tmp_path / "ca.pem"), secret)
            assert url in line and client.json(CERTIFICATES)["total"] in range(70, 90)
            assert client.json("/api/v1/version")["version"] == "0.0.0-fake"
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(5) == 0
