#!/usr/bin/env python3
"""The demo: a real three-node OpenBao cluster, a FAKE certctl (tests/fake: the real one is in no
package registry), bao-exporter in front of both, and what it shows.

Everything lives in one temporary folder and ends with this process: by Ctrl-C, by `--once`, or
when it is killed (the kernel ends the servers then).
"""

from __future__ import annotations

import argparse
import os
import secrets
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import cluster as fixture

HEAD_LINES = 12
START_SECONDS = 20
TABLE_SECONDS = 1.0
CERTIFICATES = 332
FAKE_CERTCTL = Path(__file__).parent.parent / "fake" / "certctl.py"


class DemoError(RuntimeError):
    """What went wrong, with what to look at."""


def say(text: str = "") -> None:
    print(text, flush=True)


def write_private(path: Path, text: str) -> Path:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    return path


def free_port() -> int:
    """A port below the ephemeral range for what cannot choose one itself."""
    for port in range(19090, 19190):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise DemoError("no free port between 19090 and 19190 for Prometheus")


def wait_for(what: str, seconds: float, attempt):
    """The first result of `attempt` that is not None; an error that says what was waited for."""
    deadline = time.monotonic() + seconds
    while (result := attempt()) is None:
        if time.monotonic() > deadline:
            raise DemoError(f"{what}: not within {seconds:g} s")
        time.sleep(0.05)
    return result


class Certctl:
    """The fake, in a process of its own."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.log = folder.with_suffix(".log")
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                [sys.executable, FAKE_CERTCTL, "--dir", folder, "--certificates", str(CERTIFICATES),
                 "--owner-pid", str(os.getpid())],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                preexec_fn=fixture.die_with_parent(),
            )
        self.url = wait_for("the fake certctl", START_SECONDS, self._url)

    def _url(self) -> str | None:
        if self.process.poll() is not None:
            raise DemoError(f"the fake certctl ended with {self.process.returncode}:\n{self.log.read_text()}")
        file = self.folder / "url"
        return file.read_text().strip() or None if file.exists() else None

    def stop(self) -> None:
        stop_process(self.process)


class Exporter:
    """The real binary with a real configuration."""

    def __init__(self, binary: Path, folder: Path, cluster: fixture.Cluster, certctl: Certctl):
        self.binary = binary
        self.folder = folder
        self.cluster = cluster
        self.certctl = certctl
        self.log = folder / "bao-exporter.log"
        self.ca_file = cluster.ca_file
        self.token = secrets.token_urlsafe(32)
        self.token_file = write_private(folder / "scrape.token", self.token + "\n")
        self.config = folder / "bao-exporter.toml"
        self._write_config("127.0.0.1:0")
        self.process = self._start()
        self.address = wait_for("the exporter's address in " + str(self.log), START_SECONDS, self._address)
        self._write_config(self.address)  # so that `bao-exporter nodes` finds it

    def _write_config(self, address: str) -> None:
        certificate, key = self.cluster.issue_certificate("exporter")
        nodes = "".join(
            f'\n[[openbao.node]]\nname = "{node.name}"\napi_url = "{node.api_url}"\n' for node in self.cluster.nodes
        )
        self.config.write_text(
            f"""[listener]
address = "{address}"
tls_cert_file = "{certificate}"
tls_key_file = "{key}"
token_files = ["scrape.token"]
self_token_file = "scrape.token"
self_ca_file = "{self.ca_file}"

[poll]
interval = "2s"
timeout = "1500ms"
stale_after = "6s"

[[openbao]]
cluster = "demo"
ca_file = "{self.ca_file}"

[openbao.auth]
token_file = "{self.cluster.directory}/tokens/metrics"
{nodes}
[[certctl]]
name = "fake-certctl"
url = "{self.certctl.url}"
api_key_file = "{self.certctl.folder}/keys/viewer"
ca_file = "{self.certctl.folder}/ca.pem"
server_name = "certctl-server"
interval = "10s"
timeout = "5s"
inventory_interval = "1m"
"""
        )

    def _start(self) -> subprocess.Popen:
        with open(self.log, "w") as log:
            return subprocess.Popen(
                [self.binary, "--config.file", self.config],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is ours to handle
                preexec_fn=fixture.die_with_parent(),
            )

    def _address(self) -> str | None:
        if self.process.poll() is not None:
            raise DemoError(f"bao-exporter ended with {self.process.returncode}:\n{self.log.read_text()}")
        for line in self.log.read_text().splitlines():
            if 'msg="listening"' in line:
                return line.split("address=")[1].split()[0]
        return None

    @property
    def url(self) -> str:
        return f"https://{self.address}/metrics"

    def scrape(self) -> str | None:
        request = urllib.request.Request(self.url, headers={"Authorization": f"Bearer {self.token}"})
        context = ssl.create_default_context(cafile=str(self.ca_file))
        try:
            with urllib.request.urlopen(request, context=context, timeout=5) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError as error:
            if error.code == 503:
                return None  # the first polls have not ended yet
            raise

    def nodes(self) -> str:
        command = [self.binary, "nodes", "--config.file", self.config]
        table = subprocess.run(command, capture_output=True, text=True, timeout=20)
        if table.returncode != 0:
            raise DemoError(f"bao-exporter nodes failed: {table.stderr}")
        return table.stdout

    def stop(self) -> None:
        stop_process(self.process)


def stop_process(process: subprocess.Popen) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def start_prometheus(binary: Path, folder: Path, exporter: Exporter) -> tuple[subprocess.Popen, str]:
    """Debian's Prometheus on the exporter, as the README's scrape configuration has it."""
    config = folder / "prometheus.yml"
    config.write_text(
        f"""global:
  scrape_interval: 2s
  scrape_timeout: 2s
