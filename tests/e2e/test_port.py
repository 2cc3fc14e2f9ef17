"""The port: who gets what, byte for byte, over real TLS."""

import itertools
import socket
import ssl
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
from cluster import LOOPBACK
from exporter_process import SCRAPE_TOKEN, Exporter, gunzip_one_member, openbao, read_answer, read_to_end
from exposition import Exposition

TOKEN = b"Authorization: Bearer " + SCRAPE_TOKEN.encode() + b"\r\n"
REFUSED = (
    b"HTTP/1.1 401 Unauthorized\r\n"
    b"Cache-Control: no-store\r\n"
    b"X-Content-Type-Options: nosniff\r\n"
    b"WWW-Authenticate: Bearer\r\n"
    b"Content-Length: 0\r\n"
    b"Connection: close\r\n"
    b"\r\n"
)
STRANGERS = itertools.count(2)


@pytest.fixture(scope="module")
def exporter(cluster, tmp_path_factory):
    with Exporter(
        tmp_path_factory.mktemp("exporter"),
        [openbao(cluster)],
        authority=cluster,
        # Long enough that no test passes because a time-out closed the connection.
        listener={"request_timeout": "60s"},
    ) as running:
        yield running


def request(line: bytes = b"GET /metrics", *headers: bytes, body: bytes = b"", version: bytes = b"HTTP/1.1") -> bytes:
    head = b"".join(header.removesuffix(b"\r\n") + b"\r\n" for header in (b"Host: localhost", *headers))
    return line + b" " + version + b"\r\n" + head + b"\r\n" + body


def auth(value: str) -> bytes:
    return f"Authorization: {value}\r\n".encode()


def status_of(answer: bytes) -> int:
    assert answer.startswith(b"HTTP/1.1 "), answer[:100]
    return int(answer[9:12])


def stranger(exporter, source: tuple[str, int] | None = None) -> ssl.SSLSocket:
    """A connection from an address of its own: refusals are delayed where an address has many."""
    n = next(STRANGERS)
    source = source or (f"127.0.{n // 250}.{n % 250 + 1}", 0)
    plain = socket.create_connection((LOOPBACK, exporter.port), timeout=10, source_address=source)
    try:
        return exporter.tls().wrap_socket(plain, server_hostname=LOOPBACK)
    except BaseException:
        plain.close()
        raise


def refusal(exporter, bytes_: bytes, source: tuple[str, int] | None = None) -> bytes:
    """Everything until the server closes."""
    with stranger(exporter, source) as connection:
        connection.sendall(bytes_)
        return read_to_end(connection)


# --- without a valid token: 401, always the same bytes -------------------------------

WITHOUT_TOKEN = {
    "no token": [],
    "wrong token": [auth("Bearer " + "x" * len(SCRAPE_TOKEN))],
    "all but the last character": [auth("Bearer " + SCRAPE_TOKEN[:-1])],
    "one character more": [auth("Bearer " + SCRAPE_TOKEN + "=")],
    "with its name": [auth("Bearer prometheus:" + SCRAPE_TOKEN)],
    "upper case": [auth("Bearer " + SCRAPE_TOKEN.upper())],
    "empty": [auth("")],
    "the scheme alone": [auth("Bearer")],
    "the scheme and a space": [auth("Bearer ")],
    "no scheme": [auth(SCRAPE_TOKEN)],
    "two spaces": [auth("Bearer  " + SCRAPE_TOKEN)],
    "words after it": [auth("Bearer " + SCRAPE_TOKEN + " x")],
    "a list": [auth("Bearer " + SCRAPE_TOKEN + ",Bearer " + SCRAPE_TOKEN)],
    "quoted": [auth(f'Bearer "{SCRAPE_TOKEN}"')],
    "Basic": [auth("Basic cHJvbWV0aGV1czpzZWNyZXQ=")],
    "Basic with the token": [auth("Basic " + SCRAPE_TOKEN)],
    "Digest": [auth('Digest username="prometheus"')],
    "very long": [auth("Bearer " + "x" * 4000)],
    "not ASCII": [b"Authorization: Bearer \xe2\x82\xac\xff\r\n"],
    "the token twice": [TOKEN, TOKEN],
    "the token, then a wrong one": [TOKEN, auth("Bearer wrong")],
    "a wrong one, then the token": [auth("Bearer wrong"), TOKEN],
    "Basic, then the token": [auth("Basic eDp5"), TOKEN],
    "twice in another case": [TOKEN, TOKEN.lower().replace(b"bearer", b"Bearer")],
    "in other headers": [TOKEN.replace(b"Authorization", b"Proxy-Authorization"), b"Cookie: token=x"],
    "behind 70 headers": [*(b"X-%d: y" % i for i in range(70)), TOKEN],
    "before 70 headers and another": [TOKEN, *(b"X-%d: y" % i for i in range(70)), auth("Bearer wrong")],
}


