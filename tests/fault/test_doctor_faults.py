"""`bao-exporter doctor` on nodes that lie, hang or are not what they should be: it ends, and one line
says what is wrong."""

import json
import subprocess
import time

import pytest
from exporter_under_fault import new_token, replace_file
from fake_node import APPROLE_LOGIN, HEALTH, METRICS, REVOKE, exposition

CAPABILITIES = "/v1/sys/capabilities-self"
OLD = "2026-11-23T00:20:45.734479023Z"
NEW = "2026-11-23T00:20:45.734479024Z"  # a nanosecond later
GOOD = json.dumps({"data": {path: ["deny"] for path in ("sys/mounts", "sys/seal", "kv/data/x", "auth/token/create")}
                   | {"sys/metrics": ["read"]}}).encode()


@pytest.fixture(scope="module")
def rig(make_rig):
    return make_rig(start=False)


@pytest.fixture(autouse=True)
def healing(rig):
    for node in rig.nodes:
        node.heal()
        node.active_time = OLD
        node.faults[CAPABILITIES] = lambda exchange: exchange.answer(200, GOOD)


class Report:
    def __init__(self, rig):
        began = time.monotonic()
        run = subprocess.run([rig.binary, "doctor", "--json", "--config.file", str(rig.config_file)],
                             capture_output=True, text=True, timeout=30, check=False)
        self.seconds = time.monotonic() - began
        assert run.returncode in (0, 1) and run.stderr == "", (run.returncode, run.stderr)
        said = json.loads(run.stdout)
        self.findings = {(one["node"], check["check"]): check for one in said["nodes"] for check in one["checks"]}
        self.failed = {at: check.get("reason") for at, check in self.findings.items() if check["result"] == "FAIL"}
        assert run.returncode == (1 if self.failed else 0)
        assert said["result"] == ("FAIL" if self.failed else "WARN")  # these certificates end soon

    def words(self, node, check):
        return self.findings[node, check]["finding"]

    def alone(self, node, check, reason):
        """The one thing that failed, in words."""
        assert self.failed == {(node, check): reason}
        return self.words(node, check)


def test_a_cluster_of_fakes_that_is_well_has_no_fail(rig):
    report = Report(rig)
    assert report.failed == {}
    assert report.words("-", "capability") == "it may read sys/metrics, and nothing else that was asked for"


def test_capabilities_are_asked_once_of_the_active_node_by_post(rig):
    marks = [len(node.requests) for node in rig.nodes]
    Report(rig)
    asked = [node.requests_of(CAPABILITIES, mark) for node, mark in zip(rig.nodes, marks)]
    assert [len(requests) for requests in asked] == [0, 1, 0]
    assert asked[1][0].method == "POST"


def test_each_node_is_polled_once_when_all_is_well(rig):
    marks = [len(node.requests) for node in rig.nodes]
    Report(rig)
    for node, mark in zip(rig.nodes, marks):
        assert len(node.requests_of(HEALTH, mark)) == len(node.requests_of(METRICS, mark)) == 1


# --- its own login -------------------------------------------------------------------


@pytest.fixture
def logging_in(rig):
    for name in ("role.id", "secret.id"):
        replace_file(rig.folder / name, new_token(name) + "\n")
    rig.write_config(auth=['method = "approle"', 'role_id_file = "role.id"', 'secret_id_file = "secret.id"'])
    yield rig
    rig.write_config(auth=())


def login_requests(rig, path):
    return sum(len(node.requests_of(path)) for node in rig.nodes)


def test_the_token_of_the_doctors_login_is_revoked_at_its_end(logging_in):
    before = login_requests(logging_in, APPROLE_LOGIN), login_requests(logging_in, REVOKE)
    report = Report(logging_in)
    after = login_requests(logging_in, APPROLE_LOGIN), login_requests(logging_in, REVOKE)
    assert report.failed == {} and report.words("-", "login").endswith("; it was revoked afterwards")
    assert [b - a for a, b in zip(before, after)] == [1, 1]


def test_a_token_that_could_not_be_revoked_is_a_warning(logging_in):
    for node in logging_in.nodes:
        node.faults[REVOKE] = lambda exchange: exchange.answer(503, b"{}")
    report = Report(logging_in)
    assert report.failed == {} and report.findings["-", "login"]["result"] == "WARN"
    assert "could not be revoked" in report.words("-", "login")


# --- whose body ----------------------------------------------------------------------


def test_a_standby_with_the_body_of_the_active_is_asked_twice_and_told(rig):
    victim = rig.nodes[0]
    victim.body = exposition("active", 2)
    mark = len(victim.requests)
    report = Report(rig)
    assert report.failed[("n1", "identity")] == "identity_mismatch"
    assert len(victim.requests_of(METRICS, mark)) == 2
    assert ("n1", "metrics") not in report.findings


