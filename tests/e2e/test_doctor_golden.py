"""Claim: what `bao-exporter doctor` prints of a set-up, to the word: of a healthy one, with exit 0, and
of each broken one, with the cause and the remedy that an operator needs.

The texts are tests/golden/doctor/SET_UP.txt. What no two runs have in common (ports, folders, times,
sizes, ids) stands there in <angle brackets>. BAO_UPDATE_GOLDEN=1 writes them anew: read the difference
as an operator would before it is committed.

Single findings: test_doctor.py and fault/test_doctor_faults.py. The clusters are this file's own; the
set-ups that stop nodes come last and put them back."""

import contextlib
import dataclasses
import datetime
import functools
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cluster as fixture
import pytest
from cluster import LOOPBACK, Cluster
from doctor_golden import GOLDEN, UPDATE, Mask, compare
from exporter_process import ClusterEntry, Exporter, openbao, wait_until
from exposition import Exposition
from fake_node import Certificates
from test_node_states import frozen, killed, sealed, without_metrics, without_retention
from watch import RAFT, wait_voters

# What our configuration calls the nodes. The first one is active before a set-up breaks something.
ENTRIES = ["bao-a", "bao-b", "bao-c"]
# A deadline that a node on a busy machine keeps; a frozen one costs it twice.
POLL = {"interval": "4s", "timeout": "3s", "stale_after": "12s"}
AGE_S = 6  # well above poll.interval: the retention's words depend on that
# At home certificates last longer than a test: with the fixture's two days every node has a WARN.
CERTIFICATE_DAYS = 60


@pytest.fixture(scope="module")
def start_cluster(tmp_path_factory):
    with contextlib.ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(fixture, "CERTIFICATE_DAYS", CERTIFICATE_DAYS)

        def start(**options) -> Cluster:
            folder = tmp_path_factory.mktemp("openbao")
            return stack.enter_context(Cluster.start(folder, die_with_parent=True, max_lifetime_s=600, **options))

        yield start


@pytest.fixture(scope="module")
def own(start_cluster):
    return start_cluster()


@pytest.fixture(scope="module")
def without_standby_reads(start_cluster):
    return start_cluster(disable_standby_reads=True)


# --- a cluster that is at rest -------------------------------------------------------


def says_all(own: Cluster, i: int) -> bool:
    """A standby may tell its peer_id some 10 s after its start only."""
    body = Exposition(own.metrics(i))
    return bool(body.samples(RAFT)) and time.time() - float(body.value("process_start_time_seconds")) > AGE_S


def is_active_for_a_while(own: Cluster, i: int) -> bool:
    said = json.loads(own.request(i, "GET", "/v1/sys/leader")[2])
    since = datetime.datetime.fromisoformat(said["active_time"])
    return time.time() - since.timestamp() > AGE_S


def settle(own: Cluster) -> list[int]:
    """Waits until every node says all that it will say; returns the nodes, the active one first."""
    active = wait_voters(own)
    wait_until("three nodes that say all", lambda: all(says_all(own, i) for i in range(3)), 40)
    wait_until("an active node that stays", lambda: is_active_for_a_while(own, active))
    return [active, *(i for i in range(3) if i != active)]


# --- what differs from run to run ----------------------------------------------------

def mask_of(own: Cluster, order: list[int], folder: Path) -> Mask:
    nodes = own.nodes
    version = json.loads(own.request(order[0], "GET", "/v1/sys/health")[2])["version"]
    words = {str(folder): "<folder>", str(own.directory): "<cluster>", version: "<version>"}
    for entry, i in zip(ENTRIES, order):
        words[nodes[i].name] = f"<{entry}>"  # its peer_id, and a name in its certificate
        words[str(nodes[i].api_port)] = f"<port of {entry}>"
    return Mask(words)


# --- the balancer --------------------------------------------------------------------


