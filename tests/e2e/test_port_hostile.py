"""Requests that somebody made by hand, over real TLS and with a valid token in them: none gets metrics unless HTTP
says that it must, and what is smuggled behind one is never answered."""

import dataclasses
import itertools
import re
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor

import pytest
from cluster import LOOPBACK
from exporter_process import SCRAPE_TOKEN, Exporter, openbao

TOKEN = b"Authorization: Bearer " + SCRAPE_TOKEN.encode()
BEARER = SCRAPE_TOKEN.encode()
HOST, CLOSE = b"Host: localhost", b"Connection: close"
ANSWER = re.compile(rb"HTTP/1\.1 (\d{3}) ")
CLOSED = 0  # without a byte of an answer

# What is smuggled: with all that it needs to be answered, if it is taken for a request.
SECOND = b"\r\n".join([b"GET /metrics/exporter HTTP/1.1", HOST, TOKEN, b"", b""])
STRANGERS = itertools.count()


def ask(line: bytes, *headers: bytes, end: bytes = b"\r\n") -> bytes:
    return end.join([line, *headers, b"", b""])


def get(*headers: bytes, path: bytes = b"/metrics", method: bytes = b"GET", version: bytes = b"HTTP/1.1") -> bytes:
    return ask(b" ".join([method, path, version]), HOST, TOKEN, *headers, CLOSE)


def auth(*lines: bytes) -> bytes:
    return ask(b"GET /metrics HTTP/1.1", HOST, *lines, CLOSE)


# The only ones that may get 200.
LEGAL = {
    "as it should be": get(),
    "HEAD": get(method=b"HEAD"),
    "a query, which means nothing here": get(path=b"/metrics?x=1"),
    "a query with a slash and dots": get(path=b"/metrics?/../x"),
    "Content-Length: 0": get(b"Content-Length: 0"),
    "HTTP/1.0 without Host": ask(b"GET /metrics HTTP/1.0", TOKEN),
    "HTTP/1.0 with Host": ask(b"GET /metrics HTTP/1.0", HOST, TOKEN),
    "the scheme in lower case": auth(b"Authorization: bearer " + BEARER),
    "the scheme in upper case": auth(b"Authorization: BEARER " + BEARER),
    "the header's name in upper case": auth(b"AUTHORIZATION: Bearer " + BEARER),
    "blanks after the colon": auth(b"Authorization:   Bearer " + BEARER),
    "no blank after the colon": auth(b"Authorization:Bearer " + BEARER),
    "another Host": ask(b"GET /metrics HTTP/1.1", b"Host: [2001:db8::1]:9825", TOKEN, CLOSE),
    "60 headers": get(*(b"X-%d: y" % i for i in range(57))),
    "a header of 8 kB": get(b"X-Long: " + b"x" * 8000),
}

