"""SIGHUP and changed files: what is new comes into force as a whole, or nothing does; nobody who
polls or scrapes notices. Where it is cheap each claim is made for both ways: by SIGHUP, and by the
changed file alone.

The values that the fakes tell never move, so a gap, a mix-up or a restart of a node shows as
bytes that differ.
"""

import contextlib
import http.client
import re
import shutil
import signal
import ssl
import statistics
import subprocess
import threading
import time

import pytest
from exporter_under_fault import (SCRAPE_TOKEN, UPSTREAM_TOKEN, ServiceManager, new_token,
                                  replace_file)
from fake_node import HEALTH, METRICS

NEW_SCRAPE_TOKEN = new_token("the new scrape token")
NEW_UPSTREAM_TOKEN = new_token("the new upstream token", "s.")
WAYS = ["SIGHUP", "a file has changed"]  # as the log calls them
WITHIN = {"SIGHUP": 1, "a file has changed": 5}  # seconds; a file: in the second look at it
DONE = "done"
REFUSED = "refused, the old one stays"

both_ways = pytest.mark.parametrize("way", WAYS, ids=["sighup", "file"])


# --- the exporter, and what it did --------------------------------------------------------------

@pytest.fixture
def make(make_rig, certificates):
    """An exporter of the test's own, with copies of the files that it may replace; it ends with the
    test. make(start=False) leaves the start to the test."""
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
    return [(why, result.strip('"')) for why, result in re.findall(
        r'msg="reload" why="?(SIGHUP|a file has changed)"? result=("[^"]*"|\S+)$', rig.log(),
        re.MULTILINE)]


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


# --- scrape tokens ------------------------------------------------------------------------------

@both_ways
def test_scrape_tokens_rotate_without_a_failed_scrape(make, way):
    rig = make()
    pid = rig.process.pid
    assert rig.scrape(token=NEW_SCRAPE_TOKEN).status == 401
    with Scraping(rig):
        with reloading(rig, way):
            put(rig, "scrape.token", f"old:{SCRAPE_TOKEN}\nnew:{NEW_SCRAPE_TOKEN}\n")
        assert rig.scrape(token=NEW_SCRAPE_TOKEN).status == 200
    with Scraping(rig, NEW_SCRAPE_TOKEN):
        with reloading(rig, way):
            put(rig, "scrape.token", f"new:{NEW_SCRAPE_TOKEN}\n")
        assert rig.scrape().status == 401
    own = rig.scrape(path="/metrics/exporter", token=NEW_SCRAPE_TOKEN)
    for name in ("old", "new"):
        assert own.counter("bao_exporter_scrapes_total", path="/metrics", token=name) >= 5
    assert own.value("bao_exporter_config_generation") == 3
    assert rig.process.poll() is None and rig.process.pid == pid


@pytest.mark.parametrize("bad", ["short", "empty", "open to others", "missing"])
def test_a_scrape_token_file_that_cannot_be_used_is_refused(make, bad):
    rig = make()
    file = rig.folder / "scrape.token"
    with Scraping(rig):
        with reloading(rig, "SIGHUP", REFUSED):
            if bad == "short":
                put(rig, "scrape.token", "tooShortToBeAToken\n")
            elif bad == "empty":
                put(rig, "scrape.token", "")
            elif bad == "open to others":
                file.chmod(0o604)
            else:
                file.unlink()
        assert config_state(rig) == (0, 1)
        assert str(file) in problems(rig)[-1]
        with reloading(rig, "a file has changed"):
            put(rig, "scrape.token", SCRAPE_TOKEN + "\n")
        assert config_state(rig) == (1, 2)
    assert SCRAPE_TOKEN not in rig.log() and "tooShortToBeAToken" not in rig.log()


# --- the token that nodes are sent --------------------------------------------------------------

def sent_tokens(node, since=0):
    """What the node's polls carried, one entry for each."""
    return [header.removeprefix("Bearer ") for request in node.requests_of(METRICS, since)
            for header in request.header("Authorization")]


def swap_data(folder, generation, token):
    """As the kubelet does: a new folder, and `..data` points there from one moment to the next."""
    folder.mkdir(exist_ok=True)
    before = (folder / "..data").resolve() if (folder / "..data").is_symlink() else None
    new = folder / f"..2026_11_23_00_20_{generation}"
    new.mkdir()
    replace_file(new / "token", token + "\n")
    (folder / "..data_tmp").symlink_to(new.name)
    (folder / "..data_tmp").replace(folder / "..data")
    if before is None:
        (folder / "token").symlink_to("..data/token")
    else:
        shutil.rmtree(before)