@pytest.mark.parametrize("headers", WITHOUT_TOKEN.values(), ids=WITHOUT_TOKEN)
def test_without_exactly_one_valid_token_the_answer_is_401(exporter, headers):
    assert refusal(exporter, request(b"GET /metrics", *headers)) == REFUSED


@pytest.mark.parametrize(
    "path",
    [b"/", b"/metrics?a=b", b"/metrics/", b"//metrics", b"/%6detrics", b"/x/../metrics", b"/favicon.ico", b"/-/healthy"]
    + [b"/v1/sys/metrics", b"/metrics/nodes/e2e/openbao-0", b"/sd", b"/../../etc/passwd", b"/%00", b"/" + b"a" * 8000],
    ids=lambda path: path[:30].decode(),
)
def test_401_tells_nothing_of_paths(exporter, path):
    assert refusal(exporter, request(b"GET " + path)) == REFUSED


@pytest.mark.parametrize(
    "method", ["HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "PROPFIND", "MKCOL"]
)
def test_401_tells_nothing_of_methods(exporter, method):
    assert refusal(exporter, request(method.encode() + b" /metrics")) == REFUSED


def test_401_tells_nothing_of_bodies_and_reads_nothing_behind_them(exporter):
    smuggled = request(b"GET /metrics", TOKEN)
    for header in [b"Content-Length: 5", b"Transfer-Encoding: chunked"]:
        # What follows could be taken for a second request, with a valid token.
        assert refusal(exporter, request(b"POST /metrics", header, body=b"hello" + smuggled)) == REFUSED


def test_401_ends_the_connection(exporter):
    assert refusal(exporter, request() + request(b"GET /metrics", TOKEN)) == REFUSED


def test_refusals_are_counted_by_cause(exporter):
    def counts() -> dict[str, int]:
        samples = exporter.scrape().samples("bao_exporter_auth_failures_total")
        return {sample.labels["cause"]: int(sample.value) for sample in samples}

    before = counts()
    for case in ["no token", "wrong token", "Basic", "the token twice"]:
        refusal(exporter, request(b"GET /metrics", *WITHOUT_TOKEN[case]))
    grown = {cause: count - before[cause] for cause, count in counts().items()}
    expected = {"missing": 1, "wrong": 1, "malformed": 1, "multiple": 1}
    assert grown == {"client_name": 0, "rate_limited": 0} | expected


def test_an_address_that_fails_too_often_is_told_and_never_kept_from_the_metrics(exporter):
    def limited() -> int:
        return int(exporter.scrape().value("bao_exporter_auth_failures_total", cause="rate_limited"))

    before = limited()
    source = ("127.0.9.9", 0)
    with ThreadPoolExecutor(16) as pool:
        refusals = list(pool.map(lambda _: refusal(exporter, request(), source), range(160)))
    assert set(refusals) == {REFUSED}
    begin = time.monotonic()
    with stranger(exporter, source) as connection:
        connection.sendall(request(b"GET /metrics", TOKEN))
        assert read_answer(connection).status == 200
    assert time.monotonic() - begin < 0.9
    assert 1 <= limited() - before <= 60


# --- with the token ------------------------------------------------------------------


def with_token(line: bytes, *headers: bytes, body: bytes = b"") -> bytes:
    return request(line, TOKEN, *headers, b"Connection: close", body=body)


def test_with_the_token_metrics_are_served(exporter):
    answer = exporter.raw(with_token(b"GET /metrics"))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert status_of(answer) == 200
    assert b"\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n" in head + b"\r\n"
    assert b"\r\nCache-Control: no-store\r\n" in head + b"\r\n"
    assert b"\r\nContent-Length: %d\r\n" % len(body) in head + b"\r\n"
    assert len(Exposition(body.decode()).samples("bao_node_up")) == 3


@pytest.mark.parametrize("scheme", ["bearer", "BEARER"])
def test_the_scheme_may_be_written_in_any_case(exporter, scheme):
    headers = [auth(f"{scheme} {SCRAPE_TOKEN}"), b"Connection: close"]
    assert status_of(exporter.raw(request(b"GET /metrics", *headers))) == 200


def test_the_query_is_ignored(exporter):
    for query in [b"?", b"?x=1", b"?name[]=vault_core_active", b"?%00=../.."]:
        answer = exporter.raw(with_token(b"GET /metrics" + query))
        assert status_of(answer) == 200
        assert len(Exposition(answer.partition(b"\r\n\r\n")[2].decode()).samples("bao_node_up")) == 3


@pytest.mark.parametrize(
    "path",
    [b"/", b"/metric", b"/metricsx", b"/metrics/", b"//metrics", b"/%6detrics", b"/metrics%00", b"/metrics;x"]
    + [b"/METRICS", b"/x/../metrics", b"/./metrics", b"/metrics/.", b"/metrics#x", b"/v1/sys/metrics", b"/index.html"],
    ids=lambda path: path.decode(),
)
def test_every_other_spelling_and_path_is_404(exporter, path):
    answer = exporter.raw(with_token(b"GET " + path))
    assert status_of(answer) == 404
    assert b"vault_" not in answer and b"bao_node" not in answer


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "PROPFIND"])
def test_every_other_method_is_405(exporter, method):
    answer = exporter.raw(with_token(method.encode() + b" /metrics"))
    assert status_of(answer) == 405
    assert b"\r\nAllow: GET, HEAD\r\n" in answer
    assert b"vault_" not in answer


