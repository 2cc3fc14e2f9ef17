"""The exporter as a process of its own, polling fake nodes, and what its port says.

It runs at debug level, and its tokens are canaries: whenever it is stopped, what it wrote, what it
serves and what /proc tells of it is searched for them.
"""

import contextlib
import functools
import gzip
import http.client
import os
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import threading
import time

from canary import Search, canary, leaks
from prometheus_client.parser import text_string_to_metric_families

CANARIES = {}  # name -> token: what no exporter of this process may let out


def new_token(name, prefix=""):
    """A random token that every exporter is searched for from now on."""
    CANARIES[name] = canary(prefix)
    return CANARIES[name]


UPSTREAM_TOKEN = new_token("the upstream token", "s.")
SCRAPE_TOKEN = new_token("the scrape token")
OWN_PREFIXES = ("bao_node_", "bao_cluster_", "bao_token_", "bao_exporter_", "certctl_state_")

SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')


class Scrape:
    """One answer of the port."""

    def __init__(self, status, headers, body, seconds):
        self.status = status
        self.headers = headers
        self.body = body
        self.seconds = seconds
        self._samples = None

    @functools.cached_property
    def text(self):
        return self.body.decode()

    @property
    def samples(self):
        """Every sample as (name, labels, value, line)."""
        if self._samples is None:
            self._samples = []
            for line in self.text.splitlines():
                if line.startswith("#") or not line:
                    continue
                found = SAMPLE.match(line)
                assert found, f"not a sample: {line!r}"
                self._samples.append(
                    (found[1], dict(LABEL.findall(found[2] or "")), found[3], line))
        return self._samples

    def find(self, name, **labels):
        return [sample for sample in self.samples
                if sample[0] == name and labels.items() <= sample[1].items()]

    def value(self, name, **labels):
        found = self.find(name, **labels)
        assert len(found) == 1, f"{len(found)} of {name} {labels}"
        return float(found[0][2])

    def counter(self, name, **labels):
        return sum(float(sample[2]) for sample in self.find(name, **labels))

    def up(self, node):
        return self.value("bao_node_up", node_name=node) == 1

    def reason(self, node):
        found = self.find("bao_node_last_poll_reason", node_name=node)
        assert len(found) == 1 and found[0][2] == "1", found
        return found[0][1]["reason"]

    def role(self, node):
        found = [s[1]["node_role"] for s in self.find("bao_node_role", node_name=node)
                 if s[2] == "1"]
        assert len(found) == 1, found
        return found[0]

    def role_source(self, node):
        return self.find("bao_node_info", node_name=node)[0][1]["role_source"]

    def polls(self, node, reason=None):
        labels = {"node_name": node} | ({"reason": reason} if reason else {})
        return self.counter("bao_node_polls_total", **labels)

    def poll_counts(self, node):
        return {s[1]["reason"]: float(s[2])
                for s in self.find("bao_node_polls_total", node_name=node)}

    def dropped(self, node, cause):
        return self.value("bao_node_samples_dropped_total", node_name=node, cause=cause)

    def lines_of(self, node):
        """What the node itself sent, as it is served."""
        return [line for name, labels, _, line in self.samples
                if labels.get("node_name") == node and not name.startswith(OWN_PREFIXES)]

    def check_valid(self):
        """One HELP and TYPE a family, no series twice, and a strict parser reads it."""
        assert self.body.endswith(b"\n")
        headers = [line.split(" ")[:3] for line in self.text.splitlines() if line.startswith("# ")]
        keys = [tuple(header) for header in headers]
        assert len(keys) == len(set(keys)), [key for key in keys if keys.count(key) > 1]
        series = [(name, tuple(sorted(labels.items()))) for name, labels, _, _ in self.samples]
        assert len(series) == len(set(series))
        parsed = sum(len(family.samples) for family in text_string_to_metric_families(self.text))
        assert parsed == len(series)


def milliseconds(text):
    return float(text[:-2]) if text.endswith("ms") else float(text[:-1]) * 1000


def replace_file(path, content):
    """As one should: written beside the old file, then renamed over it."""
    path = pathlib.Path(path)
    beside = path.with_name(path.name + ".new")
    beside.write_bytes(content if isinstance(content, bytes) else content.encode())
    beside.chmod(0o600)
    beside.replace(path)


@functools.lru_cache(maxsize=1)
def search_for(canaries):
    return Search(dict(canaries))


def leaks_in(places):
    """Where a canary is; a list of words without it."""
    return leaks(search_for(tuple(CANARIES.items())), places)


