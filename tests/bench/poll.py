"""What a poll costs: ./dev bench poll [OPTIONS]

Fake nodes over TLS, a part of their values new each time, polled each second by bao-exporter, Debian's
Prometheus and vmagent at once: CPU seconds per 1,000 polls of a node. The others only ask for metrics; a
poll of ours asks for health, metrics, and of active nodes who leads.
"""

import argparse
import os
import shutil
import sys
import time

import servers
from farm import Farm, FarmExporter
from servers import ROOT, Server, write_private
from tools import head, row, say

BAR = 2.0

SCRAPE = """
global: {{scrape_interval: {interval}s, scrape_timeout: {interval}s}}
scrape_configs:
  - job_name: nodes
    scheme: https
    metrics_path: /v1/sys/metrics
    params: {{format: [prometheus]}}
    tls_config: {{ca_file: {ca_file}}}
    authorization: {{credentials_file: {folder}/openbao.token}}
    static_configs: [{{targets: [{targets}]}}]
"""


class Scraper(Server):
    """Who scrapes a farm itself."""

    agent = "?"

    def __init__(self, folder, certificates, binary, farm, interval):
        super().__init__(folder, certificates)
        self.binary = binary
        self.farm = farm
        targets = ", ".join(f'"127.0.0.1:{port}"' for port in farm.ports)
        write_private(self.folder / "openbao.token", servers.Exporter.node_token + "\n")
        (self.folder / "scrape.yml").write_text(SCRAPE.format(
            interval=interval, ca_file=self.ca_file, folder=self.folder, targets=targets))

    def _answers(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.name} ended:\n{self.log_file.read_text()[-2000:]}")
        return self.farm.counts().get(self.agent, 0) >= len(self.farm.ports)


class Prometheus(Scraper):
    name = "Prometheus"
    agent = "Prometheus"

    def start(self):
        self.process = self.run(
            self.binary, "--config.file=scrape.yml", f"--storage.tsdb.path={self.folder}/data",
            f"--web.listen-address=127.0.0.1:{servers.free_port()}", "--log.level=warn")


class Vmagent(Scraper):
    """It sends what it has scraped to the farm, which takes it without reading."""

    name = "vmagent"
    agent = "vm_promscrape"

    def start(self):
        self.process = self.run(
            self.binary, "-promscrape.config=scrape.yml", "-promscrape.maxScrapeSize=64MB",
            f"-remoteWrite.url=https://127.0.0.1:{self.farm.ports[0]}/write",
            f"-remoteWrite.tlsCAFile={self.ca_file}", f"-remoteWrite.tmpDataPath={self.folder}/data",
            f"-httpListenAddr=127.0.0.1:{servers.free_port()}", "-loggerLevel=WARN")


class Ours(FarmExporter):
    agent = "bao-exporter"


def arguments(words):
    parser = argparse.ArgumentParser(prog="./dev bench poll", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exporter", default=ROOT / "build/release/bao-exporter")
    parser.add_argument("--nodes", type=int, default=8)
    parser.add_argument("--samples", type=int, default=3_800)
    parser.add_argument("--changing", type=float, default=0.3,
                        help="the share of families that have new values at a poll")
    parser.add_argument("--interval", type=int, default=1)
    parser.add_argument("--warm-up", type=float, default=15)
    parser.add_argument("--seconds", type=float, default=150)
    parser.add_argument("--only-ours", action="store_true")
    return parser.parse_args(words)


def peers(options, folder, certificates, farm):
    found = {Prometheus: os.environ.get("BAO_BENCH_PROMETHEUS"),
             Vmagent: os.environ.get("BAO_BENCH_VMAGENT")}
    for kind, binary in found.items():
        if options.only_ours:
            continue
        if binary and shutil.which(binary):
            yield kind(servers.sub_folder(folder, kind.name), certificates, binary, farm,
                       options.interval)
        else:
            say(f"(without {kind.name}: it is not here)\n")


def measure(processes, farm, seconds):
    """CPU seconds and polls of each while that time goes by."""
    def now():
        counts = farm.counts()
        return [(one.cpu_seconds(), counts[one.agent]) for one in processes]
    before = now()
    time.sleep(seconds)
    return [(cpu - cpu_before, polls - polls_before)
            for (cpu, polls), (cpu_before, polls_before) in zip(now(), before)]


def report(processes, measured, samples):
    say(head("who", "CPU s / 1,000 polls", "times ours", "polls", "samples / CPU s", "RSS MB",
             "the most"))
    ours = measured[0][0] / measured[0][1]
    for one, (cpu, polls) in zip(processes, measured):
        say(row(one.name, f"{1000 * cpu / polls:.2f}", f"{cpu / polls / ours:.1f}", polls,
                f"{samples * polls / cpu:,.0f}", f"{one.resident_megabytes('VmRSS'):.0f}",
                f"{one.resident_megabytes():.0f}"))
    held = 1000 * ours <= BAR
    say(f"\nours: {1000 * ours:.2f} CPU s / 1,000 polls, bar <= {BAR}: "
        f"{'held' if held else 'MISSED'}")
    return held


def main(words):
    options = arguments(words)
    say(f"{options.nodes} nodes x {options.samples:,} samples, each {options.interval} s\n")
    with servers.bench_folder() as (folder, certificates), \
            Farm(certificates, options.nodes, cluster_size=options.nodes, samples=options.samples,
                 changing=options.changing) as farm:
        processes = [Ours(servers.sub_folder(folder, "ours"), certificates, options.exporter, farm,
                          options.interval, options.samples),
                     *peers(options, folder, certificates, farm)]
        with servers.all_of(processes):
            time.sleep(options.warm_up)
            measured = measure(processes, farm, options.seconds)
            held = report(processes, measured, options.samples)
            reasons = processes[0].reasons()
            if reasons["ok"] != reasons.total():
                raise RuntimeError(f"polls that failed: {dict(reasons)}")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
