"""A poll loop that hangs for good, as a bug in a library would make it: the binary here is
bao-exporter-hanging, in which SIGUSR2 does that. And what systemd is told, by then and otherwise:
the test holds the socket that systemd would hold.
"""

import datetime
import re
import signal
import socket
import time
import zlib

import pytest
from exporter_under_fault import Scrape, ServiceManager

STALE_AFTER = 3.0
HUNG_AFTER = 10.0  # without a sign of life
SLACK = 0.3        # of this machine


def hang(rig):
    rig.process.send_signal(signal.SIGUSR2)


def last_published(rig):
    """When the last snapshot was published, as time.time()."""
    said = re.findall(r'^ts=(\S+)Z level=debug msg="published"', rig.log(), re.MULTILINE)
    return datetime.datetime.fromisoformat(said[-1] + "+00:00").timestamp()


def has_samples(scrape, rig):
    return any(scrape.lines_of(node.name) for node in rig.nodes)


def check_overdue(scrape, rig):
    """Nothing of a node, and that is said."""
    assert scrape.status == 200
    assert not has_samples(scrape, rig)
    for node in rig.nodes:
        assert not scrape.up(node.name)
        assert scrape.reason(node.name) == "overdue"
        assert scrape.role(node.name) == "unknown"
    scrape.check_valid()


# --- what systemd is told -----------------------------------------------------------------------

def test_ready_comes_when_the_port_is_open(make_rig, tmp_path):
    manager = ServiceManager(tmp_path)
    rig = make_rig(start=False, environment=manager.environment)
    rig.start()
    status = manager.wait_for("READY=1", 5)
    port = int(re.search(r"^STATUS=serving on 127\.0\.0\.1:(\d+)$", status, re.MULTILINE)[1])
    socket.create_connection(("127.0.0.1", port), timeout=1).close()
    assert port == rig.port
    assert manager.said[0][1] == status, "something was said before READY"
    rig.stop()


