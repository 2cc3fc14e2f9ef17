"""bao-exporter as a process, in front of a fake certctl server in the test's own.

    with CertctlRig(tmp_path, state=FakeState(certificates=50)) as rig:
        rig.wait("the inventory", lambda scrape: scrape.samples("certctl_state_certificates"))
        rig.fake.faults.database_down = True

The fake is rig.fake; the key is in a file of its own, rig.key_file, which rig.use_key() replaces.
"""

from __future__ import annotations

import re
import signal
from pathlib import Path

import exporter_process
from certctl import FakeCertctl
from certctl_state import FakeState
from certctl_tls import SERVER_NAME, Material
from exporter_process import Exporter, wait_until
from exposition import Exposition

NAME = "ctl"
COLLECTORS = ("metrics", "certificates", "agents", "jobs", "issuers", "notifications", "discovery", "health_checks")
PACE = {"interval": "1s", "timeout": "800ms", "inventory_interval": "2s"}


class Authority:
    """What an Exporter takes its listener's certificate from, where there is no cluster."""

    def __init__(self, material: Material):
        self.material = material
        self.ca_file = material.ca_file

    def issue_certificate(self, _: str) -> tuple[str, str]:
        return self.material.pem("loopback"), self.material.key("loopback")


class CertctlExporter(Exporter):
    """`certctl`: the [[certctl]] tables."""

    def __init__(self, folder: Path, clusters: list, certctl: list[dict], **more):
        super().__init__(folder, clusters, **more)
        self._rest = self.config.read_text()
        self.write_certctl(certctl)

    def write_certctl(self, tables: list[dict]) -> None:
        """Replaces the file; who runs already has to be told."""
        text = "".join(f"[[certctl]]\n{exporter_process._toml(table)}\n" for table in tables)
        fresh = self.config.with_suffix(".new")
        exporter_process.write_private(fresh, self._rest + text)
        fresh.replace(self.config)

    def reload(self) -> None:
        self._process.send_signal(signal.SIGHUP)


class CertctlRig:
    """`state`: the fake's FakeState. `key`: a name of the fake's keys, or None: no key file. `certctl`:
    keys of the [[certctl]] table, over PACE. `more`: further [[certctl]] tables, as server_table() makes
    them. `clusters`: ClusterEntry of exporter_process. Other tables by name: poll={...}, limits={...}.
    `ready`: start() waits until /metrics answers 200."""

    def __init__(
        self,
        folder: Path,
        *,
        state: FakeState | None = None,
        key: str | None = "viewer",
        certctl: dict | None = None,
        more: list[dict] = (),
        clusters: list = (),
        fake: FakeCertctl | None = None,
        material: Material | None = None,
        log_level: str = "debug",
        ready: bool = True,
        **tables: dict,
    ):
        folder = Path(folder)
        self.folder = folder
        self.material = material or (fake.material if fake else Material(folder / "tls"))
        self.fake = fake or FakeCertctl(state=state, material=self.material)
        self.key_file = folder / "certctl.key"
        if key is not None:
            self.fake.write_key(self.key_file, key)
        self.table = server_table(self.fake, NAME, self.key_file, **(certctl or {}))
        self.more = list(more)
        self.exporter = CertctlExporter(
            folder / "exporter",
            list(clusters),
            [self.table, *self.more],
            authority=Authority(self.material),
            log_level=log_level,
            **tables,
        )
        self.ready = ready

    def __enter__(self) -> "CertctlRig":
        try:
            return self.start()
        except BaseException:
            self.fake.__exit__()
            raise

    def __exit__(self, kind, *_) -> None:
        try:
            if kind is None:
                self.exporter.stop()
                self.no_key_in_the_log()
            else:
                self.exporter.end()
        finally:
            self.fake.__exit__()

    def start(self) -> "CertctlRig":
        if not self.ready:
            self.exporter._answers = lambda: True
        self.exporter.start()
        return self

    def restart(self) -> None:
        self.exporter.stop()
        self.start()

    def reconfigure(self, **certctl) -> None:
        """Lays these over the [[certctl]] table and reloads."""
        self.table |= certctl
        self.exporter.write_certctl([self.table, *self.more])
        self.exporter.reload()

    def use_key(self, name: str) -> None:
        self.fake.write_key(self.key_file, name)

    def scrape(self) -> Exposition:
        return self.exporter.scrape()

    def wait(self, what: str, probe, timeout: float = 20.0):
        """Scrapes until probe(scrape) gives something true; that scrape."""

        def probed():
            scrape = self.scrape()
            return probe(scrape) and scrape

        try:
            return wait_until(what, probed, timeout)
        except AssertionError as error:
            tail = "\n".join(self.log().splitlines()[-15:])
            raise AssertionError(f"{error}\nits log ends:\n{tail}") from error

    def log(self) -> str:
        return self.exporter.log()

    def log_lines(self, *words: str, since: int = 0) -> list[str]:
        """The lines from line `since` on that have all of these texts in them."""
        return [line for line in self.log().splitlines()[since:] if all(word in line for word in words)]

    def no_key_in_the_log(self) -> None:
        text = self.log()
        for secret in self.fake.keys._by_secret:
            assert secret not in text, "a key is in the log"


