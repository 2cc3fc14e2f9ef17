"""The tokens are found nowhere: not in the log at debug level, not in what is served, not in what
/proc tells of the process."""

import base64
import contextlib
import ssl
from pathlib import Path

import pytest
from canary import WINDOW, Search, leaks
from cluster import LOOPBACK
from exporter_process import SCRAPE_NAME, SCRAPE_TOKEN, Exporter, NodeEntry, gunzip_one_member, openbao, wait_until
from tls_sink import TlsSink

MARKER = "planted-Marker/with+all-kinds~of_bytes=="


def of_process(exporter: Exporter) -> dict[str, bytes]:
    """What other processes can read of it. Not even that for another user than root: then
    PermissionError is what we want."""
    found = {}
    for name in ["cmdline", "environ", "comm", "status"]:
        with contextlib.suppress(PermissionError):
            found[name] = Path(f"/proc/{exporter.pid}/{name}").read_bytes()
    assert "cmdline" in found
    return found


@pytest.fixture(scope="module")
def places(cluster, tmp_path_factory):
    """All that is said in a run with everything: good scrapes, wrong tokens, hostile requests, a
    node that refuses the token, one with another authority, the end."""
    folder = tmp_path_factory.mktemp("exporter")
    wrong = cluster.token("wrong")
    good = openbao(cluster)
    refusing = openbao(cluster, token="wrong")
    refusing.cluster = "refusing"
    for node, entry in zip(cluster.nodes, refusing.nodes):
        entry.api_url = f"https://localhost:{node.api_port}"  # no address may be in there twice
    found = {}
    with TlsSink(folder) as sink:
        good.nodes.append(NodeEntry("alien", api_url=f"https://{LOOPBACK}:{sink.port}"))
        with Exporter(
            folder,
            [good, refusing],
            authority=cluster,
            log_level="debug",
            environment={"PLANTED": MARKER},
            listener={"request_timeout": "500ms"},
        ) as exporter:
            for where, answer in {
                "/metrics": exporter.get(),
                "gzip": exporter.get(accept_encoding="gzip"),
                "404": exporter.get(f"/{MARKER}/{SCRAPE_TOKEN}"),
                "405": exporter.get(method="DELETE"),
                "401": exporter.get(token=SCRAPE_TOKEN[:-1] + "x"),
                "401 upstream": exporter.get(token=cluster.token("metrics")),
                "401 path": exporter.get(f"/metrics?token={SCRAPE_TOKEN}", token=None),
            }.items():
                body = gunzip_one_member(answer.body) if where == "gzip" else answer.body
                found[where] = repr(answer.headers).encode() + body
            token = SCRAPE_TOKEN.encode()
            for name, request in {
                "no request": token + b"\r\n\r\n",
                "no method": b"FOO /" + token + b" HTTP/1.1\r\n\r\n",
                "no version": b"GET /" + token + b" HTTP/9.9\r\nAuthorization: Bearer " + token + b"\r\n\r\n",
                "half a request": b"GET /metrics HTTP/1.1\r\nAuthorization: Bearer " + token,
                "too long": b"GET /metrics HTTP/1.1\r\nAuthorization: Bearer " + token * 600 + b"\r\n\r\n",
            }.items():
                found[name] = exporter.raw(request)
            with contextlib.suppress(ssl.SSLError, OSError), exporter.connect(context=ssl.create_default_context()):
                pytest.fail("an authority that is not ours was trusted")
            wait_until("three polls of the alien", lambda: sink.connections >= 3)
            found["table"] = repr(exporter.table()).encode()
            found["/metrics at the end"] = exporter.get().body
            found |= of_process(exporter)
        assert sink.bytes_ == b""
    found["log"] = exporter.log().encode()
    found["configuration"] = exporter.config.read_bytes()
    return {"found": found, "wrong": wrong}


def test_the_run_had_everything_in_it(places):
    log = places["found"]["log"].decode()
    for words in ["level=debug", "reason=ok", "reason=token_rejected", "reason=standby_rejected", "reason=tls"]:
        assert words in log
    assert 'msg="stopping"' in log
    assert f'token="{SCRAPE_NAME}"'.encode() in places["found"]["/metrics at the end"]
    assert b'cause="wrong"' in places["found"]["/metrics at the end"]


def test_the_search_finds_what_is_there(places):
    # The marker is in the environment of the process, and in no other place.
    marker = Search({"the marker": MARKER})
    environ = places["found"].get("environ")
    if environ is not None:  # else not root, who alone may read it
        assert leaks(marker, {"environ": environ}) != []
    assert leaks(marker, {name: text for name, text in places["found"].items() if name != "environ"}) == []
    # What the log does have, in the forms that a leak could take.
    planted = "poll ended and published"
    search = Search({"planted": planted})
    for form in [planted, base64.b64encode(f"x{planted}".encode()).decode(), planted.encode().hex().upper()]:
        assert leaks(search, {"log": places["found"]["log"] + form.encode()}) != []
    assert leaks(Search({"its last words": 'msg="stopping"'}), {"log": places["found"]["log"]}) != []


def test_the_upstream_token_is_found_nowhere(cluster, places):
    assert len(cluster.token("metrics")) > WINDOW
    assert leaks(Search({"the upstream token": cluster.token("metrics")}), places["found"]) == []


def test_a_refused_upstream_token_is_found_nowhere(places):
    assert leaks(Search({"the refused token": places["wrong"]}), places["found"]) == []


def test_the_scrape_token_is_found_nowhere(places):
    # Nor one that was nearly right: a typing mistake must not give it away.
    assert leaks(Search({"the scrape token": SCRAPE_TOKEN}), places["found"]) == []