@contextlib.contextmanager
def taking_a_token(rig):
    """Around the change of the token's file: waits until it is in force, without a reload."""
    before, lines = len(reloads(rig)), rig.log().count('msg="token in force"')
    yield
    deadline = time.monotonic() + 3
    while rig.log().count('msg="token in force"') == lines and time.monotonic() < deadline:
        time.sleep(0.01)
    assert rig.log().count('msg="token in force"') == lines + 1
    assert len(reloads(rig)) == before


@both_ways
@pytest.mark.parametrize("how", ["rename", "data_symlink"])
def test_the_next_polls_carry_the_new_token(make, way, how):
    rig = make(start=False)
    secret = rig.folder / "secret"
    if how == "data_symlink":
        swap_data(secret, 1, UPSTREAM_TOKEN)
        rig.write_config(token_file="secret/token")
    rig.start()
    good = good_lines(rig)
    before = rig.scrape()
    assert before.value("bao_token_generation", credential="fake") == 1
    marks = [len(node.requests) for node in rig.nodes]
    with Scraping(rig) as scraping:
        rig.wait_rounds("n1", 1)
        changed = time.time()
        # A changed token file is taken by itself, and is no reload.
        with reloading(rig, way) if way == "SIGHUP" else taking_a_token(rig):
            if how == "data_symlink":
                swap_data(secret, 2, NEW_UPSTREAM_TOKEN)
            else:
                put(rig, "openbao.token", NEW_UPSTREAM_TOKEN + "\n")
        loaded = time.monotonic()
        after = rig.wait_rounds("n1", 3)
    check_no_gap(scraping, good)
    for node, mark in zip(rig.nodes, marks):
        sent = sent_tokens(node, mark)
        assert set(sent) == {UPSTREAM_TOKEN, NEW_UPSTREAM_TOKEN}
        turns = [token == NEW_UPSTREAM_TOKEN for token in sent]
        assert turns == sorted(turns), f"the old one came back: {turns}"
        polls = [request for request in node.requests_of(HEALTH, mark)
                 if request.arrived > loaded]
        assert sent.count(NEW_UPSTREAM_TOKEN) >= len(polls) - 1 >= 1, "not from the next poll on"
    assert after.value("bao_token_generation", credential="fake") == 2
    was, now = (scrape.value("bao_token_loaded_timestamp_seconds", credential="fake")
                for scrape in (before, after))
    assert was < changed <= now <= time.time()
    assert UPSTREAM_TOKEN not in rig.log() and NEW_UPSTREAM_TOKEN not in rig.log()


def test_a_token_file_with_the_same_token_is_no_new_generation(make):
    rig = make()
    before = rig.scrape()
    put(rig, "openbao.token", UPSTREAM_TOKEN + "\n")
    after = rig.wait_rounds("n1", 3)
    for name in ("bao_token_generation", "bao_token_loaded_timestamp_seconds"):
        assert after.value(name, credential="fake") == before.value(name, credential="fake")


@pytest.mark.parametrize("bad", ["two lines", "missing"])
def test_with_an_upstream_token_that_cannot_be_used_the_old_one_stays(make, bad):
    rig = make()
    good = good_lines(rig)
    marks = [len(node.requests) for node in rig.nodes]
    with Scraping(rig) as scraping:
        with reloading(rig, "SIGHUP", REFUSED):
            if bad == "missing":
                (rig.folder / "openbao.token").unlink()
            else:
                put(rig, "openbao.token", f"{NEW_UPSTREAM_TOKEN}\n{UPSTREAM_TOKEN}\n")
        rig.wait_rounds("n1", 2)
        assert config_state(rig) == (0, 1)
        assert str(rig.folder / "openbao.token") in problems(rig)[-1]
    check_no_gap(scraping, good)
    for node, mark in zip(rig.nodes, marks):
        assert set(sent_tokens(node, mark)) == {UPSTREAM_TOKEN}
    with reloading(rig, "a file has changed"):
        put(rig, "openbao.token", NEW_UPSTREAM_TOKEN + "\n")
    assert config_state(rig) == (1, 2)
    rig.wait_rounds("n1", 2)
    assert all(sent_tokens(node)[-1] == NEW_UPSTREAM_TOKEN for node in rig.nodes)
    assert UPSTREAM_TOKEN not in rig.log() and NEW_UPSTREAM_TOKEN not in rig.log()


