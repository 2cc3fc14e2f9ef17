"""`bao-exporter doctor` and `nodes` on a certctl server, well or not: what is wrong stands in one line, with
its cause and what to do, to the word, for few requests.

The texts are tests/golden/doctor_certctl/SET_UP.txt; BAO_UPDATE_GOLDEN=1 writes them anew."""

import contextlib
import json
import os
import re
import socket
import subprocess
import time

import pytest
from canary import Search, canary, leaks
from certctl import ME, METRICS, FakeCertctl
from certctl_state import FakeState
from certctl_tls import SERVER_NAME, Material
from doctor_golden import GOLDEN as GOLDEN_OF_NODES
from doctor_golden import Mask, compare

BINARY = os.environ["BAO_EXPORTER"]
GOLDEN = GOLDEN_OF_NODES.with_name("doctor_certctl")
CERTIFICATES = "/api/v1/certificates"
TIMEOUT_S = 1.5
KEY, SCRAPE_TOKEN = canary(), canary()
SEARCH = Search({"the key": KEY, "the scrape token": SCRAPE_TOKEN})
CHECKS = ["dns", "tcp", "tls", "ready", "key", "permission", "collectors", "metrics", "inventory", "counts", "rate"]


class Bed:
    """A fake certctl and the configuration that has it, and nothing else."""

    def __init__(self, fake, folder):
        self.fake = fake
        self.folder = folder
        self.port = 0
        self.keys = {"server_name": SERVER_NAME}
        self.more = ""  # tables
        fake.keys.add("ours", secret=KEY)
        fake.write_key(folder / "certctl.key", "ours")
        for name in ("scrape.token", "self.token"):
            self.write(name, SCRAPE_TOKEN + "\n")

    def write(self, name, text):
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_text(text)
        return path

    def config(self):
        material = self.fake.material
        listener = {"address": f"127.0.0.1:{self.port}", "tls_cert_file": material.pem("loopback"),
                    "tls_key_file": material.key("loopback"), "token_files": ["scrape.token"],
                    "self_token_file": "self.token", "self_ca_file": material.ca_file}
        certctl = {"name": "pki", "url": self.fake.url, "api_key_file": "certctl.key",
                   "ca_file": material.ca_file, "timeout": f"{int(TIMEOUT_S * 1000)}ms", **self.keys}

        def lines(pairs):
            return "".join(f"{key} = {json.dumps(value if isinstance(value, list) else str(value))}\n"
                           for key, value in pairs.items())

        return self.write("exporter.toml", f"[listener]\n{lines(listener)}[[certctl]]\n{lines(certctl)}{self.more}")

    def run(self, *arguments):
        run = subprocess.run([BINARY, *arguments, "--config.file", self.config()],
                             capture_output=True, timeout=60, check=False)
        assert leaks(SEARCH, {"stdout": run.stdout, "stderr": run.stderr}) == []
        return run

    def doctor(self, *options):
        run = self.run("doctor", *options)
        assert run.stderr == b"" and run.returncode in (0, 1), (run.returncode, run.stderr)
        return run.returncode, run.stdout.decode()

    @contextlib.contextmanager
    def exporter(self):
        """The exporter itself, running."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        log = self.folder / "exporter.log"
        with log.open("wb") as file:
            process = subprocess.Popen([BINARY, "--config.file", self.config()], stdout=file, stderr=file)
        try:
            yield self
        finally:
            process.terminate()
            assert process.wait(10) == 0, log.read_text()


class Report:
    """What `doctor --json` says of the server."""

    def __init__(self, bed):
        mark, began = len(bed.fake.requests), time.monotonic()
        self.code, text = bed.doctor("--json")
        self.seconds = time.monotonic() - began
        self.requests = [request.path for request in bed.fake.requests[mark:]]
        said = json.loads(text)
        assert said["nodes"] == [] and [one["certctl"] for one in said["certctls"]] == ["pki"]
        self.checks = [check["check"] for check in said["certctls"][0]["checks"]]
        self.findings = {check["check"]: check for check in said["certctls"][0]["checks"]}
        bad = {name: check for name, check in self.findings.items() if check["result"] != "OK"}
        assert all(check["remedy"] for check in bad.values())
        self.bad = {name: (check["result"], check.get("reason")) for name, check in bad.items()}
        assert self.code == (1 if any(result == "FAIL" for result, _ in self.bad.values()) else 0)

    def words(self, check):
        finding = self.findings[check]
        return f"{finding['finding']} -> {finding.get('remedy', '')}"


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    return Material(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def make_bed(material, tmp_path):
    with contextlib.ExitStack() as stack:
        yield lambda certificates: Bed(stack.enter_context(FakeCertctl(
            state=FakeState(certificates=certificates, agents=14, jobs=60), material=material)), tmp_path)


@pytest.fixture
def bed(make_bed):
    """With so few certificates that certctl counts them right."""
    return make_bed(40)


# --- to the word ---------------------------------------------------------------------


def nothing(bed):
    pass


def key_of(name):
    def put(bed):
        bed.fake.write_key(bed.folder / "certctl.key", name)
    return put


def certificate(name):
    def put(bed):
        bed.fake.use_certificate(name)
    return put


def without_server_name(bed):
    del bed.keys["server_name"]


def key_unknown(bed):
    bed.fake.keys.revoke("ours")


def admin_refused(bed):
    key_of("admin")(bed)
    bed.keys["on_excess_capabilities"] = "refuse"


def listed_but_forbidden(bed):
    key_of("metrics-only")(bed)
    bed.keys["collectors"] = ["metrics", "certificates"]


def database_down(bed):
    bed.fake.faults.database_down = True


def rate_limited(bed):
    bed.fake.limiter.set(0.0001, 0)


def stopped(bed):
    bed.fake.stop()


SET_UPS = {  # name: (exit code, what breaks it, certificates)
    "healthy": (0, nothing, 40),
    "counts_wrong": (0, nothing, 332),
    "key_unknown": (1, key_unknown, 40),
    "metrics_only": (0, key_of("metrics-only"), 40),
    "no_permission": (1, key_of("none"), 40),
    "listed_but_forbidden": (1, listed_but_forbidden, 40),
    "admin": (0, key_of("admin"), 40),
    "admin_refused": (1, admin_refused, 40),
    "without_server_name": (1, without_server_name, 40),
    "wrong_name": (1, certificate("wrong_name"), 40),
    "other_authority": (1, certificate("other_server"), 40),
    "expired": (1, certificate("expired"), 40),
    "database_down": (1, database_down, 40),
    "rate_limited": (1, rate_limited, 40),
    "stopped": (1, stopped, 40),
}

MORE_MASKS = [(r"\bit says \d+, its lists have \d+", "it says <n>, its lists have <n>"),
              (r"\b\d+ of \d+ requests got", "<n> of <n> requests got")]


@pytest.mark.parametrize("set_up", SET_UPS)
def test_what_the_doctor_prints(make_bed, set_up):
    code, put, certificates = SET_UPS[set_up]
    bed = make_bed(certificates)
    put(bed)
    mask = Mask({str(bed.folder): "<folder>", str(bed.fake.material.folder): "<tls>",
                 str(bed.fake.port): "<port>"})
    returned, text = bed.doctor()
    for pattern, name in MORE_MASKS:
        text = re.sub(pattern, name, text)
    compare(set_up, mask(text), GOLDEN)
    assert returned == code


def test_every_golden_file_is_of_a_set_up():
    assert sorted(file.stem for file in GOLDEN.iterdir()) == sorted(SET_UPS)


# --- what it costs -------------------------------------------------------------------


def test_a_healthy_server_has_every_line_for_twelve_requests(bed):
    report = Report(bed)
    assert report.checks == CHECKS and report.bad == {}
    assert len(report.requests) == 12 and bed.fake.audit_rows() == 9
    # No request more than the exporter's own first round makes.
    assert report.requests.count(METRICS) == report.requests.count(ME) == report.requests.count(CERTIFICATES) == 1


def test_the_rows_a_day_are_what_the_requests_make(bed):
    bed.keys |= {"interval": "30s", "inventory_interval": "1h"}
    bed.fake.health_checks_enabled = True
    report = Report(bed)
    lists = bed.fake.audit_rows() - 1
    assert f"{lists} requests with the key" in report.words("inventory")
    assert f"make {2 * 1440 + 24 * lists} rows a day" in report.words("inventory")
    # Where they are off, they are asked for once a day.
    bed.fake.health_checks_enabled = False
    assert f"make {2 * 1440 + 24 * (lists - 1) + 1} rows a day" in Report(bed).words("inventory")


def test_a_rejected_key_is_sent_twice_and_no_more(bed):
    key_unknown(bed)
    report = Report(bed)
    assert report.bad == {"key": ("FAIL", "token_rejected")}
    assert sorted(report.requests) == sorted([ME, "/ready", METRICS])


def test_a_key_for_the_metrics_alone_asks_for_no_list(bed):
    key_of("metrics-only")(bed)
    report = Report(bed)
    assert report.bad == {"collectors": ("WARN", "forbidden")}
    assert sorted(report.requests) == sorted([ME, "/api/v1/version", "/ready", METRICS])
    assert 'set collectors = ["metrics"]' in report.words("collectors")


# --- 401, 403, 429, 500 --------------------------------------------------------------


def test_a_permission_that_was_taken_after_all_is_told_of_its_list(bed):
    bed.fake.faults.answer("/api/v1/jobs", 403, b'{"error":"Insufficient permissions"}', "application/json")
    report = Report(bed)
    assert report.bad == {"inventory": ("FAIL", "forbidden")}
    assert "jobs: HTTP 403" in report.words("inventory")


def test_a_limit_that_lets_everything_through_in_the_end_is_a_warning(bed):
    bed.keys["timeout"] = "10s"  # within which certctl's Retry-After is waited for
    bed.fake.limiter.set(4, 4)
    bed.fake.limiter.drain()
    report = Report(bed)
    assert report.bad == {"rate": ("WARN", "rate_limited")}
    assert "CERTCTL_RATE_LIMIT_RPS" in report.words("rate")


def test_a_locked_table_costs_one_timeout_and_is_told_of_its_list(bed):
    with bed.fake.faults.locked(CERTIFICATES):
        report = Report(bed)
    assert report.bad == {"inventory": ("FAIL", "timeout")}
    assert report.words("inventory").startswith("certificates: ")
    assert report.seconds < TIMEOUT_S + 3


def test_a_locked_database_ends_within_a_few_timeouts(bed):
    bed.fake.faults.slow(60)
    report = Report(bed)
    assert ("FAIL", "timeout") in report.bad.values()
    assert report.seconds < 4 * TIMEOUT_S + 3


def test_a_proxys_500_is_no_database_that_is_down(bed):
    bed.fake.faults.answer(CERTIFICATES, 502, b"<html>", "text/html")
    report = Report(bed)
    assert report.bad == {"inventory": ("FAIL", "server_error")}


def test_a_mismatch_names_the_families_and_both_counts(make_bed):
    bed = make_bed(332)
    report = Report(bed)
    assert report.bad == {"counts": ("WARN", None)}
    theirs = bed.fake.summary()["certificate_revoked"]
    assert f"certctl_certificate_revoked (it says {theirs}, its lists have " in report.words("counts")
    assert "certctl_certificate_total" not in report.words("counts")


def test_health_checks_that_are_switched_on_are_read_and_those_that_are_off_are_no_failure(bed):
    assert "switched off at the server: health_checks" in Report(bed).words("collectors")
    bed.fake.health_checks_enabled = True
    report = Report(bed)
    assert report.bad == {} and "switched off" not in report.words("collectors")


def test_an_unreadable_key_file_is_a_wrong_configuration(bed):
    (bed.folder / "certctl.key").chmod(0o644)
    run = bed.run("doctor")
    assert run.returncode == 2 and b"certctl.key" in run.stderr


# --- nodes ---------------------------------------------------------------------------


def lines_of(bed):
    """What `nodes` prints of the server, once the exporter has told it."""
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        run = bed.run("nodes")
        if run.returncode == 0:
            head, *lines = run.stdout.decode().splitlines()
            assert re.split(r"  +", head) == ["CERTCTL", "INSTANCE", "READY", "VERSION", "COLLECTORS", "LAST REASON"]
            return [re.split(r"  +", line) for line in lines]
        time.sleep(0.1)
    raise AssertionError(run.stderr)


def test_nodes_has_a_line_for_the_server(bed):
    with bed.exporter():
        assert lines_of(bed) == [["pki", f"127.0.0.1:{bed.fake.port}", "yes", bed.fake.version, "7/7", "ok"]]


def test_nodes_has_the_last_reason_and_whose_it_is(bed):
    key_of("metrics-only")(bed)
    with bed.exporter():
        [line] = lines_of(bed)
    assert line[2] == "yes" and line[4] == "1/8"
    assert line[5].startswith("forbidden (agents, certificates, ")


def test_nodes_says_that_the_database_is_down(bed):
    database_down(bed)
    with bed.exporter():
        [line] = lines_of(bed)
    assert line[2] == "no" and line[4:] == ["0/8", "database_down"]


def with_a_cluster(bed):
    """One node that nobody listens as."""
    bed.more = (f'[[openbao]]\ncluster = "bao"\nca_file = "{bed.fake.material.ca_file}"\n[openbao.auth]\n'
                'method = "none"\n[[openbao.node]]\nname = "a"\napi_url = "https://127.0.0.1:1"\n')


def test_a_cluster_and_a_server_have_a_table_each(bed):
    with_a_cluster(bed)
    with bed.exporter():
        wanted = [["bao/a", "unreachable", "?", "-", "0", "never", "connect"],
                  ["pki", f"127.0.0.1:{bed.fake.port}", "yes", bed.fake.version, "7/7", "ok"]]
        deadline, rows = time.monotonic() + 15, []
        while rows != wanted and time.monotonic() < deadline:
            nodes, _, servers = bed.run("nodes").stdout.decode().partition("\n\n")
            rows = [re.split(r"  +", line) for table in (nodes, servers) for line in table.splitlines()[1:]]
        assert rows == wanted


def test_a_node_that_is_down_is_not_the_servers_fault(bed):
    with_a_cluster(bed)
    code, text = bed.doctor()
    assert code == 1
    failed = [line.split(None, 3)[:3] for line in text.splitlines() if "  FAIL  " in line]
    assert [line[:2] for line in failed] == [["bao/a", "tcp"]]
    assert re.search(r"^pki +ready +OK", text, re.M)


def test_nodes_without_a_running_exporter_fails(bed):
    with socket.create_server(("127.0.0.1", 0)) as free:
        bed.port = free.getsockname()[1]
    run = bed.run("nodes")
    assert run.returncode == 1 and run.stdout == b""