class ServiceManager:
    """The socket that systemd would hold, and what came on it, with the time of arrival."""

    def __init__(self, folder):
        self.path = str(pathlib.Path(folder) / "notify")
        self.said = []  # (time.monotonic(), message)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)
        threading.Thread(target=self._receive, daemon=True).start()

    @property
    def environment(self):
        return {"NOTIFY_SOCKET": self.path, "WATCHDOG_USEC": "30000000"}

    def _receive(self):
        while True:
            message = self._socket.recv(4096).decode()
            self.said.append((time.monotonic(), message))

    def times_of(self, line):
        """When each message arrived that has this line."""
        return [when for when, message in list(self.said) if line in message.split("\n")]

    def wait_for(self, line, within, more_than=0):
        """The message with this line, the one after `more_than` others."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            found = [message for _, message in list(self.said) if line in message.split("\n")]
            if len(found) > more_than:
                return found[more_than]
            time.sleep(0.001)
        raise AssertionError(f"{line} did not come within {within} s; came: {self.said}")


class ExporterUnderFault:
    def __init__(self, certificates, nodes, folder, interval="1s", timeout="700ms",
                 stale_after="3s", limits=(), prefix=(), environment=None, urls=None,
                 binary="BAO_EXPORTER", **settings):
        self.binary = os.environ.get(binary, "")
        assert os.access(self.binary, os.X_OK), f"{binary} must name the program to test"
        self.certificates = certificates
        self.nodes = nodes
        self.folder = pathlib.Path(folder)
        self.prefix = list(prefix)
        self.environment = environment or {}
        self.pass_fds = ()
        self.process = None
        self.port = None
        self.log_file = self.folder / "exporter.log"
        self._served = {}  # path -> what was last served there, with its headers
        self._client = ssl.create_default_context(cafile=certificates.pem("ca"))
        for name, text in (("scrape.token", SCRAPE_TOKEN), ("openbao.token", UPSTREAM_TOKEN)):
            replace_file(self.folder / name, text + "\n")
        self.config_file = self.folder / "exporter.toml"
        self.settings = {
            "address": "127.0.0.1:0", "connections_max": 20,
            "cert_file": certificates.pem("node"), "key_file": certificates.key("node"),
            "interval": interval, "timeout": timeout, "stale_after": stale_after,
            "limits": limits, "listener": (), "ca_file": certificates.pem("ca"), "token_file": "openbao.token",
            "urls": urls or {}, "more": (), "token_files": '["scrape.token"]', "profile": None,
            "auth_method": "token_file", "auth": (), "others": (), "without_api": (), **settings}
        self.write_config()

    def config_text(self, **changes):
        """The configuration with `self.nodes`, and with these settings for this once. `listener`:
        more lines of [listener]; `auth`: lines of [openbao.auth]; `others`: further clusters, each (name, nodes, lines of auth)."""
        said = self.settings | changes
        lines = [
            "[listener]", f'address = "{said["address"]}"',
            f'tls_cert_file = "{said["cert_file"]}"',
            f'tls_key_file = "{said["key_file"]}"',
            f'token_files = {said["token_files"]}',
            f'connections_max = {said["connections_max"]}', *said["listener"],
            "[poll]", f'interval = "{said["interval"]}"', f'timeout = "{said["timeout"]}"',
            f'stale_after = "{said["stale_after"]}"',
            "[limits]", *said["limits"], *said["more"],
        ]
        auth = said["auth"] or ([f'token_file = "{said["token_file"]}"']
                                if said["auth_method"] == "token_file" else
                                [f'method = "{said["auth_method"]}"'])
        for cluster, nodes, its_auth in [("fake", self.nodes, auth), *said["others"]]:
            lines += self._cluster_lines(cluster, nodes, its_auth, said)
        return "\n".join(lines) + "\n"

    def _cluster_lines(self, cluster, nodes, auth, said):
        lines = ["[[openbao]]", f'cluster = "{cluster}"']
        if said["profile"]:
            lines.append(f'profile = "{said["profile"]}"')
        if said["ca_file"]:
            lines.append(f'ca_file = "{said["ca_file"]}"')
        lines += ["[openbao.auth]", *auth]
        for node in nodes:
            lines += self._node_lines(node, said)
        return lines

    @staticmethod
    def _node_lines(node, said):
        url = said["urls"].get(node.name, node.url)
        key = f'api_url = "{url}"'
        if node.name in said["without_api"]:
            key = f'metrics_url = "{url}/v1/sys/metrics"'
        return ["[[openbao.node]]", f'name = "{node.name}"', key]

    def write_config(self, **changes):
        """Replaces the file; these settings stay changed. Who runs already has to be told."""
        self.settings |= changes
        self.interval = milliseconds(self.settings["interval"]) / 1000
        self.timeout = milliseconds(self.settings["timeout"]) / 1000
        replace_file(self.config_file, self.config_text())

    def start(self):
        # In a session of its own, so that what a prefix started ends with it.
        self.log_file.write_bytes(b"")
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, self.binary, "--config.file", str(self.config_file),
                 "--log.level", "debug"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                pass_fds=self.pass_fds, env={**os.environ, **self.environment})
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            found = re.search(r'msg="?listening"? address=127\.0\.0\.1:(\d+)', self.log())
            if found:
                self.port = int(found[1])
                return self
            assert self.process.poll() is None, f"ended at once:\n{self.log()}"
            time.sleep(0.02)
        raise AssertionError(f"does not listen:\n{self.log()}")

    def stop(self):
        """Ends it, and then: no canary was anywhere."""
        if self.process is None:
            return
        places = self.places()
        self._end()
        places["its log"] = self.log_file.read_bytes()  # stdout and stderr, the last words too
        found = leaks_in(places)
        assert found == [], "\n".join(["it let tokens out:", *found])

    def _end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(10)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def places(self):
        """Everything that others can see of it: name -> bytes. Of what it serves that is the last
        answer that a test got, where it does not answer now."""
        found = {"its log": self.log_file.read_bytes()}
        if self.process.poll() is None:
            for name in ("cmdline", "environ", "status", "comm"):
                # Closed to other users than root: then that is what is wanted.
                with contextlib.suppress(PermissionError, FileNotFoundError, ProcessLookupError):
                    found[f"/proc/PID/{name}"] = pathlib.Path(
                        f"/proc/{self.process.pid}/{name}").read_bytes()
            if self.port is not None:
                with contextlib.suppress(AssertionError, http.client.HTTPException):
                    for path in ("/metrics", "/metrics/exporter", "/sd"):
                        self._look_at(path)
                    self._look_at("/metrics", {"Accept-Encoding": "gzip"})
        return found | self._served

    def _look_at(self, path, headers=None):
        for name, token in CANARIES.items():  # tests change which one is good
            if "scrape" in name and self.scrape(
                    path=path, token=token, headers=headers).status != 401:
                return

    def log(self):
        return self.log_file.read_text(errors="replace")

    def log_lines(self, *words, since=0):
        """The lines that have all of these, in the part of the log behind `since` bytes."""
        text = self.log_file.read_bytes()[since:].decode(errors="replace")
        return [line for line in text.splitlines() if all(f" {word} " in line + " "
                                                          for word in words)]

    def log_bytes(self):
        return self.log_file.stat().st_size

    def resident_bytes(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024

    def poll_seconds(self, node, reason):
        """How long each poll of the node that ended for this reason took, as the log tells."""
        return [float(seconds) for seconds in re.findall(
            rf'msg="poll ended" node=fake/{node} reason={reason} seconds=([0-9.]+)', self.log())]

    # The port.

    def connect(self, timeout=1.0):
        if self.settings["cert_file"] == "":
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=timeout,
                                           context=self._client)

    def scrape(self, timeout=1.0, path="/metrics", token=SCRAPE_TOKEN, headers=None):
        """A scrape on a new connection; the port has to answer within `timeout`."""
        started = time.monotonic()
        connection = self.connect(timeout)
        shown = {} if self.settings["token_files"] == "[]" else {"Authorization": f"Bearer {token}"}
        try:
            connection.request("GET", path, headers={**shown, **(headers or {})})
            answer = connection.getresponse()
            body = answer.read()
            took = time.monotonic() - started
            self._keep_for_search(path, answer, body)
            return Scrape(answer.status, dict(answer.getheaders()), body, took)
        except OSError as error:
            raise AssertionError(
                f"the port did not answer within {timeout} s: {error!r}") from error
        finally:
            connection.close()

    def _keep_for_search(self, path, answer, body):
        packed = answer.getheader("Content-Encoding") == "gzip"
        plain = gzip.decompress(body) if packed else body
        name = f"{path}{' as gzip' if packed else ''} ({answer.status})"
        self._served[name] = str(answer.headers).encode() + plain

    def wait(self, condition, within, what, each=None):
        """Scrapes until `condition(scrape)`; `each(scrape)` is called with every scrape."""
        deadline = time.monotonic() + within
        while True:
            scrape = self.scrape()
            assert scrape.status == 200, f"{scrape.status} {scrape.text}"
            assert scrape.seconds < 1, f"the port answered after {scrape.seconds:.2f} s"
            if each is not None:
                each(scrape)
            if condition(scrape):
                return scrape
            if time.monotonic() > deadline:
                said = {node.name: (scrape.up(node.name), scrape.reason(node.name),
                                    scrape.role(node.name)) for node in self.nodes}
                log = "\n".join(self.log().splitlines()[-12:])
                raise AssertionError(f"not within {within:.1f} s: {what}; now {said}\n{log}")
            time.sleep(0.05)

    def wait_published(self, within=10):
        """The first scrape that is not 503."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            scrape = self.scrape()
            if scrape.status == 200:
                return scrape
            time.sleep(0.05)
        raise AssertionError(f"nothing was published within {within} s:\n{self.log()}")

    def wait_all_up(self):
        self.wait_published()
        return self.wait(lambda scrape: all(scrape.up(node.name) for node in self.nodes),
                         3 * self.interval + self.timeout, "every node is up")

    def wait_rounds(self, node, count, each=None, within=None):
        """`count` more polls of the node."""
        before = self.scrape().polls(node)
        return self.wait(lambda scrape: scrape.polls(node) >= before + count,
                         within or (count + 2) * self.interval + self.timeout,
                         f"{count} polls of {node}", each)