scrape_configs:
  - job_name: bao-exporter
    honor_labels: true
    scheme: https
    authorization:
      credentials_file: {exporter.token_file}
    tls_config:
      ca_file: {exporter.ca_file}
    static_configs:
      - targets: ["{exporter.address}"]
"""
    )
    address = f"127.0.0.1:{free_port()}"
    with open(folder / "prometheus.log", "w") as log:
        process = subprocess.Popen(
            [
                binary,
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'prometheus'}",
                f"--web.listen-address={address}",
            ],
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=fixture.die_with_parent(),
        )

    def ready() -> bool | None:
        if process.poll() is not None:
            raise DemoError(f"Prometheus ended:\n{(folder / 'prometheus.log').read_text()[-2000:]}")
        try:
            with urllib.request.urlopen(f"http://{address}/-/ready", timeout=2):
                return True
        except OSError:
            return None

    wait_for("Prometheus", START_SECONDS, ready)
    return process, f"http://{address}"


def show(exporter: Exporter, scrape: str) -> None:
    say("\nThe nodes, as `bao-exporter nodes` tells them:\n")
    say(exporter.nodes())
    lines = scrape.splitlines()
    say(f"The head of the scrape ({len(lines)} lines, {len(scrape)} bytes):\n")
    say("\n".join(lines[:HEAD_LINES]))
    say("...\n")
    say("From the FAKE certctl, its own counts and what its lists hold:\n")
    say("\n".join(certctl_counts(lines)) + "\n")
    say("Try it yourself:\n")
    say(f'  curl --cacert {exporter.ca_file} -H "Authorization: Bearer $(cat {exporter.token_file})" {exporter.url}\n')


def certctl_counts(lines: list[str]) -> list[str]:
    """What certctl says is expired or revoked, and what is (facts: it counts the 50 oldest rows)."""
    def total(name: str, label: str = "") -> int:
        return sum(int(float(line.rsplit(" ", 1)[1])) for line in lines
                   if line.startswith(name + "{") and label in line)

    rows = [f"    {'':10} certctl says   bao-exporter says"]
    for status in ("expired", "revoked"):
        ours = total("certctl_state_certificates", f'status="{status.capitalize()}"')
        rows.append(f"    {status:10} {total(f'certctl_certificate_{status}'):12}   {ours:17}")
    return rows


def roles_in(table: str) -> list[list[str]]:
    """Of the nodes; after an empty line come the certctl servers."""
    nodes = table.split("\n\n")[0]
    return [line.split()[:2] for line in nodes.splitlines()[1:]]


def follow(exporter: Exporter, table: str) -> None:
    """Prints the table again whenever a role changes, until Ctrl-C."""
    here = Path(__file__).with_name("cluster.py")
    say("Watching the roles; Ctrl-C ends everything. In another terminal, for instance:\n")
    say(f"  python3 {here} kill --dir {exporter.cluster.directory} --node 0")
    say(f"  python3 {here} restart --dir {exporter.cluster.directory} --node 0\n")
    while True:
        time.sleep(TABLE_SECONDS)
        if exporter.process.poll() is not None:
            raise DemoError(f"bao-exporter ended with {exporter.process.returncode}: see its log\n"
                            f"{exporter.log.read_text()[-2000:]}")
        now = exporter.nodes()
        if roles_in(now) != roles_in(table):
            say(time.strftime("%H:%M:%S\n") + now)
            table = now


def expect_one_active(table: str, nodes: int) -> None:
    roles = sorted(role for _, role in roles_in(table))
    if roles != ["active"] + ["standby"] * (nodes - 1):
        raise DemoError(f"expected one active and {nodes - 1} standby nodes, got: {', '.join(roles)}")


def run(arguments: argparse.Namespace, folder: Path) -> None:
    say("==> a real OpenBao cluster of three nodes")
    cluster = fixture.Cluster.start(
        folder / "cluster", bao=arguments.bao, die_with_parent=True, progress=lambda line: say("    " + line)
    )
    exporter = prometheus = certctl = None
    try:
        say(f"==> a FAKE certctl with {CERTIFICATES} certificates, whose own counts are as wrong as the real one's")
        certctl = Certctl(folder / "certctl")
        say("==> bao-exporter")
        exporter = Exporter(arguments.exporter, folder, cluster, certctl)
        scrape = wait_for("the first answer of the exporter", START_SECONDS, exporter.scrape)
        if arguments.scrape_file:
            arguments.scrape_file.write_text(scrape)
        table = exporter.nodes()
        show(exporter, scrape)
        expect_one_active(table, len(cluster.nodes))
        if arguments.prometheus:
            prometheus, address = start_prometheus(arguments.prometheus_bin, folder, exporter)
            say(f"Prometheus scrapes it: {address}/graph?g0.expr=bao_node_role%20%3D%3D%201\n")
        if not arguments.once:
            follow(exporter, table)
    finally:
        say("==> stopping")
        if prometheus is not None:
            stop_process(prometheus)
        if exporter is not None:
            exporter.stop()
        if certctl is not None:
            certctl.stop()
        cluster.stop()


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="end after printing")
    parser.add_argument("--prometheus", action="store_true", help="start a Prometheus on it, too")
    parser.add_argument("--scrape-file", type=Path, help="write the whole scrape there, too")
    parser.add_argument("--exporter", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--bao", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--prometheus-bin", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with tempfile.TemporaryDirectory(prefix="bao-exporter-demo-") as folder:
            run(arguments, Path(folder))
    except KeyboardInterrupt:
        say("ended by Ctrl-C; nothing is left running")
    except (DemoError, fixture.FixtureError) as error:
        print(f"==> FAILED: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
