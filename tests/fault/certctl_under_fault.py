"""Fakes of certctl beside a fake node of OpenBao, behind one exporter, and a watch over all that it
says of them.

Each server's key is a canary: when the exporter stops, its log, what it serves and what /proc tells
of it is searched for all of them.
"""

import contextlib
import dataclasses
import json
import pathlib
import re
import threading
import time

import pytest
from certctl import FakeCertctl
from certctl_keys import VIEWER
from certctl_state import FakeState
from certctl_tls import SERVER_NAME, SIGNED, Material
from exporter_under_fault import ExporterUnderFault, new_token, replace_file
from fake_node import FakeNode

INTERVAL, TIMEOUT, INVENTORY = 2.0, 1.7, 6.0
LISTS = ("certificates", "agents", "jobs", "issuers", "notifications", "discovery", "health_checks")
COLLECTORS = ("metrics", *LISTS)

PUBLISHED = re.compile(r'certctl="([^"]*)"')
WORDS = re.compile(r'(collector|reason)="([^"]*)"')


def small_state():
    return FakeState(certificates=30, agents=4, jobs=10, notifications=6, discovered=4,
                     health_checks=3, same_name=0)


@dataclasses.dataclass
class Server:
    """One [[certctl]] table, and the fake that it names."""

    name: str
    fake: FakeCertctl
    key_file: pathlib.Path
    over: dict = dataclasses.field(default_factory=dict)

    def table(self):
        keys = {"name": self.name, "url": self.fake.url, "api_key_file": str(self.key_file),
                "ca_file": self.fake.ca_file, "server_name": SERVER_NAME, "interval": "2s",
                "timeout": "1700ms", "inventory_interval": "6s", **self.over}
        # A boolean, a list and a text are the same in JSON.
        return ["[[certctl]]", *(f"{key} = {json.dumps(value)}" for key, value in keys.items())]

    def put_key(self, secret):
        replace_file(self.key_file, secret + "\n")

    def new_key(self, what):
        """A key of the viewer's that is good from now on, beside those that are."""
        return self.fake.keys.add("viewer", VIEWER, secret=new_token(f"{what} of {self.name}"))


class Seen:
    """What one scrape says of one server."""

    def __init__(self, lines):
        self.reason, self.up = {}, {}
        self.ready = None
        self.had_success = False  # of its metrics, ever
        self.upstream = []     # its own samples
        self.families = set()  # what is counted from its lists
        for line in lines:
            name = line[:line.index("{")]
            if not name.startswith("certctl_state_"):
                self.upstream.append(line)
            elif name.startswith("certctl_state_collector_"):
                self._take(name, line)
            elif name == "certctl_state_ready":
                self.ready = line.endswith(" 1")
            elif name != "certctl_state_upstream_count_mismatch":
                self.families.add(name)

    def _take(self, name, line):
        said = dict(WORDS.findall(line))
        if name.endswith("_last_reason"):
            assert said["collector"] not in self.reason, line
            self.reason[said["collector"]] = said["reason"]
        elif name.endswith("_last_success_timestamp_seconds"):
            self.had_success = self.had_success or said["collector"] == "metrics"
        elif name.endswith("_up"):
            self.up[said["collector"]] = line.endswith(" 1")

    def all_ok(self, collectors=COLLECTORS):
        """These are, and are all that there are."""
        return self.reason == dict.fromkeys(collectors, "ok") and all(self.up.values())


class Moment:
    """One scrape, by server."""

    def __init__(self, scrape):
        self.when = time.monotonic()
        self.status, self.seconds = scrape.status, scrape.seconds
        self.node = []  # lines of the node of OpenBao
        self.node_up = False
        self._lines = {}
        self._seen = {}
        for line in scrape.text.splitlines():
            if line.startswith("#"):
                continue
            if found := PUBLISHED.search(line):
                self._lines.setdefault(found[1], []).append(line)
            elif line.startswith("bao_node_up{"):
                self.node_up = line.endswith(" 1")
            elif 'node_name="n1"' in line and not line.startswith("bao_"):
                self.node.append(line)

    @property
    def servers(self):
        return set(self._lines)

    def of(self, name):
        if name not in self._seen:
            self._seen[name] = Seen(self._lines.get(name, []))
        return self._seen[name]