# --- certificates -------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def renewed(certificates, tmp_path_factory):
    """Another certificate for the port, of the same authority, good for longer: (pem, key)."""
    folder = tmp_path_factory.mktemp("renewed")
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


@both_ways
def test_a_renewed_certificate_is_shown_to_new_connections(make, renewed, way):
    rig = make()
    old_serial, old_end = shown_certificate(rig)
    with KeptConnection(rig) as kept, Scraping(rig):
        kept.scrape()
        with reloading(rig, way):
            put_pair(rig, *renewed)
        serial, end = shown_certificate(rig)
        assert serial != old_serial and end > old_end
        kept.scrape()
        assert kept.serial == old_serial
    assert config_state(rig) == (1, 2)


@pytest.mark.parametrize("bad", ["another key", "expired", "garbage", "garbage key", "missing"])
def test_a_pair_that_cannot_be_used_is_refused_until_it_can(make, certificates, renewed, bad):
    rig = make()
    old = shown_certificate(rig)
    blamed = "port.key" if "key" in bad else "port.pem"
    with KeptConnection(rig) as kept, Scraping(rig):
        with reloading(rig, "a file has changed", REFUSED):
            if bad == "another key":  # half of a renewal
                put(rig, "port.pem", read(renewed[0]))
            elif bad == "expired":
                put_pair(rig, certificates.pem("expired"), certificates.key("expired"))
            elif bad == "missing":
                (rig.folder / "port.pem").unlink()
            else:
                kind = b"PRIVATE KEY" if bad == "garbage key" else b"CERTIFICATE"
                put(rig, blamed, b"-----BEGIN %s-----\nbm9uc2Vuc2U=\n-----END %s-----\n"
                    % (kind, kind))
        assert shown_certificate(rig) == old
        assert config_state(rig) == (0, 1)
        assert str(rig.folder / blamed) in problems(rig)[-1]
        if bad == "expired":
            assert "expired" in problems(rig)[-1]
        if bad == "another key":
            assert "is not the key of" in problems(rig)[-1]
        with reloading(rig, "a file has changed"):
            if bad == "another key":  # the other half
                put(rig, "port.key", read(renewed[1]))
            else:
                put_pair(rig, *renewed)
        assert shown_certificate(rig)[0] != old[0]
        assert config_state(rig) == (1, 2)
        kept.scrape()


@both_ways
def test_nodes_are_trusted_by_the_new_authority_alone(make, certificates, way):
    """Also those whose connection was made while the old one was trusted."""
    rig = make(start=False)
    rig.nodes[0].use_certificate("other_node")
    rig.start()
    rig.wait_published()
    ours, other = read(certificates.pem("ca")), read(certificates.pem("other_ca"))
    rig.wait(lambda s: s.reason("n1") == "tls" and s.up("n2") and s.up("n3"), 3, "n1 is foreign")
    with reloading(rig, way):
        put(rig, "ca.pem", ours + other)
    rig.wait_all_up()
    with reloading(rig, way):
        put(rig, "ca.pem", other)
    rig.wait(lambda s: s.up("n1") and s.reason("n2") == s.reason("n3") == "tls", 3,
             "only n1 is trusted")


# --- the configuration --------------------------------------------------------------------------

@both_ways
def test_a_node_that_was_added_appears(make, way):
    rig = make()
    new = rig.nodes.pop()
    with reloading(rig, way):
        rig.write_config()
    rig.wait(lambda s: f'node_name="{new.name}"' not in s.text, 1, "two nodes")
    good = good_lines(rig)
    stories = {name: role_story(rig.scrape(), name) for name in good}
    asked = len(new.requests)
    with Scraping(rig) as scraping:
        rig.nodes.insert(0, new)  # the places of all others move
        with reloading(rig, way):
            rig.write_config()
        scrape = rig.wait(lambda s: s.find("bao_node_up", node_name=new.name) != []
                          and s.up(new.name), rig.timeout, "the new node is up")
        assert scrape.lines_of(new.name) and len(new.requests) > asked
        after = rig.wait_rounds("n1", 2)
    check_no_gap(scraping, good)
    assert {name: role_story(after, name) for name in good} == stories
    assert after.value("bao_cluster_expected_nodes") == 3
    assert after.value("bao_cluster_failovers_total") == 0
    assert after.polls(new.name) < after.polls("n1")
    after.check_valid()


