"""What can go wrong below HTTP, on node 1 of 3. Each case is the common rule of prove_fault()."""

import gzip
import socket
import ssl
import time

import pytest
from exporter_under_fault import UPSTREAM_TOKEN, prove_fault
from fake_node import HEALTH, METRICS, TEXT, chunked, exposition, http_answer

BODY_MAX = 1 << 20
MEMORY_MAX = 24 << 20
BODY = exposition("standby", 1)
HALF = BODY[:BODY.index(b"\n", len(BODY) // 2) + 1]  # whole lines: only framing can tell


@pytest.fixture(scope="module")
def rig(make_rig):
    return make_rig(limits=["body_bytes_max = 1048576"])


def on(path, fault):
    def inflict(node):
        node.faults[path] = fault
    return inflict


def head(*headers):
    return http_answer(200, b"", TEXT, list(headers) or ["Transfer-Encoding: chunked"])


# --- nobody there -------------------------------------------------------------------------------

def test_refused_port_is_connect(rig):
    verdict = prove_fault(rig, lambda node: node.refuse(), "connect", also=("reset",))
    assert verdict.scrape.role("n1") == "unreachable"


def test_hang_before_tls_is_timeout(rig):
    def inflict(node):
        node.on_connect = swallow
        node.drop_connections()

    def swallow(raw):
        while raw.recv(4096):
            pass

    verdict = prove_fault(rig, inflict, "timeout", also=("reset",))
    assert verdict.scrape.role("n1") == "unreachable"


def test_hang_of_health_is_timeout(rig):
    verdict = prove_fault(rig, on(HEALTH, lambda exchange: exchange.hang()), "timeout")
    assert verdict.scrape.role("n1") == "unreachable"


def after_headers(exchange):
    exchange.send(head())
    exchange.hang()


def mid_body(exchange):
    exchange.send(head() + chunked(HALF, final=False))
    exchange.hang()


def drip(exchange):
    exchange.send(head(f"Content-Length: {len(BODY)}"))
    for at in range(len(BODY)):
        exchange.send(BODY[at:at + 1])
        time.sleep(0.1)


def drip_of_the_head(exchange):
    for byte in head(f"Content-Length: {len(BODY)}"):
        exchange.send(bytes([byte]))
        time.sleep(0.1)


@pytest.mark.parametrize("fault", [
    pytest.param(lambda exchange: exchange.hang(), id="after_tls"),
    pytest.param(after_headers, id="after_headers"),
    pytest.param(mid_body, id="mid_body"),
    pytest.param(drip, id="ten_bytes_a_second"),
    pytest.param(drip_of_the_head, id="head_of_ten_bytes_a_second"),
])
def test_hang_is_timeout_and_the_poll_ends_at_its_deadline(rig, fault):
    seen = len(rig.poll_seconds("n1", "timeout"))

    # The machine may be busy: one poll of up to three must keep the time, a systematic delay fails.
    for attempt in range(3):
        verdict = prove_fault(rig, on(METRICS, fault), "timeout")
        assert verdict.scrape.role("n1") == "standby"  # health still answers
        took = rig.poll_seconds("n1", "timeout")[seen:]
        assert took
        if min(took) <= rig.timeout + 0.1:
            return
    raise AssertionError(f"polls took {took} s with a timeout of {rig.timeout} s, three times")


# --- cut off ------------------------------------------------------------------------------------

def reset_mid_body(exchange):
    exchange.send(head(f"Content-Length: {len(BODY)}") + HALF)
    time.sleep(0.05)
    exchange.reset()


@pytest.mark.parametrize("path", [HEALTH, METRICS])
def test_reset_before_the_answer_is_reset(rig, path):
    prove_fault(rig, on(path, lambda exchange: exchange.reset()), "reset")


def test_reset_mid_body_is_reset(rig):
    prove_fault(rig, on(METRICS, reset_mid_body), "reset")


def whole_lines(*headers):
    """Half of the body, ending with a line, then a proper end of TLS: only framing tells."""
    def fault(exchange):
        exchange.send(head(*headers) + HALF)
        exchange.close()
    return fault


def without_goodbye(exchange):
    exchange.send(head(f"Content-Length: {len(BODY)}") + HALF)
    exchange.connection.shutdown(socket.SHUT_RDWR)  # FIN of TCP, no closing word of TLS


def length_of_an_interim_answer(exchange):
    exchange.send(b"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n")
    exchange.send(head("Connection: close").replace(b"Content-Length: 0\r\n", b"") + HALF)
    exchange.close()


def without_final_chunk(exchange):
    exchange.send(head() + chunked(HALF, final=False))
    exchange.close()


@pytest.mark.parametrize("fault", [
    pytest.param(whole_lines(f"Content-Length: {len(BODY)}"), id="content_length"),
    pytest.param(without_goodbye, id="content_length_and_no_goodbye"),
    pytest.param(whole_lines("Connection: close", "Transfer-Encoding: identity"),
                 id="transfer_encoding_identity"),
    pytest.param(whole_lines("Content-Length: 99999999999999999999"), id="content_length_overflow"),
    pytest.param(length_of_an_interim_answer, id="length_of_an_interim_answer"),
    pytest.param(without_final_chunk, id="no_final_chunk"),
])
def test_half_a_body_is_truncated(rig, fault):
    prove_fault(rig, on(METRICS, fault), "truncated")


@pytest.mark.parametrize("body", [pytest.param(HALF, id="half"), pytest.param(BODY, id="whole")])
def test_a_body_that_only_the_end_of_the_connection_ends_is_truncated(rig, body):
    def fault(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: " + TEXT.encode() +
                      b"\r\nConnection: close\r\n\r\n" + body)
        exchange.close()

    prove_fault(rig, on(METRICS, fault), "truncated")


# --- too much -----------------------------------------------------------------------------------

class Memory:
    """Watches the resident memory of the exporter."""

    def __init__(self, rig):
        rig.wait_all_up()
        self.rig = rig
        self.before = rig.resident_bytes()
        self.most = self.before

    def look(self, _scrape):
        self.most = max(self.most, self.rig.resident_bytes())

    def check(self):
        assert self.most - self.before < MEMORY_MAX, f"grew by {self.most - self.before} bytes"


def endless_chunks(exchange):
    exchange.send(head())
    block = chunked((b"vault_x 1\n" * 6554)[:65536], piece=65536, final=False)
    while True:
        exchange.send(block)


def long_length(exchange):
    exchange.send(head(f"Content-Length: {64 << 20}"))
    for _ in range(1024):
        exchange.send(b"vault_x 1\n" * 6554)


@pytest.mark.parametrize("path", [HEALTH, METRICS])
@pytest.mark.parametrize("fault", [endless_chunks, long_length])
def test_a_body_above_the_limit_is_too_large_and_costs_no_memory(rig, path, fault):
    memory = Memory(rig)
    prove_fault(rig, on(path, fault), "too_large", during=memory.look)
    memory.check()


def test_a_body_just_within_the_limit_is_taken(rig):
    node = rig.nodes[0]
    pad = b"# " + b"x" * 997 + b"\n"
    room = BODY_MAX - len(BODY)
    body = BODY + pad * (room // len(pad))
    body += b"#" * (BODY_MAX - len(body) - 1) + b"\n"
    assert len(body) == BODY_MAX
    node.body = body
    try:
        rig.wait(lambda s: s.up("n1") and
                 s.value("bao_node_body_bytes", node_name="n1") == BODY_MAX, 3, "1 MiB is taken")
    finally:
        node.heal()
    prove_fault(rig, lambda n: setattr(n, "body", body[:-1] + b"#\n"), "too_large")


def endless_headers(exchange):
    exchange.send(b"HTTP/1.1 200 OK\r\n")
    line = b"".join(b"X-Filler-%d: %s\r\n" % (i, b"a" * 200) for i in range(100))
    while True:
        exchange.send(line)


def test_endless_headers_are_a_failure_and_cost_no_memory(rig):
    memory = Memory(rig)
    # libcurl gives up by itself and says only that receiving failed.
    prove_fault(rig, on(METRICS, endless_headers), ("reset", "too_large", "protocol"),
                during=memory.look)
    memory.check()


def gzipped(coding):
    def fault(exchange):
        body = gzip.compress(BODY)
        exchange.answer(200, body, TEXT, [f"Content-Encoding: {coding}"])
    return fault


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br"])
def test_an_encoding_without_being_asked_is_protocol(rig, coding):
    prove_fault(rig, on(METRICS, gzipped(coding)), "protocol")
    asked = rig.nodes[0].requests_of(METRICS)[-1].header("Accept-Encoding")
    assert asked == ["identity"]


def test_no_http_at_all_is_protocol(rig):
    def fault(exchange):
        exchange.send(b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u7\r\n")
        exchange.close()

    prove_fault(rig, on(METRICS, fault), "protocol")


# --- TLS: whoever is not proven gets nothing ----------------------------------------------------

def old_tls(certificates):
    context = certificates.server_context("node")
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


def check_nothing_sent(rig, inflict, reason):
    node = rig.nodes[0]
    marks = {}

    def begin(victim):
        inflict(victim)
        marks["requests"] = len(victim.requests)  # all of the old connections have ended
        marks["connections"] = len(victim.connections)

    def nothing_so_far(_scrape):
        sent = [request.raw for request in node.requests[marks["requests"]:]]
        assert sent == [], "a request was sent to an unproven node"

    verdict = prove_fault(rig, begin, reason, also=("reset",), during=nothing_so_far)
    assert verdict.scrape.role("n1") == "unreachable"
    assert len(node.connections) > marks["connections"]
    assert UPSTREAM_TOKEN.encode() not in b"".join(node.raw_received)


@pytest.mark.parametrize("name", ["other_node", "expired", "wrong_name"])
def test_a_wrong_certificate_is_tls_and_nothing_is_sent(rig, name):
    check_nothing_sent(rig, lambda node: node.use_certificate(name), "tls")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_tls_1_1_is_tls_and_nothing_is_sent(rig, certificates):
    check_nothing_sent(rig, lambda node: node.use_tls(old_tls(certificates)), "tls")


def test_plain_http_on_that_port_is_tls_and_nothing_is_sent(rig):
    def plain(raw):
        rig.nodes[0].raw_received.append(raw.recv(65536))
        raw.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n"
                    b"Client sent an HTTP request to an HTTPS server.\n")
        raw.shutdown(1)
        rig.nodes[0].raw_received.append(raw.recv(65536))

    def inflict(node):
        node.on_connect = plain
        node.drop_connections()

    check_nothing_sent(rig, inflict, "tls")
    assert rig.nodes[0].raw_received