class Ward(ExporterUnderFault):
    """An exporter with `servers`, which a test may change before write_config()."""

    def __init__(self, certificates, nodes, folder, servers, **options):
        self.servers = servers
        super().__init__(certificates, nodes, folder, **options)

    def config_text(self, **changes):
        tables = [line for server in self.servers for line in server.table()]
        return super().config_text(**changes) + "\n".join(tables) + "\n"

    def _look_at(self, path, headers=None):
        super()._look_at(path, headers)
        if path == "/sd":
            for more in ("/sd/certctl", *(f"/metrics/certctl/{one.name}" for one in self.servers)):
                super()._look_at(more)

    def moment(self):
        scrape = self.scrape(timeout=3)
        assert scrape.status == 200, f"{scrape.status} {scrape.text}"
        return Moment(scrape)

    def wait_for(self, condition, within, what, since=None):
        """The first moment for which it holds."""
        deadline = time.monotonic() + within
        while True:
            moment = self.moment()
            if condition(moment):
                return moment
            assert time.monotonic() < deadline, self._told(moment, within, what)
            time.sleep(0.03)

    def _told(self, moment, within, what):
        bad = {name: moment.of(name).reason for name in sorted(moment.servers)
               if not moment.of(name).all_ok()}
        log = "\n".join(self.log().splitlines()[-12:])
        return f"not within {within:.1f} s: {what}; not well {bad}\n{log}"

    def wait_well(self, *servers, within=15):
        """These, or all, have told everything."""
        names = [server.name for server in servers or self.servers]
        self.wait_published(within)
        return self.wait_for(lambda m: all(m.of(name).all_ok() for name in names), within,
                             "all is well")


class Watch:
    """Scrapes all the time, in a thread."""

    def __init__(self, ward, pause=0.12):
        self.moments = []
        self._ward, self._pause = ward, pause
        self._came = threading.Condition()
        self._stop = threading.Event()
        self._error = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, kind, *_):
        self._stop.set()
        self._thread.join()
        if kind is None and self._error is not None:
            raise self._error

    def _run(self):
        try:
            while not self._stop.wait(self._pause):
                moment = self._ward.moment()
                with self._came:
                    self.moments.append(moment)
                    self._came.notify_all()
        except Exception as error:  # told by whoever waits, or at the end
            self._error = error

    def since(self, when):
        """Scrapes that ended after this."""
        return [moment for moment in list(self.moments) if moment.when > when]

    def wait(self, condition, since, within, what):
        """The first moment after `since` for which it holds."""
        deadline = time.monotonic() + within
        at = 0
        with self._came:
            while True:
                for moment in self.moments[at:]:
                    if moment.when > since and condition(moment):
                        return moment
                at = len(self.moments)
                if self._error is not None:
                    raise self._error
                left = deadline - time.monotonic()
                assert left > 0, f"not within {within:.1f} s: {what}"
                self._came.wait(min(left, 0.5))


def key_in(request):
    """What it carries as a key, also where the fake did not look at it; None: nothing."""
    said = "".join(request.header("Authorization"))
    return said.removeprefix("Bearer ") if said else None


def busiest(requests, seconds=INTERVAL):
    """The most of them that came within one interval."""
    times = sorted(request.arrived for request in requests)
    most = first = 0
    for at, when in enumerate(times):
        while when - times[first] >= seconds:
            first += 1
        most = max(most, at - first + 1)
    return most


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    material = Material(tmp_path_factory.mktemp("certctl-tls"))
    for name in SIGNED:  # now: openssl's database is not made for threads
        material.pem(name)
    return material


@pytest.fixture(scope="module")
def make_server(material, tmp_path_factory):
    """make_server(name, of=class, **keys of the table); the fake ends with the file."""
    folder = tmp_path_factory.mktemp("keys")
    state = small_state()
    with contextlib.ExitStack() as stack:
        def make(name, of=FakeCertctl, state=state, certificate="server", **over):
            fake = stack.enter_context(of(state=state, material=material, certificate=certificate))
            fake.keys.revoke("viewer")
            fake.health_checks_enabled = True
            fake.events.happen()
            server = Server(name, fake, folder / f"{name}.key", over)
            server.put_key(server.new_key("the key"))
            return server
        yield make


@pytest.fixture(scope="module")
def make_ward(certificates, tmp_path_factory):
    """make_ward(servers, **options of ExporterUnderFault): with one node of OpenBao, n1."""
    with contextlib.ExitStack() as stack:
        def make(servers, start=True, **options):
            options = {"interval": "2s", "timeout": "1900ms", "stale_after": "6s", **options}
            node = FakeNode(certificates, "n1", "active", 1)
            stack.callback(node.stop)
            ward = Ward(certificates, [node], tmp_path_factory.mktemp("ward"), servers, **options)
            stack.callback(ward.stop)
            return ward.start() if start else ward
        yield make