BODIES = {
    "CL, then TE": (b"Content-Length: 4", b"Transfer-Encoding: chunked"),
    "TE, then CL": (b"Transfer-Encoding: chunked", b"Content-Length: 4"),
    "CL 0 and TE": (b"Content-Length: 0", b"Transfer-Encoding: chunked"),
    "TE chunked": (b"Transfer-Encoding: chunked",),
    "TE identity": (b"Transfer-Encoding: identity",),
    "TE twice": (b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"),
    "TE as a list": (b"Transfer-Encoding: gzip, chunked",),
    "TE in odd case": (b"tRANSFER-eNCODING: cHUNKED",),
    "TE with a tab": (b"Transfer-Encoding:\tchunked",),
    "TE misspelled": (b"Transfer-Encoding: xchunked",),
    "TE empty": (b"Transfer-Encoding:",),
    "TE and Connection: TE": (b"Transfer-Encoding: chunked", b"TE: trailers"),
    "CL twice, equal": (b"Content-Length: 4", b"Content-Length: 4"),
    "CL twice, different": (b"Content-Length: 4", b"Content-Length: 0"),
    "CL twice, 0 first": (b"Content-Length: 0", b"Content-Length: 4"),
    "CL twice, both 0": (b"Content-Length: 0", b"Content-Length: 0"),
    "CL as a list": (b"Content-Length: 0, 0",),
    "CL as a list, different": (b"Content-Length: 0, 4",),
    "CL negative": (b"Content-Length: -1",),
    "CL with a plus": (b"Content-Length: +4",),
    "CL plus 0": (b"Content-Length: +0",),
    "CL hexadecimal": (b"Content-Length: 0x4",),
    "CL of many zeros": (b"Content-Length: 0000000000000000000000",),
    "CL huge": (b"Content-Length: 9223372036854775807",),
    "CL beyond all": (b"Content-Length: 18446744073709551616",),
    "CL empty": (b"Content-Length:",),
    "CL in words": (b"Content-Length: none",),
    "CL 4": (b"Content-Length: 4",),
}
FRAMING = {
    "a blank before TE's colon": (b"Content-Length: 0", b"Transfer-Encoding : chunked"),
    "a blank before CL's colon": (b"Content-Length : 4",),
    "TE folded": (b"Content-Length: 0", b"Transfer-Encoding:\r\n chunked"),
    "CL folded": (b"Content-Length:\r\n 4",),
    "TE behind a vertical tab": (b"Transfer-Encoding: \x0bchunked",),
    "TE after a bare CR": (b"X: y\rTransfer-Encoding: chunked",),
    "TE behind a NUL": (b"X: y\x00\r\nTransfer-Encoding: chunked",),
    "CL behind a header without a name": (b": x", b"Content-Length: 4"),
    "CL behind a folded line": (b" x", b"Content-Length: 4"),
    "CL behind a name that is not ASCII": (b"\xffX: y", b"Content-Length: 4"),
    "CL behind an empty line of mixed ends": (b"X: y\n", b"Content-Length: 4"),
    "TE behind a header without a name": (b": x", b"Transfer-Encoding: chunked"),
}

AUTHORIZATIONS = {
    "twice": (TOKEN, TOKEN),
    "a wrong one first": (b"Authorization: Bearer wrong", TOKEN),
    "a wrong one last": (TOKEN, b"Authorization: Bearer wrong"),
    "twice in other case": (TOKEN, b"authorization: bearer " + BEARER),
    "an empty second": (TOKEN, b"Authorization:"),
    "a second behind a header without a name": (TOKEN, b": x", TOKEN),
    "a second behind a folded line": (TOKEN, b"X: y", b" z", TOKEN),
    "a list": (TOKEN + b", Bearer wrong",),
    "a list of Basic and it": (b"Authorization: Basic eDp5, Bearer " + BEARER,),
    "two blanks": (b"Authorization: Bearer  " + BEARER,),
    "a tab": (b"Authorization: Bearer\t" + BEARER,),
    "a blank before the colon": (b"Authorization : Bearer " + BEARER,),
    "a blank before the name": (b" Authorization: Bearer " + BEARER,),
    "folded": (b"Authorization: Bearer\r\n " + BEARER,),
    "folded before the scheme": (b"Authorization:\r\n Bearer " + BEARER,),
    "behind a fold of another": (b"X: y\r\n\tAuthorization: Bearer " + BEARER,),
    "NUL before it": (b"Authorization: \x00Bearer " + BEARER,),
    "NUL after it": (TOKEN + b"\x00",),
    "NUL in the name": (b"Authorization\x00: Bearer " + BEARER,),
    "NUL in another header, then it": (b"X: \x00" + TOKEN,),
    "a bare CR after it": (TOKEN + b"\rX: y",),
    "a bare CR before it": (b"X: y\r" + TOKEN,),
    "too long": (TOKEN + b"=" * 600,),
    "very long": (b"Authorization: Bearer " + b"x" * 12000,),
    "as Basic": (b"Authorization: Basic " + BEARER,),
    "in Proxy-Authorization": (b"Proxy-" + TOKEN,),
    "in a cookie": (b"Cookie: Authorization=Bearer " + BEARER,),
    "quoted": (b'Authorization: Bearer "' + BEARER + b'"',),
    "not ASCII": (TOKEN + b"\xff",),
}

PATHS = [b"/%6detrics", b"//metrics", b"/./metrics", b"/x/../metrics", b"/metrics/", b"/metrics/.", b"/metrics;x", b"/metrics;x=1"]
PATHS += [b"/METRICS", b"/metrics%00", b"/metrics%2f", b"/metrics#x", b"/metrics\\", b"/\\metrics", b"/metrics%3fx", b"/metrics/nodes/e2e/%6fpenbao-0"]
PATHS += [b"*", b"metrics", b"http://elsewhere.example/metrics", b"https://elsewhere.example/metrics", b"http://localhost@elsewhere.example/metrics"]
PATHS += [b"ftp://localhost/metrics", b"localhost:9825", b"", b"/metrics /metrics"]

LINES = {
    "OPTIONS *": b"OPTIONS * HTTP/1.1",
    "CONNECT": b"CONNECT localhost:443 HTTP/1.1",
    "CONNECT to the path": b"CONNECT /metrics HTTP/1.1",
    "TRACE": b"TRACE /metrics HTTP/1.1",
    "POST": b"POST /metrics HTTP/1.1",
    "a method in lower case": b"get /metrics HTTP/1.1",
    "no method that there is": b"GETT /metrics HTTP/1.1",
    "HTTP/0.9": b"GET /metrics",
    "HTTP/1.2": b"GET /metrics HTTP/1.2",
    "HTTP/2.0": b"GET /metrics HTTP/2.0",
    "HTTP/11": b"GET /metrics HTTP/11",
    "http in lower case": b"GET /metrics http/1.1",
    "words after the version": b"GET /metrics HTTP/1.1 x",
    "two blanks": b"GET  /metrics  HTTP/1.1",
    "a tab": b"GET\t/metrics\tHTTP/1.1",
    "a blank before": b" GET /metrics HTTP/1.1",
    "NUL in the line": b"GET /metrics\x00 HTTP/1.1",
}

OTHERS = {
    "no Host": ask(b"GET /metrics HTTP/1.1", TOKEN, CLOSE),
    "two Hosts": ask(b"GET /metrics HTTP/1.1", HOST, HOST, TOKEN, CLOSE),
    "two Hosts that differ": ask(b"GET /metrics HTTP/1.1", HOST, b"Host: elsewhere", TOKEN, CLOSE),
    "two Hosts in HTTP/1.0": ask(b"GET /metrics HTTP/1.0", HOST, HOST, TOKEN),
    "an empty Host": ask(b"GET /metrics HTTP/1.1", b"Host:", TOKEN, CLOSE),
    "a Host with a path": ask(b"GET /metrics HTTP/1.1", b"Host: localhost/metrics", TOKEN, CLOSE),
    "a list of Hosts": ask(b"GET /metrics HTTP/1.1", b"Host: localhost, elsewhere", TOKEN, CLOSE),
    "a blank before Host's colon": ask(b"GET /metrics HTTP/1.1", b"Host : localhost", TOKEN, CLOSE),
    "64 headers": get(*(b"X-%d: y" % i for i in range(61))),
    "200 headers": get(*(b"X-%d: y" % i for i in range(200))),
    "a header of 20 kB": get(b"X-Long: " + b"x" * 20000),
    "a path of 20 kB": get(path=b"/metrics?" + b"x" * 20000),
    "headers of 20 kB": get(*(b"X-%d: %s" % (i, b"x" * 1000) for i in range(20))),
    "a header without a colon": get(b"nonsense"),
    "a header without a name": get(b": nonsense"),
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SECOND,
    "an upgrade to HTTP/2": get(b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA", b"Content-Length: 1"),
    "nothing but line ends": b"\r\n" * 8,
    "TLS inside TLS": b"\x16\x03\x01\x00\x05hello\r\n\r\n",
}


@dataclasses.dataclass(frozen=True)
class Case:
    sent: bytes
    allowed: frozenset[int]


def refused(sent: bytes, *allowed: int) -> Case:
    return Case(sent, frozenset(allowed) | {CLOSED})


def cases() -> dict[str, Case]:
    table = {f"legal: {name}": Case(sent, frozenset({200})) for name, sent in LEGAL.items()}
    for name, headers in BODIES.items():
        for method in [b"GET", b"POST"]:
            # No "Connection: close": what follows is there to be taken for a request.
            head = ask(method + b" /metrics HTTP/1.1", HOST, TOKEN, *headers)
            table[f"body: {method.decode()}, {name}"] = refused(head + b"0\r\n\r\n" + SECOND, 400)
    for name, headers in FRAMING.items():
        table[f"framing: {name}"] = refused(ask(b"GET /metrics HTTP/1.1", HOST, TOKEN, *headers) + b"0\r\n\r\n" + SECOND, 400)
    for name, lines in AUTHORIZATIONS.items():
        table[f"authorization: {name}"] = refused(auth(*lines), 401, 400)
    for path in PATHS:
        table[f"path: {path.decode()}"] = refused(get(path=path), 404, 400)
    for name, line in LINES.items():
        table[f"line: {name}"] = refused(ask(line, HOST, TOKEN, CLOSE), 404, 405, 400)
    for name, sent in OTHERS.items():
        table[f"other: {name}"] = refused(sent, 400, 401, 404)
    table["other: a body in a request without a token"] = refused(
        ask(b"POST /metrics HTTP/1.1", HOST, b"Content-Length: %d" % len(SECOND)) + SECOND, 401
    )
    table["other: bare line feeds, and a body"] = refused(
        ask(b"GET /metrics HTTP/1.1", HOST, TOKEN, b"Content-Length: 4", end=b"\n") + b"0\r\n\r\n" + SECOND, 400
    )
    return table


CASES = cases()


@pytest.fixture(scope="module")
def exporter(cluster, tmp_path_factory):
    with Exporter(
        tmp_path_factory.mktemp("exporter"), [openbao(cluster)], authority=cluster, listener={"request_timeout": "2s"}
    ) as running:
        yield running


def exchange(exporter, sent: bytes) -> bytes:
    """All that comes until the server closes; each from an address of its own."""
    n = next(STRANGERS)
    source = (f"127.1.{n // 250}.{n % 250 + 1}", 0)
    received = b""
    with socket.create_connection((LOOPBACK, exporter.port), timeout=10, source_address=source) as plain:
        with exporter.tls().wrap_socket(plain, server_hostname=LOOPBACK) as connection:
            try:
                connection.sendall(sent)
                while piece := connection.recv(1 << 16):
                    received += piece
            except (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError):
                pass
    return received


@pytest.fixture(scope="module")
def answers(exporter) -> dict[str, bytes | Exception]:
    def one(case: Case) -> bytes | Exception:
        try:
            return exchange(exporter, case.sent)
        except Exception as problem:  # told by the test of that case
            return problem

    with ThreadPoolExecutor(16) as pool:
        return dict(zip(CASES, pool.map(one, CASES.values()), strict=True))


def test_there_are_enough_of_them():
    assert sum(200 not in case.allowed for case in CASES.values()) >= 60


@pytest.mark.parametrize("name", CASES)
def test_a_hostile_request_gets_nothing_that_is_not_its_due(answers, name):
    case, answer = CASES[name], answers[name]
    assert isinstance(answer, bytes), f"the connection was not closed: {answer!r}"
    statuses = [int(status) for status in ANSWER.findall(answer)]
    assert len(statuses) <= 1, f"a second request was answered: {statuses}"
    assert (statuses or [CLOSED])[0] in case.allowed, answer[:200]
    if 200 not in case.allowed:
        assert b"bao_" not in answer and b"process_" not in answer and b"vault_" not in answer
    elif "HEAD" not in name:
        assert b"bao_node_up{" in answer


def test_it_serves_after_all_of_them_as_before(exporter, answers):
    assert len(exporter.scrape().samples("bao_node_up")) == 3
    assert len(answers) == len(CASES)


@pytest.mark.parametrize("pause", [False, True], ids=["at once", "after the answer"])
def test_two_requests_one_after_the_other_are_answered_each(exporter, pause):
    """What pipelining allows: the second is a request of its own."""
    with exporter.connect() as connection:
        connection.sendall(get().replace(CLOSE + b"\r\n", b"") + (b"" if pause else get()))
        if pause:
            assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
            connection.sendall(get())
        received = b""
        while piece := connection.recv(1 << 16):
            received += piece
    assert len(ANSWER.findall(received)) == (1 if pause else 2)
