"""The first round, a world without nodes, and the end."""

import http.client
import signal
import socket
import ssl
import time

import pytest
from exporter_under_fault import SCRAPE_TOKEN
from fake_node import METRICS, exposition


def swallow(raw):
    while raw.recv(4096):
        pass


def end(exporter):
    """SIGTERM: the exit code and the seconds it took."""
    started = time.monotonic()
    exporter.process.send_signal(signal.SIGTERM)
    code = exporter.process.wait(15)
    return code, time.monotonic() - started


def check_end(exporter):
    code, seconds = end(exporter)
    assert code == 0, exporter.log()
    assert seconds < 5, f"took {seconds:.1f} s"


def test_nothing_is_told_before_the_first_round_has_ended(make_rig):
    rig = make_rig(start=False, interval="3s", timeout="2s", stale_after="9s")
    rig.nodes[0].on_connect = swallow
    rig.start()
    started = time.monotonic()
    early = []
    while True:
        scrape = rig.scrape()
        if scrape.status == 200:
            break
        early.append(scrape)
        assert time.monotonic() - started < 3, rig.log()
        time.sleep(0.05)
    assert len(early) > 5
    for refused in early:
        assert refused.status == 503
        assert refused.text.startswith("not_polled: starting")
        assert refused.headers["Content-Type"].startswith("text/plain")
    took = time.monotonic() - started
    assert 1.5 < took < 2.5, f"the first round ends at its timeout of 2 s, not after {took:.2f} s"
    assert not scrape.up("n1") and scrape.reason("n1") == "timeout"
    for name in ("n2", "n3"):
        assert scrape.up(name) and scrape.lines_of(name)
    scrape.check_valid()
    check_end(rig)


def test_with_every_node_down_the_port_says_so(make_rig):
    rig = make_rig(start=False)
    for node in rig.nodes:
        node.refuse()
    rig.start()
    scrape = rig.wait_published()
    for name in ("n1", "n2", "n3"):
        assert not scrape.up(name)
        assert scrape.role(name) == "unreachable" and scrape.reason(name) == "connect"
        assert scrape.lines_of(name) == []
    assert scrape.value("bao_cluster_nodes", node_role="unreachable") == 3
    assert scrape.value("bao_cluster_expected_nodes") == 3
    scrape.check_valid()
    for node in rig.nodes:
        node.heal()
    rig.wait(lambda s: all(s.up(node.name) for node in rig.nodes), rig.interval + rig.timeout,
             "every node is back")
    check_end(rig)


@pytest.mark.parametrize("where", ["tls", "health", "metrics"])
def test_sigterm_during_a_hanging_poll_ends_in_time(make_rig, where):
    rig = make_rig(start=False, interval="60s", timeout="50s", stale_after="180s")
    node = rig.nodes[0]
    if where == "tls":
        node.on_connect = swallow
    else:
        node.faults["/v1/sys/" + where] = lambda exchange: exchange.hang()
    rig.start()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and not (node.connections if where == "tls" else
                                               node.requests_of("/v1/sys/" + where)):
        time.sleep(0.02)
    assert rig.scrape().status == 503  # it hangs: the first round has not ended
    check_end(rig)


class SlowReader:
    """Asks for /metrics and takes next to nothing of the answer."""

    def __init__(self, exporter, certificates):
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.connect(("127.0.0.1", exporter.port))
        context = ssl.create_default_context(cafile=certificates.pem("ca"))
        self.connection = context.wrap_socket(raw, server_hostname="127.0.0.1")
        self.connection.sendall(f"GET /metrics HTTP/1.1\r\nHost: x\r\n"
                                f"Authorization: Bearer {SCRAPE_TOKEN}\r\n\r\n".encode())
        assert self.connection.recv(16).startswith(b"HTTP/1.1 200")


def test_sigterm_during_slow_scrapes_ends_in_time(make_rig, certificates):
    rig = make_rig(start=False)
    large = exposition("standby", 1) + b"".join(
        b'vault_large{i="%d",pad="%s"} 1\n' % (i, b"x" * 800) for i in range(9000))
    rig.nodes[0].body = large
    rig.start()
    rig.wait_published()
    rig.wait(lambda s: s.value("bao_node_samples", node_name="n1") > 9000, 5, "a large scrape")
    readers = [SlowReader(rig, certificates) for _ in range(3)]
    check_end(rig)
    for reader in readers:
        reader.connection.close()


def test_sigterm_with_idle_connections_ends_in_time(make_rig, certificates):
    rig = make_rig()
    rig.wait_published()
    context = ssl.create_default_context(cafile=certificates.pem("ca"))
    idle = http.client.HTTPSConnection("127.0.0.1", rig.port, context=context)
    idle.request("GET", "/metrics", headers={"Authorization": f"Bearer {SCRAPE_TOKEN}"})
    assert len(idle.getresponse().read()) > 1000  # kept alive
    silent = socket.create_connection(("127.0.0.1", rig.port))  # never says hello
    check_end(rig)
    idle.close()
    silent.close()


def test_a_slow_scrape_is_whole_while_snapshots_change(make_rig, certificates):
    """It keeps what it began with: three rounds go by while it is read."""
    rig = make_rig(start=False)
    large = exposition("standby", 1) + b"".join(
        b'vault_large{i="%d",pad="%s"} 1\n' % (i, b"x" * 800) for i in range(9000))
    rig.nodes[0].body = large
    rig.start()
    rig.wait_published()
    rig.wait(lambda s: s.value("bao_node_samples", node_name="n1") > 9000, 5, "a large scrape")
    reader = SlowReader(rig, certificates)
    rig.nodes[0].faults[METRICS] = lambda exchange: exchange.reset()
    for _ in range(30):
        reader.connection.recv(4096)
        time.sleep(0.1)
    rest = b""
    reader.connection.settimeout(5)
    while not rest.endswith(b"\n") or b"bao_exporter_build_info" not in rest[-65536:]:
        got = reader.connection.recv(65536)
        assert got, "the scrape was cut"
        rest += got
    assert b"vault_large" in rest
    reader.connection.close()
    check_end(rig)