class Balancer:
    """Takes TCP connections on a port for each of our entries, all to the same node, as one does that
    chooses by the client's address or by sys/health."""

    def __init__(self, port: int):
        self._to = (LOOPBACK, port)
        self._servers = [socket.create_server((LOOPBACK, 0)) for _ in ENTRIES]
        self.ports = [server.getsockname()[1] for server in self._servers]
        for server in self._servers:
            threading.Thread(target=self._serve, args=(server,), daemon=True).start()

    def __enter__(self) -> "Balancer":
        return self

    def __exit__(self, *_) -> None:
        for server in self._servers:
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)  # wakes who waits in accept
            server.close()

    def _serve(self, server: socket.socket) -> None:
        while True:
            try:
                client, _ = server.accept()
                node = socket.create_connection(self._to)
            except OSError:  # closed
                return
            for pair in [(client, node), (node, client)]:
                threading.Thread(target=self._pass_on, args=pair, daemon=True).start()

    @staticmethod
    def _pass_on(source: socket.socket, to: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(1 << 14):
                to.sendall(piece)
        with contextlib.suppress(OSError):
            to.shutdown(socket.SHUT_WR)


# --- the set-ups ---------------------------------------------------------------------


@dataclasses.dataclass
class Bed:
    """What a set-up may change: the cluster, with the `order` of settle(), and our entry for it."""

    own: Cluster
    order: list[int]
    entry: ClusterEntry
    folder: Path
    mask: Mask


def nothing(bed: Bed) -> None:
    pass


def token(name: str, bed: Bed) -> None:
    bed.entry.token = bed.own.token(name)


def token_with_excess(bed: Bed) -> None:
    rules = 'path "sys/metrics" { capabilities = ["read"] }\npath "sys/mounts" { capabilities = ["read", "update"] }'
    policy, root = "/v1/sys/policies/acl/much", bed.own.token("root")
    status, _, body = bed.own.request(bed.order[0], "PUT", policy, root, {"policy": rules})
    assert status == 204, body
    bed.entry.token = bed.own.mint(["much"], period="24h")


def wrong_authority(bed: Bed) -> None:
    bed.entry.ca_file = Path(Certificates(bed.folder).pem("other_ca"))


def wrong_server_name(bed: Bed) -> None:
    bed.entry.nodes[1].server_name = "openbao.example.org"


def one_server_twice(url_of: int, bed: Bed) -> None:
    """By another of its names, since `check` refuses the same address twice."""
    bed.entry.nodes[2].api_url = bed.entry.nodes[url_of].api_url.replace(LOOPBACK, "localhost")


@contextlib.contextmanager
def behind_a_balancer(bed: Bed) -> Iterator[None]:
    with Balancer(bed.own.nodes[bed.order[0]].api_port) as balancer:
        for entry, port in zip(bed.entry.nodes, balancer.ports):
            entry.api_url = f"https://{LOOPBACK}:{port}"
            bed.mask.words[str(port)] = f"<balancer's port for {entry.name}>"
        yield


def unknown_name(bed: Bed) -> None:
    bed.entry.nodes[1].api_url = bed.entry.nodes[1].api_url.replace(LOOPBACK, "openbao.invalid")


@contextlib.contextmanager
def standby(state: Callable, bed: Bed) -> Iterator[None]:
    with state(bed.own, bed.order[1]):
        yield


@contextlib.contextmanager
def only_one_left(bed: Bed) -> Iterator[None]:
    """The standby goes first: whoever is left then has never been able to win an election."""
    with killed(bed.own, bed.order[1]), contextlib.ExitStack() as stack:
        bed.own.kill(bed.order[0])
        stack.callback(bed.own.restart, bed.order[0])
        yield


@dataclasses.dataclass(frozen=True)
class SetUp:
    name: str  # of its golden file
    code: int  # doctor exits with it
    put: Callable  # changes the Bed, or is a context in which its cluster is broken
    cluster: str = "own"  # a fixture


SET_UPS = [
    SetUp("healthy", 0, nothing),
    SetUp("wrong_token", 1, functools.partial(token, "wrong")),
    SetUp("token_without_policy", 1, functools.partial(token, "nopolicy")),
    SetUp("root_token", 1, functools.partial(token, "root")),
    SetUp("token_with_excess", 0, token_with_excess),
    SetUp("wrong_authority", 1, wrong_authority),
    SetUp("wrong_server_name", 1, wrong_server_name),
    SetUp("unknown_name", 1, unknown_name),
    SetUp("active_listed_twice", 1, functools.partial(one_server_twice, 0)),
    SetUp("standby_listed_twice", 1, functools.partial(one_server_twice, 1)),
    SetUp("behind_a_balancer", 1, behind_a_balancer),
    SetUp("standby_reads_off", 1, nothing, "without_standby_reads"),
    SetUp("sealed", 1, functools.partial(standby, sealed)),
    SetUp("frozen", 1, functools.partial(standby, frozen)),
    SetUp("retention_zero", 1, functools.partial(standby, without_retention)),
    SetUp("metrics_disallowed", 1, functools.partial(standby, without_metrics)),
    SetUp("killed", 1, functools.partial(standby, killed)),
    SetUp("no_active_node", 1, only_one_left),
]


# --- the tests -----------------------------------------------------------------------


@pytest.mark.parametrize("set_up", SET_UPS, ids=lambda set_up: set_up.name)
def test_what_the_doctor_prints(request, tmp_path, set_up):
    own = request.getfixturevalue(set_up.cluster)
    order = settle(own)
    entry = openbao(own)
    entry.nodes = [dataclasses.replace(entry.nodes[i], name=name) for name, i in zip(ENTRIES, order)]
    bed = Bed(own, order, entry, tmp_path, mask_of(own, order, tmp_path))
    with set_up.put(bed) or contextlib.nullcontext():
        run = Exporter(tmp_path, [bed.entry], authority=own, poll=POLL).command("doctor")
    assert run.stderr == ""
    compare(set_up.name, bed.mask(run.stdout))
    assert run.returncode == set_up.code


def test_every_golden_file_is_of_a_set_up():
    assert sorted(file.name for file in GOLDEN.iterdir()) == sorted(f"{set_up.name}.txt" for set_up in SET_UPS)


def test_a_changed_word_fails(monkeypatch):
    monkeypatch.delenv(UPDATE, raising=False)
    golden = (GOLDEN / "sealed.txt").read_text()
    assert golden.count("unseal it") == 1
    compare("sealed", golden)
    with pytest.raises(AssertionError) as failure:
        compare("sealed", golden.replace("unseal it", "restart it"))
    assert "-> restart it" in str(failure.value) and "-> unseal it" in str(failure.value)


def test_no_mask_hides_a_word():
    """Each word of each line, outside of <...>, changed as if the doctor had printed it so."""
    mask = Mask({"2.7.2": "<version>", "18000": "<port of bao-a>", "openbao-0": "<bao-a>", "/tmp": "<folder>"})
    lines = {line for file in GOLDEN.iterdir() for line in file.read_text().splitlines()}
    changed = 0
    for line in lines:
        assert mask(line) == line
        for word in re.finditer(r"[\w-]+(?![^<>]*>)", line.replace("->", "  ")):
            for other in ("", "x" + word[0], word[0] + "x"):
                assert mask(line[: word.start()] + other + line[word.end() :]) != line
                changed += 1
    assert changed > 500