@pytest.mark.parametrize("method", [b"GET /metrics", b"POST /metrics", b"GET /other"])
@pytest.mark.parametrize("header", [b"Content-Length: 5", b"Transfer-Encoding: chunked", b"Content-Length: 00005"])
def test_a_body_is_400_and_the_end_of_the_connection(exporter, method, header):
    # Without "Connection: close": it is the body that ends it.
    body = b"hello" + request(b"GET /metrics", TOKEN)
    answer = exporter.raw(request(method, TOKEN, header, body=body))
    assert status_of(answer) == 400
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"vault_" not in answer


def test_content_length_0_is_no_body(exporter):
    assert status_of(exporter.raw(with_token(b"GET /metrics", b"Content-Length: 0"))) == 200


def test_head_has_the_head_of_get_and_no_body(exporter):
    answer = exporter.raw(with_token(b"HEAD /metrics"))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert status_of(answer) == 200 and body == b""
    names = [line.split(b":")[0] for line in head.split(b"\r\n")]
    got = exporter.raw(with_token(b"GET /metrics")).partition(b"\r\n\r\n")[0]
    assert names == [line.split(b":")[0] for line in got.split(b"\r\n")]
    for line in [b"HEAD /other", b"HEAD /metrics/"]:
        answer = exporter.raw(with_token(line))
        assert status_of(answer) == 404 and answer.endswith(b"\r\n\r\n")


# --- connections ---------------------------------------------------------------------


def test_a_connection_serves_one_scrape_after_the_other(exporter):
    with exporter.connect() as connection:
        for line in [b"GET /metrics", b"HEAD /other", b"GET /other", b"GET /metrics"]:
            connection.sendall(request(line, TOKEN))
            if line.startswith(b"HEAD"):
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    head += connection.recv(1)
                assert status_of(head) == 404
                continue
            answer = read_answer(connection)
            assert answer.status == (404 if b"other" in line else 200)
            assert answer.headers["connection"] == "keep-alive"


@pytest.mark.parametrize("words", [b"close", b"Close", b"keep-alive, close", b"te,close"])
def test_connection_close_is_honoured(exporter, words):
    # exporter.raw returns when the server closes, and fails when it does not.
    answer = exporter.raw(request(b"GET /metrics", TOKEN, b"Connection: " + words))
    assert status_of(answer) == 200
    assert b"\r\nConnection: close\r\n" in answer.partition(b"# ")[0]