@both_ways
def test_a_node_that_was_removed_ends_at_once(make, way):
    rig = make()
    gone = rig.nodes.pop(0)  # the places of all others move
    good = good_lines(rig)
    rig.wait_rounds("n2", 2)
    stories = {name: role_story(rig.scrape(), name) for name in good}
    with Scraping(rig) as scraping:
        with reloading(rig, way):
            rig.write_config()
        rig.wait(lambda s: f'node_name="{gone.name}"' not in s.text, 0.5, "no trace of n1")
        rig.wait_rounds("n2", 1)
        asked = len(gone.requests)
        after = rig.wait_rounds("n2", 3)
    check_no_gap(scraping, good)
    seen = [f'node_name="{gone.name}"' in scrape.text for scrape in scraping.scrapes[0]]
    assert seen == sorted(seen, reverse=True), "it came back"
    assert len(gone.requests) == asked, "it is still polled"
    assert {name: role_story(after, name) for name in good} == stories
    assert after.value("bao_cluster_expected_nodes") == 2
    assert sum(float(s[2]) for s in after.find("bao_cluster_nodes")) == 2
    after.check_valid()


def test_a_poll_of_a_node_that_was_removed_is_cancelled(make):
    rig = make(interval="60s", timeout="50s", stale_after="180s")
    ended = threading.Event()

    def hang(exchange):
        exchange.hang()
        ended.set()

    node = rig.nodes.pop()
    mark = len(node.requests)
    node.faults[METRICS] = hang
    rig.nodes.append(node)
    with reloading(rig, "SIGHUP"):
        rig.write_config(interval="61s")  # everybody is polled anew
    deadline = time.monotonic() + 5
    while not node.requests_of(METRICS, mark):
        assert time.monotonic() < deadline, "not polled after the reload"
        time.sleep(0.02)
    assert not ended.is_set()
    rig.nodes.pop()
    with reloading(rig, "SIGHUP"):
        rig.write_config()
    assert ended.wait(1), "its connection is still open"


def test_a_node_that_was_removed_ends_at_once_while_another_one_hangs(make):
    """The first publication does not wait for any poll."""
    rig = make(interval="30s", timeout="20s", stale_after="90s")
    rig.nodes[2].faults[HEALTH] = lambda exchange: exchange.hang()
    gone = rig.nodes.pop(0)
    with reloading(rig, "SIGHUP"):
        rig.write_config()
    rig.wait(lambda s: f'node_name="{gone.name}"' not in s.text, 0.5, "no trace of n1")


@both_ways
def test_a_node_with_another_address_starts_as_a_new_one(make, one_node, way):
    rig = make()
    old, moved = rig.nodes[0], "n1"
    good = good_lines(rig)
    del good[moved]
    before = rig.wait_rounds(moved, 3)
    started = time.time()
    with Scraping(rig) as scraping:
        with reloading(rig, way):
            rig.write_config(urls={moved: one_node.url})
        after = rig.wait(lambda s: s.role(moved) == "active", rig.timeout, "n1 is the other one")
        assert f"127.0.0.1:{old.port}" not in after.text
        assert {s[1]["instance"] for s in after.samples if s[1].get("node_name") == moved} == {
            f"127.0.0.1:{one_node.port}"}
        assert after.polls(moved) < before.polls(moved)
        assert role_story(after, moved)[1] >= started  # its role is a new one, too
        asked = len(old.requests)
        # Two active nodes now, which is no business of this test: it becomes a standby.
        one_node.role = "standby"
        rig.wait(lambda s: s.up(moved) and s.role(moved) == "standby", 3 * rig.interval, "settled")
    assert len(old.requests) == asked, "the old address is still polled"
    assert any(scrape.up("n3") for scrape in scraping.scrapes[0])
    del good["n2"]  # its claim to be active was rivalled
    check_no_gap(scraping, good)