def test_who_cannot_open_the_port_is_never_ready(make_rig, tmp_path):
    manager = ServiceManager(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        rig = make_rig(start=False, environment=manager.environment)
        rig.write_config(address=f"127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(AssertionError, match="ended at once"):
            rig.start()
    assert rig.process.wait(5) == 1
    assert manager.said == []


def test_a_healthy_exporter_pings_each_second_and_tells_its_end(make_rig, tmp_path):
    manager = ServiceManager(tmp_path)
    rig = make_rig(start=False, environment=manager.environment).start()
    rig.wait_all_up()
    manager.wait_for("WATCHDOG=1", 10, more_than=5)
    pings = manager.times_of("WATCHDOG=1")
    gaps = [after - before for before, after in zip(pings, pings[1:])]
    assert all(0.5 < gap < 1.5 for gap in gaps), gaps
    assert manager.times_of("STOPPING=1") == []
    rig.process.send_signal(signal.SIGTERM)
    assert rig.process.wait(5) == 0, rig.log()
    manager.wait_for("STOPPING=1", 1)
    assert manager.said[-1][1] == "STOPPING=1", "something was said after STOPPING"


# --- the poll loop hangs ------------------------------------------------------------------------

class Hung:
    """An exporter whose poll loop was stopped; what its port and its pings were from then on."""

    def __init__(self, rig, manager):
        self.rig = rig
        self.manager = manager
        rig.wait_all_up()
        rig.wait_rounds("n1", 2)
        manager.wait_for("WATCHDOG=1", 5, more_than=1)
        self.began = time.monotonic()
        hang(rig)
        self.scrapes = []  # (time.time() before, after, Scrape)
        self.stalled = None  # time.monotonic() before and after the first scrape that says so
        while time.monotonic() < self.began + HUNG_AFTER + 5:
            sent, before = time.monotonic(), time.time()
            scrape = rig.scrape()
            self.scrapes.append((before, time.time(), scrape))
            if scrape.value("bao_exporter_poll_loop_stalled") == 1:
                self.stalled = (sent, time.monotonic())
                break
            time.sleep(0.02)
        self.published = last_published(rig)


@pytest.fixture(scope="module")
def hung(make_rig, tmp_path_factory):
    manager = ServiceManager(tmp_path_factory.mktemp("systemd"))
    return Hung(make_rig(binary="BAO_EXPORTER_HANGING", start=False, stale_after="3s",
                         environment=manager.environment).start(), manager)


def test_a_hung_poll_loop_is_told_within_twelve_seconds(hung):
    assert hung.stalled is not None, "never told"
    seconds = hung.stalled[1] - hung.began
    print(f"stalled after {seconds:.2f} s")
    assert HUNG_AFTER - SLACK < seconds < HUNG_AFTER + 2
    assert all(scrape.value("bao_exporter_poll_loop_stalled") == 0
               for _, _, scrape in hung.scrapes[:-1])
    last = hung.scrapes[-1][2].value("bao_exporter_poll_loop_last_timestamp_seconds")
    assert 10 < hung.scrapes[-1][1] - last < 12


def test_the_watchdog_is_not_fed_by_a_hung_poll_loop(hung):
    _, told = hung.stalled
    deadline = told + 3
    while time.monotonic() < deadline:
        assert hung.rig.process.poll() is None
        time.sleep(0.1)
    pings = hung.manager.times_of("WATCHDOG=1")
    assert [ping for ping in pings if ping > told + SLACK] == []
    assert max(pings) > hung.began + HUNG_AFTER - 2, "they ended too early: a slow round would kill"


def test_after_stale_after_no_sample_of_a_node_is_served(hung):
    fresh_until = hung.published + STALE_AFTER
    fresh, late = [], []
    for before, after, scrape in hung.scrapes:
        if after < fresh_until - 0.05:
            fresh.append(scrape)
        elif before > fresh_until + 0.05:
            late.append(scrape)
    assert len(fresh) > 3 and len(late) > 10
    for scrape in fresh:
        assert all(scrape.up(node.name) and scrape.lines_of(node.name) for node in hung.rig.nodes)
    for scrape in late:
        check_overdue(scrape, hung.rig)


def test_the_port_answers_at_once_while_the_poll_loop_hangs(hung):
    seconds = [after - before for before, after, _ in hung.scrapes]
    assert max(seconds) < 1, f"slowest scrape: {max(seconds):.2f} s"
    scrape = hung.rig.scrape()
    check_overdue(scrape, hung.rig)
    assert scrape.seconds < 0.5
    own = hung.rig.scrape(path="/metrics/exporter")
    assert own.status == 200 and own.seconds < 0.5
    assert own.value("bao_exporter_poll_loop_stalled") == 1
    own.check_valid()


@pytest.mark.parametrize("path", ["/metrics", "/metrics/exporter"])
def test_gzip_stays_one_member_while_the_poll_loop_hangs(hung, path):
    zipped = hung.rig.scrape(path=path, headers={"Accept-Encoding": "gzip"})
    assert zipped.status == 200 and zipped.seconds < 0.5
    assert zipped.headers["Content-Encoding"] == "gzip"
    inflate = zlib.decompressobj(wbits=31)
    plain = Scrape(200, zipped.headers, inflate.decompress(zipped.body), zipped.seconds)
    assert inflate.eof and inflate.unused_data == b""
    plain.check_valid()
    assert plain.value("bao_exporter_poll_loop_stalled") == 1
    if path == "/metrics":
        check_overdue(plain, hung.rig)


@pytest.fixture
def slow_rig(make_rig):
    """The snapshot is overdue 3 s after a publication, each node 6 s after its poll."""
    rig = make_rig(binary="BAO_EXPORTER_HANGING", interval="3s", timeout="1s", stale_after="3s")
    yield rig
    rig.process.kill()


def test_a_reload_makes_old_samples_fresh_for_nobody(slow_rig):
    """It publishes anew, from polls that are as old as before."""
    rig = slow_rig
    rig.wait_all_up()
    hang(rig)
    rig.wait(lambda scrape: not has_samples(scrape, rig), 3 + STALE_AFTER + 1, "overdue")
    before = rig.scrape().value("bao_exporter_snapshot_generation")
    rig.write_config(limits=["samples_max = 4000"])
    rig.process.send_signal(signal.SIGHUP)
    rig.wait(lambda scrape: scrape.value("bao_exporter_snapshot_generation") > before, 2,
             "the reload has published", each=lambda scrape: check_overdue(scrape, rig))
    check_overdue(rig.scrape(), rig)


# The last of the file: it ends the exporter that the ones above share.
def test_sigterm_ends_it_although_the_poll_loop_hangs(hung):
    started = time.monotonic()
    hung.rig.process.send_signal(signal.SIGTERM)
    hung.manager.wait_for("STOPPING=1", 2)
    deadline = started + 5
    while hung.rig.process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    code = hung.rig.process.poll()
    if code is None:
        hung.rig.process.kill()
    assert code is not None, "does not end within 5 s"
    print(f"ended with {code} after {time.monotonic() - started:.2f} s")