def server_table(fake: FakeCertctl, name: str, key_file: Path, **over) -> dict:
    """A [[certctl]] table; a key that is None is left out."""
    table = {
        "name": name,
        "url": fake.url,
        "api_key_file": str(key_file),
        "ca_file": fake.ca_file,
        "server_name": SERVER_NAME,
        **PACE,
        **over,
    }
    return {key: value for key, value in table.items() if value is not None}


# --- what is published of a server ------------------------------------------------------------------


def counts(scrape: Exposition, family: str, *labels: str, certctl: str = NAME) -> dict:
    """{value of the label, or of the labels: count}; one value without a label is under None."""
    found = {}
    for sample in scrape.samples(f"certctl_state_{family}", certctl=certctl):
        values = tuple(sample.labels[label] for label in labels)
        key = None if not labels else values[0] if len(labels) == 1 else values
        assert key not in found, f"{family} {key} twice"
        found[key] = float(sample.value)
    return found


def up(scrape: Exposition, collector: str, certctl: str = NAME) -> bool | None:
    """None: nothing is said of it."""
    found = scrape.samples("certctl_state_collector_up", collector=collector, certctl=certctl)
    return {"1": True, "0": False}[found[0].value] if found else None


def reason(scrape: Exposition, collector: str, certctl: str = NAME) -> str | None:
    found = scrape.samples("certctl_state_collector_last_reason", collector=collector, certctl=certctl)
    assert len(found) <= 1, found
    return found[0].labels["reason"] if found else None


def last_success(scrape: Exposition, collector: str, certctl: str = NAME) -> float:
    """Seconds since 1970; 0: never."""
    found = scrape.samples(
        "certctl_state_collector_last_success_timestamp_seconds", collector=collector, certctl=certctl
    )
    return float(found[0].value) if found else 0.0


def reasons(scrape: Exposition, certctl: str = NAME) -> dict[str, str | None]:
    return {collector: reason(scrape, collector, certctl) for collector in COLLECTORS}


def wait_reasons(rig: CertctlRig, timeout: float = 20.0, **wanted: str) -> Exposition:
    """A scrape in which these collectors ended with these reasons."""

    def ended(scrape):
        said = {collector: reason(scrape, collector) for collector in wanted}
        assert said == wanted, said
        return True

    return rig.wait(f"reasons {wanted}", ended, timeout)


def inventories(rig: CertctlRig) -> list[tuple[int, float]]:
    """(requests, seconds) of each whole inventory that ended, as the log tells."""
    found = re.findall(r'msg="certctl inventory" certctl=(\S+) took="(\d+) requests in ([0-9.]+) s"', rig.log())
    return [(int(requests), float(seconds)) for name, requests, seconds in found if name == NAME]


def wait_inventory(rig: CertctlRig, count: int = 1, timeout: float = 20.0) -> Exposition:
    """A scrape after `count` more whole inventories ended and were published."""
    before = len(inventories(rig))

    def ended():
        parts = rig.log().split(f'msg="certctl inventory" certctl={NAME} ')
        return len(parts) > before + count and 'msg="published"' in parts[-1] or len(parts) > before + count + 1

    wait_until(f"{count} inventories", ended, timeout)
    return rig.scrape()