@both_ways
def test_a_changed_interval_is_in_force_at_once(make, way):
    rig = make()
    good = good_lines(rig)
    with Scraping(rig) as scraping:
        with reloading(rig, way):
            rig.write_config(interval="250ms", timeout="240ms")
        mark = len(rig.nodes[0].requests)
        rig.wait_rounds("n1", 8)
        arrivals = [request.arrived for request in rig.nodes[0].requests_of(HEALTH, mark)]
    gaps = [after - before for before, after in zip(arrivals, arrivals[1:])]
    assert 0.2 < statistics.median(gaps) < 0.3, gaps
    check_no_gap(scraping, good)


def test_a_changed_limit_and_a_changed_output_are_in_force_at_once(make):
    """Although the nodes say the same bytes as before."""
    rig = make()
    with reloading(rig, "SIGHUP"):
        rig.write_config(more=["[output]", 'role_label = "samples"'])
    scrape = rig.wait(lambda s: s.find("go_goroutines", node_role="active") != [], 1,
                      "the role is on the samples")
    assert len(scrape.find("go_goroutines", node_role="standby")) == 2
    scrape.check_valid()
    with reloading(rig, "SIGHUP"):
        rig.write_config(limits=["samples_max = 10"])
    rig.wait(lambda s: all(s.reason(node.name) == "limit_samples" and not s.lines_of(node.name)
                           for node in rig.nodes), 1, "all are beyond the limit")
    with reloading(rig, "SIGHUP"):
        rig.write_config(limits=[], more=[])
    scrape = rig.wait_all_up()
    assert not any("node_role" in labels for name, labels, _, _ in scrape.samples
                   if name not in ("bao_node_role", "bao_cluster_nodes"))


BROKEN = {
    "unknown key": (lambda text: text.replace("connections_max", "conections_max"),
                    "listener.conections_max"),
    "broken TOML": (lambda text: text.replace("[limits]", "[limits"), ""),
    "wrong value": (lambda text: text.replace("connections_max = 20", 'connections_max = "x"'),
                    "listener.connections_max"),
    "two nodes of one name": (lambda text: text.replace('"n2"', '"n1"'), "openbao"),
    "missing": (None, ""),
}


@both_ways
@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_configuration_changes_nothing(make, how, way):
    rig = make()
    good = good_lines(rig)
    mutate, key = BROKEN[how]
    marks = [len(node.requests) for node in rig.nodes]
    with Scraping(rig) as scraping:
        when = rig.scrape().value("bao_exporter_config_last_reload_success_timestamp_seconds")
        with reloading(rig, way, REFUSED):
            if mutate is None:
                rig.config_file.unlink()
            else:
                text = rig.config_text(interval="2s")  # is not taken either
                assert mutate(text) != text
                replace_file(rig.config_file, mutate(text))
        assert config_state(rig) == (0, 1)
        assert rig.scrape().value(
            "bao_exporter_config_last_reload_success_timestamp_seconds") == when
        where = re.escape(str(rig.config_file)) + ("" if mutate is None else r":\d+")
        assert re.match(where + (f": {re.escape(key)}" if key else ": "), problems(rig)[-1]), (
            problems(rig))
        if how == "unknown key":
            line = mutate(text).splitlines().index("conections_max = 20") + 1
            assert f":{line}: {key}: " in problems(rig)[-1]
        rig.wait_rounds("n1", 3)  # of 1 s each
        with reloading(rig, way):
            rig.write_config()
        assert config_state(rig) == (1, 2)
        rig.wait_rounds("n1", 1)
    check_no_gap(scraping, good)
    for node, mark in zip(rig.nodes, marks):
        assert len(node.requests_of(HEALTH, mark)) >= 4


@both_ways
@pytest.mark.parametrize("key", ["listener.address", "listener.connections_max"])
def test_what_needs_a_restart_is_refused_with_all_else_in_that_file(make, renewed, key, way):
    rig = make()
    good = good_lines(rig)
    old = shown_certificate(rig)
    change = {"address": "127.0.0.2:0"} if key == "listener.address" else {"connections_max": 21}
    everybody, settings = list(rig.nodes), dict(rig.settings)
    with Scraping(rig) as scraping:
        with reloading(rig, way, REFUSED):
            put(rig, "scrape.token", NEW_SCRAPE_TOKEN + "\n")
            put_pair(rig, *renewed)
            rig.nodes.pop()
            rig.write_config(interval="2s", **change)
        rig.nodes, rig.settings = everybody, settings
        assert config_state(rig) == (0, 1)
        assert f"{key} changed: restart required" in problems(rig)[-1]
        rig.interval = 1
        rig.wait_rounds("n3", 2)
        assert shown_certificate(rig) == old
        assert rig.scrape(token=NEW_SCRAPE_TOKEN).status == 401
        with reloading(rig, way):
            put(rig, "scrape.token", f"{SCRAPE_TOKEN}\n{NEW_SCRAPE_TOKEN}\n")
            rig.write_config()
        assert config_state(rig) == (1, 2)
        assert shown_certificate(rig) != old
        assert rig.scrape(token=NEW_SCRAPE_TOKEN).status == 200
    check_no_gap(scraping, good)


