"""An exporter whose files a test replaces, and how to tell that nobody noticed. The values that the
fakes tell never move, so a gap, a mix-up or a restart of a node shows as bytes that differ.
"""

import contextlib
import http.client
import re
import signal
import ssl
import subprocess
import threading
import time

import pytest
from exporter_under_fault import SCRAPE_TOKEN, new_token, replace_file
from fake_node import METRICS

NEW_SCRAPE_TOKEN = new_token("the new scrape token")
NEW_UPSTREAM_TOKEN = new_token("the new upstream token", "s.")
WAYS = ["SIGHUP", "a file has changed"]  # as the log calls them
WITHIN = {"SIGHUP": 1, "a file has changed": 5}  # seconds; a file: in the second look at it
DONE = "done"
REFUSED = "refused, the old one stays"

both_ways = pytest.mark.parametrize("way", WAYS, ids=["sighup", "file"])


# --- the exporter, and what it did --------------------------------------------------------------

@contextlib.contextmanager
def replaceable_rigs(make_rig, certificates):
    """Makes exporters of the test's own, with copies of the files that it may replace; they end
    with the test. make(start=False) leaves the start to the test."""
    with contextlib.ExitStack() as stack:
        def make_one(start=True, roles=("standby", "active", "standby"), timeout="900ms",
                     **options):
            rig = make_rig(roles, start=False, timeout=timeout, **options)
            for node in rig.nodes:
                stack.callback(node.stop)
            stack.callback(rig.stop)
            put_pair(rig, certificates.pem("node"), certificates.key("node"))
            put(rig, "ca.pem", read(certificates.pem("ca")))
            rig.write_config(cert_file="port.pem", key_file="port.key", ca_file="ca.pem")
            if start:
                rig.start()
                rig.wait_all_up()
            return rig
        yield make_one


def read(path):
    with open(path, "rb") as file:
        return file.read()


def put(rig, name, content):
    replace_file(rig.folder / name, content)


def put_pair(rig, pem, key):
    put(rig, "port.pem", read(pem))
    put(rig, "port.key", read(key))


def reloads(rig):
    """Each reload so far: why and what it became."""
    return [(why, result.strip('"')) for why, _, result in reload_lines(rig)]


def what_changed(rig):
    """In each reload so far, as the log tells it."""
    return [changed for _, changed, _ in reload_lines(rig)]


def reload_lines(rig):
    return re.findall(
        r'msg="reload" why="?(SIGHUP|a file has changed)"? changed=(\S+) result=("[^"]*"|\S+)$',
        rig.log(), re.MULTILINE)


def wait_reload(rig, before, way, result):
    """The one reload since there were `before`."""
    deadline = time.monotonic() + WITHIN[way]
    while len(reloads(rig)) == before and time.monotonic() < deadline:
        assert rig.process.poll() is None, rig.log()
        time.sleep(0.01)
    assert reloads(rig)[before:] == [(way, result)], rig.log()[-2000:]


@contextlib.contextmanager
def reloading(rig, way, result=DONE):
    """Around the change of files: makes the exporter see it, and waits until it has."""
    before = len(reloads(rig))
    yield
    if way == "SIGHUP":
        rig.process.send_signal(signal.SIGHUP)
    wait_reload(rig, before, way, result)


def config_state(rig):
    """bao_exporter_config_last_reload_successful and _generation."""
    own = rig.scrape(path="/metrics/exporter")
    return (own.value("bao_exporter_config_last_reload_successful"),
            own.value("bao_exporter_config_generation"))


def problems(rig):
    return re.findall(r'level=error msg="configuration" problem="((?:[^"\\]|\\.)*)"', rig.log())


def good_lines(rig):
    """What each node's samples look like as long as nothing is wrong."""
    scrape = rig.wait_all_up()
    lines = {node.name: scrape.lines_of(node.name) for node in rig.nodes}
    assert all(lines.values())
    return lines


