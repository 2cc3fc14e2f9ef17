"""bao-exporter as a process of its own, in front of a Cluster (cluster.py), for the tests.

    with Exporter(folder, [openbao(cluster)]) as exporter:
        exporter.scrape().value("bao_node_up", node_name="openbao-0")

It listens on a port that the kernel chooses. Leaving the block stops it with SIGTERM and checks
that it ended with 0; when the block failed, it is only ended.
"""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import io
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import time
import zlib
from pathlib import Path

from cluster import LOOPBACK, Cluster, die_with_parent
from exposition import Exposition

ROOT = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("BAO_EXPORTER") or ROOT / "build/dev/bao-exporter")

CLUSTER = "e2e"  # what our configuration calls the cluster; OpenBao's own name for it is another
SCRAPE_NAME = "prometheus"
SCRAPE_TOKEN = "e2e+scrape/token~that.is-long_enough0="

START_TIMEOUT_S = 20
STOP_TIMEOUT_S = 10
POLL_INTERVAL_S = 0.03


def wait_until(what: str, probe, timeout: float = 20.0):
    """Polls until `probe` returns something true, and returns that. Until then it may return
    nothing or raise AssertionError: what was last said is quoted when time is over."""
    deadline = time.monotonic() + timeout
    while True:
        last: object = None
        try:
            last = probe()
            if last:
                return last
        except AssertionError as error:
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout:.0f} s for: {what}; last seen: {last}")
        time.sleep(POLL_INTERVAL_S)


# --- the configuration ---------------------------------------------------------------


@dataclasses.dataclass
class NodeEntry:
    """One [[openbao.node]]: its keys and values."""

    name: str
    api_url: str = ""
    metrics_url: str = ""
    metrics_auth: str = "token"
    server_name: str = ""


@dataclasses.dataclass
class ClusterEntry:
    """One [[openbao]]. `token` is the token itself; None: auth.method = "none". With `auth` the table
    [openbao.auth] is that, and `token` plays no part."""

    cluster: str
    ca_file: Path
    token: str | None
    nodes: list[NodeEntry]
    auth: dict | None = None
    client_cert_file: Path | None = None
    client_key_file: Path | None = None
    profile: str = ""

    def keys(self) -> dict:
        """Of the table itself, those that are set."""
        names = ["cluster", "ca_file", "client_cert_file", "client_key_file", "profile"]
        return {name: value for name in names if (value := getattr(self, name))}


def openbao(cluster: Cluster, *, token: str | None = "metrics") -> ClusterEntry:
    """All nodes of a cluster, polled at their API listeners, with that one of its tokens."""
    nodes = [NodeEntry(node.name, api_url=node.api_url) for node in cluster.nodes]
    return ClusterEntry(CLUSTER, cluster.ca_file, None if token is None else cluster.token(token), nodes)


def openbao_auth(cluster: Cluster, method: str, **keys) -> ClusterEntry:
    """All nodes of a cluster, polled at their API listeners, with that [openbao.auth]."""
    return dataclasses.replace(openbao(cluster, token=None), auth={"method": method, **keys})


def instance(entry: NodeEntry) -> str:
    """The label `instance` of a node: where its metrics are polled."""
    return re.match(r"https://([^/]+)", entry.metrics_url or entry.api_url)[1]


def write_private(path: Path, text: str) -> Path:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    return path


def _toml(pairs: dict) -> str:
    # A JSON string, number, boolean or list of these is the same in TOML.
    return "".join(f"{key} = {json.dumps(str(v) if isinstance(v, Path) else v)}\n" for key, v in pairs.items())


def _auth(folder: Path, cluster: ClusterEntry) -> dict:
    """The keys of [openbao.auth]; writes the token's file where it is one of ours."""
    if cluster.auth is not None:
        return cluster.auth
    if cluster.token is None:
        return {"method": "none"}
    token = write_private(folder / f"{cluster.cluster}.token", cluster.token + "\n")
    return {"method": "token_file", "token_file": token}