@pytest.mark.parametrize("bad", ["scrape.token", "openbao.token", "port.key", "ca.pem",
                                 "exporter.toml"])
def test_one_bad_file_keeps_all_the_good_ones_out(make, renewed, bad):
    rig = make()
    good = good_lines(rig)
    old = shown_certificate(rig)
    everybody, settings = list(rig.nodes), dict(rig.settings)
    with Scraping(rig) as scraping:
        with reloading(rig, "SIGHUP", REFUSED):
            put(rig, "scrape.token", NEW_SCRAPE_TOKEN + "\n")
            put_pair(rig, *renewed)
            rig.nodes.pop()
            rig.write_config(interval="2s")
            put(rig, bad, "-----BEGIN CERTIFICATE-----\n")
        rig.nodes, rig.settings, rig.interval = everybody, settings, 1
        assert config_state(rig) == (0, 1)
        assert str(rig.folder / bad) in problems(rig)[-1]
        rig.wait_rounds("n3", 2)
        assert shown_certificate(rig) == old
        assert rig.scrape(token=NEW_SCRAPE_TOKEN).status == 401
    check_no_gap(scraping, good)
    assert {token for node in everybody for token in sent_tokens(node)} == {UPSTREAM_TOKEN}


# --- under load, and at the edges ---------------------------------------------------------------

def threads_of(rig):
    with open(f"/proc/{rig.process.pid}/status", encoding="ascii") as status:
        return int(re.search(r"^Threads:\s+(\d+)", status.read(), re.MULTILINE)[1])


def open_files(rig):
    return rig.scrape(path="/metrics/exporter").value("process_open_fds")


def test_thirty_reloads_under_load(make):
    rig = make()
    good = good_lines(rig)
    *rest, third = rig.nodes
    del good[third.name]
    threads, files = threads_of(rig), open_files(rig)
    with Scraping(rig, threads=3) as scraping:
        for number in range(1, 31):
            rig.nodes = rest if number % 2 else [third, *rest]
            rig.settings["limits"] = [f"samples_max = {1000 + number}"]
            before = len(reloads(rig))
            rig.write_config()
            rig.process.send_signal(signal.SIGHUP)
            deadline = time.monotonic() + 5
            while len(reloads(rig)) == before:
                assert time.monotonic() < deadline, f"SIGHUP {number} was not followed"
                time.sleep(0.005)
        assert reloads(rig) == [("SIGHUP", DONE)] * 30
        assert config_state(rig) == (1, 31)
        rig.wait(lambda s: s.find("bao_node_up", node_name=third.name) != []
                 and s.up(third.name), 2, "the last configuration is in force")
        rig.wait_rounds(third.name, 2)
    check_no_gap(scraping, good)
    assert threads_of(rig) == threads
    deadline = time.monotonic() + 5
    while open_files(rig) > files:
        assert time.monotonic() < deadline, f"{open_files(rig)} descriptors, before {files}"
        time.sleep(0.05)


def test_a_burst_of_signals_ends_with_the_last_configuration(make):
    """Signals that come while one is handled become one: it is the last file that counts."""
    rig = make()
    good = good_lines(rig)
    with Scraping(rig, threads=3) as scraping:
        for number in range(1, 31):
            rig.write_config(limits=[f"samples_max = {1000 + number}"])
            rig.process.send_signal(signal.SIGHUP)
        rig.write_config(limits=["samples_max = 10"])
        rig.process.send_signal(signal.SIGHUP)
        rig.wait(lambda s: all(s.reason(name) == "limit_samples" for name in good), 5,
                 "the last configuration is in force")
        rig.write_config(limits=[])
        rig.process.send_signal(signal.SIGHUP)
        rig.wait_all_up()
    for scrapes in scraping.scrapes:
        for scrape in scrapes:
            assert {scrape.reason(name) for name in good} <= {"ok", "limit_samples"}