class Scraping:
    """Threads that scrape all the time, and some more times before they are left. Then: every
    scrape was a 200 that came in time. `scrapes` has a list for each thread, in order."""

    def __init__(self, rig, token=SCRAPE_TOKEN, threads=1):
        self.scrapes = [[] for _ in range(threads)]
        self._failures = []
        self._rig = rig
        self._token = token
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(mine,), daemon=True)
                         for mine in self.scrapes]

    def _run(self, mine):
        while not self._stop.wait(0.02):
            try:
                scrape = self._rig.scrape(token=self._token, timeout=2)
                assert scrape.status == 200, f"{scrape.status} {scrape.text}"
                mine.append(scrape)
            except Exception as error:
                self._failures.append(error)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind, *_):
        enough = [len(mine) + 5 for mine in self.scrapes]
        deadline = time.monotonic() + 10
        while kind is None and not self._failures and time.monotonic() < deadline and any(
                len(mine) < count for mine, count in zip(self.scrapes, enough)):
            time.sleep(0.02)
        self._stop.set()
        for thread in self._threads:
            thread.join(10)
        if kind is None:
            assert self._failures == []
            assert all(len(mine) >= count for mine, count in zip(self.scrapes, enough))


def check_no_gap(scraping, good):
    """These nodes were up with the same bytes in every scrape, and no counter of theirs went
    back."""
    for scrapes in scraping.scrapes:
        before = {}
        for scrape in scrapes:
            for name, lines in good.items():
                assert scrape.up(name) and scrape.reason(name) == "ok", scrape.reason(name)
                assert scrape.lines_of(name) == lines
            now = counters(scrape, good)
            back = {key: (before[key], now.get(key)) for key in before
                    if now.get(key, -1) < before[key]}
            assert back == {}, "counters went back"
            before = now


def counters(scrape, names):
    """Every counter that we keep of these nodes."""
    return {(name, tuple(sorted(labels.items()))): float(value)
            for name, labels, value, _ in scrape.samples
            if labels.get("node_name") in names and name.startswith("bao_node_")
            and name.endswith(("_total", "_count", "_bucket"))}


def role_story(scrape, name):
    return [scrape.value(f"bao_node_{what}", node_name=name)
            for what in ("role_changes_total", "role_last_change_timestamp_seconds")]


def sent_tokens(node, since=0):
    """What the node's polls carried, one entry for each."""
    return [header.removeprefix("Bearer ") for request in node.requests_of(METRICS, since)
            for header in request.header("Authorization")]


def renew(certificates, folder):
    """Another certificate for the port, of the same authority, good for longer: (pem, key)."""
    pem, key = str(folder / "renewed.pem"), str(folder / "renewed.key")
    subprocess.run(
        ["openssl", "req", "-x509", "-config", str(certificates.folder / "openssl.cnf"),
         "-extensions", "node", "-subj", "/CN=renewed", "-days", "5", "-newkey", "ec",
         "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-CA", certificates.pem("ca"),
         "-CAkey", certificates.key("ca"), "-keyout", key, "-out", pem],
        stderr=subprocess.DEVNULL, check=True)
    return pem, key


class KeptConnection:
    """One connection that is scraped again and again, and the certificate that it was shown."""

    def __init__(self, rig):
        context = ssl.create_default_context(cafile=rig.certificates.pem("ca"))
        self._connection = http.client.HTTPSConnection("127.0.0.1", rig.port, timeout=2,
                                                       context=context)
        self._connection.connect()
        self._connection.auto_open = 0  # when it ends it has ended
        shown = self._connection.sock.getpeercert()
        self.serial = shown["serialNumber"]
        self.not_after = ssl.cert_time_to_seconds(shown["notAfter"])

    def scrape(self):
        self._connection.request("GET", "/metrics",
                                 headers={"Authorization": f"Bearer {SCRAPE_TOKEN}"})
        answer = self._connection.getresponse()
        assert answer.status == 200 and len(answer.read()) > 1000

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._connection.close()


def shown_certificate(rig):
    """What a new handshake shows: its serial number, and the end that our metric tells."""
    with KeptConnection(rig) as connection:
        told = rig.scrape().value("bao_exporter_tls_certificate_not_after_timestamp_seconds")
        assert told == connection.not_after
        return connection.serial, connection.not_after