def write_config(
    folder: Path, clusters: list[ClusterEntry], certificate: tuple[Path, Path], ca_file: Path, over: dict[str, dict]
) -> Path:
    """Writes FOLDER/bao-exporter.toml and the secrets that it names."""
    tables = {
        "listener": {
            "address": f"{LOOPBACK}:0",
            "tls_cert_file": certificate[0],
            "tls_key_file": certificate[1],
            "token_files": [str(write_private(folder / "scrape.token", f"{SCRAPE_NAME}:{SCRAPE_TOKEN}\n"))],
            "self_token_file": write_private(folder / "self.token", SCRAPE_TOKEN + "\n"),
            "self_ca_file": ca_file,
        },
        "poll": {"interval": "1s", "timeout": "800ms", "stale_after": "3s"},
    }
    for table, pairs in over.items():
        tables.setdefault(table, {}).update(pairs)
    text = "".join(f"[{table}]\n{_toml(pairs)}\n" for table, pairs in tables.items())
    for cluster in clusters:
        text += "[[openbao]]\n" + _toml(cluster.keys())
        text += "[openbao.auth]\n" + _toml(_auth(folder, cluster))
        for node in cluster.nodes:
            text += "[[openbao.node]]\n" + _toml({k: v for k, v in dataclasses.asdict(node).items() if v})
        text += "\n"
    return write_private(folder / "bao-exporter.toml", text)


# --- the process ---------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes


class Exporter:
    """The process. Made with its configuration written; `start` or `with` runs it."""

    def __init__(
        self,
        folder: Path,
        clusters: list[ClusterEntry],
        *,
        authority: Cluster,
        log_level: str = "info",
        environment: dict[str, str] | None = None,
        **tables: dict,
    ):
        """`authority`: the cluster whose CA issues our listener's certificate. `tables` are laid
        over those of `write_config`: poll={"interval": "2s"}."""
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.ca_file = authority.ca_file
        certificate = authority.issue_certificate(f"exporter-{os.getpid()}-{folder.name}")
        self.config = write_config(folder, clusters, certificate, self.ca_file, tables)
        self.log_file = folder / "exporter.log"
        self.port = 0
        self._arguments = ["--log.level", log_level]
        self._environment = {"PATH": os.environ.get("PATH", os.defpath), **(environment or {})}
        self._process: subprocess.Popen | None = None

    def __enter__(self) -> "Exporter":
        return self.start()

    def __exit__(self, kind, *_) -> None:
        if kind is None:
            self.stop()
        else:
            self.end()

    # --- life ---

    def start(self) -> "Exporter":
        """Returns when the first round has ended and /metrics answers 200."""
        with open(self.log_file, "wb") as log:
            self._process = subprocess.Popen(
                [BINARY, "--config.file", self.config, *self._arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                cwd=self.folder,
                preexec_fn=die_with_parent(),  # also when the test is killed
            )
        try:
            self.port = wait_until("the line 'listening' in the log", self._port_in_log, START_TIMEOUT_S)
            wait_until("/metrics to answer 200", self._answers, START_TIMEOUT_S)
        except BaseException:
            self.end()
            raise
        return self

    @property
    def pid(self) -> int:
        return self._process.pid

    def stop(self) -> None:
        """SIGTERM; it must end with 0."""
        if self._process is None:
            return
        process = self._process
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.end()
            raise AssertionError(f"still there {STOP_TIMEOUT_S} s after SIGTERM; its log:\n{self.log()}") from None
        self._process = None
        assert code == 0, f"ended with {code} after SIGTERM; its log:\n{self.log()}"

    def end(self) -> None:
        """Gone, without any claim."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def log(self) -> str:
        return self.log_file.read_text(errors="backslashreplace")

    def _check_running(self) -> None:
        code = self._process.poll()
        if code is not None:
            raise RuntimeError(f"bao-exporter ended with {code}; its log:\n{self.log()}")

    def _port_in_log(self) -> int:
        self._check_running()
        found = re.search(rf'msg="listening" address={re.escape(LOOPBACK)}:(\d+) ', self.log())
        return int(found[1]) if found else 0

    def _answers(self) -> bool:
        self._check_running()
        answer = self.get()
        assert answer.status == 200, f"HTTP {answer.status} {answer.body[:200]!r}"
        return True

    # --- asking ---

    def get(
        self, path: str = "/metrics", *, method: str = "GET", token: str | None = SCRAPE_TOKEN, **headers: str
    ) -> Answer:
        """One request on a connection of its own. `accept_encoding="gzip"` is a header."""
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        connection = http.client.HTTPSConnection(LOOPBACK, self.port, timeout=10, context=self.tls())
        with contextlib.closing(connection):
            fields = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, headers=fields)
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, names, response.read())

    def text(self) -> str:
        answer = self.get()
        assert answer.status == 200, f"HTTP {answer.status} {answer.body[:200]!r}"
        return answer.body.decode()

    def scrape(self) -> Exposition:
        return Exposition(self.text())

    def raw(self, request: bytes, timeout: float = 10.0) -> bytes:
        """Sends these bytes over TLS and returns all that comes until the server closes. Raises
        TimeoutError when it does not."""
        with self.connect(timeout) as connection:
            connection.sendall(request)
            return read_to_end(connection)

    def connect(self, timeout: float = 10.0, context: ssl.SSLContext | None = None) -> ssl.SSLSocket:
        plain = socket.create_connection((LOOPBACK, self.port), timeout=timeout)
        try:
            return (context or self.tls()).wrap_socket(plain, server_hostname=LOOPBACK)
        except BaseException:
            plain.close()
            raise

    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.ca_file)

    def command(self, *arguments: str) -> subprocess.CompletedProcess:
        """A subcommand with the same configuration, against this process."""
        command = [BINARY, *arguments, "--config.file", self.config]
        command += ["--web.listen-address", f"{LOOPBACK}:{self.port}"]
        return subprocess.run(command, capture_output=True, text=True, timeout=20, env=self._environment)

    def table(self) -> dict[str, dict[str, str]]:
        """`bao-exporter nodes`: rows by node name, cells by column."""
        run = self.command("nodes")
        assert run.returncode == 0, run.stderr
        head, *lines = [re.split(r"\s{2,}", line) for line in run.stdout.splitlines()]
        rows = [dict(zip(head, line, strict=True)) for line in lines]
        return {row["NODE"].removeprefix(f"{CLUSTER}/"): row for row in rows}


def read_to_end(connection: socket.socket) -> bytes:
    """Everything until the other side closes, in whatever manner."""
    answer = io.BytesIO()
    try:
        while piece := connection.recv(1 << 16):
            answer.write(piece)
    except (ConnectionResetError, ssl.SSLEOFError):
        pass
    return answer.getvalue()


def read_answer(connection: socket.socket) -> Answer:
    """One answer off a connection that stays open. It must have a Content-Length."""
    received = b""
    while b"\r\n\r\n" not in received:
        piece = connection.recv(1)
        assert piece, f"closed inside the head of an answer: {received!r}"
        received += piece
    lines = received.decode("latin-1").split("\r\n")[:-2]
    headers = dict((part.strip() for part in line.split(":", 1)) for line in lines[1:])
    headers = {name.lower(): value for name, value in headers.items()}
    body = b""
    while len(body) < int(headers["content-length"]):
        piece = connection.recv(int(headers["content-length"]) - len(body))
        assert piece, "closed inside a body"
        body += piece
    return Answer(int(lines[0].split()[1]), headers, body)


def gunzip_one_member(body: bytes) -> bytes:
    """The plain bytes; raises when there is more than one gzip member or anything after it."""
    member = zlib.decompressobj(wbits=31)
    plain = member.decompress(body)
    assert member.eof, "the gzip member does not end"
    assert member.unused_data == b"", f"{len(member.unused_data)} bytes after the gzip member"
    return plain