def test_reloads_one_after_another_do_no_harm(make):
    """To whatever other threads are doing at that moment: most of what is found so is rare."""
    rig = make(roles=("active",))
    for number in range(1500):
        rig.write_config(limits=[f"samples_max = {1000 + number}"])
        rig.process.send_signal(signal.SIGHUP)
        time.sleep(0.002)  # else many become one
        assert rig.process.poll() is None, f"signal {number}: it ended with {rig.process.poll()}"
    rig.wait_all_up()
    successful, generation = config_state(rig)
    assert successful == 1 and generation > 100


def test_a_reload_before_the_first_round_has_ended(make):
    """The round that then has to end is that of the new configuration."""
    rig = make(start=False, interval="30s", timeout="20s", stale_after="90s")
    rig.nodes[0].faults[HEALTH] = lambda exchange: exchange.hang()
    rig.start()
    deadline = time.monotonic() + 5
    while not all(node.requests for node in rig.nodes):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert rig.scrape().status == 503
    rig.nodes.pop(0)
    with reloading(rig, "SIGHUP"):
        rig.write_config()
    scrape = rig.wait_published(within=2)
    assert all(scrape.up(node.name) for node in rig.nodes)
    assert 'node_name="n1"' not in scrape.text


def test_a_change_during_a_reload_is_not_lost(make, tmp_path):
    """The exporter reads the files, and some time later looks whether they change from now on."""
    manager = ServiceManager(tmp_path)
    rig = make(start=False, environment=manager.environment)
    rig.start()
    rig.wait_all_up()
    reading_takes_long = ["# " + "x" * 78] * 10_000  # so that the change comes in the middle
    for attempt in range(1, 4):
        first = rig.config_text(limits=["samples_max = 1000", *reading_takes_long])
        last = rig.config_text(limits=["samples_max = 10", *reading_takes_long])
        replace_file(rig.config_file, first)
        so_far = len(manager.times_of("RELOADING=1"))
        rig.process.send_signal(signal.SIGHUP)
        manager.wait_for("RELOADING=1", 1, more_than=so_far)
        replace_file(rig.config_file, last)
        rig.wait(lambda s: s.reason("n1") == "limit_samples", 5,
                 f"attempt {attempt}: the last configuration is in force")


def test_systemd_is_told_of_each_reload(make, tmp_path):
    manager = ServiceManager(tmp_path)
    rig = make(start=False, environment=manager.environment)
    rig.start()
    rig.wait_all_up()
    for number, broken in enumerate((False, True), start=1):
        if broken:
            replace_file(rig.config_file, "nonsense")
        before = time.clock_gettime(time.CLOCK_MONOTONIC)
        with reloading(rig, "SIGHUP", REFUSED if broken else DONE):
            pass
        begun = manager.wait_for("RELOADING=1", 1, more_than=number - 1)
        stamp = int(re.search(r"^MONOTONIC_USEC=(\d+)$", begun, re.MULTILINE)[1]) / 1e6
        assert before <= stamp <= time.clock_gettime(time.CLOCK_MONOTONIC)
        ready = manager.wait_for("READY=1", 1, more_than=number)
        assert ("refused" in ready) == broken
        words = [message for _, message in manager.said if "WATCHDOG=1" not in message]
        assert words.index(begun) + 1 == words.index(ready)


@pytest.mark.parametrize("polling", ["idle", "hanging"])
def test_sighup_and_sigterm_at_once_end_in_time(make, polling):
    for attempt in range(3):
        rig = make(interval="30s", timeout="20s", stale_after="90s")
        if polling == "hanging":
            rig.nodes[0].faults[HEALTH] = lambda exchange: exchange.hang()
        rig.nodes.pop()
        rig.write_config(interval="29s")
        started = time.monotonic()
        rig.process.send_signal(signal.SIGHUP)
        rig.process.send_signal(signal.SIGTERM)
        assert rig.process.wait(10) == 0, f"attempt {attempt}:\n{rig.log()}"
        assert time.monotonic() - started < 5
        assert 'msg="stopping"' in rig.log()