def test_two_active_nodes_that_stay_are_told_of_the_cluster(rig):
    rig.nodes[0].role = "active"
    report = Report(rig)
    assert report.alone("-", "active", None) == "n1, n2 all say that they are active, twice"


def test_an_older_claim_is_superseded_and_the_newer_one_is_the_active_node(rig):
    rig.nodes[0].role = "active"
    rig.nodes[1].active_time = NEW
    report = Report(rig)
    assert "another node has a newer term" in report.alone("n1", "identity", "superseded")
    assert report.words("-", "active") == "n2 is the active node"


# --- no TLS, or not the right one ----------------------------------------------------


@pytest.mark.parametrize(
    ("certificate", "words"),
    [
        ("expired", "expired on 2020-02-01"),
        ("other_node", "is signed by \"fault tests other_ca\", an authority that ca_file"),
        ("wrong_name", "not for 127.0.0.1"),
    ],
)
def test_a_certificate_that_does_not_verify_is_told_in_words(rig, certificate, words):
    rig.nodes[0].use_certificate(certificate)
    assert words in Report(rig).alone("n1", "tls", "tls")


def test_plain_http_on_the_port_is_told_as_that(rig):
    def answer(raw):
        raw.recv(65536)
        raw.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n")

    rig.nodes[0].on_connect = answer
    assert "plain HTTP where TLS is expected" in Report(rig).alone("n1", "tls", "tls")


def test_a_port_that_never_answers_costs_two_deadlines_and_no_other_node(rig):
    rig.nodes[0].on_connect = lambda raw: raw.recv(65536) and time.sleep(5)
    report = Report(rig)
    assert "does not answer the TLS handshake" in report.alone("n1", "tls", "timeout")
    assert report.seconds < 2 * rig.timeout + 2
    for node in ("n2", "n3"):
        assert report.findings[node, "metrics"]["result"] == "OK"


def test_a_name_without_address_is_told_as_that(rig):
    rig.write_config(urls={"n1": "https://openbao-0.invalid:8200"})
    try:
        report = Report(rig)
    finally:
        rig.write_config(urls={})
    assert "openbao-0.invalid" in report.alone("n1", "dns", "dns")


# --- answers -------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "check"), [(HEALTH, "health"), (METRICS, "metrics")])
def test_a_node_that_hangs_after_its_handshake_is_told_where(rig, path, check):
    rig.nodes[0].faults[path] = lambda exchange: exchange.hang()
    report = Report(rig)
    report.alone("n1", check, "timeout")
    assert report.findings["n1", "tls"]["result"] == "WARN"  # it ends soon; it was good


def test_a_question_about_the_token_that_hangs_is_a_warning(rig):
    rig.nodes[1].faults[CAPABILITIES] = lambda exchange: exchange.hang()
    report = Report(rig)
    assert report.failed == {}
    assert report.findings["-", "capability"]["reason"] == "timeout"
    assert report.seconds < rig.timeout + 2


def test_a_question_about_the_token_that_no_active_node_takes_is_to_be_asked_again(rig):
    for node in rig.nodes:
        node.role = "standby"
        node.faults[CAPABILITIES] = lambda exchange: exchange.answer(307, b"")
    report = Report(rig)
    assert report.findings["-", "capability"]["result"] == "WARN"
    assert report.words("-", "capability").startswith("cannot be asked now: ")
    assert report.words("-", "active") == "all 3 listed nodes are standby"


def test_telemetry_that_is_off_is_told_at_retention(rig):
    rig.nodes[0].faults[METRICS] = lambda exchange: exchange.answer(
        400, b"prometheus is not enabled", "text/plain; charset=utf-8")
    report = Report(rig)
    report.alone("n1", "retention", "telemetry_disabled")
    assert "prometheus_retention_time" in report.findings["n1", "retention"]["remedy"]


def test_a_hostname_in_the_names_is_a_warning(rig):
    rig.nodes[1].body = exposition("active", 2).replace(b"vault_core_", b"vault_host7_core_")
    report = Report(rig)
    assert report.failed == {}
    assert report.words("-", "names") == "names of metrics begin with vault_host7_ on n2"
    assert "disable_hostname" in report.findings["-", "names"]["remedy"]


def test_a_clock_that_is_wrong_is_a_warning(rig):
    said = {"initialized": True, "sealed": False, "standby": True, "version": "2.7.2", "cluster_name": "fake",
            "cluster_id": "e0ee226a-2c7d-f551-5577-c3991536ba6f", "server_time_utc": int(time.time()) - 3600}
    rig.nodes[0].faults[HEALTH] = lambda exchange: exchange.answer(429, json.dumps(said).encode())
    report = Report(rig)
    assert report.failed == {}
    assert report.words("n1", "clock") in ("60 min behind ours", "59 min behind ours")
