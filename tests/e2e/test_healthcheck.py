"""`bao-exporter healthcheck`: what a container's probe hears, over the port and over the admin address."""

import contextlib
import http.server
import socket
import threading
import time
from pathlib import Path

import pytest
from cluster import LOOPBACK
from exporter_process import SCRAPE_TOKEN, Exporter, openbao, write_private


@pytest.fixture(scope="module")
def exporter(cluster, tmp_path_factory):
    with Exporter(tmp_path_factory.mktemp("exporter"), [openbao(cluster)], authority=cluster) as running:
        yield running


def check(exporter, *arguments: str, config: Path | None = None) -> tuple[int, str]:
    """Exit code and words; it never takes 5 seconds."""
    begin = time.monotonic()
    before, exporter.config = exporter.config, config or exporter.config
    try:
        run = exporter.command("healthcheck", *arguments)
    finally:
        exporter.config = before
    assert time.monotonic() - begin < 5
    assert run.stdout == ""
    assert SCRAPE_TOKEN not in run.stderr
    return run.returncode, run.stderr


def changed(exporter, tmp_path: Path, *changes: tuple[str, str]) -> Path:
    text = Path(exporter.config).read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return write_private(exporter.folder / f"{tmp_path.name}.toml", text)


def test_a_running_exporter_is_well_over_its_own_port(exporter):
    assert check(exporter) == (0, "")
    assert check(exporter, "--live") == (0, "")


def test_an_exporter_that_is_not_there_is_not_well(exporter):
    port, exporter.port = exporter.port, 1
    try:
        code, words = check(exporter)
    finally:
        exporter.port = port
    assert code == 1 and words.startswith("healthcheck: ") and "connect" in words


def test_who_accepts_and_says_nothing_is_not_well_within_five_seconds(exporter):
    with socket.create_server((LOOPBACK, 0)) as silent:
        port, exporter.port = exporter.port, silent.getsockname()[1]
        try:
            code, words = check(exporter)
        finally:
            exporter.port = port
    assert code == 1 and "timeout" in words


def test_a_wrong_token_of_its_own_is_told(exporter, tmp_path):
    wrong = write_private(tmp_path / "wrong.token", "x" * 30)
    text = Path(exporter.config).read_text()
    line = next(line for line in text.splitlines() if line.startswith("self_token_file"))
    code, words = check(exporter, config=changed(exporter, tmp_path, (line, f'self_token_file = "{wrong}"')))
    assert code == 1 and "HTTP 401" in words


def test_without_a_way_to_ask_it_says_what_to_set(exporter, tmp_path):
    text = Path(exporter.config).read_text()
    line = next(line for line in text.splitlines() if line.startswith("self_ca_file"))
    code, words = check(exporter, config=changed(exporter, tmp_path, (line, "")))
    assert code == 2 and "listener.admin_address" in words and "listener.self_ca_file" in words
    mutual = f'{line}\nclient_ca_file = "{exporter.ca_file}"'
    code, words = check(exporter, config=changed(exporter, tmp_path, (line, mutual)))
    assert code == 2 and "listener.admin_address" in words and "client certificate" in words


def test_what_is_wrong_elsewhere_in_the_file_is_no_reason_to_end_what_runs(exporter, tmp_path):
    config = changed(exporter, tmp_path, ("[listener]", '[limits]\nsamples_max = "many"\n[listener]'))
    assert check(exporter, config=config) == (0, "")
    config = changed(exporter, tmp_path, ("[listener]", "[listener]\nconnections_max = -1"))
    code, words = check(exporter, config=config)
    assert code == 2 and "connections_max" in words


class AdminAddress(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append((self.path, dict(self.headers)))
        status = self.server.statuses.get(self.path, 404)
        self.send_response(status)
        body = b"ok\n" if status == 200 else b"not_polled: starting\n"
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def admin_address(statuses: dict[str, int]):
    with http.server.HTTPServer((LOOPBACK, 0), AdminAddress) as server:
        server.asked, server.statuses = [], statuses
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("statuses, ready, live", [((200, 200), 0, 0), ((503, 200), 1, 0), ((200, 503), 0, 1)])
def test_the_admin_address_is_asked_where_there_is_one_and_gets_no_token(exporter, tmp_path, statuses, ready, live):
    with admin_address(dict(zip(["/-/ready", "/-/healthy"], statuses, strict=True))) as server:
        address = f"{LOOPBACK}:{server.server_port}"
        config = changed(exporter, tmp_path, ("[listener]", f'[listener]\nadmin_address = "{address}"'))
        code, words = check(exporter, config=config)
        assert code == ready and (not ready or "HTTP 503 not_polled: starting" in words)
        assert check(exporter, "--live", config=config)[0] == live
    assert [path for path, _ in server.asked] == ["/-/ready", "/-/healthy"]
    assert not [headers for _, headers in server.asked if "Authorization" in headers]


def test_the_admin_address_of_the_exporter_itself_is_asked(cluster, tmp_path):
    with socket.create_server((LOOPBACK, 0)) as free:
        address = f"{LOOPBACK}:{free.getsockname()[1]}"
    with Exporter(tmp_path, [openbao(cluster)], authority=cluster, listener={"admin_address": address}) as running:
        assert check(running) == (0, "")
        assert check(running, "--live") == (0, "")
        before = running.scrape().samples("bao_exporter_scrapes_total")
        assert check(running) == (0, "")
        after = running.scrape().samples("bao_exporter_scrapes_total")
        assert {s.labels["path"] for s in after} == {s.labels["path"] for s in before} == {"/metrics"}
    assert check(running)[0] == 1