def test_http_1_0_is_closed_after_the_answer(exporter):
    assert status_of(exporter.raw(request(b"GET /metrics", TOKEN, version=b"HTTP/1.0"))) == 200


@pytest.mark.parametrize(
    "bytes_",
    [b"\x00\x01\x02\r\n\r\n", b"nonsense\r\n\r\n", b"GET\r\n\r\n", b"GET /metrics\r\n\r\n"]
    + [b"get /metrics HTTP/1.1\r\n\r\n", b"FOO /metrics HTTP/1.1\r\n\r\n", b"GET metrics HTTP/1.1\r\n\r\n", b"GET /metrics HTTP/9.9\r\n\r\n"]
    + [b"GET /\xff\x01 HTTP/1.1\r\n\r\n", b"GET http://elsewhere/metrics HTTP/1.1\r\n\r\n"]
    + [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
    + [b"GET /metrics HTTP/1.1\r\nno colon here\r\n\r\n", b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 20000 + b"\r\n\r\n"],
    ids=lambda text: repr(text[:24]),
)
def test_what_cannot_be_parsed_is_closed_without_a_page(exporter, bytes_):
    with_a_token = bytes_.replace(b"\r\n\r\n", b"\r\n" + TOKEN + b"\r\n", 1)
    assert exporter.raw(bytes_) == b""
    assert exporter.raw(with_a_token) == b""


def test_tls_from_1_2_on(exporter):
    for version in [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]:
        context = exporter.tls()
        context.minimum_version = context.maximum_version = version
        with exporter.connect(context=context) as connection:
            assert connection.version() == version.name.replace("v1_", "v1.")
            connection.sendall(request(b"GET /metrics", TOKEN, b"Connection: close"))
            assert status_of(read_to_end(connection)) == 200


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_older_tls_is_refused_by_the_server(exporter, version):
    context = exporter.tls()
    context.set_ciphers("ALL:@SECLEVEL=0")  # else our side would refuse
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = version
    with pytest.raises(ssl.SSLError) as refusal:
        exporter.connect(context=context)
    assert refusal.value.reason == "TLSV1_ALERT_PROTOCOL_VERSION"  # the server's words


def test_plain_http_gets_nothing(exporter):
    with socket.create_connection((LOOPBACK, exporter.port), timeout=10) as connection:
        connection.sendall(request(b"GET /metrics", TOKEN, b"Connection: close"))
        answer = read_to_end(connection)
    assert len(answer) <= 7  # at most one TLS alert
    assert b"HTTP" not in answer


# --- gzip ----------------------------------------------------------------------------

ACCEPTED = ["gzip", "GZIP", "gzip;q=1", "gzip;q=0.001", "gzip; q=0.5", "br, gzip", "deflate;q=1.0, gzip;q=0.5"]
ACCEPTED += ["*", "br;q=1, *;q=0.1"]
NOT_ACCEPTED = ["", "identity", "br", "gzipped", "gzip;q=0", "gzip;q=0.0", "gzip;q=0.000", "gzip ; q=0"]
NOT_ACCEPTED += ["*;q=0", "gzip;q=0, *"]


@pytest.mark.parametrize("accept", ACCEPTED)
def test_gzip_is_served_to_whom_it_is_acceptable(exporter, accept):
    answer = exporter.get(accept_encoding=accept)
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["vary"] == "Accept, Accept-Encoding"
    assert int(answer.headers["content-length"]) == len(answer.body)
    assert len(Exposition(gunzip_one_member(answer.body).decode()).samples("bao_node_up")) == 3


@pytest.mark.parametrize("accept", NOT_ACCEPTED)
def test_plain_text_is_served_to_the_others(exporter, accept):
    answer = exporter.get(accept_encoding=accept)
    assert "content-encoding" not in answer.headers
    assert answer.headers["vary"] == "Accept, Accept-Encoding"
    assert len(Exposition(answer.body.decode()).samples("bao_node_up")) == 3


def test_q_may_be_written_in_upper_case(exporter):
    # RFC 9110, 12.4.2: weight = OWS ";" OWS "q=" qvalue, and strings in ABNF have no case.
    assert "content-encoding" not in exporter.get(accept_encoding="gzip;Q=0").headers