@contextlib.contextmanager
def rigs(make_rig, **defaults):
    """make_rig() for exporters that end with the test, not with the file. `make(configure=...)`:
    what is called with the rig before it starts."""
    with contextlib.ExitStack() as stack:
        def make(roles=("standby", "active", "standby"), configure=None, start=True, **options):
            rig = make_rig(roles, start=False, **{**defaults, **options})
            for node in rig.nodes:
                stack.callback(node.stop)
            stack.callback(rig.stop)
            if configure is not None:
                configure(rig)
                rig.write_config()
            return rig.start() if start else rig
        yield make


# --- who is active, who is refused --------------------------------------------------------------

def served_as_active(scrape):
    """Nodes whose own samples say that they are active."""
    return {s[1]["node_name"] for s in scrape.find("vault_core_active") if s[2] == "1"}


def roles_of_active(scrape):
    return {s[1]["node_name"] for s in scrape.find("bao_node_role", node_role="active")
            if s[2] == "1"}


def never_two(scrape):
    assert len(served_as_active(scrape)) <= 1, served_as_active(scrape)
    assert len(roles_of_active(scrape)) <= 1, roles_of_active(scrape)


def watch(rig, seconds, each):
    """Scrapes in a loop; gives how many."""
    deadline = time.monotonic() + seconds
    count = 0
    while time.monotonic() < deadline:
        scrape = rig.scrape()
        assert scrape.status == 200
        each(scrape)
        count += 1
        time.sleep(0.02)
    return count


# --- the common rule ----------------------------------------------------------------------------

class Verdict:
    """The scrape that showed the fault, and the one before it."""

    def __init__(self, scrape, before):
        self.scrape = scrape
        self.before = before


def prove_fault(rig, inflict, reasons, also=(), during=None):
    """The rule for every fault. `inflict(node)` breaks the first node. Then: its bao_node_up is 0
    with exactly one of `reasons`, its samples are gone, every other node's are the same bytes as
    before, the port answers 200 within a second; after heal() it is back within one interval and
    timeout.

    `also`: reasons that the one poll may have that was under way when the fault began (a fault of
    connections cuts it). `during(scrape)` is called while the fault lasts.
    """
    reasons = {reasons} if isinstance(reasons, str) else set(reasons)
    victim, *others = rig.nodes
    before = rig.wait_all_up()
    good = {node.name: before.lines_of(node.name) for node in rig.nodes}
    assert all(good.values())

    def others_untouched(scrape):
        for node in others:
            assert scrape.lines_of(node.name) == good[node.name], f"{node.name} was touched"
            assert scrape.up(node.name) and scrape.reason(node.name) == "ok"

    def on_each(scrape):
        others_untouched(scrape)
        if during is not None:
            during(scrape)

    def fell(scrape):
        grown = sum(scrape.polls(victim.name, reason) - before.polls(victim.name, reason)
                    for reason in reasons)
        return grown >= 1 and scrape.reason(victim.name) in reasons

    inflict(victim)
    try:
        under = rig.wait(fell, 2 * rig.interval + 2 * rig.timeout, f"reason {sorted(reasons)}",
                         on_each)
        assert not under.up(victim.name)
        assert under.lines_of(victim.name) == []
        assert under.value("bao_node_samples", node_name=victim.name) == 0
        under.check_valid()
        counted = {reason: value - before.poll_counts(victim.name).get(reason, 0)
                   for reason, value in under.poll_counts(victim.name).items()}
        other = {reason: grown for reason, grown in counted.items()
                 if grown > 0 and reason not in reasons | {"ok"} | set(also)}
        assert other == {}, f"polls also became {other}"
    except BaseException:
        victim.heal()
        time.sleep(rig.interval + rig.timeout)  # the next test starts from what is good
        raise
    victim.heal()
    after = rig.wait(lambda scrape: scrape.up(victim.name), rig.interval + rig.timeout,
                     f"{victim.name} is back", others_untouched)
    assert after.reason(victim.name) == "ok"
    assert after.lines_of(victim.name) == good[victim.name]
    return Verdict(under, before)
